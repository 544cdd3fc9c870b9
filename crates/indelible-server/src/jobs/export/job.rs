//! One export, and what is kept of it.

use crate::{access::Scope, error::ApiError};
use indelible_api::{Code, Export, Manifest};
use indelible_index::{LogIndex, Query};
use indelible_log::Log;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::{io, path::PathBuf, sync::Arc};
use tokio::sync::watch;

/// How long an export can be downloaded.
pub(super) const KEPT_US: i64 = 24 * 3_600_000_000;
pub(super) const FILE: &str = "file";
pub(super) const FACTS: &str = "export.json";

/// One export.
#[derive(Debug)]
pub(crate) struct Job {
    pub(super) export: Mutex<Export>,
    /// What its maker could see: who can see less now does not get it.
    pub(super) scope: Scope,
    pub(super) folder: PathBuf,
    pub(super) ended_us: Mutex<Option<i64>>,
    /// Turns true when it was deleted.
    pub(super) unwanted: watch::Sender<bool>,
}

/// What is kept beside the file.
#[derive(Serialize, Deserialize)]
pub(super) struct Facts {
    pub(super) export: Export,
    pub(super) scope: Scope,
    pub(super) ended_us: i64,
}

/// What an export is made from.
pub(crate) struct Wanted {
    pub(crate) log: Arc<Log>,
    pub(crate) search: Arc<LogIndex>,
    pub(crate) query: Query,
    pub(crate) manifest: Manifest,
}

impl Job {
    /// What it is, and how far.
    pub(crate) fn show(&self) -> Export {
        self.export.lock().clone()
    }

    /// Its file.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.join(FILE)
    }
}

pub(super) fn deleted() -> ApiError {
    ApiError::new(Code::EntryNotFound, "it was deleted")
}

pub(super) fn not_written(error: &io::Error) -> ApiError {
    if error.kind() == io::ErrorKind::StorageFull {
        let message = "too little space is left where exports are written; nothing of it is kept, and the log is not touched by it";
        return ApiError::new(Code::StorageFull, message);
    }
    ApiError::internal("the export could not be written; the server's log says why", error)
}
