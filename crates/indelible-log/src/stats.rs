//! Figures of a log.

use std::{sync::Arc, time::Duration};

/// Figures of a log, for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// Records.
    pub size: u64,
    /// Sealed segments.
    pub segments: u64,
    /// Bytes of sealed records before compression.
    pub sealed_record_bytes: u64,
    /// Whole segments that wait to be sealed.
    pub unsealed_segments: u64,
    /// Why the last attempt to seal failed, until one succeeds.
    pub sealing_error: Option<Arc<str>>,
    /// For how long the commit that is being made has been on its way: disk or key answer
    /// slowly, or not at all.
    pub committing_for: Option<Duration>,
    /// When the last commit was made, microseconds since 1970; 0 if there is none.
    pub committed_us: i64,
    /// How far that is ahead of the clock, microseconds; 0 as a rule. The clock was set
    /// back, or was wrong before: until it gets there, times in the log stand still.
    pub ahead_us: u64,
}
