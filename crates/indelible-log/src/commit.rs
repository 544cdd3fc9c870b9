//! The commit procedure: the only code that moves a log's head.

use crate::{
    Clock,
    batch::{Batch, Committed, Placed},
    error::{AppendError, LogError, Result, chain, damaged},
    frame::{self, Link},
    ids::IdHash,
    journal::Journals,
    keys::Keys,
    shared::{Commit, Head, OpenJournal, Position, Shared},
};
use indelible_event::{Attachment, Envelope, Payload};
use indelible_store::{Journal, StoreError};
use indelible_tlog::{Checkpoint, Frontier, leaf_hash};
use std::{sync::Arc, time::Instant};
use tokio::sync::OwnedSemaphorePermit;

/// Answers one batch.
pub(crate) type Reply = Box<dyn FnOnce(std::result::Result<Committed, AppendError>) + Send>;

/// A batch and who waits for it.
pub(crate) struct Request {
    pub(crate) batch: Batch,
    pub(crate) reply: Reply,
    /// Its share of what may wait; given back with the answer.
    pub(crate) room: Option<OwnedSemaphorePermit>,
}

/// The single writer of a log.
pub(crate) struct Writer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) journals: Arc<Journals>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) clock: Arc<dyn Clock>,
    /// The tree of all committed records.
    pub(crate) frontier: Frontier,
    /// The last frame, which the next one names.
    pub(crate) link: Option<Link>,
    /// Goes up with each writer.
    pub(crate) epoch: u64,
    /// The journal being written, and where its next frame goes.
    pub(crate) current: Option<Current>,
    /// Reused for each frame.
    pub(crate) buffer: Vec<u8>,
    /// Why nothing more can be written, once that is so.
    pub(crate) stopped: Option<Arc<str>>,
}

pub(crate) struct Current {
    pub(crate) number: u32,
    pub(crate) file: Arc<dyn Journal>,
    pub(crate) at: u64,
}

/// How a commit failed.
enum CommitError {
    /// Nothing was written; the log goes on.
    Batch(AppendError),
    /// Something may have been written; the log stops.
    Fatal(LogError),
}

impl From<LogError> for CommitError {
    fn from(error: LogError) -> Self {
        Self::Fatal(error)
    }
}

impl From<StoreError> for CommitError {
    fn from(error: StoreError) -> Self {
        Self::Fatal(error.into())
    }
}

/// What settles one request: where its records go, or why none do.
type Settled = std::result::Result<Vec<Placed>, AppendError>;

/// The new records of one commit.
#[derive(Default)]
struct Plan {
    /// (request, entry) of each new record, in index order.
    new: Vec<(usize, usize)>,
    /// One answer per request.
    settled: Vec<Settled>,
}

impl Writer {
    /// Commits what the requests hold in one frame and answers them.
    pub(crate) fn commit(&mut self, requests: Vec<Request>) {
        if let Some(reason) = &self.stopped {
            return refuse(requests, &AppendError::Stopped(Arc::clone(reason)));
        }
        let keys = Arc::clone(&self.keys);
        // A key is replaced between two commits, so that it is clear which the new one signs.
        let mut stopped = keys.turn.lock();
        self.end_keys();
        match self.try_commit(&requests) {
            Ok((settled, head)) => answer(requests, settled, &head),
            Err(CommitError::Batch(error)) => refuse(requests, &error),
            Err(CommitError::Fatal(error)) => {
                let reason: Arc<str> = chain(&error).into();
                tracing::error!(error = %reason, "the log stops accepting");
                self.stopped = Some(Arc::clone(&reason));
                *stopped = true;
                refuse(requests, &AppendError::Stopped(reason));
            }
        }
    }

    /// Says where a key ended whose overlap is over. If that fails it is tried again at the
    /// next commit; the key does not sign either way.
    fn end_keys(&self) {
        let ring = self.keys.ring();
        let now_us = self.clock.now_us();
        if !ring.is_over(now_us) {
            return;
        }
        let head = self.shared.head();
        match ring.end_over(self.shared.store.as_ref(), (head.size, head.root), now_us) {
            Ok(ring) => self.keys.set(ring),
            Err(error) => {
                tracing::warn!(error = chain(&error), "could not say where a replaced key ended");
            }
        }
    }

    fn try_commit(
        &mut self,
        requests: &[Request],
    ) -> std::result::Result<(Vec<Settled>, Arc<Head>), CommitError> {
        let covered = self.shared.state.read().runs.covered();
        self.shared.hot.lock().forget_below(covered);
        // 1. Drop duplicates, refuse conflicts, assign indexes.
        let plan = self.settle(requests);
        if plan.new.is_empty() {
            return Ok((plan.settled, self.shared.head()));
        }
        let first = self.frontier.size();
        // 2. Extend the tree. The old frontier is kept until the commit is durable.
        let mut frontier = self.frontier.clone();
        let mut commit = Commit { time_us: self.clock.now_us(), ..Commit::default() };
        for (request, entry) in &plan.new {
            let leaf = requests[*request].batch.entries()[*entry].leaf;
            frontier.push(leaf, |level, _, hash| commit.nodes.push((level, hash)));
        }
        // 3. Sign the checkpoint.
        let head = match self.sign(&frontier, commit.time_us) {
            Ok(head) => head,
            Err(error) => {
                self.forget(requests, &plan.new, first);
                return Err(error);
            }
        };
        // 4. Write the frame.
        let written = self.write_frame(requests, &plan, first, &head, &mut commit);
        let (number, file, link) = match written {
            Ok(written) => written,
            Err(error) => {
                self.forget(requests, &plan.new, first);
                return Err(error);
            }
        };
        // If we crash here the frame is there, torn, or not there. Nobody was told of
        // it: recovery keeps it if it is whole and cuts it off if it is not.
        // 5. Make it durable. After an error nothing is known; it is never tried again.
        file.sync()?;
        // If we crash here the commit stands, although nobody was told.
        // 6. Move the head.
        self.frontier = frontier;
        self.link = Some(link);
        let head = Arc::new(Head { link: Some(link), ..head });
        self.shared.publish(first, commit, number, Arc::clone(&head));
        // If we crash from here on, whoever was answered holds a receipt for durable records.
        Ok((plan.settled, head))
    }

    /// Decides where each record goes. New ids are remembered at once, so that a
    /// batch also sees the ones before it.
    fn settle(&mut self, requests: &[Request]) -> Plan {
        let mut plan = Plan::default();
        for (number, request) in requests.iter().enumerate() {
            let before = plan.new.len();
            let mut placed = Vec::with_capacity(request.batch.len());
            let mut refused = None;
            for entry in 0..request.batch.len() {
                let outcome = match self.place(requests, number, entry, &mut plan) {
                    Ok(outcome) => outcome,
                    // What cannot be read is one batch's trouble, not the log's.
                    Err(error) => {
                        let reason: Arc<str> = chain(&error).into();
                        tracing::error!(error = %reason, "a batch was refused");
                        refused = Some(AppendError::Unreadable(reason));
                        break;
                    }
                };
                if let Placed::Refused(error) = &outcome
                    && !request.batch.partial
                {
                    refused = Some(error.clone());
                    break;
                }
                placed.push(outcome);
            }
            match refused {
                None => plan.settled.push(Ok(placed)),
                Some(error) => {
                    let first = self.frontier.size() + before as u64;
                    let taken_back = plan.new.split_off(before);
                    self.forget(requests, &taken_back, first);
                    plan.settled.push(Err(error));
                }
            }
        }
        plan
    }

    fn place(
        &mut self,
        requests: &[Request],
        request: usize,
        entry: usize,
        plan: &mut Plan,
    ) -> Result<Placed> {
        let claim = requests[request].batch.entries()[entry].id;
        if let Some(claim) = claim.filter(|claim| claim.chosen)
            && let Some(known) =
                self.find_same_id(requests, request, entry, claim.hash, &plan.new)?
        {
            return Ok(known);
        }
        let index = self.frontier.size() + plan.new.len() as u64;
        if let Some(claim) = claim {
            self.shared.hot.lock().insert(claim.hash, index);
        }
        plan.new.push((request, entry));
        Ok(Placed::Created(index))
    }

    /// Looks for an earlier record with the same id: a duplicate if its data is the
    /// same, a conflict if not.
    fn find_same_id(
        &self,
        requests: &[Request],
        request: usize,
        entry: usize,
        hash: IdHash,
        new: &[(usize, usize)],
    ) -> Result<Option<Placed>> {
        let candidates = self.shared.id_candidates(hash)?;
        if candidates.is_empty() {
            return Ok(None);
        }
        let ours = requests[request].batch.record(entry);
        for index in candidates {
            let theirs = match index.checked_sub(self.frontier.size()) {
                Some(at) => {
                    let Some((request, entry)) = new.get(at as usize) else { continue };
                    requests[*request].batch.record(*entry).to_vec()
                }
                None => self.shared.record(index)?,
            };
            let leaf = leaf_hash(&theirs);
            // What was read from a journal is what the tree knows, or no answer.
            if self.shared.unsealed_leaf(index).is_some_and(|known| known != leaf) {
                let problem = format!("record {index} does not hash to its leaf");
                return Err(damaged("journal", 0, problem));
            }
            match compare(ours, &theirs).map_err(|problem| {
                damaged("journal or segment", 0, format!("record {index}: {problem}"))
            })? {
                Same::OtherId => {}
                Same::Event => return Ok(Some(Placed::Duplicate { index, leaf })),
                Same::IdOnly(id) => {
                    return Ok(Some(Placed::Refused(AppendError::Conflict {
                        position: entry,
                        id,
                        index,
                    })));
                }
            }
        }
        Ok(None)
    }

    /// Signs with every key that signs now. A key that cannot be used refuses the
    /// batch: nothing was written, and the log goes on once it can.
    fn sign(&self, frontier: &Frontier, time_us: i64) -> std::result::Result<Head, CommitError> {
        let keys = self.keys.ring();
        let origin = keys.origin().to_owned();
        let checkpoint = Checkpoint::new(origin, frontier.size(), frontier.root());
        match keys.sign(&checkpoint, time_us) {
            Ok(note) => {
                *self.shared.signing_error.lock() = None;
                let (size, root) = (checkpoint.size, checkpoint.root);
                Ok(Head { size, root, note: note.into(), time_us, link: None })
            }
            Err(error) => {
                let reason: Arc<str> = chain(&error).into();
                tracing::error!(error = %reason, "a commit was refused");
                *self.shared.signing_error.lock() = Some((Instant::now(), Arc::clone(&reason)));
                Err(CommitError::Batch(AppendError::Signing(reason)))
            }
        }
    }

    /// Encodes the frame and writes it to the current journal, or to the next one if
    /// it does not fit. Fills in where each record will be.
    fn write_frame(
        &mut self,
        requests: &[Request],
        plan: &Plan,
        first: u64,
        head: &Head,
        commit: &mut Commit,
    ) -> std::result::Result<(u32, Arc<dyn Journal>, Link), CommitError> {
        self.buffer.clear();
        let parts = bundle_parts(requests, &plan.new);
        let count = plan.new.len() as u32;
        let new = frame::Commit {
            first,
            count,
            time_us: commit.time_us,
            root: head.root,
            epoch: self.epoch,
            previous: self.link,
            bundles: &parts,
            note: &head.note,
        };
        let (records_at, link) = frame::encode(&new, &mut self.buffer);
        let frame_len = self.buffer.len() as u64;
        let fits = self
            .current
            .as_ref()
            .is_some_and(|current| current.at + frame_len <= current.file.size());
        if !fits {
            let (number, file) = self.journals.take(frame_len).map_err(no_journal)?;
            let open = OpenJournal { file: Arc::clone(&file), end: first };
            self.shared.state.write().journals.insert(number, open);
            self.current = Some(Current { number, file, at: 0 });
        }
        let Some(current) = &mut self.current else {
            return Err(CommitError::Fatal(LogError::Invalid("no journal".to_owned())));
        };
        let mut offset = current.at + records_at as u64 + 2;
        commit.positions.reserve(plan.new.len());
        for (request, entry) in &plan.new {
            let len = requests[*request].batch.record(*entry).len();
            commit.positions.push(Position {
                journal: current.number,
                offset: offset as u32,
                len: len as u16,
            });
            offset += len as u64 + 2;
        }
        current.file.write_at(current.at, &self.buffer)?;
        current.at += frame_len;
        Ok((current.number, Arc::clone(&current.file), link))
    }

    /// Takes back the ids of records that were not appended after all.
    fn forget(&self, requests: &[Request], new: &[(usize, usize)], first: u64) {
        for ((request, entry), index) in new.iter().zip(first..) {
            if let Some(claim) = requests[*request].batch.entries()[*entry].id {
                self.shared.hot.lock().remove(claim.hash, index);
            }
        }
    }
}

/// A full disk refuses the batch and the log goes on: a journal is allocated before
/// anything is written to it. Any other failure stops the log.
fn no_journal(error: LogError) -> CommitError {
    match error {
        LogError::Store(source) if source.is_full() => {
            CommitError::Batch(AppendError::Full(Arc::new(source)))
        }
        other => CommitError::Fatal(other),
    }
}

/// The new records as slices of the batches: whole bundles where nothing was dropped.
fn bundle_parts<'a>(requests: &'a [Request], new: &[(usize, usize)]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    for same_request in new.chunk_by(|a, b| a.0 == b.0) {
        let Some((request, _)) = same_request.first() else { continue };
        let batch = &requests[*request].batch;
        if same_request.len() == batch.len() {
            parts.push(batch.bundle());
        } else {
            parts.extend(same_request.iter().map(|(_, entry)| batch.prefixed(*entry)));
        }
    }
    parts
}

enum Same {
    /// The hashes collided; the ids differ.
    OtherId,
    /// Same id, same data.
    Event,
    /// Same id, other data.
    IdOnly(String),
}

/// Compares two records by id, and by the bytes their sender sent.
fn compare(ours: &[u8], theirs: &[u8]) -> std::result::Result<Same, String> {
    let parse = |record| Envelope::parse(record).map_err(|e| chain(&e));
    let (ours, theirs) = (parse(ours)?, parse(theirs)?);
    if ours.id != theirs.id {
        return Ok(Same::OtherId);
    }
    // Whether data is an attachment hangs on the length of the whole record, which is not
    // its sender's doing.
    let same =
        match (ours.payload().map_err(|e| chain(&e))?, theirs.payload().map_err(|e| chain(&e))?) {
            (Payload::Inline(data), Payload::Attachment(attachment))
            | (Payload::Attachment(attachment), Payload::Inline(data)) => {
                Attachment::of(data.as_bytes()) == attachment
            }
            (ours, theirs) => ours == theirs,
        };
    Ok(if same { Same::Event } else { Same::IdOnly(ours.id.into_owned()) })
}

fn answer(requests: Vec<Request>, settled: Vec<Settled>, head: &Arc<Head>) {
    for (Request { batch, reply, room }, settled) in requests.into_iter().zip(settled) {
        drop(room);
        reply(settled.map(|placed| Committed { batch, placed, head: Arc::clone(head) }));
    }
}

pub(crate) fn refuse(requests: Vec<Request>, error: &AppendError) {
    for Request { reply, room, .. } in requests {
        drop(room);
        reply(Err(error.clone()));
    }
}
