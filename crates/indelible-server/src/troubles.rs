//! Failures of the server's own parts, as whoever meets them tells: counted here, watched
//! by the chore that writes the log of the server's life.

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
};

/// A part of the server that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Part {
    /// A log that stopped after a storage error.
    Log,
    /// The trail of accesses cannot be written.
    Trail,
    /// There is no room, or little.
    Disk,
    /// The signing key does not sign.
    Key,
    /// A commit does not end: disk or key do not answer.
    Commit,
    /// Sealing fails.
    Sealing,
    /// An index does not go on.
    Index,
    /// Exports fail.
    Exports,
    /// The clock is behind what the logs say.
    Clock,
    /// Stored bytes are not what was written.
    Storage,
    /// The scrub does not go on.
    Scrub,
}

impl Part {
    pub(crate) const ALL: [Self; 11] = [
        Self::Log,
        Self::Trail,
        Self::Disk,
        Self::Key,
        Self::Commit,
        Self::Sealing,
        Self::Index,
        Self::Exports,
        Self::Clock,
        Self::Storage,
        Self::Scrub,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Trail => "trail",
            Self::Disk => "disk",
            Self::Key => "key",
            Self::Commit => "commit",
            Self::Sealing => "sealing",
            Self::Index => "index",
            Self::Exports => "exports",
            Self::Clock => "clock",
            Self::Storage => "storage",
            Self::Scrub => "scrub",
        }
    }

    /// What its failure does to those who use the server.
    pub(crate) const fn effect(self) -> &'static str {
        match self {
            Self::Log => "appends are refused until the server is started again",
            Self::Trail => "nothing is answered that must leave a record of access",
            Self::Disk => "appends are refused, or will be soon, until there is room",
            Self::Key => "appends are refused until the key signs",
            Self::Commit => "appends wait",
            Self::Sealing => "appends are refused once four segments wait to be sealed",
            Self::Index => "searches do not see the newest records, and say so",
            Self::Exports => "exports fail",
            Self::Clock => "times in the logs stand still until the clock is there again",
            Self::Storage => "some records cannot be read, or not be proven",
            Self::Scrub => "damage would not be found until somebody reads it",
        }
    }

    /// What it loses.
    pub(crate) const fn lost(self) -> &'static str {
        match self {
            Self::Log => "perhaps what was in flight, for which nobody has a receipt",
            Self::Trail => "counts of accesses after the first of a row",
            Self::Storage => "unknown: restore from a copy",
            _ => "nothing",
        }
    }

    /// Whether the server cannot do its work meanwhile: nobody should be sent to it.
    pub(crate) const fn stops(self) -> bool {
        matches!(self, Self::Log | Self::Trail)
    }
}

/// What was met of a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Met {
    /// Whether it was still there the last time.
    pub(crate) going: bool,
    /// Requests that were refused because of it.
    pub(crate) refused: u64,
    /// Why, the last time; it may name paths.
    pub(crate) cause: String,
}

/// All failures that were met. As many as parts times logs at most.
#[derive(Debug, Default)]
pub(crate) struct Troubles {
    /// Whether anything is going on: as a rule nothing is.
    any: AtomicBool,
    met: Mutex<BTreeMap<(Part, String), Met>>,
}

impl Troubles {
    /// Somebody was refused something because a part failed.
    pub(crate) fn meet(&self, part: Part, log: &str, cause: String) {
        let mut met = self.met.lock();
        let found = met.entry((part, log.to_owned()));
        let found = found.or_insert(Met { going: true, refused: 0, cause: String::new() });
        found.going = true;
        found.refused = found.refused.saturating_add(1);
        found.cause = cause;
        self.any.store(true, Ordering::Relaxed);
    }

    /// A part fails, though nobody was refused anything.
    pub(crate) fn note(&self, part: Part, log: &str, cause: &str) {
        let mut met = self.met.lock();
        let found = met.entry((part, log.to_owned()));
        let found = found.or_insert(Met { going: true, refused: 0, cause: String::new() });
        found.going = true;
        cause.clone_into(&mut found.cause);
        self.any.store(true, Ordering::Relaxed);
    }

    /// These parts work again.
    pub(crate) fn pass(&self, parts: &[Part], log: &str) {
        if !self.any.load(Ordering::Relaxed) {
            return;
        }
        let mut met = self.met.lock();
        for ((part, of), found) in met.iter_mut() {
            found.going &= !(parts.contains(part) && of == log);
        }
        self.any.store(met.values().any(|found| found.going), Ordering::Relaxed);
    }

    /// What was met so far.
    pub(crate) fn met(&self) -> Vec<((Part, String), Met)> {
        self.met.lock().iter().map(|(key, met)| (key.clone(), met.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_over_and_stays_counted() {
        let troubles = Troubles::default();
        troubles.meet(Part::Disk, "prod", "full".to_owned());
        troubles.meet(Part::Disk, "prod", "still full".to_owned());
        troubles.meet(Part::Key, "prod", "no answer".to_owned());
        troubles.pass(&[Part::Disk], "other");
        troubles.pass(&[Part::Disk], "prod");
        let met = troubles.met();
        let going: Vec<_> =
            met.iter().map(|((part, _), met)| (*part, met.going, met.refused)).collect();
        assert_eq!(going, [(Part::Disk, false, 2), (Part::Key, true, 1)]);
        troubles.pass(&[Part::Key], "prod");
        assert!(!troubles.any.load(Ordering::Relaxed));
    }
}
