//! Which checkpoints the pinned key vouches for.

use indelible_log::{LogError, stored};
use indelible_store::Store;
use indelible_tlog::{Checkpoint, CheckpointError, VerifyingKey};

/// The pinned key and those that it vouches for, oldest first.
#[derive(Debug)]
pub(crate) struct Keys {
    keys: Vec<VerifyingKey>,
}

impl Keys {
    /// The pinned key and what it vouches for by the announcements; the pinned one alone
    /// where these do not hold.
    pub(crate) fn of(store: &dyn Store, pinned: &VerifyingKey) -> (Self, Option<LogError>) {
        match stored::vouched_keys(store, pinned) {
            Ok(keys) => (Self { keys }, None),
            Err(error) => (Self { keys: vec![pinned.clone()] }, Some(error)),
        }
    }

    /// The first key of the log, which signs its manifest.
    pub(crate) fn first(&self) -> Option<&VerifyingKey> {
        self.keys.first()
    }

    pub(crate) fn contains(&self, key: &VerifyingKey) -> bool {
        self.keys.contains(key)
    }

    /// All of them, oldest first.
    pub(crate) fn all(&self) -> &[VerifyingKey] {
        &self.keys
    }

    /// A stored checkpoint, if keys that count for its size signed it. The one rule.
    pub(crate) fn checkpoint(&self, note: &[u8]) -> Result<Checkpoint, CheckpointError> {
        Checkpoint::verify_any(note, &self.keys)
    }
}
