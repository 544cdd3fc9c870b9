//! Opening a log: what is on disk becomes the state in memory, or a clear refusal.
//! The same code runs after a clean stop and after a crash.

use crate::{
    Options,
    commit::{Current, Writer},
    error::{LogError, Result, damaged},
    frame::{self, Found, Frame},
    handover,
    ids::{HotIds, IdHash, Runs, ids_of},
    journal::{self, Journals},
    keys::KeyRing,
    manifest::{Kind, Manifest},
    segment::{self, SEGMENT_LEVEL, Segment, Trailer},
    shared::{Commit, Head, OpenJournal, Position, Shared, State},
};
use indelible_event::record_id;
use indelible_store::{LockGuard, Store};
use indelible_tlog::{BundleEntries, Checkpoint, Frontier, Hash, VerifyingKey, leaf_hash, root};
use parking_lot::RwLock;
use std::{collections::BTreeMap, sync::Arc};

/// Bytes of zeros written at a time.
const ZEROS: usize = 1 << 20;

/// An opened log, before its threads run.
pub(crate) struct Opened {
    pub(crate) manifest: Manifest,
    pub(crate) writer: Writer,
    /// Held for as long as the log may be written.
    pub(crate) lock: LockGuard,
}

/// Opens the log in `store`.
pub(crate) fn open(store: Arc<dyn Store>, options: &Options) -> Result<Opened> {
    let lock = store.lock()?;
    let ring = KeyRing::load(store.as_ref(), options)?;
    let keys = ring.verifying_keys();
    let manifest = Manifest::read(store.as_ref(), ring.first())?;
    let journals = list_journals(store.as_ref())?;
    let handover = handover::check(store.as_ref(), count_segments(store.as_ref())?, &journals)?;
    let (segments, sealed_head) = open_segments(store.as_ref(), handover.kept, &keys)?;
    let now_us = options.clock.now_us();
    let mut recovery = Recovery::new(&ring, now_us, &segments, sealed_head.as_ref());
    for number in &journals {
        recovery.replay(store.as_ref(), *number)?;
    }
    let head = recovery.check_head(sealed_head)?;
    let roots: Vec<Hash> = segments.iter().map(|trailer| trailer.root).collect();
    let runs = rebuild_runs(store.as_ref(), &ring, &roots)?;
    let mut state = State::sealed_only(Arc::clone(&head), segments, runs);
    let mut hot = HotIds::default();
    for (first, commit, ids) in std::mem::take(&mut recovery.commits) {
        state.extend(first, commit);
        ids.into_iter().zip(first..).for_each(|(id, index)| {
            if let Some(id) = id {
                hot.insert(id, index);
            }
        });
    }
    state.journals = std::mem::take(&mut recovery.open);
    let ring = Arc::new(RwLock::new(Arc::new(ring.clone())));
    let shared = Arc::new(Shared::new(Arc::clone(&store), state, hot, Arc::clone(&ring)));
    check_known(&shared, options, &keys)?;
    // Nothing was changed but the id runs, which the segments tell; from here on it is.
    recovery.make_durable()?;
    handover.settle(store.as_ref())?;
    recovery.remove_empty(store.as_ref())?;
    let next_number = journals.last().map_or(0, |last| last + 1);
    let writer = Writer {
        journals: Arc::new(Journals::new(store, next_number, options.journal_capacity)),
        frontier: recovery.frontier,
        current: recovery.current,
        shared,
        keys: ring,
        clock: Arc::clone(&options.clock),
        buffer: Vec::new(),
        stopped: None,
    };
    if manifest.kind == Kind::Raw {
        tracing::debug!(log = manifest.origin, "raw log: records have no envelope and no id");
    }
    Ok(Opened { manifest, writer, lock })
}

/// Counts the segments, which must follow each other from 0.
fn count_segments(store: &dyn Store) -> Result<u64> {
    let mut count = 0;
    for path in store.list("segments")? {
        let number =
            segment::number(&path).ok_or_else(|| damaged(&path, 0, "not the name of a segment"))?;
        if number != count {
            return Err(damaged(&segment::path(count), 0, "the segment is missing"));
        }
        count += 1;
    }
    Ok(count)
}

/// Opens the first `count` segments, and returns the newest checkpoint in their footers.
fn open_segments(
    store: &dyn Store,
    count: u64,
    keys: &[VerifyingKey],
) -> Result<(Vec<Trailer>, Option<Head>)> {
    let mut trailers = Vec::new();
    let mut newest = None;
    for number in 0..count {
        let segment = Segment::open(store, number)?;
        let footer = segment.footer()?;
        // Checkpoints only grow, so the last footer has the newest.
        if number + 1 == count {
            newest =
                Some(head_of_note(segment.path(), footer.note, segment.trailer.time_us.1, keys)?);
        }
        trailers.push(segment.trailer);
    }
    Ok((trailers, newest))
}

/// A stored checkpoint whose signature holds, as a head.
fn head_of_note(path: &str, note: Vec<u8>, time_us: i64, keys: &[VerifyingKey]) -> Result<Head> {
    let checkpoint = Checkpoint::verify_any(&note, keys)
        .map_err(|source| LogError::Checkpoint { path: path.to_owned(), source })?;
    let note = String::from_utf8(note).map_err(|_| damaged(path, 0, "checkpoint is not UTF-8"))?;
    Ok(Head { size: checkpoint.size, root: checkpoint.root, note: note.into(), time_us })
}

pub(crate) fn list_journals(store: &dyn Store) -> Result<Vec<u32>> {
    let paths = store.list("journal")?;
    paths
        .iter()
        .map(|path| {
            journal::number(path).ok_or_else(|| damaged(path, 0, "not the name of a journal"))
        })
        .collect()
}

/// A commit found in a journal, and the hashes of its records' ids.
type Replayed = (u64, Commit, Vec<Option<IdHash>>);

/// Replays the journals on top of the sealed segments.
struct Recovery<'a> {
    keys: &'a KeyRing,
    now_us: i64,
    sealed: u64,
    frontier: Frontier,
    commits: Vec<Replayed>,
    open: BTreeMap<u32, OpenJournal>,
    /// Journals without a frame, or whose records are all sealed.
    useless: Vec<u32>,
    /// The last checkpoint replayed.
    last: Option<(String, Frame)>,
    /// Where the last frame is, in its journal.
    last_at: u64,
    current: Option<Current>,
    /// Size up to which a checkpoint in a segment footer vouches for records.
    vouched: u64,
    /// An incomplete frame at the end of the last journal.
    torn: Option<Torn>,
}

struct Torn {
    path: String,
    at: u64,
    end: u64,
}

impl<'a> Recovery<'a> {
    fn new(
        keys: &'a KeyRing,
        now_us: i64,
        segments: &[Trailer],
        sealed_head: Option<&Head>,
    ) -> Self {
        let mut upper = Frontier::new();
        segments.iter().for_each(|trailer| upper.push(trailer.root, |_, _, _| {}));
        let frontier = upper.scaled(SEGMENT_LEVEL).unwrap_or_default();
        Self {
            keys,
            now_us,
            sealed: frontier.size(),
            frontier,
            commits: Vec::new(),
            open: BTreeMap::new(),
            useless: Vec::new(),
            last: None,
            last_at: 0,
            current: None,
            vouched: sealed_head.map_or(0, |head| head.size),
            torn: None,
        }
    }

    fn replay(&mut self, store: &dyn Store, number: u32) -> Result<()> {
        let path = journal::path(number);
        let file = store.open_journal(&path)?;
        let mut at = 0;
        let mut end = 0;
        loop {
            match frame::read(file.as_ref(), at)? {
                Found::Frame(found) => {
                    self.check_follows(&path, at, &found)?;
                    self.last_at = at;
                    at = found.end;
                    end = found.first + u64::from(found.count);
                    self.replay_frame(&path, number, found)?;
                }
                Found::End => break,
                Found::Torn { end } => {
                    // Cut only once it is known that nothing follows.
                    self.torn = Some(Torn { path: path.clone(), at, end });
                    break;
                }
                Found::Damaged { offset, problem } => return Err(damaged(&path, offset, problem)),
            }
        }
        if end > self.sealed {
            self.open.insert(number, OpenJournal { file: Arc::clone(&file), end });
            self.current = Some(Current { number, file, at });
        } else {
            self.useless.push(number);
        }
        Ok(())
    }

    /// Frames follow each other, from the sealed end on without a hole.
    fn check_follows(&self, path: &str, at: u64, found: &Frame) -> Result<()> {
        if let Some(torn) = &self.torn {
            return Err(damaged(
                &torn.path,
                torn.at,
                "frame is incomplete although later ones were written",
            ));
        }
        let end = found.first + u64::from(found.count);
        let follows = match &self.last {
            // Of journals whose records are all sealed, any may be deleted before others.
            Some((_, last)) => {
                let expected = last.first + u64::from(last.count);
                found.first == expected || (expected..=self.sealed).contains(&found.first)
            }
            None => found.first <= self.sealed,
        };
        if follows && found.count > 0 {
            Ok(())
        } else {
            let expected = self
                .last
                .as_ref()
                .map_or(self.sealed, |(_, last)| last.first + u64::from(last.count));
            Err(damaged(
                path,
                at,
                format!(
                    "frame holds records {} to {end}, expected them from {expected}",
                    found.first
                ),
            ))
        }
    }

    /// Adds the records of a frame that are not sealed, and checks its checkpoint.
    fn replay_frame(&mut self, path: &str, number: u32, found: Frame) -> Result<()> {
        let end = found.first + u64::from(found.count);
        if end > self.sealed {
            let mut commit = Commit { time_us: found.time_us, ..Commit::default() };
            let mut ids = Vec::new();
            let first = self.frontier.size().max(found.first);
            let mut offset = found.records_at + 2;
            let mut index = found.first;
            for entry in BundleEntries::new(&found.records) {
                let record = entry.map_err(|e| damaged(path, offset, e.to_string()))?;
                if index >= first {
                    self.frontier
                        .push(leaf_hash(record), |level, _, hash| commit.nodes.push((level, hash)));
                    commit.positions.push(Position {
                        journal: number,
                        offset: offset as u32,
                        len: record.len() as u16,
                    });
                    ids.push(record_id(record).map(|id| IdHash::of(&id)));
                }
                offset += record.len() as u64 + 2;
                index += 1;
            }
            let checkpoint = std::str::from_utf8(&found.note)
                .ok()
                .and_then(|note| note.split_once("\n\n"))
                .and_then(|(text, _)| Checkpoint::parse(&format!("{text}\n")).ok());
            let agrees = checkpoint.is_some_and(|checkpoint| {
                index == end
                    && checkpoint.size == end
                    && self.frontier.size() == end
                    && checkpoint.root == self.frontier.root()
                    && checkpoint.origin == self.keys.origin()
            });
            if !agrees {
                return Err(damaged(
                    path,
                    found.records_at,
                    format!("records {} to {end} do not lead to their checkpoint", found.first),
                ));
            }
            self.commits.push((first, commit, ids));
        }
        self.last = Some((path.to_owned(), Frame { records: Vec::new(), ..found }));
        Ok(())
    }

    /// Makes durable what is about to be shown: the last frame, and that nothing is after
    /// it. A frame that was written and not synced, or whose sync failed, may be whole in
    /// the system's memory and nowhere else, and syncing alone proves nothing then: the
    /// system may take its pages for clean. So the last frame is written again, byte for
    /// byte. Those before it were synced before it was written. What stands after it is
    /// an incomplete frame of which nobody was told, or zeros, which may as well be in
    /// memory alone and the incomplete frame still be on the disk: a start before this
    /// one may have cut it and not come as far as the sync. So the rest of the journal is
    /// always written as zeros. A journal without a whole frame is deleted instead.
    fn make_durable(&self) -> Result<()> {
        if let Some(Torn { path, at, end }) = &self.torn {
            tracing::warn!(
                journal = path,
                from = at,
                to = end,
                "cutting an incomplete frame that a crash left; nothing acknowledged is lost"
            );
        }
        let Some(Current { file, at: end, .. }) = &self.current else { return Ok(()) };
        let frame = file.read_vec(self.last_at, (end - self.last_at) as usize)?;
        // If we crash from here on each sector of the frame has its old value, which is its
        // new one, and what follows is incomplete still, or gone.
        file.write_at(self.last_at, &frame)?;
        let zeros = vec![0; ZEROS];
        for at in (*end..file.size()).step_by(ZEROS) {
            let len = (file.size() - at).min(ZEROS as u64) as usize;
            file.write_at(at, &zeros[..len])?;
        }
        Ok(file.sync()?)
    }

    fn remove_empty(&self, store: &dyn Store) -> Result<()> {
        for number in &self.useless {
            store.delete(&journal::path(*number))?;
        }
        Ok(())
    }

    /// The head: the last frame's checkpoint, or the one the segments carry. Its
    /// signature must hold, and no footer may vouch for more records than are here.
    fn check_head(&self, sealed_head: Option<Head>) -> Result<Arc<Head>> {
        let size = self.frontier.size();
        if let Some(Torn { path, at, .. }) = self.torn.as_ref().filter(|_| size < self.vouched) {
            return Err(damaged(
                path,
                *at,
                "frame is incomplete although a segment vouches for its records",
            ));
        }
        if let Some(head) = sealed_head.as_ref().filter(|head| head.size > size) {
            return Err(LogError::RolledBack {
                size,
                known: head.size,
                origin: "the newest segment".to_owned(),
            });
        }
        match (&self.last, sealed_head) {
            (Some((path, last)), _) if last.first + u64::from(last.count) == size => {
                head_of_note(path, last.note.clone(), last.time_us, &self.keys.verifying_keys())
                    .map(Arc::new)
            }
            (_, Some(head)) => {
                if head.size == size && head.root == self.frontier.root() {
                    Ok(Arc::new(head))
                } else {
                    Err(damaged(
                        "segments",
                        0,
                        "the newest segment's checkpoint is not of these segments",
                    ))
                }
            }
            (_, None) => {
                let origin = self.keys.origin().to_owned();
                let checkpoint = Checkpoint::new(origin, 0, self.frontier.root());
                let note = self.keys.sign(&checkpoint, self.now_us)?.into();
                Ok(Arc::new(Head { size: 0, root: checkpoint.root, note, time_us: 0 }))
            }
        }
    }
}

/// Opens the id runs, and rebuilds from the segments what is missing.
fn rebuild_runs(store: &dyn Store, ring: &KeyRing, roots: &[Hash]) -> Result<Runs> {
    let sealed = roots.len() as u64;
    let mut runs = Runs::open(store, &ring.verifying_keys(), roots)?;
    if runs.covered() < sealed {
        tracing::info!(
            from = runs.covered(),
            to = sealed,
            "rebuilding the id index from the segments"
        );
    }
    for number in runs.covered()..sealed {
        let (root, ids) = ids_of(store, number)?;
        let (next, superseded) = runs.with_segment(store, ring, (number, root), ids.into_iter())?;
        for path in superseded {
            store.delete(&path)?;
        }
        runs = next;
    }
    Ok(runs)
}

/// Refuses to go on below, or beside, a checkpoint that is known to have been signed.
fn check_known(shared: &Shared, options: &Options, keys: &[VerifyingKey]) -> Result<()> {
    let size = shared.head().size;
    for known in &options.known {
        let checkpoint = Checkpoint::verify_any(known.note.as_bytes(), keys)
            .map_err(|source| LogError::Checkpoint { path: known.origin.clone(), source })?;
        if checkpoint.size > size {
            return Err(LogError::RolledBack {
                size,
                known: checkpoint.size,
                origin: known.origin.clone(),
            });
        }
        let found = root(checkpoint.size, &shared.tree())?;
        if found != checkpoint.root {
            return Err(LogError::Forked { size: checkpoint.size, found, known: checkpoint.root });
        }
    }
    Ok(())
}
