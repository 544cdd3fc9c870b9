//! The indexes of all logs, and the one thread that keeps them up to date. It takes a
//! bounded share: one step at a time, of the log that is furthest behind its turn.

use indelible_index::{IndexOptions, LogIndex};
use indelible_log::{Kind, Log, chain};
use parking_lot::{Condvar, Mutex, RwLock};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// How long the thread rests when there is nothing to do: what is new waits no longer.
const REST: Duration = Duration::from_millis(250);
/// How long an index that failed is left alone.
const PAUSE: Duration = Duration::from_secs(5);

/// All indexes of a server.
#[derive(Debug)]
pub(crate) struct Indexes {
    folder: PathBuf,
    options: IndexOptions,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    all: RwLock<BTreeMap<String, Arc<LogIndex>>>,
    stopping: Mutex<bool>,
    wake: Condvar,
}

impl Indexes {
    pub(crate) fn new(folder: PathBuf, options: IndexOptions) -> Self {
        Self { folder, options, shared: Arc::default(), thread: Mutex::default() }
    }

    /// Opens the index of a log of events. Without one, search says so; the log is
    /// served all the same.
    pub(crate) fn open(&self, name: &str, log: &Arc<Log>) {
        if log.manifest().kind == Kind::Raw || self.shared.all.read().contains_key(name) {
            return;
        }
        match LogIndex::open(Arc::clone(log), &self.folder.join(name), self.options) {
            Ok(index) => {
                self.shared.all.write().insert(name.to_owned(), Arc::new(index));
            }
            Err(error) => {
                tracing::error!(log = name, error = chain(&error), "no search in this log")
            }
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<LogIndex>> {
        self.shared.all.read().get(name).cloned()
    }

    pub(crate) fn start(&self) {
        let shared = Arc::clone(&self.shared);
        let spawned =
            std::thread::Builder::new().name("indexer".to_owned()).spawn(move || shared.run());
        match spawned {
            Ok(thread) => *self.thread.lock() = Some(thread),
            Err(error) => tracing::error!(%error, "the indexer could not be started"),
        }
    }

    /// Stops the thread; an unfinished piece is built again at the next start.
    pub(crate) fn stop(&self) {
        *self.shared.stopping.lock() = true;
        self.shared.wake.notify_all();
        if let Some(thread) = self.thread.lock().take() {
            // A panic of the indexer has been logged; the logs are not touched by it.
            drop(thread.join());
        }
    }
}

impl Drop for Indexes {
    /// The thread holds the logs: without this their locks would outlive the server.
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn run(&self) {
        let mut failed: BTreeMap<String, Instant> = BTreeMap::new();
        loop {
            let mut more = false;
            let all: Vec<(String, Arc<LogIndex>)> = self
                .all
                .read()
                .iter()
                .map(|(name, index)| (name.clone(), Arc::clone(index)))
                .collect();
            for (name, index) in all {
                if *self.stopping.lock() {
                    return;
                }
                if failed.get(&name).is_some_and(|at| at.elapsed() < PAUSE) {
                    continue;
                }
                match index.step() {
                    Ok(again) => {
                        more |= again;
                        failed.remove(&name);
                    }
                    Err(error) => {
                        tracing::warn!(
                            log = name,
                            error = chain(&error),
                            "the index does not go on; search shows what it has"
                        );
                        failed.insert(name, Instant::now());
                    }
                }
            }
            if !more {
                let mut stopping = self.stopping.lock();
                if !*stopping {
                    self.wake.wait_for(&mut stopping, REST);
                }
            }
        }
    }
}
