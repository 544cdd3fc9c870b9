//! Whether an answer is whole: what is waited for before an index is asked, and how much
//! of the logs the answer then rests on.

use crate::{
    error::Result,
    reading::{desk::Desk, reader::Reader},
};
use indelible_api::{ReadConsistency, Searched, SearchedLog};
use indelible_index::LogIndex;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, timeout};

/// How long an answer waits for the index.
const MOST: Duration = Duration::from_secs(10);
/// How often is looked whether an index goes on: one that stands still tells nobody.
const LOOK: Duration = Duration::from_millis(250);

/// A log that is searched, and how much of it there is to search.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) index: Arc<LogIndex>,
    /// Records that it had when the question came.
    pub(crate) size: u64,
}

impl Reader {
    /// Waits for the indexes, as far as that is wanted, is bounded, and has a chance.
    pub(crate) async fn reach(&self, wanted: ReadConsistency, targets: &[Target]) -> Result<()> {
        if wanted == ReadConsistency::Now {
            return Ok(());
        }
        let until = Instant::now() + MOST;
        for target in targets {
            let mut indexed = target.index.indexed();
            while *indexed.borrow_and_update() < target.size
                && self.desk.indexes.stopped(&target.name).is_none()
                && let rest = until.saturating_duration_since(Instant::now())
                && !rest.is_zero()
            {
                // Changed or not, it is looked at again.
                drop(timeout(LOOK.min(rest), indexed.changed()).await);
            }
        }
        self.still_may()
    }
}

/// How much the indexes hold now. Asked before they are searched: what comes meanwhile may
/// be found, and is not promised.
pub(crate) fn searched(desk: &Desk, targets: &[Target]) -> Searched {
    let logs = targets.iter().map(|target| SearchedLog {
        log: target.name.clone(),
        indexed: *target.index.indexed().borrow(),
        size: target.size,
        problem: desk.indexes.said_problem(&target.name),
    });
    let logs: Vec<SearchedLog> = logs.collect();
    Searched { whole: logs.iter().all(|log| log.indexed >= log.size), logs }
}

/// What was read from the log itself.
pub(crate) fn all_of(name: &str, size: u64) -> Searched {
    let log = SearchedLog { log: name.to_owned(), indexed: size, size, problem: None };
    Searched { whole: true, logs: vec![log] }
}
