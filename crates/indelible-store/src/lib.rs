//! The storage contract of one log, and its backends.
//!
//! A store holds *objects*, written once and never changed, and *journals*, files
//! of fixed capacity whose bytes go from zero to their value once. Paths are
//! relative, `/`-separated. Every call that writes returns only when what it wrote
//! is durable, or says so; calls may come from any thread; none is retried here.
//!
//! What this crate is *not*: it knows nothing of records, trees or signatures.
#![warn(missing_docs)]
#![cfg_attr(
    test,
    expect(clippy::unwrap_used, reason = "tests state their expectations by failing")
)]

pub mod conformance;
mod local;
mod memory;

pub use local::LocalStore;
pub use memory::MemoryStore;

use std::{any::Any, fmt::Debug, io, sync::Arc};

/// Why a storage call did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such object.
    #[error("{path} does not exist")]
    NotFound {
        /// Path in the store.
        path: String,
    },
    /// An object is never overwritten.
    #[error("{path} exists already")]
    AlreadyExists {
        /// Path in the store.
        path: String,
    },
    /// Another process has the store open for writing.
    #[error("{path} is in use by another process")]
    Locked {
        /// What is locked.
        path: String,
    },
    /// The system refused. For a write: it may or may not have happened.
    #[error("could not {operation} {path}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// Path in the store.
        path: String,
        /// What the system said.
        source: io::Error,
    },
}

impl StoreError {
    /// Classifies what the system said about `path`.
    #[must_use]
    pub fn io(operation: &'static str, path: &str, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound => Self::NotFound { path },
            io::ErrorKind::AlreadyExists => Self::AlreadyExists { path },
            _ => Self::Io { operation, path, source },
        }
    }

    /// Whether there was no room. Nothing was acknowledged and the store goes on
    /// working once there is room again.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Io { source, .. }
            if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }
}

/// Shorthand for results of this crate.
pub type Result<T> = std::result::Result<T, StoreError>;

/// An object or journal open for reading. Stays readable after it is deleted.
pub trait Blob: Send + Sync + Debug {
    /// Size in bytes; for a journal its capacity.
    fn size(&self) -> u64;

    /// Fills `buf` from `offset`.
    ///
    /// # Errors
    /// Also when the object ends before `buf` is full.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()>;

    /// Reads `len` bytes from `offset`.
    ///
    /// # Errors
    /// Those of [`Blob::read_at`].
    fn read_vec(&self, offset: u64, len: usize) -> Result<Vec<u8>> {
        let mut buf = vec![0; len];
        self.read_at(offset, &mut buf)?;
        Ok(buf)
    }

    /// Lets the system forget what it keeps of the object in memory, so that what is
    /// read next comes from the disk. Best effort.
    fn evict(&self) {}
}

/// A file of fixed capacity that starts as zeros and is filled from the front.
pub trait Journal: Blob {
    /// Writes bytes. They are durable only after [`Journal::sync`]; a crash before
    /// it may keep any subset of the 512-byte sectors written since the last sync.
    ///
    /// # Errors
    /// The write may have happened in part: of the 512-byte sectors it covers, some
    /// are written and some are not.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()>;

    /// Makes all earlier writes durable.
    ///
    /// # Errors
    /// After an error nothing is known about earlier unsynced writes, and calling
    /// again proves nothing: the caller stops writing.
    fn sync(&self) -> Result<()>;
}

/// An object being written; it does not exist until [`BlobWriter::finish`].
/// Dropped unfinished, it leaves nothing.
pub trait BlobWriter: io::Write + Send {
    /// Makes the object durable and read-only, and then makes it exist.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`] if another object of that name does by now.
    /// After another error the object may exist; if it does it is whole.
    fn finish(self: Box<Self>) -> Result<()>;
}

/// Holds a store's lock until dropped.
pub type LockGuard = Box<dyn Any + Send + Sync>;

/// Storage of one log.
pub trait Store: Send + Sync + Debug {
    /// Takes the single-writer lock.
    ///
    /// # Errors
    /// [`StoreError::Locked`] at once if another holder has it.
    fn lock(&self) -> Result<LockGuard>;

    /// Whether a writer holds the lock now. Changes nothing, so a verifier may ask;
    /// `false` where that cannot be told.
    fn is_locked(&self) -> bool;

    /// Starts writing an object.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`], or what the system says.
    fn writer(&self, path: &str) -> Result<Box<dyn BlobWriter>>;

    /// Creates an object from bytes in hand, durably and at most once.
    ///
    /// # Errors
    /// Those of [`Store::writer`] and [`BlobWriter::finish`].
    fn create(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let mut writer = self.writer(path)?;
        writer.write_all(bytes).map_err(|e| StoreError::io("write", path, e))?;
        writer.finish()
    }

    /// Opens an object or journal for reading.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or what the system says.
    fn open(&self, path: &str) -> Result<Arc<dyn Blob>>;

    /// Makes an object that exists, and its name, as durable as if it had just been
    /// finished: whoever finished it may not have come so far.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or what the system says.
    fn sync(&self, path: &str) -> Result<()> {
        self.open(path).map(drop)
    }

    /// Reads a whole object.
    ///
    /// # Errors
    /// Those of [`Store::open`] and [`Blob::read_at`].
    fn read(&self, path: &str) -> Result<Vec<u8>> {
        let blob = self.open(path)?;
        let len = usize::try_from(blob.size())
            .map_err(|_| StoreError::io("read", path, io::ErrorKind::FileTooLarge.into()))?;
        blob.read_vec(0, len)
    }

    /// Paths of all objects and journals below a folder, sorted; unfinished objects
    /// are not among them. Empty if there is no such folder.
    ///
    /// # Errors
    /// What the system says.
    fn list(&self, folder: &str) -> Result<Vec<String>>;

    /// Whether nobody but the owner can read an object; `true` where that cannot be
    /// told.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or what the system says.
    fn is_private(&self, path: &str) -> Result<bool> {
        self.open(path).map(|_| true)
    }

    /// Removes an object or journal.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or what the system says.
    fn delete(&self, path: &str) -> Result<()>;

    /// Creates a journal of `capacity` zero bytes, durably.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`], or what the system says; see [`StoreError::is_full`].
    fn create_journal(&self, path: &str, capacity: u64) -> Result<Arc<dyn Journal>>;

    /// Opens a journal for writing.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or what the system says.
    fn open_journal(&self, path: &str) -> Result<Arc<dyn Journal>>;
}
