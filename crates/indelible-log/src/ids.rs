//! Which record has an id: runs of sorted hashes over the sealed segments, merged
//! sixteen to one, so that a lookup touches O(log n) of them. Derived from the
//! segments, may be deleted at any time. docs/formats.md §5.
//!
//! A run answers with *candidates*; whether a candidate has the id is decided by
//! reading the record.

mod check;
mod filter;
mod hash;
mod hot;

pub(crate) use check::{pairs, short};
pub(crate) use hash::IdHash;
pub(crate) use hot::HotIds;

use crate::{
    bytes::Fields,
    error::{Result, chain, damaged},
    segment::SEGMENT_RECORDS,
};
use filter::{Block, block_of, blocks_for, has};
use hash::{HASH_BITS, OFFSET_BITS};
use indelible_store::{Blob, Store, StoreError};
use std::{io::Write as _, ops::Range, sync::Arc};

const MAGIC: [u8; 8] = *b"INDIDS2\n";
const HEADER_LEN: usize = 44;
const TRAILER_LEN: usize = 4;
/// Runs merged into one; a run has 1, 16, 256 or 4,096 segments.
const FAN_IN: u64 = 16;
const MAX_SEGMENTS: u64 = 4096;
/// Segments of the largest run whose filter is kept in memory. Of larger ones, which are
/// few, one block is read for each lookup: memory does not grow with the log.
const MAX_KEPT: u64 = 16;
/// Entries read at a time when searching a run on disk.
const PAGE: u64 = 512;
/// Bytes written at a time.
const BUFFER: usize = 1 << 20;

/// A sorted run over consecutive segments.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) first_segment: u64,
    pub(crate) segments: u64,
    path: String,
    entries: u64,
    blocks: u64,
    /// The blocks of the filter, of a small run.
    kept: Option<Vec<u8>>,
    blob: Arc<dyn Blob>,
}

/// All runs, oldest first; together they cover the first segments without a hole.
#[derive(Debug, Default, Clone)]
pub(crate) struct Runs {
    runs: Vec<Arc<Run>>,
}

fn path(first_segment: u64, segments: u64) -> String {
    format!("ids/{first_segment:010}-{segments:04}.ids")
}

fn coverage(path: &str) -> Option<(u64, u64)> {
    let (first, segments) = path.strip_prefix("ids/")?.strip_suffix(".ids")?.split_once('-')?;
    let (first, segments) = (first.parse().ok()?, segments.parse().ok()?);
    (self::path(first, segments) == path).then_some((first, segments))
}

impl Runs {
    /// Opens the runs there are. Runs that leave a hole, or are damaged, are
    /// dropped: the caller rebuilds from [`Runs::covered`] on.
    pub(crate) fn open(store: &dyn Store, sealed: u64) -> Result<Self> {
        let mut found: Vec<(u64, u64)> =
            store.list("ids")?.iter().filter_map(|path| coverage(path)).collect();
        // Of two runs with the same start the longer is the merge of the other.
        found.sort_by_key(|(first, segments)| (*first, std::cmp::Reverse(*segments)));
        let mut runs = Self::default();
        for (first, segments) in found {
            let fits = first == runs.covered() && first + segments <= sealed;
            let run = if fits { Run::open(store, first, segments).ok() } else { None };
            match run {
                Some(run) => runs.runs.push(Arc::new(run)),
                // Superseded by a merge, or of no use: derived data may go.
                None => store.delete(&path(first, segments))?,
            }
        }
        Ok(runs)
    }

    /// Number of segments covered.
    pub(crate) fn covered(&self) -> u64 {
        self.runs.last().map_or(0, |run| run.first_segment + run.segments)
    }

    /// Indexes of records that may have the id, newest runs first.
    pub(crate) fn candidates(&self, hash: IdHash) -> Result<Vec<u64>> {
        let mut found = Vec::new();
        for run in self.runs.iter().rev() {
            run.search(hash, &mut found)?;
        }
        Ok(found)
    }

    /// Adds the run of one segment, given the id hashes of its records in order
    /// (`None` for a record without id), and merges where sixteen stand in a row.
    /// Returns the new set and the paths it supersedes.
    pub(crate) fn with_segment(
        &self,
        store: &dyn Store,
        segment: u64,
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
        runs.push(Arc::new(Run::write(store, segment, 1, count, all)?));
        let mut superseded = Vec::new();
        while let Some(row) = mergeable(&runs) {
            // Unmerged they answer as well, only slower: the next segment tries again.
            let merged = match Run::merge(store, &runs[row.clone()]) {
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

impl Run {
    fn open(store: &dyn Store, first_segment: u64, segments: u64) -> Result<Self> {
        let path = path(first_segment, segments);
        let blob = store.open(&path)?;
        let header = blob.read_vec(0, HEADER_LEN.min(blob.size() as usize))?;
        let (entries, blocks) = decode_header(&header, first_segment, segments)
            .filter(|(entries, blocks)| {
                let len = entries
                    .checked_mul(8)
                    .and_then(|len| len.checked_add(blocks.checked_mul(Block::LEN)?));
                len == blob.size().checked_sub((HEADER_LEN + TRAILER_LEN) as u64) && *blocks > 0
            })
            .ok_or_else(|| damaged(&path, 0, "malformed id run"))?;
        let mut run = Self { first_segment, segments, path, entries, blocks, kept: None, blob };
        if segments <= MAX_KEPT {
            let kept = run.blob.read_vec(run.filter_at(), (blocks * Block::LEN) as usize)?;
            for (block, bytes) in kept.chunks_exact(Block::LEN as usize).enumerate() {
                run.checked(block as u64, bytes)?;
            }
            run.kept = Some(kept);
        }
        Ok(run)
    }

    /// Writes a run of `count` entries, which come in ascending order, as often as they
    /// are asked for.
    fn write<I: Iterator<Item = Result<u64>>>(
        store: &dyn Store,
        first_segment: u64,
        segments: u64,
        count: u64,
        entries: impl Fn() -> I,
    ) -> Result<Self> {
        let path = path(first_segment, segments);
        let io = |e| StoreError::io("write", &path, e);
        let blocks = blocks_for(count);
        let mut header = MAGIC.to_vec();
        for field in [first_segment, segments, count, blocks] {
            header.extend_from_slice(&field.to_le_bytes());
        }
        header.extend_from_slice(&crc32c::crc32c(&header).to_le_bytes());
        let mut writer = match store.writer(&path) {
            // Left by an attempt that failed late. A run is derived: it is made anew.
            Err(StoreError::AlreadyExists { .. }) => {
                store.delete(&path)?;
                store.writer(&path)?
            }
            other => other?,
        };
        writer.write_all(&header).map_err(io)?;
        let mut buffer = Vec::with_capacity(BUFFER + Block::LEN as usize);
        let mut crc = 0;
        for entry in entries() {
            buffer.extend_from_slice(&entry?.to_le_bytes());
            if buffer.len() >= BUFFER {
                crc = crc32c::crc32c_append(crc, &buffer);
                writer.write_all(&buffer).map_err(io)?;
                buffer.clear();
            }
        }
        crc = crc32c::crc32c_append(crc, &buffer);
        // Hashes ascend, and with them the blocks they are in: one is filled at a time.
        let (mut block, mut at) = (Block::default(), 0);
        let mut leave = |block: &mut Block| {
            buffer.extend_from_slice(&std::mem::take(block).bytes());
            if buffer.len() >= BUFFER {
                writer.write_all(&buffer)?;
                buffer.clear();
            }
            Ok(())
        };
        for entry in entries() {
            let short = entry? >> OFFSET_BITS;
            while at < block_of(short, blocks) {
                leave(&mut block).map_err(io)?;
                at += 1;
            }
            block.insert(short);
        }
        while at < blocks {
            leave(&mut block).map_err(io)?;
            at += 1;
        }
        buffer.extend_from_slice(&crc.to_le_bytes());
        writer.write_all(&buffer).map_err(io)?;
        writer.finish()?;
        Self::open(store, first_segment, segments)
    }

    /// One run over the same segments as `parts`.
    fn merge(store: &dyn Store, parts: &[Arc<Self>]) -> Result<Self> {
        let first_segment = parts.first().map_or(0, |run| run.first_segment);
        let segments = parts.iter().map(|run| run.segments).sum();
        let count = parts.iter().map(|run| run.entries).sum();
        let merged = || {
            let mut cursors: Vec<Cursor<'_>> = parts
                .iter()
                .map(|run| Cursor::new(run, (run.first_segment - first_segment) * SEGMENT_RECORDS))
                .collect();
            // Sixteen cursors: a scan for the least is as fast as a heap, and plainer.
            std::iter::from_fn(move || {
                let mut least: Option<(u64, usize)> = None;
                for (n, cursor) in cursors.iter_mut().enumerate() {
                    match cursor.peek() {
                        Ok(Some(entry)) if least.is_none_or(|(known, _)| entry < known) => {
                            least = Some((entry, n))
                        }
                        Ok(_) => {}
                        Err(error) => return Some(Err(error)),
                    }
                }
                let (entry, n) = least?;
                cursors.get_mut(n)?.advance();
                Some(Ok(entry))
            })
        };
        Self::write(store, first_segment, segments, count, merged)
    }

    const fn filter_at(&self) -> u64 {
        HEADER_LEN as u64 + 8 * self.entries
    }

    /// A block of the filter, if its bytes are those that were written.
    fn checked(&self, block: u64, bytes: &[u8]) -> Result<Block> {
        Block::read(bytes).ok_or_else(|| {
            let at = self.filter_at() + block * Block::LEN;
            damaged(&self.path, at, "id filter does not match its checksum")
        })
    }

    /// Whether the run may have a hash.
    fn may_have(&self, short: u64) -> Result<bool> {
        let block = block_of(short, self.blocks);
        let at = block * Block::LEN;
        let Some(kept) = &self.kept else {
            let bytes = self.blob.read_vec(self.filter_at() + at, Block::LEN as usize)?;
            // A damaged block says nothing: the entries are looked at. `verify` finds it.
            return Ok(self.checked(block, &bytes).map_or(true, |block| block.has(short)));
        };
        let bytes = kept.get(at as usize..).and_then(|rest| rest.first_chunk());
        // Checked when the run was opened.
        Ok(bytes.is_some_and(|bytes| has(bytes, short)))
    }

    fn first_index(&self) -> u64 {
        self.first_segment * SEGMENT_RECORDS
    }

    fn search(&self, hash: IdHash, found: &mut Vec<u64>) -> Result<()> {
        let short = hash.short();
        if !self.may_have(short)? {
            return Ok(());
        }
        // Hashes are uniform: the place of one is near its share of the entries.
        let guess = ((u128::from(short) * u128::from(self.entries)) >> HASH_BITS) as u64;
        let mut page = guess / PAGE;
        let mut entries = self.page(page)?;
        while page > 0 && entries.first().is_none_or(|entry| entry >> OFFSET_BITS >= short) {
            page -= 1;
            entries = self.page(page)?;
        }
        loop {
            let matching = entries.iter().filter(|entry| *entry >> OFFSET_BITS == short);
            found.extend(
                matching.map(|entry| self.first_index() + (entry & ((1 << OFFSET_BITS) - 1))),
            );
            if entries.last().is_none_or(|entry| entry >> OFFSET_BITS > short) {
                return Ok(());
            }
            page += 1;
            entries = self.page(page)?;
        }
    }

    /// Entries `[page · 512, …)`; empty past the end.
    fn page(&self, page: u64) -> Result<Vec<u64>> {
        let first = (page * PAGE).min(self.entries);
        let count = PAGE.min(self.entries - first);
        let bytes = self.blob.read_vec(HEADER_LEN as u64 + 8 * first, 8 * count as usize)?;
        Ok(bytes.as_chunks().0.iter().map(|entry| u64::from_le_bytes(*entry)).collect())
    }
}

/// Reads a run in order, moving offsets by `shift`.
struct Cursor<'a> {
    run: &'a Run,
    shift: u64,
    page: u64,
    entries: std::vec::IntoIter<u64>,
    next: Option<u64>,
}

impl<'a> Cursor<'a> {
    fn new(run: &'a Run, shift: u64) -> Self {
        Self { run, shift, page: 0, entries: Vec::new().into_iter(), next: None }
    }

    fn peek(&mut self) -> Result<Option<u64>> {
        if self.next.is_none() {
            if self.entries.len() == 0 {
                self.entries = self.run.page(self.page)?.into_iter();
                self.page += 1;
            }
            self.next = self.entries.next();
        }
        Ok(self.next.map(|entry| entry + self.shift))
    }

    const fn advance(&mut self) {
        self.next = None;
    }
}

fn decode_header(bytes: &[u8], first_segment: u64, segments: u64) -> Option<(u64, u64)> {
    let mut fields = Fields::new(bytes);
    let magic: [u8; 8] = fields.array()?;
    let found = (fields.u64()?, fields.u64()?);
    let (entries, blocks) = (fields.u64()?, fields.u64()?);
    let crc = fields.u32()?;
    let whole = magic == MAGIC
        && found == (first_segment, segments)
        && crc == crc32c::crc32c(bytes.get(..HEADER_LEN - 4)?);
    whole.then_some((entries, blocks))
}

#[cfg(test)]
mod tests {
    use super::*;
    use indelible_store::MemoryStore;

    fn id(index: u64) -> IdHash {
        IdHash::of(&format!("event-{index}"))
    }

    /// Adds segments in which every third record has an id.
    fn grow(store: &dyn Store, segments: u64) -> Runs {
        let mut runs = Runs::default();
        for segment in 0..segments {
            let ids = (0..300u64).map(|n| (n % 3 == 0).then(|| id(segment * SEGMENT_RECORDS + n)));
            let (next, superseded) = runs.with_segment(store, segment, ids).unwrap();
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
                let found = runs.candidates(id(index)).unwrap();
                assert_eq!(found.contains(&index), n % 3 == 0, "{index}");
            }
        }
        let strangers =
            (0..10_000u64).filter(|n| !runs.candidates(id(u64::MAX - n)).unwrap().is_empty());
        assert!(strangers.count() < 10);
        assert!(Runs::verify_all(&store).unwrap() > 0);
        let again = Runs::open(&store, 35).unwrap();
        assert!(again.candidates(id(3)).unwrap().contains(&3));
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
        let (runs, superseded) = runs.with_segment(&memory, 20, ids()).unwrap();
        assert_eq!((runs.covered(), runs.runs.len(), superseded.len()), (21, 6, 16));
        superseded.iter().for_each(|path| memory.delete(path).unwrap());
        for segment in 0..21 {
            let index = segment * SEGMENT_RECORDS;
            assert!(runs.candidates(id(index)).unwrap().contains(&index), "{segment}");
        }
        assert!(Runs::verify_all(&memory).unwrap() > 0);
    }

    #[test]
    fn filters_of_large_runs_are_read_where_they_lie_and_checked() {
        let store = MemoryStore::default();
        let runs = grow(&store, 257);
        let kept = |runs: &Runs| runs.runs.iter().map(|run| run.kept.is_some()).collect::<Vec<_>>();
        assert_eq!(kept(&runs), [false, true]);
        let has = |runs: &Runs, index| {
            Ok::<_, crate::LogError>(runs.candidates(id(index))?.contains(&index))
        };
        for segment in 0..257 {
            let first = segment * SEGMENT_RECORDS;
            assert!(has(&runs, first).unwrap() && !has(&runs, first + 1).unwrap(), "{segment}");
        }
        let path = path(0, 256);
        let mut bytes = store.read(&path).unwrap();
        let last = bytes.len() - 2 * Block::LEN as usize;
        bytes[last..].iter_mut().for_each(|byte| *byte ^= 1);
        store.delete(&path).unwrap();
        store.create(&path, &bytes).unwrap();
        let damaged = Runs::open(&store, 257).unwrap();
        assert_eq!(kept(&damaged), [false, true]);
        for segment in 0..256 {
            assert!(has(&damaged, segment * SEGMENT_RECORDS).unwrap(), "{segment}");
        }
        assert!(Runs::verify_all(&store).is_err());
    }

    #[test]
    fn damaged_or_superseded_runs_are_dropped_and_any_flip_is_found() {
        let store = MemoryStore::default();
        let path = path(0, 1);
        drop(grow(&store, 2));
        let bytes = store.read(&path).unwrap();
        for position in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[position] ^= 0x10;
            store.delete(&path).unwrap();
            store.create(&path, &altered).unwrap();
            assert!(Runs::verify_all(&store).is_err(), "{position}");
        }
        store.delete(&path).unwrap();
        store.create(&path, &bytes[1..]).unwrap();
        // Without the first run nothing is covered, and what follows is dropped too.
        assert_eq!(Runs::open(&store, 2).unwrap().covered(), 0);
        assert!(store.list("ids").unwrap().is_empty());
    }
}
