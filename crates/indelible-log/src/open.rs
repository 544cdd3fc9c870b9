//! Opening a log: what is on disk becomes the state in memory, or a clear refusal.
//! The same code runs after a clean stop and after a crash.

use crate::{
    Options,
    chain::{Break, Chain},
    commit::{Current, Writer},
    error::{LogError, Result, damaged},
    features,
    frame::{self, Found, Frame, Link},
    handover,
    ids::{HotIds, IdHash, Runs, ids_of},
    journal::{self, Journals},
    keys::{self, KeyRing, Keys},
    manifest::{Kind, Manifest},
    segment::{self, SEGMENT_LEVEL, Segment, Trailer},
    shared::{Commit, Head, OpenJournal, Position, Shared, State},
};
use indelible_event::{Timestamp, record_id};
use indelible_store::{Journal, LockGuard, Store};
use indelible_tlog::{BundleEntries, Checkpoint, Frontier, Hash, KeyLine, leaf_hash, root};
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
    let line = ring.line();
    features::check(store.as_ref(), line.keys())?;
    let manifest = Manifest::read(store.as_ref(), line.first())?;
    let journals = list_journals(store.as_ref())?;
    let handover = handover::check(store.as_ref(), count_segments(store.as_ref())?, &journals)?;
    let (segments, sealed_head) = open_segments(store.as_ref(), handover.kept, line)?;
    let now_us = options.clock.now_us();
    let mut recovery = Recovery::new(&ring, now_us, &segments, sealed_head.as_ref());
    for number in &journals {
        recovery.replay(store.as_ref(), *number)?;
    }
    recovery.keep_last();
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
    let keys = Arc::new(Keys::new(ring.clone()));
    let shared = Arc::new(Shared::new(Arc::clone(&store), Arc::clone(&keys), state, hot));
    check_known(&shared, options, line)?;
    // Nothing was changed but the id runs, which the segments tell; from here on it is.
    recovery.make_durable()?;
    handover.settle(store.as_ref())?;
    recovery.remove_empty(store.as_ref())?;
    let next_number = journals.last().map_or(0, |last| last + 1);
    let writer = Writer {
        journals: Arc::new(Journals::new(store, next_number, options.journal_capacity)),
        frontier: recovery.frontier,
        current: recovery.current,
        epoch: recovery.chain.newest().map_or(0, |link| link.epoch) + 1,
        link: recovery.chain.newest(),
        shared,
        keys,
        clock: Arc::clone(&options.clock),
        received: Timestamp::from_micros(head.time_us),
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
    line: &KeyLine,
) -> Result<(Vec<Trailer>, Option<Head>)> {
    let mut trailers = Vec::new();
    let mut newest = None;
    for number in 0..count {
        let segment = Segment::open(store, number)?;
        let footer = segment.footer()?;
        // Checkpoints only grow, so the last footer has the newest.
        footer.signed(&segment, line)?;
        if number + 1 == count {
            let time_us = segment.trailer.time_us.1;
            let head = head_of_note(segment.path(), footer.note, time_us, line, Some(footer.link))?;
            if head.size != footer.link.end {
                return Err(damaged(segment.path(), 0, "its checkpoint is of another commit"));
            }
            newest = Some(head);
        }
        trailers.push(segment.trailer);
    }
    Ok((trailers, newest))
}

/// A stored checkpoint whose signature holds, as a head.
fn head_of_note(
    path: &str,
    note: Vec<u8>,
    time_us: i64,
    line: &KeyLine,
    link: Option<Link>,
) -> Result<Head> {
    let checkpoint = line
        .checkpoint(&note)
        .map_err(|source| LogError::Checkpoint { path: path.to_owned(), source })?;
    let note = String::from_utf8(note).map_err(|_| damaged(path, 0, "checkpoint is not UTF-8"))?;
    Ok(Head { size: checkpoint.size, root: checkpoint.root, note: note.into(), time_us, link })
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
    /// Where the last frame is.
    last_at: Option<(u32, Arc<dyn Journal>, u64)>,
    chain: Chain,
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
            commits: Vec::new(),
            open: BTreeMap::new(),
            useless: Vec::new(),
            last: None,
            last_at: None,
            chain: Chain::new(frontier.size(), sealed_head.and_then(|head| head.link)),
            current: None,
            vouched: sealed_head.map_or(0, |head| head.size),
            torn: None,
            frontier,
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
                    self.last_at = Some((number, Arc::clone(&file), at));
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

    /// The journal of the last frame stays although all its records are sealed: the next
    /// frame names it.
    fn keep_last(&mut self) {
        let (None, Some((number, file, _)), Some((_, last))) =
            (&self.current, &self.last_at, &self.last)
        else {
            return;
        };
        self.open.insert(*number, OpenJournal { file: Arc::clone(file), end: last.link.end });
        self.current = Some(Current { number: *number, file: Arc::clone(file), at: last.end });
        self.useless.retain(|useless| useless != number);
    }

    /// Frames follow each other, from the sealed end on without a hole.
    fn check_follows(&mut self, path: &str, at: u64, found: &Frame) -> Result<()> {
        if let Some(torn) = &self.torn {
            return Err(damaged(
                &torn.path,
                torn.at,
                "frame is incomplete although later ones were written",
            ));
        }
        self.chain.follow(found).map_err(|found_break| {
            let problem = match found_break {
                Break::Hole(expected) => format!(
                    "frame holds records {} to {}, expected them from {expected}",
                    found.first, found.link.end
                ),
                Break::Other(problem) => problem,
            };
            damaged(path, at, problem)
        })
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
            // Without a note the next one that is signed vouches for it; the last is looked
            // at when the head is.
            let agrees = index == end
                && self.frontier.size() == end
                && self.frontier.root() == found.root
                && (found.note.is_empty()
                    || checkpoint.is_some_and(|checkpoint| {
                        checkpoint.size == end
                            && checkpoint.root == found.root
                            && checkpoint.origin == self.keys.origin()
                    }));
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
        let (Some(Current { file, at: end, .. }), Some((_, _, from))) =
            (&self.current, &self.last_at)
        else {
            return Ok(());
        };
        let frame = file.read_vec(*from, (end - from) as usize)?;
        // If we crash from here on each sector of the frame has its old value, which is its
        // new one, and what follows is incomplete still, or gone.
        file.write_at(*from, &frame)?;
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
                if last.note.is_empty() {
                    // It might be anybody's: signing it now would make it ours.
                    return Err(damaged(path, last.records_at, "the last frame is not signed"));
                }
                let (note, link) = (last.note.clone(), Some(last.link));
                head_of_note(path, note, last.time_us, self.keys.line(), link).map(Arc::new)
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
                Ok(Arc::new(Head { size: 0, root: checkpoint.root, note, time_us: 0, link: None }))
            }
        }
    }
}

/// Opens the id runs, and rebuilds from the segments what is missing.
fn rebuild_runs(store: &dyn Store, ring: &KeyRing, roots: &[Hash]) -> Result<Runs> {
    let sealed = roots.len() as u64;
    let mut runs = Runs::open(store, ring.line(), roots)?;
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
fn check_known(shared: &Shared, options: &Options, line: &KeyLine) -> Result<()> {
    let size = shared.head().size;
    let mut vouched = keys::vouched(shared.store.as_ref(), line)?;
    for known in &options.known {
        let checkpoint = line
            .checkpoint(known.note.as_bytes())
            .map_err(|source| LogError::Checkpoint { path: known.origin.clone(), source })?;
        vouched.push((known.origin.clone(), checkpoint.size, checkpoint.root));
    }
    for (origin, known, known_root) in vouched {
        if known > size {
            return Err(LogError::RolledBack { size, known, origin });
        }
        let found = root(known, &shared.tree())?;
        if found != known_root {
            return Err(LogError::Forked { size: known, found, known: known_root });
        }
    }
    Ok(())
}
