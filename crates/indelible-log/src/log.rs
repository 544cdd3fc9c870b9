//! The public face of a log: its threads, appending, reading, proving.

mod proving;

mod sign;

use crate::{
    AppendError, Batch, BatchError, Committed, Head, Kind, LogError, Manifest, Options, Placed,
    attachment,
    commit::Request,
    error::Result,
    ids::IdHash,
    keys::Keys,
    open,
    queue::{QueueBytes, block_on},
    segment::{self, BUNDLE_RECORDS},
    shared::Shared,
    stats::Stats,
    threads::{self, Committer},
    told::{Receipt, StageError},
};
use indelible_event::{
    Attachment, Envelope, Format, Payload, RecordHeader, Timestamp, format_named, record_id,
};
use indelible_store::Store;
use indelible_tlog::{Hash, VerifyingKey, leaf_hash};
use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};
use std::{ops::Range, sync::Arc, thread::JoinHandle, time::Instant};
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

/// Most bytes of one event; more than a record holds goes to an attachment.
const MAX_EVENT_BYTES: usize = 16 << 20;

/// An open log: the one writer of its store, and any number of readers.
/// Cheap to share behind an [`Arc`]; closed by [`Log::close`] or when dropped.
#[derive(Debug)]
pub struct Log {
    manifest: Manifest,
    keys: Arc<Keys>,
    options: Options,
    shared: Arc<Shared>,
    requests: Mutex<Option<mpsc::Sender<Request>>>,
    heads: watch::Receiver<Arc<Head>>,
    stopped: Arc<Mutex<Option<Arc<str>>>>,
    committer: Arc<Mutex<Option<Committer>>>,
    committing: Arc<Mutex<Option<Instant>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Held while a key is replaced.
    replacing: Mutex<()>,
    queue: QueueBytes,
}

/// A caller's turn to commit in its own thread; see [`Log::lead`].
#[derive(Debug)]
pub struct Lead<'a>(MappedMutexGuard<'a, Committer>);

impl Lead<'_> {
    /// Commits a batch; returns when it is durable.
    ///
    /// # Errors
    /// Those of [`Log::append`].
    pub fn commit(mut self, batch: Batch) -> std::result::Result<Committed, AppendError> {
        self.0.commit_one(batch)
    }
}

impl Log {
    /// Opens the log in `store` and takes its writer's lock.
    ///
    /// # Errors
    /// [`LogError`] tells why it does not open. Nothing was changed then but id runs, which
    /// are derived; if storage failed an incomplete last frame may have been cut, and
    /// segments set aside whose records are in the journals.
    pub fn open(store: Arc<dyn Store>, options: &Options) -> Result<Self> {
        let opened = open::open(store, options)?;
        let shared = Arc::clone(&opened.writer.shared);
        let keys = Arc::clone(&opened.writer.keys);
        let running = threads::start(opened, options);
        Ok(Self {
            manifest: running.manifest,
            keys,
            options: options.clone(),
            shared,
            requests: Mutex::new(Some(running.requests)),
            heads: running.heads,
            stopped: running.stopped,
            committer: running.committer,
            committing: running.committing,
            threads: Mutex::new(running.threads),
            replacing: Mutex::default(),
            queue: QueueBytes::new(options.max_queued_bytes),
        })
    }

    /// What the log is.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// A key for a purpose, derived from the log's secret key (HKDF-SHA256): for what is
    /// kept beside the log and must not be made by who cannot sign for it. `None` where the
    /// secret key is in a key store.
    ///
    /// # Errors
    /// [`LogError`] when the secret key cannot be read.
    pub fn derived_key(&self, purpose: &str) -> Result<Option<zeroize::Zeroizing<[u8; 32]>>> {
        crate::secret::derive(self.shared.store.as_ref(), purpose)
    }

    /// The newest key that checks its checkpoints.
    #[must_use]
    pub fn verifying_key(&self) -> VerifyingKey {
        self.keys.ring().current().clone()
    }

    /// All keys that have signed its checkpoints, oldest first.
    #[must_use]
    pub fn verifying_keys(&self) -> Vec<VerifyingKey> {
        self.keys.ring().line().keys().to_vec()
    }

    /// The notes that announce each key but the first, in order: whoever trusts one of the
    /// keys makes a [`indelible_tlog::KeyLine`] of them.
    #[must_use]
    pub fn announcements(&self) -> Vec<Arc<str>> {
        self.keys.ring().announcements().to_vec()
    }

    /// Makes a key that can replace the newest one; nothing signs with it yet.
    ///
    /// # Errors
    /// What the store, or the key store, says.
    pub fn stage_key(&self) -> Result<VerifyingKey> {
        crate::secret::stage(self.shared.store.as_ref(), &self.manifest.origin, &self.options)
    }

    /// Signs with a staged key from the next commit on, and announces it: checkpoints of
    /// more records than there are now hold only if it signed. The key before it signs
    /// beside it until `overlap_until`. Doing it again with the same key changes nothing.
    ///
    /// # Errors
    /// [`LogError::NoLog`] when the key was not staged; [`LogError::Invalid`] when the log
    /// has stopped.
    pub fn replace_key(&self, key: &VerifyingKey, overlap_until: Timestamp) -> Result<()> {
        let _replacing = self.replacing.lock();
        let store = self.shared.store.as_ref();
        // 1. Between two commits: from here on the new key signs beside the others.
        let (ring, head) = {
            let stopped = self.keys.turn.lock();
            let ring = self.keys.ring();
            if ring.line().keys().contains(key) {
                return Ok(());
            }
            if *stopped {
                let problem = "the log has stopped, and a commit may be there that no checkpoint tells of: restart before the key is replaced";
                return Err(LogError::Invalid(problem.to_owned()));
            }
            let head = self.head();
            let ring = ring.with_pending(store, &self.options, key, head.size)?;
            self.keys.set(ring.clone());
            (ring, head)
        };
        // 2. Both sign the announcement. Without it the new key has signed in vain.
        let announcement = ring.announcement((head.size, head.root), overlap_until);
        let _turn = self.keys.turn.lock();
        let ring = self.keys.ring();
        let announcement = announcement.inspect_err(|_| self.keys.set(ring.without_pending()))?;
        // 3. Make it durable. If that fails it may be there or not, and the key signs on.
        let ring = ring.announce(store, announcement)?;
        self.keys.set(ring);
        Ok(())
    }

    /// The latest committed checkpoint.
    #[must_use]
    pub fn head(&self) -> Arc<Head> {
        self.shared.head()
    }

    /// Follows the head: changes whenever a commit is durable.
    #[must_use]
    pub fn follow(&self) -> watch::Receiver<Arc<Head>> {
        self.heads.clone()
    }

    /// Why the log accepts nothing more, if that is so.
    #[must_use]
    pub fn stopped(&self) -> Option<Arc<str>> {
        self.stopped.lock().clone()
    }

    /// Figures for operators.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let now_us = self.options.clock.now_us();
        let state = self.shared.state.read();
        Stats {
            committing_for: self.committing.lock().map(|since| since.elapsed()),
            committed_us: state.head.time_us,
            ahead_us: state.head.time_us.saturating_sub(now_us).max(0).unsigned_abs(),
            size: state.head.size,
            segments: state.sealed_segments(),
            sealed_record_bytes: state.sealed_record_bytes(),
            unsealed_segments: state.unsealed_segments(),
            sealing_error: self.shared.sealing_error.lock().clone(),
        }
    }

    /// Now, by the log's clock, whatever the log holds.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.options.clock.now_us())
    }

    /// The header for records received now, which is not before the last commit.
    #[must_use]
    pub fn header(&self, recorded_by: &str, format: &str) -> (Timestamp, RecordHeader) {
        let now = self.now().max(Timestamp::from_micros(self.head().time_us));
        (now, RecordHeader::new(now, recorded_by, format))
    }

    /// Checks an event and adds its record to `batch`; data too long for a record is
    /// stored as an attachment first.
    ///
    /// # Errors
    /// [`StageError`]; the batch is then unchanged.
    pub fn stage(
        &self,
        batch: &mut Batch,
        header: &RecordHeader,
        received_at: Timestamp,
        format: &dyn Format,
        data: &str,
    ) -> std::result::Result<(), StageError> {
        if self.manifest.kind == Kind::Raw {
            return Err(StageError::Raw);
        }
        if data.len() > MAX_EVENT_BYTES {
            return Err(StageError::TooLarge(data.len()));
        }
        let mut buffer = Uuid::encode_buffer();
        let chosen = format.accept(data)?;
        let id = match &chosen {
            Some(id) => id.as_ref(),
            None => new_id(received_at).hyphenated().encode_lower(&mut buffer),
        };
        match batch.push_event(header, id, chosen.is_some(), Payload::Inline(data)) {
            Err(BatchError::Record(_)) => {
                let attachment = attachment::put(self.shared.store.as_ref(), data.as_bytes())?;
                batch.push_event(header, id, chosen.is_some(), Payload::Attachment(attachment))?;
                Ok(())
            }
            other => Ok(other?),
        }
    }

    /// Appends a batch and waits until it is durable. Must not be called from async
    /// code; see [`Log::submit`].
    ///
    /// # Errors
    /// [`AppendError`] tells whether the batch was refused or its fate is unknown.
    pub fn append(&self, batch: Batch) -> std::result::Result<Committed, AppendError> {
        match self.lead() {
            Some(lead) => lead.commit(batch),
            None => block_on(self.submit(batch)),
        }
    }

    /// The right to commit here and now in the caller's thread, if nobody else commits
    /// and lately nobody came beside another. Holds up everybody else's commits; keep it
    /// no longer than the one commit takes.
    #[must_use]
    pub fn lead(&self) -> Option<Lead<'_>> {
        // What was accepted before the log was closed is committed by its thread.
        if self.requests.lock().is_none() {
            return None;
        }
        let committer = self.committer.try_lock()?;
        let committer = MutexGuard::try_map(committer, Option::as_mut).ok()?;
        committer.is_alone().then_some(Lead(committer))
    }

    /// Appends a batch from async code. Once the returned future was polled the
    /// batch may be committed even if the future is dropped.
    ///
    /// # Errors
    /// Those of [`Log::append`].
    pub async fn submit(&self, batch: Batch) -> std::result::Result<Committed, AppendError> {
        let room = self.queue.enter(batch.weight()).await?;
        let (request, answer) = Request::new(batch, room);
        let sender = self.sender()?;
        sender.send(request).await.map_err(|_| AppendError::Closed)?;
        drop(sender);
        answer.await.unwrap_or(Err(AppendError::Closed))
    }

    fn sender(&self) -> std::result::Result<mpsc::Sender<Request>, AppendError> {
        self.requests.lock().clone().ok_or(AppendError::Closed)
    }

    /// Appends one native event and waits for its receipt: the plain way in for
    /// programs that embed the log.
    ///
    /// # Errors
    /// [`StageError`].
    pub fn append_event(
        &self,
        recorded_by: &str,
        data: &str,
    ) -> std::result::Result<Receipt, StageError> {
        let (now, header) = self.header(recorded_by, indelible_event::NATIVE);
        let mut batch = Batch::new();
        self.stage(&mut batch, &header, now, format_named(indelible_event::NATIVE)?, data)?;
        let committed = self.append(batch)?;
        let (index, leaf_hash, created) = match committed.placed.first() {
            Some(Placed::Created(index)) => {
                (*index, committed.batch.leaf(0).unwrap_or_default(), true)
            }
            Some(Placed::Duplicate { index, leaf }) => (*index, *leaf, false),
            Some(Placed::Refused(error)) => return Err(error.clone().into()),
            None => return Err(AppendError::Closed.into()),
        };
        let id = record_id(committed.batch.record(0)).unwrap_or_default().into_owned();
        Ok(Receipt { index, id, leaf_hash, created, head: committed.head })
    }

    /// The bytes of a record, exactly as they were hashed.
    ///
    /// # Errors
    /// [`LogError::NoRecord`] past the head.
    pub fn record(&self, index: u64) -> Result<Vec<u8>> {
        self.shared.record(index)
    }

    /// Records of a range, cut at the end of the log, after `max_bytes`, and never
    /// across a bundle; at least one if there is one. Ask again for the rest.
    ///
    /// # Errors
    /// [`LogError::NoRecord`] when `range` starts at or past the head.
    pub fn records(&self, range: Range<u64>, max_bytes: usize) -> Result<Vec<Vec<u8>>> {
        let size = self.head().size;
        if range.start >= size {
            return Err(LogError::NoRecord(range.start.to_string()));
        }
        let bundle_end = (range.start / BUNDLE_RECORDS + 1) * BUNDLE_RECORDS;
        let end = range.end.min(size).min(bundle_end).max(range.start + 1);
        let bundle = self.shared.bundle(range.start, end - range.start)?;
        let mut bytes = 0;
        let records = indelible_tlog::BundleEntries::new(&bundle)
            .filter_map(std::result::Result::ok)
            .take_while(|record| {
                let first = bytes == 0;
                bytes += record.len().max(1);
                first || bytes <= max_bytes
            })
            .map(<[u8]>::to_vec);
        Ok(records.collect())
    }

    /// Index of the record with an id.
    ///
    /// # Errors
    /// [`LogError::NoRecord`] when there is none.
    pub fn find(&self, id: &str) -> Result<u64> {
        let size = self.head().size;
        let candidates = self.shared.id_candidates(IdHash::of(id))?;
        for index in candidates.into_iter().filter(|index| *index < size) {
            if record_id(&self.record(index)?).is_some_and(|found| found == id) {
                return Ok(index);
            }
        }
        Err(LogError::NoRecord(format!("with id {id:?}")))
    }

    /// The bytes an event's sender sent, from its record or its attachment.
    ///
    /// # Errors
    /// [`LogError::Damaged`] when an attachment is not what the record says.
    pub fn data<'a>(&self, envelope: &Envelope<'a>) -> Result<std::borrow::Cow<'a, str>> {
        match envelope.payload().map_err(|e| LogError::Invalid(e.to_string()))? {
            Payload::Inline(data) => Ok(data.into()),
            Payload::Attachment(attachment) => {
                let bytes = self.attachment(&attachment)?;
                String::from_utf8(bytes)
                    .map(Into::into)
                    .map_err(|e| LogError::Invalid(e.to_string()))
            }
        }
    }

    /// Reads an attachment and checks it against its hash.
    ///
    /// # Errors
    /// [`LogError::NoRecord`] or [`LogError::Damaged`].
    pub fn attachment(&self, attachment: &Attachment) -> Result<Vec<u8>> {
        attachment::get(self.shared.store.as_ref(), attachment)
    }

    /// Reads an attachment of which only the hash is known.
    ///
    /// # Errors
    /// [`LogError::NoRecord`] or [`LogError::Damaged`].
    pub fn attachment_by_hash(&self, attachment: Attachment) -> Result<Vec<u8>> {
        attachment::get_by_hash(self.shared.store.as_ref(), &attachment)
    }

    /// Leaf hash of a record.
    ///
    /// # Errors
    /// [`LogError::NoRecord`] past the head.
    pub fn leaf_hash(&self, index: u64) -> Result<Hash> {
        self.record(index).map(|record| leaf_hash(&record))
    }

    /// Stops accepting, commits what was accepted, and waits for the threads.
    pub fn close(&self) {
        drop(self.requests.lock().take());
        self.queue.close();
        for thread in std::mem::take(&mut *self.threads.lock()) {
            // A panic of a thread has already ended the process.
            drop(thread.join());
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.close();
    }
}

fn new_id(now: Timestamp) -> Uuid {
    let micros = now.as_micros().max(0).unsigned_abs();
    let nanos = (micros % 1_000_000) as u32 * 1000;
    Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, micros / 1_000_000, nanos))
}

const _: () = assert!(segment::SEGMENT_RECORDS == BUNDLE_RECORDS * segment::SEGMENT_BUNDLES as u64);
