//! A log without threads.

use crate::{
    AppendError, Batch, Committed, Head, Kind, Options, attachment,
    commit::{Reply, Request, Writer},
    data_dir,
    error::Result,
    open,
    seal::seal_next,
};
use indelible_event::Attachment;
use indelible_store::{LockGuard, Store};
use parking_lot::Mutex;
use std::sync::Arc;

/// The commit and seal procedures without threads: one step at a time, for
/// simulation and tests.
pub struct Stepper {
    writer: Writer,
    _lock: LockGuard,
}

impl std::fmt::Debug for Stepper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stepper").field("head", &self.writer.shared.head()).finish_non_exhaustive()
    }
}

impl Stepper {
    /// Creates a log in `store`, its key made from `seed`.
    ///
    /// # Errors
    /// What the store says.
    pub fn create(
        store: &dyn Store,
        origin: &str,
        kind: Kind,
        options: &Options,
        seed: &[u8; 32],
    ) -> Result<()> {
        let _lock = store.lock()?;
        data_dir::create_in(store, origin, kind, options, seed)
    }

    /// Opens the log in `store`.
    ///
    /// # Errors
    /// [`crate::LogError`] tells why it does not open.
    pub fn open(store: Arc<dyn Store>, options: &Options) -> Result<Self> {
        let opened = open::open(store, options)?;
        Ok(Self { writer: opened.writer, _lock: opened.lock })
    }

    /// Commits the batches together and returns one answer each.
    ///
    /// # Errors
    /// One [`AppendError`] per batch that was not acknowledged.
    pub fn commit(
        &mut self,
        batches: Vec<Batch>,
    ) -> Vec<std::result::Result<Committed, AppendError>> {
        let answers: Arc<Mutex<Vec<_>>> = Arc::default();
        let requests = batches
            .into_iter()
            .map(|batch| {
                let answers = Arc::clone(&answers);
                let reply: Reply = Box::new(move |answer| answers.lock().push(answer));
                Request { batch, reply, room: None }
            })
            .collect();
        self.writer.commit(requests);
        std::mem::take(&mut *answers.lock())
    }

    /// Stores data that is too long for a record, for a record to name.
    ///
    /// # Errors
    /// What the store says; it may be tried again.
    pub fn attach(&self, data: &[u8]) -> Result<Attachment> {
        attachment::put(self.writer.shared.store.as_ref(), data)
    }

    /// Seals the next segment if it is full.
    ///
    /// # Errors
    /// What the store says; the journals still hold the records.
    pub fn seal(&mut self) -> Result<bool> {
        seal_next(&self.writer.shared)
    }

    /// The latest committed checkpoint.
    #[must_use]
    pub fn head(&self) -> Arc<Head> {
        self.writer.shared.head()
    }

    /// The bytes of a record.
    ///
    /// # Errors
    /// [`crate::LogError::NoRecord`] past the head.
    pub fn record(&self, index: u64) -> Result<Vec<u8>> {
        self.writer.shared.record(index)
    }
}
