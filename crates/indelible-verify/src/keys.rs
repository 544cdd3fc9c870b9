//! Which checkpoints the pinned key vouches for.

use indelible_log::{LogError, stored};
use indelible_store::Store;
use indelible_tlog::{Checkpoint, CheckpointError, KeyLine, VerifyingKey};

/// The keys of which the pinned one is one; each counts for its sizes alone.
#[derive(Debug)]
pub(crate) struct Keys {
    line: KeyLine,
}

impl Keys {
    /// The line of keys that the announcements make of the pinned one; that alone where
    /// these do not hold.
    pub(crate) fn of(store: &dyn Store, pinned: &VerifyingKey) -> (Self, Option<LogError>) {
        match stored::key_line(store, pinned) {
            Ok(line) => (Self { line }, None),
            Err(error) => (Self { line: KeyLine::new(pinned.clone()) }, Some(error)),
        }
    }

    pub(crate) const fn line(&self) -> &KeyLine {
        &self.line
    }

    pub(crate) fn contains(&self, key: &VerifyingKey) -> bool {
        self.line.keys().contains(key)
    }

    /// A stored checkpoint, if a key that counts for its size signed it. The one rule.
    pub(crate) fn checkpoint(&self, note: &[u8]) -> Result<Checkpoint, CheckpointError> {
        self.line.checkpoint(note)
    }
}
