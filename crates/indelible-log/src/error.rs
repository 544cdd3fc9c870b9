//! What can go wrong with a log, sorted by what the caller does about it.

use indelible_store::StoreError;
use indelible_tlog::{CheckpointError, Hash, KeyError};
use std::sync::Arc;

/// Why a log could not be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// There is no log there.
    #[error("there is no log in {0}")]
    NoLog(String),
    /// Stored bytes are not what was written. The log refuses to open: restore the
    /// file from a copy and run `verify`.
    #[error("{path} is damaged at offset {offset}: {problem}")]
    Damaged {
        /// File.
        path: String,
        /// Byte offset in it.
        offset: u64,
        /// What does not fit.
        problem: String,
    },
    /// The directory holds less than a checkpoint that is known to have been
    /// signed: an older copy was restored, or records were cut off.
    #[error(
        "the log has {size} records, but a signed checkpoint of {known} records is known ({origin})"
    )]
    RolledBack {
        /// Records here.
        size: u64,
        /// Records the known checkpoint vouches for.
        known: u64,
        /// Where that checkpoint was found.
        origin: String,
    },
    /// A known checkpoint has another root for its size: this is another history.
    #[error(
        "the log has root {found} at size {size}, but a signed checkpoint says {known}: the history was rewritten"
    )]
    Forked {
        /// Size of the known checkpoint.
        size: u64,
        /// Root here.
        found: Hash,
        /// Root in the known checkpoint.
        known: Hash,
    },
    /// The log requires what this version does not know.
    #[error("the log requires {feature:?}, which this version does not know: use a newer one")]
    NewerFormat {
        /// What it requires.
        feature: String,
    },
    /// A stored or given checkpoint, or the manifest, does not hold.
    #[error("what is signed in {path} does not hold")]
    Checkpoint {
        /// Where it was found.
        path: String,
        /// Why.
        source: CheckpointError,
    },
    /// The signing key is not usable.
    #[error("signing key {path} is not usable")]
    Key {
        /// Where it was found.
        path: String,
        /// Why.
        source: KeyError,
    },
    /// A secret key, or the reference to one, cannot be used.
    #[error("the signing key of {path} cannot be used: {problem}")]
    KeyStore {
        /// Where it, or the reference to it, is.
        path: String,
        /// Why.
        problem: String,
    },
    /// A checkpoint could not be signed.
    #[error("could not sign: {0}")]
    Signing(String),
    /// The name or setting is not allowed.
    #[error("{0}")]
    Invalid(String),
    /// No record with this index or id.
    #[error("no record {0}")]
    NoRecord(String),
    /// No checkpoint of this size was signed, or none is kept.
    #[error("no checkpoint of {size} records was signed; {nearest}")]
    NoCheckpoint {
        /// Records asked for.
        size: u64,
        /// The nearest sizes there are checkpoints of, for people.
        nearest: String,
    },
    /// Storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Shorthand for results of this crate.
pub type Result<T> = std::result::Result<T, LogError>;

/// Why an append was not acknowledged.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// An id in the batch is taken by other bytes; nothing of the batch was written.
    #[error("event {position}: id {id:?} was already used at index {index} for other data")]
    Conflict {
        /// Position in the batch, from 0.
        position: usize,
        /// The id.
        id: String,
        /// Index of the record that has it.
        index: u64,
    },
    /// There is no room; nothing was written, and appends work again once there is.
    #[error("no space left on the storage of the log")]
    Full(#[source] Arc<StoreError>),
    /// The checkpoint could not be signed; nothing was written, and appends work again
    /// once the key does.
    #[error("the signing key cannot be used now: {0}")]
    Signing(Arc<str>),
    /// Too many bytes wait to be committed; nothing was written, and appends work again
    /// once those are.
    #[error("too many appends wait already")]
    Overloaded,
    /// Too many records wait to be sealed; nothing was written, and appends work again
    /// once some are.
    #[error("sealing is behind")]
    SealingBehind,
    /// A record that may have the same id could not be read, so whether this one is new
    /// cannot be told; nothing was written.
    #[error("a record that may have the same id could not be read: {0}")]
    Unreadable(Arc<str>),
    /// The log stopped after a storage error. What was in flight may or may not have
    /// been written; restart, and append the same ids again to find out.
    #[error("the log has stopped accepting: {0}")]
    Stopped(Arc<str>),
    /// The log is shutting down; nothing was written.
    #[error("the log is closed")]
    Closed,
}

/// A problem with stored bytes.
pub(crate) fn damaged(path: &str, offset: u64, problem: impl Into<String>) -> LogError {
    LogError::Damaged { path: path.to_owned(), offset, problem: problem.into() }
}

/// An error with all its causes on one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
