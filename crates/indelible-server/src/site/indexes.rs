//! The indexes of all logs, and the two threads that keep them up to date: one adds what
//! is new, one merges pieces. Each does one step at a time, log after log. A step that
//! fails, or panics, concerns that log alone: its problem is told with every search of
//! it, it is tried again after a while, and the other logs go on.

use indelible_index::{IndexError, IndexOptions, LogIndex};
use indelible_log::{Kind, Log, chain};
use parking_lot::{Condvar, Mutex, RwLock};
use std::{
    any::Any,
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// How long a thread rests when there is nothing to do: what is new waits no longer.
const REST: Duration = Duration::from_millis(250);
/// How long an index that failed is left alone.
const PAUSE: Duration = Duration::from_secs(5);

/// The threads, by what they do.
const INDEXER: &str = "indexer";
const MERGER: &str = "index-merger";

/// What is said of an index that does not go on.
const PROBLEM: &str = "the index does not go on; the server's log says why";

/// How an index stands.
#[derive(Debug, Clone)]
pub(crate) struct IndexState {
    pub(crate) log: String,
    /// Records of the log that are not in the index yet.
    pub(crate) lag: u64,
    /// Why the index does not go on, or its pieces are not merged; it may name paths.
    pub(crate) problem: Option<Arc<str>>,
}

/// What a thread does, again and again, for each index; whether there is more to do.
type Step = dyn Fn(&str, &LogIndex) -> Result<bool, IndexError> + Send + Sync;

/// A log, and its search index.
type Opened = (Arc<Log>, Arc<LogIndex>);

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
    all: RwLock<BTreeMap<String, Opened>>,
    /// What went wrong last, by log and task.
    problems: Mutex<BTreeMap<(String, &'static str), Arc<str>>>,
    panics: AtomicU64,
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
                let opened = (Arc::clone(log), Arc::new(index));
                self.shared.all.write().insert(name.to_owned(), opened);
            }
            Err(error) => {
                tracing::error!(log = name, error = chain(&error), "no search in this log")
            }
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<LogIndex>> {
        self.shared.all.read().get(name).map(|(_, index)| Arc::clone(index))
    }

    /// What is wrong with the index of a log, if something is; it may name paths.
    pub(crate) fn problem(&self, name: &str) -> Option<Arc<str>> {
        self.stopped(name).or_else(|| self.problem_of(name, MERGER))
    }

    /// Why nothing is added to the index of a log, if that is so.
    pub(crate) fn stopped(&self, name: &str) -> Option<Arc<str>> {
        self.problem_of(name, INDEXER).or_else(|| self.get(name)?.problem())
    }

    fn problem_of(&self, name: &str, task: &'static str) -> Option<Arc<str>> {
        self.shared.problems.lock().get(&(name.to_owned(), task)).cloned()
    }

    /// What is said of that to whoever searches.
    pub(crate) fn said_problem(&self, name: &str) -> Option<String> {
        self.problem(name).map(|_| PROBLEM.to_owned())
    }

    /// How every index stands.
    pub(crate) fn states(&self) -> Vec<IndexState> {
        // Not under the lock: the problems have their own.
        let all: Vec<_> = {
            let all = self.shared.all.read();
            let lag = |log: &Log, index: &LogIndex| {
                log.head().size.saturating_sub(*index.indexed().borrow())
            };
            all.iter().map(|(name, (log, index))| (name.clone(), lag(log, index))).collect()
        };
        let state =
            |(log, lag): (String, u64)| IndexState { problem: self.problem(&log), log, lag };
        all.into_iter().map(state).collect()
    }

    /// Steps that panicked since the start: defects.
    pub(crate) fn panics(&self) -> u64 {
        self.shared.panics.load(Ordering::Relaxed)
    }

    pub(crate) fn start(&self) {
        self.spawn(INDEXER, Box::new(|_, index| index.extend()));
        self.spawn(MERGER, Box::new(|_, index| index.merge()));
    }

    fn spawn(&self, task: &'static str, step: Box<Step>) {
        let shared = Arc::clone(&self.shared);
        let builder = std::thread::Builder::new().name(task.to_owned());
        match builder.spawn(move || shared.run(task, &step)) {
            Ok(thread) => self.threads.lock().push(thread),
            Err(error) => tracing::error!(%error, "the {task} could not be started"),
        }
    }

    /// Stops the threads; an unfinished piece is built again at the next start.
    pub(crate) fn stop(&self) {
        *self.shared.stopping.lock() = true;
        self.shared.wake.notify_all();
        for thread in self.threads.lock().drain(..) {
            // Panics are caught at each step.
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
    fn all(&self) -> Vec<(String, Arc<LogIndex>)> {
        let all = self.all.read();
        all.iter().map(|(name, (_, index))| (name.clone(), Arc::clone(index))).collect()
    }

    fn run(&self, task: &'static str, step: &Step) {
        let mut failed: BTreeMap<String, Instant> = BTreeMap::new();
        loop {
            let mut more = false;
            for (name, index) in self.all() {
                if *self.stopping.lock() {
                    return;
                }
                if failed.get(&name).is_some_and(|at| at.elapsed() < PAUSE) {
                    continue;
                }
                match self.step(task, step, &name, &index) {
                    Some(again) => {
                        more |= again;
                        failed.remove(&name);
                    }
                    None => drop(failed.insert(name, Instant::now())),
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

    /// One step for one log; `None` if it failed, which is then the index's problem.
    fn step(&self, task: &'static str, step: &Step, name: &str, index: &LogIndex) -> Option<bool> {
        // Pieces are replaced whole and locks are released, so that a panic leaves the
        // index as it was before the step.
        let stepped = catch_unwind(AssertUnwindSafe(|| step(name, index)));
        let key = (name.to_owned(), task);
        let problem = match stepped {
            Ok(Ok(again)) => {
                self.problems.lock().remove(&key);
                return Some(again);
            }
            Ok(Err(error)) => {
                let error = chain(&error);
                tracing::warn!(
                    log = name,
                    task,
                    error,
                    "the index does not go on; search shows what it has"
                );
                error
            }
            Err(panic) => {
                self.panics.fetch_add(1, Ordering::Relaxed);
                let panic = said(panic.as_ref());
                tracing::error!(log = name, task, panic, "a defect of the index; other logs go on");
                format!("a defect: {panic}")
            }
        };
        self.problems.lock().insert(key, problem.into());
        None
    }
}

/// What a panic says.
fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests state their expectations by failing")]
mod tests {
    use super::*;
    use indelible_event::{NATIVE, format_named};
    use indelible_log::{Batch, DataDir, Options};

    /// An open log of three events.
    fn log(data: &DataDir, name: &str) -> Arc<Log> {
        let options = Options { journal_capacity: (4096, 1 << 20), ..Options::default() };
        data.create_log(name, Kind::Events, &options).unwrap();
        let log = Arc::new(Log::open(data.store(name).unwrap(), &options).unwrap());
        let (now, header) = log.header("token:abc", NATIVE);
        let mut batch = Batch::new();
        for _ in 0..3 {
            let event = r#"{"time":"2026-03-01T12:00:00Z","action":"a.b","actor":{"type":"user","id":"ada"},"outcome":{"result":"success"}}"#;
            log.stage(&mut batch, &header, now, format_named(NATIVE).unwrap(), event).unwrap();
        }
        log.append(batch).unwrap();
        log
    }

    #[test]
    fn a_panic_in_the_index_of_one_log_is_its_problem_and_the_others_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open_or_create(folder.path(), Some("test.example")).unwrap();
        let (bad, good) = (log(&data, "bad"), log(&data, "good"));
        let indexes = Indexes::new(folder.path().join("index"), IndexOptions::default());
        indexes.open("bad", &bad);
        indexes.open("good", &good);
        indexes.spawn(
            INDEXER,
            Box::new(|name, index| {
                assert_ne!(name, "bad", "made to panic");
                index.extend()
            }),
        );
        // The logs are taken in order: "bad" came first.
        while indexes.states().iter().any(|state| state.log == "good" && state.lag > 0) {
            std::thread::yield_now();
        }
        let problem = indexes.problem("bad").unwrap();
        assert!(problem.contains("made to panic"), "{problem}");
        assert_eq!(indexes.said_problem("bad").as_deref(), Some(PROBLEM));
        assert!(indexes.problem("good").is_none());
        assert!(indexes.panics() >= 1);
        let bad_state = indexes.states().into_iter().find(|state| state.log == "bad").unwrap();
        assert_eq!((bad_state.lag, bad_state.problem.is_some()), (3, true));
        // One that failed and goes on has no problem any more.
        let index = indexes.get("bad").unwrap();
        assert_eq!(
            indexes.shared.step(INDEXER, &|_, index| index.extend(), "bad", &index),
            Some(false)
        );
        assert!(indexes.problem("bad").is_none());
        indexes.stop();
    }
}
