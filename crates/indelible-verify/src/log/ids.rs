//! Ids: whether the runs have those of the records, and whether one occurs twice.

use super::LogCheck;
use crate::verdict::{FindingKind, Unproven};
use indelible_log::{
    LogError, RECORDS_PER_SEGMENT,
    stored::{self, IdRun},
};
use indelible_store::StoreError;
use indelible_tlog::Hash;

/// A prime; what fits below it is multiplied without losing anything.
const PRIME: u64 = (1 << 61) - 1;
/// Ids of records that no run has are held up to so many.
const MAX_HELD: usize = 1 << 24;
/// Pairs of one hash that are looked at; by chance there is one in 137 million records
/// squared over a thousand.
const MAX_PAIRS: usize = 1 << 22;

fn multiply(a: u64, b: u64) -> u64 {
    let wide = u128::from(a) * u128::from(b);
    let sum = (wide & u128::from(PRIME)) as u64 + (wide >> 61) as u64;
    if sum >= PRIME { sum - PRIME } else { sum }
}

/// Two points, chosen when the check begins, at which polynomials are compared.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Points([(u64, u64); 2]);

impl Points {
    pub(super) fn random() -> Result<Self, LogError> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)
            .map_err(|e| LogError::Invalid(format!("the system gives no random bytes: {e}")))?;
        let mut words =
            bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word) % PRIME);
        let mut next = || words.next().unwrap_or(1);
        Ok(Self([(next(), next()), (next(), next())]))
    }
}

/// A set of (hash, index) pairs, by the product of x - hash - y·index at two points:
/// other pairs have it with a chance of less than their number over 2^61, at each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint {
    count: u64,
    products: [u64; 2],
}

impl Default for Fingerprint {
    fn default() -> Self {
        Self { count: 0, products: [1, 1] }
    }
}

impl Fingerprint {
    pub(super) fn add(&mut self, points: &Points, hash: u64, index: u64) {
        self.count += 1;
        for (product, (x, y)) in self.products.iter_mut().zip(points.0) {
            let taken = (hash + multiply(y, index % PRIME)) % PRIME;
            *product = multiply(*product, (x + PRIME - taken) % PRIME);
        }
    }

    fn join(&mut self, other: &Self) {
        self.count += other.count;
        for (product, more) in self.products.iter_mut().zip(other.products) {
            *product = multiply(*product, more);
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_of_a_set_and_of_no_other() {
        let points = Points::random().unwrap();
        let of = |pairs: &[(u64, u64)]| {
            let mut found = Fingerprint::default();
            pairs.iter().for_each(|(hash, index)| found.add(&points, *hash, *index));
            found
        };
        let (one, two) = ([(5, 0), (9, 1), ((1 << 36) - 1, 70_000)], [(9, 1), (5, 0)]);
        let mut joined = of(&two);
        joined.join(&of(&one[2..]));
        assert_eq!(joined, of(&one), "in any order, in any parts");
        for other in [
            [(5, 1), (9, 0), ((1 << 36) - 1, 70_000)],
            [(5, 0), (9, 1), ((1 << 36) - 1, 70_001)],
            [(5, 0), (5, 0), ((1 << 36) - 1, 70_000)],
            [(6, 0), (8, 1), ((1 << 36) - 1, 70_000)],
        ] {
            assert_ne!(of(&other), of(&one), "{other:?}");
        }
    }
}
