//! What readers see of a log: the head, the tree, and where each record is.
//!
//! Owner of the state: the sequencer adds commits ([`Shared::publish`]), the sealer
//! moves whole segments from the journals to segment files ([`Shared::publish_seal`]).
//! Readers take the lock only to look up, never while they read files.

mod nodes;

use self::nodes::Nodes;
use crate::{
    cache::Cache,
    error::{LogError, Result, damaged},
    frame::Link,
    ids::{HotIds, IdHash, Runs},
    keys::Keys,
    segment::{
        self, BUNDLE_LEVEL, BUNDLE_RECORDS, Footer, SEGMENT_LEVEL, SEGMENT_RECORDS, Segment,
        Trailer,
    },
};
use indelible_store::{Journal, Store};
use indelible_tlog::{BundleEntries, Checkpoint, Hash, NodeReader};
use parking_lot::{Mutex, RwLock};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

/// Segments kept open with their footers (about 12 KiB each).
const OPEN_SEGMENTS: usize = 64;
/// Sizes of heads that are remembered.
const MAX_HEADS: usize = 65_536;
/// Bytes of decompressed bundles kept.
const BUNDLE_CACHE_BYTES: usize = 32 << 20;

/// The latest committed checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Number of records.
    pub size: u64,
    /// Root of the tree.
    pub root: Hash,
    /// The signed checkpoint, a C2SP note.
    pub note: Arc<str>,
    /// When it was committed, microseconds since the epoch.
    pub time_us: i64,
    /// Its frame; absent while the log is empty.
    pub(crate) link: Option<Link>,
}

/// Where a record that is not sealed yet is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Position {
    pub(crate) journal: u32,
    pub(crate) offset: u32,
    pub(crate) len: u16,
}

/// A journal in use.
#[derive(Debug, Clone)]
pub(crate) struct OpenJournal {
    pub(crate) file: Arc<dyn Journal>,
    /// Index after its last record.
    pub(crate) end: u64,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) head: Arc<Head>,
    nodes: Nodes,
    /// Positions of the records from `sealed()` on.
    tail: VecDeque<Position>,
    /// First index and time of each commit that reaches into the tail.
    commits: VecDeque<(u64, i64)>,
    /// Sizes that were heads, ascending; the latest of them.
    heads: VecDeque<u64>,
    pub(crate) journals: BTreeMap<u32, OpenJournal>,
    segments: Vec<Trailer>,
    pub(crate) runs: Arc<Runs>,
}

/// One commit, ready to be shown.
#[derive(Debug, Default)]
pub(crate) struct Commit {
    pub(crate) nodes: Vec<(u8, Hash)>,
    pub(crate) positions: Vec<Position>,
    pub(crate) time_us: i64,
}

/// A segment opened with its footer.
#[derive(Debug)]
pub(crate) struct OpenSegment {
    pub(crate) segment: Segment,
    pub(crate) footer: Footer,
}

/// What readers, sequencer and sealer share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) state: RwLock<State>,
    /// Ids that no run covers yet, of commits in flight too. Written by the sequencer.
    pub(crate) hot: Mutex<HotIds>,
    /// Why the last attempt to seal failed, until one succeeds.
    pub(crate) sealing_error: Mutex<Option<Arc<str>>>,
    open_segments: Cache<u64, Arc<OpenSegment>>,
    bundles: Cache<u64, Arc<Vec<u8>>>,
}

impl State {
    /// The state of a log whose first records are in `segments`.
    pub(crate) fn sealed_only(head: Arc<Head>, segments: Vec<Trailer>, runs: Runs) -> Self {
        let mut nodes = Nodes::new();
        let mut upper = indelible_tlog::Frontier::new();
        for trailer in &segments {
            upper.push(trailer.root, |level, _, hash| nodes.push(level + SEGMENT_LEVEL, hash));
        }
        nodes.trim(segments.len() as u64);
        Self {
            head,
            nodes,
            tail: VecDeque::new(),
            commits: VecDeque::new(),
            heads: VecDeque::new(),
            journals: BTreeMap::new(),
            segments,
            runs: Arc::new(runs),
        }
    }

    /// Number of sealed segments.
    pub(crate) fn sealed_segments(&self) -> u64 {
        self.segments.len() as u64
    }

    /// Number of sealed records.
    pub(crate) fn sealed(&self) -> u64 {
        self.sealed_segments() * SEGMENT_RECORDS
    }

    /// Number of whole segments that wait to be sealed.
    pub(crate) fn unsealed_segments(&self) -> u64 {
        (self.head.size - self.sealed()) / SEGMENT_RECORDS
    }

    /// Bytes of sealed records, before compression.
    pub(crate) fn sealed_record_bytes(&self) -> u64 {
        self.segments.iter().map(|trailer| trailer.record_bytes).sum()
    }

    /// Makes the records of a commit part of what readers may look up.
    pub(crate) fn extend(&mut self, first: u64, commit: Commit) {
        for (level, hash) in commit.nodes {
            self.nodes.push(level, hash);
        }
        if self.heads.len() == MAX_HEADS {
            self.heads.pop_front();
        }
        self.heads.push_back(first + commit.positions.len() as u64);
        self.tail.extend(commit.positions);
        self.commits.push_back((first, commit.time_us));
    }

    fn position(&self, index: u64) -> Option<(Position, Arc<dyn Journal>)> {
        let at = usize::try_from(index.checked_sub(self.sealed())?).ok()?;
        let position = *self.tail.get(at)?;
        Some((position, Arc::clone(&self.journals.get(&position.journal)?.file)))
    }

    /// Commit times of the first and last record of the next segment to be sealed.
    pub(crate) fn next_segment_times(&self) -> (i64, i64) {
        // The first commit kept is the one that reaches into the tail.
        let end = self.sealed() + SEGMENT_RECORDS;
        let mut times =
            self.commits.iter().take_while(|(first, _)| *first < end).map(|(_, time)| *time);
        let first = times.next().unwrap_or(self.head.time_us);
        times.fold((first, first), |(low, high), time| (low.min(time), high.max(time)))
    }
}

impl Shared {
    pub(crate) fn new(store: Arc<dyn Store>, keys: Arc<Keys>, state: State, hot: HotIds) -> Self {
        Self {
            store,
            keys,
            state: RwLock::new(state),
            hot: Mutex::new(hot),
            sealing_error: Mutex::default(),
            open_segments: Cache::new(OPEN_SEGMENTS),
            bundles: Cache::new(BUNDLE_CACHE_BYTES),
        }
    }

    pub(crate) fn head(&self) -> Arc<Head> {
        Arc::clone(&self.state.read().head)
    }

    /// The commit `[first, head.size)` is durable: shows it and moves the head.
    pub(crate) fn publish(&self, first: u64, commit: Commit, journal: u32, head: Arc<Head>) {
        let mut state = self.state.write();
        state.extend(first, commit);
        if let Some(journal) = state.journals.get_mut(&journal) {
            journal.end = head.size;
        }
        state.head = head;
    }

    /// The next segment and its ids are durable: readers find them there from now
    /// on. Returns the journals that hold nothing else.
    pub(crate) fn publish_seal(&self, trailer: Trailer, runs: Runs) -> Vec<u32> {
        let mut state = self.state.write();
        state.segments.push(trailer);
        state.runs = Arc::new(runs);
        let sealed = state.sealed();
        let segments = state.sealed_segments();
        state.nodes.trim(segments);
        state.tail.drain(..SEGMENT_RECORDS as usize);
        while state.commits.get(1).is_some_and(|(first, _)| *first <= sealed) {
            state.commits.pop_front();
        }
        let current = state.journals.keys().next_back().copied();
        let done: Vec<u32> = state
            .journals
            .iter()
            .filter(|(number, journal)| journal.end <= sealed && Some(**number) != current)
            .map(|(number, _)| *number)
            .collect();
        for number in &done {
            state.journals.remove(number);
        }
        done
    }

    /// Makes runs anew that were found bad. Only the sealer changes what runs there are.
    pub(crate) fn repair_runs(&self) -> Result<()> {
        loop {
            let runs = Arc::clone(&self.state.read().runs);
            let Some(bad) = runs.bad() else { return Ok(()) };
            let rebuilt = runs.rebuilt(self.store.as_ref(), &self.keys.ring(), bad)?;
            self.state.write().runs = Arc::new(rebuilt);
        }
    }

    pub(crate) fn open_segment(&self, number: u64) -> Result<Arc<OpenSegment>> {
        self.open_segments.get_or(
            number,
            |_| 1,
            || {
                let segment = Segment::open(self.store.as_ref(), number)?;
                let footer = segment.footer()?;
                Ok(Arc::new(OpenSegment { segment, footer }))
            },
        )
    }

    /// A sealed bundle, decompressed.
    fn sealed_bundle(&self, bundle: u64) -> Result<Arc<Vec<u8>>> {
        self.bundles.get_or(
            bundle,
            |raw| raw.len(),
            || {
                let open = self.open_segment(bundle / segment::SEGMENT_BUNDLES as u64)?;
                let within = (bundle % segment::SEGMENT_BUNDLES as u64) as usize;
                open.segment.bundle(&open.footer, within).map(Arc::new)
            },
        )
    }

    /// The bytes of a record below the head.
    pub(crate) fn record(&self, index: u64) -> Result<Vec<u8>> {
        let found = {
            let state = self.state.read();
            if index >= state.head.size {
                return Err(LogError::NoRecord(index.to_string()));
            }
            state.position(index)
        };
        if let Some((position, journal)) = found {
            return Ok(journal.read_vec(position.offset.into(), position.len.into())?);
        }
        let bundle = self.sealed_bundle(index / BUNDLE_RECORDS)?;
        let entry = BundleEntries::new(&bundle).nth((index % BUNDLE_RECORDS) as usize);
        match entry {
            Some(Ok(record)) => Ok(record.to_vec()),
            _ => Err(damaged(
                &segment::path(index / SEGMENT_RECORDS),
                0,
                format!("record {index} is not in its bundle"),
            )),
        }
    }

    /// Records `[first, first + count)` of one bundle as entry-bundle bytes; all must
    /// be below the head.
    pub(crate) fn bundle(&self, first: u64, count: u64) -> Result<Vec<u8>> {
        let positions: Option<Vec<_>> = {
            let state = self.state.read();
            if first + count > state.head.size {
                return Err(LogError::NoRecord((first + count).to_string()));
            }
            (first..first + count).map(|index| state.position(index)).collect()
        };
        if let Some(positions) = positions {
            return read_positions(&positions);
        }
        let bundle = self.sealed_bundle(first / BUNDLE_RECORDS)?;
        let mut entries = BundleEntries::new(&bundle);
        let mut skip = |n: u64| {
            (0..n)
                .all(|_| entries.next().is_some_and(|entry| entry.is_ok()))
                .then(|| bundle.len() - entries.rest().len())
        };
        let start = skip(first % BUNDLE_RECORDS);
        let end = skip(count);
        match (start, end) {
            (Some(start), Some(end)) => Ok(bundle[start..end].to_vec()),
            _ => Err(damaged(
                &segment::path(first / SEGMENT_RECORDS),
                0,
                "bundle has too few records",
            )),
        }
    }

    /// Indexes of records that may have the id; those at or above the head are in flight.
    pub(crate) fn id_candidates(&self, id: IdHash) -> Result<Vec<u64>> {
        // The hot ids first: what leaves them is in the runs by then.
        let mut found = self.hot.lock().candidates(id);
        let runs = Arc::clone(&self.state.read().runs);
        found.extend(runs.candidates(self.store.as_ref(), id)?);
        Ok(found)
    }

    /// Leaf hash of a record that is not sealed yet; `None` if it is.
    pub(crate) fn unsealed_leaf(&self, index: u64) -> Option<Hash> {
        self.state.read().nodes.get(0, index)
    }

    /// Whether a size is remembered as that of a head.
    pub(crate) fn was_head(&self, size: u64) -> bool {
        self.state.read().heads.binary_search(&size).is_ok()
    }

    /// The checkpoint of exactly `size` records in the footer of a segment.
    pub(crate) fn sealed_checkpoint(&self, size: u64) -> Result<Arc<str>> {
        let (segments, mut nearest) = {
            let state = self.state.read();
            let at = state.heads.partition_point(|head| *head < size);
            let below = at.checked_sub(1).and_then(|at| state.heads.get(at));
            let above = state.heads.get(at).copied().or(Some(state.head.size));
            (state.sealed_segments(), (below.copied(), above))
        };
        // Checkpoints only grow: the first that is not below is looked for.
        let (mut low, mut high) = (0, segments);
        while low < high {
            let middle = (low + high) / 2;
            let (found, note) = self.footer_checkpoint(middle)?;
            if found == size {
                return Ok(note);
            }
            if found < size {
                nearest.0 = nearest.0.max(Some(found));
                low = middle + 1;
            } else {
                nearest.1 = nearest.1.map(|above| above.min(found));
                high = middle;
            }
        }
        let sizes: Vec<String> =
            [nearest.0, nearest.1].into_iter().flatten().map(|size| size.to_string()).collect();
        let nearest = format!("the nearest are of {}", sizes.join(" and "));
        Err(LogError::NoCheckpoint { size, nearest })
    }

    fn footer_checkpoint(&self, number: u64) -> Result<(u64, Arc<str>)> {
        let open = self.open_segment(number)?;
        let note = std::str::from_utf8(&open.footer.note).ok();
        let checkpoint = note.and_then(|note| {
            let (text, _) = note.split_once("\n\n")?;
            Checkpoint::parse(&format!("{text}\n")).ok()
        });
        match (checkpoint, note) {
            (Some(checkpoint), Some(note)) => Ok((checkpoint.size, note.into())),
            _ => Err(damaged(open.segment.path(), 0, "malformed checkpoint")),
        }
    }

    /// Leaf hashes of a bundle that is not sealed yet; `None` if it is.
    pub(crate) fn unsealed_leaves(&self, first: u64) -> Option<Vec<Hash>> {
        let state = self.state.read();
        (first..first + BUNDLE_RECORDS).map(|index| state.nodes.get(0, index)).collect()
    }

    /// A reader of the tree's nodes that keeps what it reads for one proof.
    pub(crate) fn tree(&self) -> TreeReader<'_> {
        TreeReader { shared: self, leaves: std::cell::RefCell::default() }
    }
}

/// Reads records that lie in journals, joining reads of neighbours.
fn read_positions(positions: &[(Position, Arc<dyn Journal>)]) -> Result<Vec<u8>> {
    let mut bundle = Vec::new();
    let mut rest = positions;
    while let Some(((start, journal), _)) = rest.split_first() {
        let mut end = start.offset + u32::from(start.len);
        let run = 1 + rest[1..]
            .iter()
            .take_while(|(next, _)| {
                let follows = next.journal == start.journal && next.offset == end + 2;
                end = if follows { next.offset + u32::from(next.len) } else { end };
                follows
            })
            .count();
        // The length prefix stands right before each record.
        let from = u64::from(start.offset) - 2;
        bundle.extend(journal.read_vec(from, (u64::from(end) - from) as usize)?);
        rest = &rest[run..];
    }
    Ok(bundle)
}

/// Reads perfect nodes from memory, from segment footers and from bundles.
#[derive(Debug)]
pub(crate) struct TreeReader<'a> {
    shared: &'a Shared,
    leaves: std::cell::RefCell<BTreeMap<u64, Vec<Hash>>>,
}

impl TreeReader<'_> {
    fn sealed_node(&self, level: u8, index: u64) -> Result<Hash> {
        if level >= BUNDLE_LEVEL {
            let height = level - BUNDLE_LEVEL;
            let first_bundle = index << height;
            let open = self.shared.open_segment(first_bundle / segment::SEGMENT_BUNDLES as u64)?;
            let at = (first_bundle % segment::SEGMENT_BUNDLES as u64) as usize;
            let row = open.footer.roots.get(at..at + (1 << height));
            return row
                .map(segment::fold)
                .ok_or_else(|| damaged(open.segment.path(), 0, "no such node"));
        }
        let first = index << level;
        let at = (first % BUNDLE_RECORDS) as usize;
        self.with_leaves(first / BUNDLE_RECORDS, |leaves| {
            let row = leaves.get(at..at + (1 << level));
            row.map(segment::fold).ok_or_else(|| {
                damaged(&segment::path(first / SEGMENT_RECORDS), 0, "bundle has too few records")
            })
        })
    }

    /// Leaf hashes of a sealed bundle, checked against the root in the footer.
    fn with_leaves<T>(&self, bundle: u64, read: impl FnOnce(&[Hash]) -> Result<T>) -> Result<T> {
        if let Some(leaves) = self.leaves.borrow().get(&bundle) {
            return read(leaves);
        }
        let raw = self.shared.sealed_bundle(bundle)?;
        let open = self.shared.open_segment(bundle / segment::SEGMENT_BUNDLES as u64)?;
        let within = (bundle % segment::SEGMENT_BUNDLES as u64) as usize;
        let leaves = segment::leaf_hashes(&raw)
            .filter(|leaves| {
                leaves.len() as u64 == BUNDLE_RECORDS
                    && open.footer.roots.get(within) == Some(&segment::fold(leaves))
            })
            .ok_or_else(|| {
                let first = bundle * BUNDLE_RECORDS;
                let problem = format!(
                    "records {first} to {} do not hash to the bundle's root",
                    first + BUNDLE_RECORDS - 1
                );
                damaged(
                    open.segment.path(),
                    open.segment.bundle_offset(&open.footer, within),
                    problem,
                )
            })?;
        let result = read(&leaves);
        self.leaves.borrow_mut().insert(bundle, leaves);
        result
    }
}

impl NodeReader for TreeReader<'_> {
    type Error = LogError;

    fn node(&self, level: u8, index: u64) -> Result<Hash> {
        let known = self.shared.state.read().nodes.get(level, index);
        match known {
            Some(hash) => Ok(hash),
            None if level < SEGMENT_LEVEL => self.sealed_node(level, index),
            None => Err(LogError::NoRecord(format!("{index} at level {level} of the tree"))),
        }
    }
}
