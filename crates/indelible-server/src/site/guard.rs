//! The guard: the newest checkpoint of each log, remembered outside the data
//! directory. Restoring an older copy of the data is then noticed at start.
//!
//! It lags by at most a second: it protects against copies, not against crashes,
//! from which recovery loses nothing anyway.

use indelible_log::Log;
use indelible_store::{LocalStore, Store, StoreError};
use std::{path::Path, time::Duration};

const INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
pub(crate) struct Guard {
    store: LocalStore,
}

/// Checkpoints are written as new files, oldest removed: no write ever endangers the
/// last good one.
fn folder(origin: &str) -> String {
    origin
        .bytes()
        .map(|b| if b.is_ascii_alphanumeric() || b == b'-' { char::from(b) } else { '_' })
        .collect()
}

impl Guard {
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        LocalStore::create(path).map(|store| Self { store })
    }

    /// The newest checkpoint remembered, and the file it is in.
    pub(crate) fn known(&self, origin: &str) -> Result<Option<(String, String)>, StoreError> {
        let Some(path) = self.store.list(&folder(origin))?.pop() else { return Ok(None) };
        let note = String::from_utf8_lossy(&self.store.read(&path)?).into_owned();
        Ok(Some((note, self.store.root().join(path).display().to_string())))
    }

    /// Remembers a checkpoint; a failure is logged, the log itself is sound.
    pub(crate) fn remember(&self, origin: &str, note: &str) {
        if let Err(error) = self.try_remember(origin, note) {
            tracing::warn!(origin, %error, "could not remember the newest checkpoint in the guard folder");
        }
    }

    fn try_remember(&self, origin: &str, note: &str) -> Result<(), StoreError> {
        let size: u64 = note.lines().nth(1).and_then(|size| size.parse().ok()).unwrap_or_default();
        let old = self.store.list(&folder(origin))?;
        let path = format!("{}/{size:020}.checkpoint", folder(origin));
        match self.store.create(&path, note.as_bytes()) {
            Ok(()) | Err(StoreError::AlreadyExists { .. }) => {}
            Err(error) => return Err(error),
        }
        old.iter().filter(|older| **older < path).try_for_each(|older| self.store.delete(older))
    }

    /// Follows a log's head until the log is closed.
    pub(crate) fn follow(&self, log: &Log) {
        let mut heads = log.follow();
        let origin = log.verifying_key().name().to_owned();
        let guard = self.clone();
        tokio::spawn(async move {
            while heads.changed().await.is_ok() {
                let note = heads.borrow_and_update().note.clone();
                let (guard, origin) = (guard.clone(), origin.clone());
                // A join error means the runtime is stopping; close() remembers the last.
                drop(tokio::task::spawn_blocking(move || guard.remember(&origin, &note)).await);
                tokio::time::sleep(INTERVAL).await;
            }
        });
    }
}
