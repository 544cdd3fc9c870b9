//! Which record has an id: runs of sorted hashes over the sealed segments, merged
//! sixteen to one, so that a lookup touches O(log n) of them. Derived from the
//! segments, may be deleted at any time. docs/formats.md §5.
//!
//! A run answers with *candidates*; whether a candidate has the id is decided by
//! reading the record.

pub(crate) mod check;
mod filter;
mod hash;
mod hot;
mod run;
mod scan;

pub(crate) use hash::IdHash;
pub(crate) use hot::HotIds;
pub(crate) use run::{Run, coverage};
pub(crate) use scan::ids_of;

use crate::{
    error::{Result, chain},
    keys::KeyRing,
    segment,
};
use hash::OFFSET_BITS;
use indelible_store::Store;
use indelible_tlog::{Hash, KeyLine};
use run::path;
use std::{ops::Range, sync::Arc};

/// Runs merged into one; a run has 1, 16, 256 or 4,096 segments.
const FAN_IN: u64 = 16;
const MAX_SEGMENTS: u64 = 4096;
/// Segments of the largest run that is not needed for a lookup: of a bad one so many are
/// read, two seconds at most, and larger ones are waited for.
const MAX_SCANNED: u64 = 16;

/// All runs, oldest first; together they cover the first segments without a hole.
#[derive(Debug, Default, Clone)]
pub(crate) struct Runs {
    runs: Vec<Arc<Run>>,
}

impl Runs {
    /// Opens the runs there are of the segments with these roots, which a key of `line`
    /// signed. Runs that leave a hole, are damaged or of other segments are dropped: the
    /// caller rebuilds from [`Runs::covered`] on.
    pub(crate) fn open(store: &dyn Store, line: &KeyLine, roots: &[Hash]) -> Result<Self> {
        let mut found: Vec<(u64, u64)> =
            store.list("ids")?.iter().filter_map(|path| coverage(path)).collect();
        // Of two runs with the same start the longer is the merge of the other.
        found.sort_by_key(|(first, segments)| (*first, std::cmp::Reverse(*segments)));
        let mut runs = Self::default();
        for (first, segments) in found {
            let run = root_of(roots, first, segments)
                .filter(|_| first == runs.covered())
                .map(|root| Run::open(store, line, root, (first, segments)));
            match run {
                Some(Ok(run)) => runs.runs.push(Arc::new(run)),
                // Superseded by a merge, or of no use: derived data may go.
                other => {
                    if let Some(Err(error)) = other {
                        tracing::warn!(error = chain(&error), "an id run is made anew");
                    }
                    store.delete(&path(first, segments))?;
                }
            }
        }
        Ok(runs)
    }

    /// Number of segments covered.
    pub(crate) fn covered(&self) -> u64 {
        self.runs.last().map_or(0, |run| run.first_segment + run.segments)
    }

    /// Indexes of records that may have the id, newest runs first. What a bad run should
    /// tell is read from its segments, or is an error: never nothing.
    pub(crate) fn candidates(&self, store: &dyn Store, hash: IdHash) -> Result<Vec<u64>> {
        let mut found = Vec::new();
        for run in self.runs.iter().rev() {
            found.extend(match run.search(hash) {
                Err(error) if run.segments <= MAX_SCANNED => {
                    tracing::error!(error = chain(&error), "an id is looked for in the segments");
                    scan::search(store, run.first_segment..run.first_segment + run.segments, hash)?
                }
                other => other?,
            });
        }
        Ok(found)
    }

    /// Adds the run of one segment, given its root and the id hashes of its records in
    /// order (`None` for a record without id), and merges where sixteen stand in a row.
    /// Returns the new set and the paths it supersedes.
    pub(crate) fn with_segment(
        &self,
        store: &dyn Store,
        keys: &KeyRing,
        (segment, root): (u64, Hash),
        ids: impl Iterator<Item = Option<IdHash>>,
    ) -> Result<(Self, Vec<String>)> {
        let mut entries: Vec<u64> = ids
            .enumerate()
            .filter_map(|(offset, id)| id.map(|id| id.short() << OFFSET_BITS | offset as u64))
            .collect();
        entries.sort_unstable();
        let mut runs = self.runs.clone();
        let count = entries.len() as u64;
        let all = || entries.iter().copied().map(Ok);
        runs.push(Arc::new(Run::write(store, keys, root, (segment, 1), count, all)?));
        let mut superseded = Vec::new();
        while let Some(row) = mergeable(&runs) {
            // Unmerged they answer as well, only slower: the next segment tries again.
            let merged = match Run::merge(store, keys, &runs[row.clone()]) {
                Ok(merged) => merged,
                Err(error) => {
                    tracing::warn!(error = chain(&error), "could not merge id runs");
                    break;
                }
            };
            superseded.extend(runs.splice(row, [Arc::new(merged)]).map(|run| run.path.clone()));
        }
        Ok((Self { runs }, superseded))
    }

    /// A run of which a page was found bad.
    pub(crate) fn bad(&self) -> Option<&Arc<Run>> {
        self.runs.iter().find(|run| run.is_bad())
    }

    /// The set with a run made anew from its segments.
    pub(crate) fn rebuilt(&self, store: &dyn Store, keys: &KeyRing, bad: &Run) -> Result<Self> {
        let mut fresh = Self::default();
        for number in bad.first_segment..bad.first_segment + bad.segments {
            let (root, ids) = ids_of(store, number)?;
            let (next, superseded) =
                fresh.with_segment(store, keys, (number, root), ids.into_iter())?;
            for path in superseded {
                store.delete(&path)?;
            }
            fresh = next;
        }
        // If we crash before here the bad run is found at the next start, or there is none.
        let mut runs = self.runs.clone();
        if let Some(at) = runs.iter().position(|run| run.path == bad.path) {
            if !fresh.runs.iter().any(|run| run.path == bad.path) {
                store.delete(&bad.path)?;
            }
            runs.splice(at..=at, fresh.runs);
        }
        Ok(Self { runs })
    }
}

/// The root over some segments, if they are all there.
fn root_of(roots: &[Hash], first: u64, segments: u64) -> Option<Hash> {
    let first = usize::try_from(first).ok()?;
    let end = first.checked_add(usize::try_from(segments).ok()?)?;
    let row = roots.get(first..end)?;
    row.len().is_power_of_two().then(|| segment::fold(row))
}

/// Which runs are due to be merged, if any.
fn mergeable(runs: &[Arc<Run>]) -> Option<Range<usize>> {
    let row = FAN_IN as usize;
    let due = |row: &[Arc<Run>]| {
        row.first().is_some_and(|first| {
            first.segments < MAX_SEGMENTS
                && first.first_segment % (first.segments * FAN_IN) == 0
                && row.iter().all(|run| run.segments == first.segments)
        })
    };
    runs.windows(row).position(due).map(|at| at..at + row)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::SEGMENT_RECORDS;
    use indelible_store::{Blob, MemoryStore, StoreError};
    use indelible_tlog::SigningKey;

    fn ring(seed: u8) -> KeyRing {
        KeyRing::new(Arc::new(SigningKey::from_seed("test/log", &[seed; 32]).unwrap()))
    }

    fn root(segment: u64) -> Hash {
        indelible_tlog::leaf_hash(&segment.to_le_bytes())
    }

    fn roots(segments: u64) -> Vec<Hash> {
        (0..segments).map(root).collect()
    }

    fn open(store: &dyn Store, segments: u64) -> Runs {
        Runs::open(store, ring(1).line(), &roots(segments)).unwrap()
    }

    /// Reads every byte of every run.
    fn read_all(store: &dyn Store, segments: u64) -> Result<()> {
        for path in store.list("ids")? {
            Run::open_at(store, ring(1).line(), &roots(segments), &path)?.read_whole(|_, _| {})?;
        }
        Ok(())
    }

    fn id(index: u64) -> IdHash {
        IdHash::of(&format!("event-{index}"))
    }

    /// Adds segments in which every third record has an id.
    fn grow(store: &dyn Store, segments: u64) -> Runs {
        let mut runs = Runs::default();
        for segment in 0..segments {
            let ids = (0..300u64).map(|n| (n % 3 == 0).then(|| id(segment * SEGMENT_RECORDS + n)));
            let new = (segment, root(segment));
            let (next, superseded) = runs.with_segment(store, &ring(1), new, ids).unwrap();
            superseded.iter().for_each(|path| store.delete(path).unwrap());
            runs = next;
        }
        runs
    }

    #[test]
    fn every_id_is_found_and_few_others_across_merges() {
        let store = MemoryStore::default();
        let runs = grow(&store, 35);
        assert_eq!(runs.covered(), 35);
        assert_eq!(runs.runs.iter().map(|run| run.segments).collect::<Vec<_>>(), [16, 16, 1, 1, 1]);
        for segment in 0..35 {
            for n in 0..300 {
                let index = segment * SEGMENT_RECORDS + n;
                let found = runs.candidates(&store, id(index)).unwrap();
                assert_eq!(found.contains(&index), n % 3 == 0, "{index}");
            }
        }
        let strangers = (0..10_000u64)
            .filter(|n| !runs.candidates(&store, id(u64::MAX - n)).unwrap().is_empty());
        assert!(strangers.count() < 10);
        read_all(&store, 35).unwrap();
        let again = open(&store, 35);
        assert!(again.candidates(&store, id(3)).unwrap().contains(&3));
    }

    /// A store without room for merged runs.
    #[derive(Debug)]
    struct NoMerges(MemoryStore);

    impl Store for NoMerges {
        fn lock(&self) -> indelible_store::Result<indelible_store::LockGuard> {
            self.0.lock()
        }
        fn is_locked(&self) -> bool {
            self.0.is_locked()
        }
        fn writer(
            &self,
            path: &str,
        ) -> indelible_store::Result<Box<dyn indelible_store::BlobWriter>> {
            if path.ends_with("-0016.ids") {
                let full = std::io::ErrorKind::StorageFull;
                return Err(StoreError::io("create", path, full.into()));
            }
            self.0.writer(path)
        }
        fn open(&self, path: &str) -> indelible_store::Result<Arc<dyn Blob>> {
            self.0.open(path)
        }
        fn list(&self, folder: &str) -> indelible_store::Result<Vec<String>> {
            self.0.list(folder)
        }
        fn delete(&self, path: &str) -> indelible_store::Result<()> {
            self.0.delete(path)
        }
        fn create_journal(
            &self,
            path: &str,
            capacity: u64,
        ) -> indelible_store::Result<Arc<dyn indelible_store::Journal>> {
            self.0.create_journal(path, capacity)
        }
        fn open_journal(
            &self,
            path: &str,
        ) -> indelible_store::Result<Arc<dyn indelible_store::Journal>> {
            self.0.open_journal(path)
        }
    }

    #[test]
    fn what_a_failed_attempt_left_and_merges_that_fail_stop_nothing() {
        let memory = MemoryStore::default();
        // Runs that were left whole, in part, and of other records.
        memory.create(&path(3, 1), b"left over").unwrap();
        memory.create(&path(15, 1), b"").unwrap();
        let store = NoMerges(memory.clone());
        let runs = grow(&store, 20);
        assert_eq!((runs.covered(), runs.runs.len()), (20, 20));
        let ids = || (0..300u64).map(|n| Some(id(20 * SEGMENT_RECORDS + n)));
        // There is room again, and a merge that was left by a failed attempt.
        memory.create(&path(0, 16), b"left over").unwrap();
        let new = (20, root(20));
        let (runs, superseded) = runs.with_segment(&memory, &ring(1), new, ids()).unwrap();
        assert_eq!((runs.covered(), runs.runs.len(), superseded.len()), (21, 6, 16));
        superseded.iter().for_each(|path| memory.delete(path).unwrap());
        for segment in 0..21 {
            let index = segment * SEGMENT_RECORDS;
            assert!(runs.candidates(&store, id(index)).unwrap().contains(&index), "{segment}");
        }
        read_all(&memory, 21).unwrap();
    }

    /// Puts other bytes in the place of an object.
    fn replace(store: &dyn Store, path: &str, bytes: &[u8]) {
        store.delete(path).unwrap();
        store.create(path, bytes).unwrap();
    }

    #[test]
    fn filters_of_large_runs_are_read_where_they_lie_and_checked() {
        let store = MemoryStore::default();
        let runs = grow(&store, 257);
        let kept = |runs: &Runs| runs.runs.iter().map(|run| run.kept.is_some()).collect::<Vec<_>>();
        assert_eq!(kept(&runs), [false, true]);
        let has = |runs: &Runs, index| {
            Ok::<_, crate::LogError>(runs.candidates(&store, id(index))?.contains(&index))
        };
        for segment in 0..257 {
            let first = segment * SEGMENT_RECORDS;
            assert!(has(&runs, first).unwrap() && !has(&runs, first + 1).unwrap(), "{segment}");
        }
        let path = path(0, 256);
        let mut bytes = store.read(&path).unwrap();
        let filter = runs.runs[0].entry_pages() as usize * 4096;
        bytes[filter..filter + 4096].iter_mut().for_each(|byte| *byte ^= 1);
        replace(&store, &path, &bytes);
        let damaged = open(&store, 257);
        assert_eq!(kept(&damaged), [false, true]);
        assert!(damaged.bad().is_none());
        // An error, never nothing: the segments of so large a run are not read for one id.
        let outcomes: Vec<_> =
            (0..256).map(|segment| has(&damaged, segment * SEGMENT_RECORDS)).collect();
        assert!(outcomes.iter().any(std::result::Result::is_err));
        assert!(outcomes.iter().all(|outcome| outcome.as_ref().map_or(true, |has| *has)));
        assert!(damaged.bad().is_some());
        assert!(read_all(&store, 257).is_err());
    }

    #[test]
    fn any_flip_is_found() {
        let store = MemoryStore::default();
        let path = path(0, 1);
        drop(grow(&store, 2));
        let bytes = store.read(&path).unwrap();
        for position in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[position] ^= 0x10;
            replace(&store, &path, &altered);
            assert!(read_all(&store, 2).is_err(), "{position}");
        }
    }

    #[test]
    fn runs_that_are_damaged_of_other_segments_or_not_signed_by_the_log_are_dropped() {
        let store = MemoryStore::default();
        let path = path(0, 1);
        let fresh = |keys: &KeyRing, root| {
            let memory = MemoryStore::default();
            let none = std::iter::empty();
            drop(Runs::default().with_segment(&memory, keys, (0, root), none).unwrap());
            memory.read(&path).unwrap()
        };
        for (bytes, kept) in [
            (fresh(&ring(1), root(0)), 2),
            // Whoever can write files, and makes the log forget all ids.
            (fresh(&ring(2), root(0)), 0),
            // A run of another log, or of before.
            (fresh(&ring(1), root(7)), 0),
            (fresh(&ring(1), root(0))[1..].to_vec(), 0),
            (Vec::new(), 0),
        ] {
            drop(grow(&store, 2));
            replace(&store, &path, &bytes);
            // Without the first run nothing is covered, and what follows is dropped too.
            assert_eq!(open(&store, 2).covered(), kept);
            store.list("ids").unwrap().iter().for_each(|path| store.delete(path).unwrap());
        }
    }
}
