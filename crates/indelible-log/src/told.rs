//! What callers of a log are told.

use crate::{AppendError, BatchError, Head, LogError};
use indelible_event::EventError;
use indelible_tlog::Hash;
use std::sync::Arc;

/// What one appended event gets.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// Index of the record.
    pub index: u64,
    /// Id of the event.
    pub id: String,
    /// Leaf hash of the record.
    pub leaf_hash: Hash,
    /// Whether the record is new, or the same event was there already.
    pub created: bool,
    /// A checkpoint that covers it.
    pub head: Arc<Head>,
}

/// Why an event could not join a batch.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// It is not an event of its format.
    #[error(transparent)]
    Event(#[from] EventError),
    /// It is over the limit for one event.
    #[error("event of {0} bytes is over the limit of 16777216")]
    TooLarge(usize),
    /// The batch is full.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The log takes raw entries only.
    #[error("the log was created raw and takes entries, not events")]
    Raw,
    /// An attachment could not be stored, or the log not be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The append was not acknowledged.
    #[error(transparent)]
    Append(#[from] AppendError),
}

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
    /// Why a commit could not be signed in the last half minute, if none was since. Only
    /// so long: the next append tells, and somebody has to send it.
    pub signing_error: Option<Arc<str>>,
}
