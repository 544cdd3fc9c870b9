//! The log engine: append records, get receipts, read, prove, verify.
//!
//! A log is a folder (any [`indelible_store::Store`]) with one writer. Appends are
//! gathered into *commits*: one journal frame, one sync, one signed checkpoint.
//! Every 65,536 records are *sealed* into a compressed, read-only segment. The tree
//! is kept by that geometry: no hash is stored that the records can tell.
//!
//! What this crate is *not*: it has no HTTP, no permissions, no search.
//!
//! **Invariants**
//! - Nothing is acknowledged before its checkpoint is durable.
//! - Only the sequencer ([`Log`]'s one writer thread) moves the head.
//! - A failed sync is never tried again: the log stops, and restart is recovery.
//! - The id runs may be deleted at any time; everything else is truth.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! use indelible_log::{DataDir, Kind, Log, Options};
//!
//! let data = DataDir::open_or_create(folder.path(), None)?;
//! data.create_log("prod", Kind::Events, &Options::default())?;
//! let log = Log::open(data.store("prod")?, &Options::default())?;
//! let event = r#"{"time":"2026-03-01T12:00:00Z","action":"iam.role.granted",
//!     "actor":{"type":"user","id":"ada"},"outcome":{"result":"success"}}"#;
//! let receipt = log.append_event("me", event)?;
//! let proof = log.prove(receipt.index, None)?;
//! proof.verify(&log.record(receipt.index)?, &log.verifying_key())?;
//! # Ok(())
//! # }
//! ```
#![warn(missing_docs)]
#![cfg_attr(
    test,
    expect(clippy::unwrap_used, reason = "tests state their expectations by failing")
)]

mod attachment;
mod batch;
mod bytes;
mod cache;
mod chain;
mod commit;
mod create;
mod data_dir;
mod error;
mod features;
mod frame;
mod handover;
mod ids;
mod journal;
mod key_store;
mod keys;
mod log;
mod manifest;
mod open;
mod patient;
mod queue;
mod seal;
mod secret;
mod segment;
mod shared;
mod statement;
mod stats;
mod stepper;
pub mod stored;
mod threads;
mod told;

pub use batch::{Batch, BatchError, Committed, MAX_BATCH_BYTES, MAX_BATCH_RECORDS, Placed};
pub use data_dir::{DataDir, check_log_name};
pub use error::{AppendError, LogError, Result, chain};
pub use key_store::KeyStore;
pub use log::{Lead, Log};
pub use manifest::{Kind, Manifest};
pub use segment::{BUNDLE_RECORDS as RECORDS_PER_BUNDLE, SEGMENT_RECORDS as RECORDS_PER_SEGMENT};
pub use shared::Head;
pub use stats::Stats;
pub use stepper::Stepper;
pub use told::{Receipt, StageError};

use std::{
    fmt::Debug,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

/// Tells the time.
pub trait Clock: Send + Sync + Debug {
    /// Microseconds since 1970-01-01T00:00:00Z. May jump either way: order in a log
    /// is by index, and the times in it stand still until a clock that was set back is
    /// there again.
    fn now_us(&self) -> i64;

    /// Microseconds since some start, which nobody can set: what the clock is watched by.
    /// A clock that has no such thing is never seen to jump.
    fn elapsed_us(&self) -> i64 {
        self.now_us()
    }
}

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one owner of the system clock")]
    fn now_us(&self) -> i64 {
        let now = std::time::SystemTime::now();
        match now.duration_since(std::time::UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_micros()).unwrap_or(i64::MAX),
        }
    }

    fn elapsed_us(&self) -> i64 {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        i64::try_from(START.elapsed().as_micros()).unwrap_or(i64::MAX)
    }
}

/// A signed checkpoint that was seen before and must still hold.
#[derive(Debug, Clone)]
pub struct KnownCheckpoint {
    /// The signed note.
    pub note: String,
    /// Where it was found, for the error.
    pub origin: String,
}

/// Settings of an open log.
#[derive(Debug, Clone)]
pub struct Options {
    /// Capacity in bytes of the first journal and of the largest; each is twice the
    /// one before.
    pub journal_capacity: (u64, u64),
    /// Most records in one commit.
    pub max_commit_records: usize,
    /// Bytes of records after which a commit takes no more batches.
    pub max_commit_bytes: usize,
    /// Batches that may wait; more callers wait to be let in.
    pub queue_len: usize,
    /// Bytes of batches that may wait for their commit, and as many again that may wait
    /// to be let in; more are refused.
    pub max_queued_bytes: usize,
    /// Unsealed segments after which appends wait for the sealer.
    pub max_unsealed_segments: u64,
    /// How long they wait for it; then they are refused until it has caught up.
    pub max_sealing_wait: Duration,
    /// How soon sealing is tried again after it failed; twice as long each time, up to
    /// thirty times as long.
    pub sealing_retry: Duration,
    /// Checkpoints the log must not be below.
    pub known: Vec<KnownCheckpoint>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// How long the key store is waited for when it signs; then the commit is refused.
    pub max_signing_wait: Duration,
    /// Keeps the secret keys of new logs; without it they are in the logs' folders.
    pub key_store: Option<Arc<dyn KeyStore>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            journal_capacity: (1 << 20, 64 << 20),
            max_commit_records: 16_384,
            max_commit_bytes: 8 << 20,
            queue_len: 256,
            max_queued_bytes: 128 << 20,
            max_unsealed_segments: 4,
            max_sealing_wait: Duration::from_secs(5),
            sealing_retry: Duration::from_secs(1),
            known: Vec::new(),
            clock: Arc::new(SystemClock),
            max_signing_wait: Duration::from_secs(5),
            key_store: None,
        }
    }
}
