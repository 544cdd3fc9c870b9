//! Ids: whether the runs have those of the records, and whether one occurs twice.

use super::{fingerprint::Fingerprint, state::LogCheck};
use crate::verdict::{FindingKind, Unproven};
use indelible_log::{
    LogError, RECORDS_PER_SEGMENT,
    stored::{self, IdRun},
};
use indelible_store::StoreError;
use indelible_tlog::Hash;

/// Ids of records that no run has are held up to so many.
const MAX_HELD: usize = 1 << 24;
/// Pairs of one hash that are looked at; by chance there is one in 137 million records
/// squared over a thousand.
const MAX_PAIRS: usize = 1 << 22;

impl LogCheck<'_> {
    /// Compares a run with the ids of the records of its segments, which were hashed.
    pub(super) fn id_run(&mut self, path: &str) -> u64 {
        let mut expected = Fingerprint::default();
        for number in IdRun::named(path).into_iter().flatten() {
            match self.sealed.get(&number) {
                Some(sealed) if sealed.sound => expected.join(&sealed.ids),
                // What is wrong there was found there.
                Some(_) => return 0,
                None if self.tried.contains(&number) => return 0,
                // Sealed since by a running server.
                None if self.store.is_locked() => return 0,
                None => {
                    let message = format!("{path} is of segment {number}, which is not there");
                    self.verdict.find(FindingKind::Unexpected, None, message);
                    return 0;
                }
            }
        }
        let run = match IdRun::open(self.store, self.keys.line(), &self.roots(), path) {
            Ok(run) => run,
            // Merged away by a running server since it was listed.
            Err(LogError::Store(StoreError::NotFound { .. })) => return 0,
            Err(error) => {
                self.verdict.fail(None, &error);
                return 0;
            }
        };
        if self.options.from_disk {
            run.evict();
        }
        let (mut found, points) = (Fingerprint::default(), self.points);
        let read = run.read_whole(|hash, index| found.add(&points, hash, index));
        self.verdict.coverage.file_bytes += run.file_size();
        if let Err(error) = read {
            self.verdict.fail(None, &error);
            return run.file_size();
        }
        if found == expected {
            self.verdict.coverage.id_runs += 1;
            self.runs.push(path.to_owned());
        } else {
            let first = run.segments().start * RECORDS_PER_SEGMENT;
            let message = format!(
                "{path} does not have the ids of the records from {first} on: under some id the log would take other data"
            );
            self.verdict.find(FindingKind::Altered, Some(first), message);
        }
        run.file_size()
    }

    /// Roots of the segments; of one that could not be read none that is any segment's.
    fn roots(&self) -> Vec<Hash> {
        let end = self.sealed.keys().next_back().map_or(0, |last| last + 1);
        (0..end)
            .map(|number| self.sealed.get(&number).map(|sealed| sealed.root).unwrap_or_default())
            .collect()
    }

    /// Notes the id of a record that no run has.
    pub(super) fn hold_id(&mut self, hash: u64, index: u64) {
        if self.held.len() < MAX_HELD {
            self.held.push((hash, index));
        } else {
            self.verdict.coverage.unproven.insert(Unproven::Ids);
        }
    }

    /// Looks for ids that two records have: among the runs that hold and what none has.
    pub(super) fn twice(&mut self) {
        let covered =
            |number: u64, runs: &[IdRun]| runs.iter().any(|run| run.segments().contains(&number));
        let roots = self.roots();
        let open = |path: &String| IdRun::open(self.store, self.keys.line(), &roots, path);
        let opened: Result<Vec<IdRun>, LogError> = self.runs.iter().map(open).collect();
        // Merged meanwhile: then it cannot be told here.
        let Ok(runs) = opened else {
            self.verdict.coverage.unproven.insert(Unproven::Ids);
            return;
        };
        let bare: Vec<u64> =
            self.sealed.keys().copied().filter(|number| !covered(*number, &runs)).collect();
        for number in bare {
            for (hash, index) in self.ids_of(number) {
                self.hold_id(hash, index);
            }
        }
        self.held.sort_unstable();
        let mut pairs = Vec::new();
        let mut many = false;
        let read = stored::id_pairs(runs, &self.held, |a, b| {
            many |= pairs.len() >= MAX_PAIRS;
            if !many {
                pairs.push((a, b));
            }
        });
        if let Err(error) = read {
            self.verdict.fail(None, &error);
        }
        if many {
            self.verdict.coverage.unproven.insert(Unproven::Ids);
        }
        for (a, b) in pairs {
            if let (Some(id), Some(other)) = (self.id_at(a), self.id_at(b))
                && id == other
            {
                let (a, b) = (a.min(b), a.max(b));
                let message = format!("record {b} has the id {id:?}, which record {a} has already");
                self.verdict.find(FindingKind::Unexpected, Some(b), message);
            }
        }
    }
}
