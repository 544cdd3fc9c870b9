//! How a server stands, for who runs it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How a server stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// Name of the site.
    pub site: String,
    /// Version of the server.
    pub version: String,
    /// When it was asked, by its clock.
    pub now: String,
    /// When it started.
    pub started_at: String,
    /// Seconds since then, by a count that nobody can set.
    pub uptime_s: u64,
    /// Whether it does its work: `/readyz` answers 200.
    pub ready: bool,
    /// What fails now; empty when all is well.
    pub failures: Vec<Failing>,
    /// The logs that the caller may know of.
    pub logs: Vec<LogStatus>,
    /// The clock; null to who may not observe the whole server, and so are those below.
    pub clock: Option<ClockStatus>,
    /// The disk that the data are on.
    pub disk: Option<DiskStatus>,
    /// The reading again of everything that is kept.
    pub scrub: Option<ScrubStatus>,
    /// Events of `_control` that have no effect because they do not apply.
    pub control_misfits: Option<u64>,
}

/// A part that fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Failing {
    /// `log`, `trail`, `disk`, `key`, `commit`, `sealing`, `index`, `exports`, `clock`,
    /// `storage`, `scrub`.
    pub part: String,
    /// Of which log; null: of the whole server.
    pub log: Option<String>,
    /// Since when.
    pub since: String,
    /// What it does to those who use the server.
    pub effect: String,
    /// Why, as the system says; it may name paths.
    pub cause: String,
}

/// How a log stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LogStatus {
    /// Name.
    pub name: String,
    /// Records.
    pub size: u64,
    /// Records a second, over the last minute.
    pub rate: f64,
    /// When the last commit was made; null while the log is empty.
    pub committed_at: Option<String>,
    /// Whether it takes appends.
    pub accepting: bool,
    /// Sealed segments.
    pub segments: u64,
    /// Full segments that wait to be sealed.
    pub unsealed_segments: u64,
    /// Why sealing failed the last time, if it goes on failing.
    pub sealing_error: Option<String>,
    /// Records that are not in the index yet; null where there is no index.
    pub index_lag: Option<u64>,
    /// Why the index does not go on, if that is so.
    pub index_problem: Option<String>,
    /// Seconds that the last commit is ahead of the clock: until the clock is there, times
    /// in this log stand still. 0 as a rule.
    pub ahead_s: u64,
}

/// The clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClockStatus {
    /// Microseconds that it has gone ahead of a count that nobody can set, since the start.
    pub offset_us: i64,
    /// Jumps of more than two seconds since the start.
    pub steps: u64,
    /// The last of them: by how many microseconds, below 0 if back.
    pub last_step_us: Option<i64>,
    /// And when, by the clock after it.
    pub last_step_at: Option<String>,
}

/// A disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DiskStatus {
    /// Bytes that can still be written.
    pub free: u64,
    /// Bytes in all.
    pub total: u64,
    /// Whether that is little: appends are refused soon.
    pub low: bool,
}

/// The reading again of everything that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScrubStatus {
    /// Seconds in which everything is read once.
    pub period_s: u64,
    /// When the round that is going on began.
    pub since: Option<String>,
    /// Bytes read in it, and how many there are to read.
    pub done: u64,
    /// How many there are to read.
    pub total: u64,
    /// When the last whole round ended; null if none did yet.
    pub finished_at: Option<String>,
    /// What it said: `holds`, or the gravest kind of finding. Null if none ended yet.
    pub verdict: Option<String>,
    /// What is known to be wrong now.
    pub findings: Vec<ScrubFinding>,
}

/// Something that is not what was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScrubFinding {
    /// In which log; null: elsewhere in the data directory.
    pub log: Option<String>,
    /// `altered`, `missing`, `unverifiable`, `unreadable`.
    pub kind: String,
    /// First record it affects, where that is known.
    pub index: Option<u64>,
    /// What is wrong, and where; it may name paths.
    pub message: String,
    /// When it was found.
    pub found_at: String,
}
