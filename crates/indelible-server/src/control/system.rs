//! The log of the server's own life: starts and stops, failures of its parts, its clock,
//! what it found wrong with what it keeps. None of it is configuration; the fold keeps
//! what the next start must know.

use super::{
    amend::{Amend, Stamp, Target},
    error::{ControlError, Misfit},
    fold::Control,
    principal::Concern,
    wire,
};
use crate::troubles::Part;
use indelible_event::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the fold keeps of the server's life.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Life {
    /// Starts there were.
    pub(crate) starts: u64,
    /// Whether the last was followed by a stop in order.
    pub(crate) is_stopped: bool,
    /// Failures that began and have not ended, by part and log: since when.
    pub(crate) failures: BTreeMap<(Part, Option<String>), Timestamp>,
}

/// An event of the server's life: it needs nobody's leave, and nothing it could say does
/// not fit.
macro_rules! system {
    ($($action:literal $name:ident),* $(,)?) => {
        $(impl Amend for $name {
            const ACTION: &'static str = $action;
            const CATEGORY: &'static str = "system";

            fn targets(&self) -> Vec<Target<'_>> {
                self.log().map(|log| Target::new("log", log)).into_iter().collect()
            }

            fn summary(&self) -> String {
                self.said()
            }

            fn concern<'a>(&'a self, _: &'a Control) -> Result<Concern<'a>, ControlError> {
                Ok(Concern::System)
            }

            fn apply(&self, control: &mut Control, _: &Stamp) -> Result<(), Misfit> {
                self.fold(&mut control.life);
                Ok(())
            }
        })*
    };
}

system! {
    "system.started" ServerStarted,
    "system.stopped" ServerStopped,
    "system.failure.began" FailureBegan,
    "system.failure.ended" FailureEnded,
    "system.clock.read" ClockRead,
    "system.clock.stepped" ClockStepped,
    "system.scrub.found" ScrubFound,
    "system.scrub.finished" ScrubFinished,
}

/// The server started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServerStarted {
    pub(crate) version: String,
    /// SHA-256 of the program that runs, hex; null if it could not be read.
    pub(crate) binary: Option<String>,
    /// SHA-256 of the settings without secrets, hex.
    pub(crate) settings: String,
    pub(crate) before: Before,
}

/// How the run before this one ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Before {
    /// There was none.
    First,
    /// It stopped in order.
    Stopped,
    /// It did not: a crash, a kill, a loss of power.
    CutOff,
}

impl Before {
    /// How it ended as far as the fold knows.
    pub(crate) const fn of(life: &Life) -> Self {
        match (life.starts, life.is_stopped) {
            (0, _) => Self::First,
            (_, true) => Self::Stopped,
            (_, false) => Self::CutOff,
        }
    }
}

impl ServerStarted {
    fn log(&self) -> Option<&str> {
        None
    }

    fn said(&self) -> String {
        let before = match self.before {
            Before::First => "",
            Before::Stopped => ", after a stop in order",
            Before::CutOff => "; the run before did not stop in order",
        };
        format!("server {} started{before}", self.version)
    }

    fn fold(&self, life: &mut Life) {
        life.starts = life.starts.saturating_add(1);
        life.is_stopped = false;
    }
}

/// The server stopped in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServerStopped {}

impl ServerStopped {
    fn log(&self) -> Option<&str> {
        None
    }

    fn said(&self) -> String {
        "server stopped".to_owned()
    }

    fn fold(&self, life: &mut Life) {
        life.is_stopped = true;
    }
}

/// A part of the server began to fail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FailureBegan {
    pub(crate) part: Part,
    /// Of which log; null: of the whole server.
    pub(crate) log: Option<String>,
    /// When it was first seen: the event may come later, when what failed was the disk.
    #[serde(with = "wire::time")]
    pub(crate) since: Timestamp,
    /// What it does to those who use the server.
    pub(crate) effect: String,
    /// Why, as the system says.
    pub(crate) cause: String,
}

impl FailureBegan {
    fn log(&self) -> Option<&str> {
        self.log.as_deref()
    }

    fn said(&self) -> String {
        format!("{}{} fails: {}", self.part.name(), of(self.log()), self.effect)
    }

    fn fold(&self, life: &mut Life) {
        life.failures.insert((self.part, self.log.clone()), self.since);
    }
}

/// It works again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FailureEnded {
    pub(crate) part: Part,
    pub(crate) log: Option<String>,
    #[serde(with = "wire::time")]
    pub(crate) since: Timestamp,
    /// When it was last seen failing.
    #[serde(with = "wire::time")]
    pub(crate) until: Timestamp,
    /// How often it began anew in that time.
    pub(crate) times: u64,
    /// Requests that were refused because of it, each of which was told; null where the
    /// server was started in between, and nobody counted.
    pub(crate) refused: Option<u64>,
    /// What is lost: `nothing`, or what may be.
    pub(crate) lost: String,
}

impl FailureEnded {
    fn log(&self) -> Option<&str> {
        self.log.as_deref()
    }

    fn said(&self) -> String {
        let refused = match self.refused {
            Some(0) => String::new(),
            Some(refused) => format!(", {refused} requests were refused"),
            None => ", requests refused were not counted".to_owned(),
        };
        let (part, of) = (self.part.name(), of(self.log()));
        format!("{part}{of} works again since {}{refused}; lost: {}", self.until, self.lost)
    }

    fn fold(&self, life: &mut Life) {
        life.failures.remove(&(self.part, self.log.clone()));
    }
}

/// The clock, once an hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClockRead {
    /// Where time comes from: `system`.
    pub(crate) source: String,
    /// How far the clock has gone ahead of a count that nobody can set, since the start.
    pub(crate) offset_us: i64,
    /// The same since the last of these events.
    pub(crate) change_us: i64,
    /// Times it jumped since then.
    pub(crate) steps: u64,
}

impl ClockRead {
    fn log(&self) -> Option<&str> {
        None
    }

    fn said(&self) -> String {
        format!("the clock moved by {} µs against a steady count", self.change_us)
    }

    fn fold(&self, _: &mut Life) {}
}

/// The clock jumped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClockStepped {
    /// By how much, in all; below 0: back.
    pub(crate) by_us: i64,
    /// How often: more than once where it jumps again and again.
    pub(crate) times: u64,
    /// Whether that was while no server ran: then `by_us` is how far it is behind the last
    /// event of `_control`.
    pub(crate) between_runs: bool,
}

impl ClockStepped {
    fn log(&self) -> Option<&str> {
        None
    }

    fn said(&self) -> String {
        let way = if self.by_us < 0 { "back" } else { "forward" };
        let by = self.by_us.unsigned_abs();
        let (whole, rest) = (by / 1_000_000, by % 1_000_000 / 1000);
        format!("the clock was set {way} by {whole}.{rest:03} s")
    }

    fn fold(&self, _: &mut Life) {}
}

/// What is kept is not what was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScrubFound {
    /// In which log; null: elsewhere in the data directory.
    pub(crate) log: Option<String>,
    /// `altered`, `missing`, `unverifiable`, `unreadable`.
    pub(crate) kind: String,
    /// First record it affects, where that is known.
    pub(crate) index: Option<u64>,
    /// What is wrong, and where.
    pub(crate) message: String,
}

impl ScrubFound {
    fn log(&self) -> Option<&str> {
        self.log.as_deref()
    }

    fn said(&self) -> String {
        format!("found damage{}: {}", of(self.log()), self.message)
    }

    fn fold(&self, _: &mut Life) {}
}

/// Everything that is kept was read again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScrubFinished {
    #[serde(with = "wire::time")]
    pub(crate) since: Timestamp,
    pub(crate) logs: u64,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    /// `holds`, or the gravest kind of what was found.
    pub(crate) verdict: String,
    /// How much was found; the first ten have an event each.
    pub(crate) findings: u64,
}

impl ScrubFinished {
    fn log(&self) -> Option<&str> {
        None
    }

    fn said(&self) -> String {
        format!("{} records in {} logs were read again: {}", self.records, self.logs, self.verdict)
    }

    fn fold(&self, _: &mut Life) {}
}

fn of(log: Option<&str>) -> String {
    log.map_or_else(String::new, |log| format!(" of log {log}"))
}
