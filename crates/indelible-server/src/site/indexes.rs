//! The indexes of all logs, and the two threads that keep them up to date: one adds what
//! is new, one merges pieces. Each does one step at a time, log after log.

use indelible_index::{IndexError, IndexOptions, LogIndex};
use indelible_log::{Kind, Log, chain};
use parking_lot::{Condvar, Mutex, RwLock};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// How long a thread rests when there is nothing to do: what is new waits no longer.
const REST: Duration = Duration::from_millis(250);
/// How long an index that failed is left alone.
const PAUSE: Duration = Duration::from_secs(5);

/// All indexes of a server.
#[derive(Debug)]
pub(crate) struct Indexes {
    folder: PathBuf,
    options: IndexOptions,
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    all: RwLock<BTreeMap<String, Arc<LogIndex>>>,
    stopping: Mutex<bool>,
    wake: Condvar,
}

impl Indexes {
    pub(crate) fn new(folder: PathBuf, options: IndexOptions) -> Self {
        Self { folder, options, shared: Arc::default(), threads: Mutex::default() }
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
        self.spawn("indexer", LogIndex::extend);
        self.spawn("index-merger", LogIndex::merge);
    }

    fn spawn(&self, name: &str, step: fn(&LogIndex) -> Result<bool, IndexError>) {
        let shared = Arc::clone(&self.shared);
        let builder = std::thread::Builder::new().name(name.to_owned());
        match builder.spawn(move || shared.run(step)) {
            Ok(thread) => self.threads.lock().push(thread),
            Err(error) => tracing::error!(%error, "the {name} could not be started"),
        }
    }

    /// Stops the threads; an unfinished piece is built again at the next start.
    pub(crate) fn stop(&self) {
        *self.shared.stopping.lock() = true;
        self.shared.wake.notify_all();
        for thread in self.threads.lock().drain(..) {
            // A panic of the indexer has been logged; the logs are not touched by it.
            drop(thread.join());
        }
    }
}

impl Drop for Indexes {
    /// The threads hold the logs: without this their locks would outlive the server.
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn run(&self, step: fn(&LogIndex) -> Result<bool, IndexError>) {
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
                match step(&index) {
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
