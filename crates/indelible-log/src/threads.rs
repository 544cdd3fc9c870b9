//! The three threads of an open log: the sequencer commits what is queued, the sealer
//! seals, the preparer makes the next journal ready. A caller who is alone commits in its
//! own thread.

use crate::{
    AppendError, Batch, Committed, Options,
    commit::{Reply, Request, Writer, refuse},
    error::chain,
    journal::Journals,
    manifest::Manifest,
    open::Opened,
    seal::seal_next,
    shared::{Head, Shared},
};
use indelible_store::LockGuard;
use parking_lot::Mutex;
use std::{
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, watch};

/// What a log keeps of its threads.
pub(crate) struct Running {
    pub(crate) manifest: Manifest,
    /// The way in; the threads end when the last sender is dropped.
    pub(crate) requests: mpsc::Sender<Request>,
    pub(crate) heads: watch::Receiver<Arc<Head>>,
    pub(crate) committer: Arc<Mutex<Option<Committer>>>,
    /// Why nothing more is accepted, once that is so.
    pub(crate) stopped: Arc<Mutex<Option<Arc<str>>>>,
    /// Since when a commit is on its way, while one is.
    pub(crate) committing: Arc<Mutex<Option<Instant>>>,
    pub(crate) threads: Vec<JoinHandle<()>>,
}

/// Starts the threads of an opened log.
pub(crate) fn start(opened: Opened, options: &Options) -> Running {
    let Opened { manifest, writer, lock } = opened;
    let shared = Arc::clone(&writer.shared);
    let journals = Arc::clone(&writer.journals);
    let (requests, queue) = mpsc::channel(options.queue_len);
    let (head_sender, heads) = watch::channel(shared.head());
    let stopped: Arc<Mutex<Option<Arc<str>>>> = Arc::default();
    let committing: Arc<Mutex<Option<Instant>>> = Arc::default();
    let (wake_sealer, sealer_wakes) = std::sync::mpsc::sync_channel(1);
    let (wake_preparer, preparer_wakes) = std::sync::mpsc::sync_channel(1);
    let sealed: SealedSignal = Arc::default();
    let committer = Arc::new(Mutex::new(Some(Committer {
        writer,
        heads: head_sender,
        stopped: Arc::clone(&stopped),
        committing: Arc::clone(&committing),
        wake_sealer,
        wake_preparer,
        sealed: Arc::clone(&sealed),
        options: options.clone(),
        behind: false,
        lately: usize::MAX,
        _lock: lock,
    })));
    let sequencer = Sequencer { committer: Arc::clone(&committer), queue };
    let retry = options.sealing_retry;
    let origin = manifest.origin.clone();
    let threads = vec![
        spawn("sequencer", move || sequencer.run()),
        spawn("sealer", move || {
            yield_to_commits();
            run_sealer(&shared, &sealer_wakes, &sealed, &origin, retry);
        }),
        spawn("preparer", move || {
            yield_to_commits();
            run_preparer(&journals, &preparer_wakes);
        }),
    ];
    Running { manifest, requests, heads, committer, stopped, committing, threads }
}

/// Starts a thread whose panic ends the process: restart is the tested path.
#[expect(clippy::expect_used, reason = "a log without its threads cannot work")]
fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    struct AbortOnPanic;
    impl Drop for AbortOnPanic {
        fn drop(&mut self) {
            if thread::panicking() {
                std::process::abort();
            }
        }
    }
    let guarded = move || {
        let _guard = AbortOnPanic;
        body();
    };
    thread::Builder::new().name(name.to_owned()).spawn(guarded).expect("the system starts a thread")
}

/// Lets the sequencer have the processor first: a commit waits for a wake-up after
/// each sync. Background work is bounded by back-pressure, not by priority.
fn yield_to_commits() {
    const NICE: i32 = 5;
    // On Linux the priority is the calling thread's. Refused, nothing is lost but speed.
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "background threads run at ordinary priority");
    }
}

type SealedSignal = Arc<(Mutex<()>, parking_lot::Condvar)>;

/// The writer and those who hear of its commits. Whoever holds its lock commits; it is
/// taken out when the log is closed.
pub(crate) struct Committer {
    writer: Writer,
    heads: watch::Sender<Arc<Head>>,
    stopped: Arc<Mutex<Option<Arc<str>>>>,
    committing: Arc<Mutex<Option<Instant>>>,
    wake_sealer: std::sync::mpsc::SyncSender<()>,
    wake_preparer: std::sync::mpsc::SyncSender<()>,
    sealed: SealedSignal,
    options: Options,
    /// The sealer was waited for in vain: nobody waits again until it has caught up.
    behind: bool,
    /// Batches in the commit before.
    lately: usize,
    _lock: LockGuard,
}

impl std::fmt::Debug for Committer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Committer").field("lately", &self.lately).finish_non_exhaustive()
    }
}

impl Committer {
    /// Whether a caller who comes now is alone: then it pays one sync and no hand-over.
    /// With others about, the thread gathers better batches than a caller who must not wait.
    pub(crate) fn is_alone(&self) -> bool {
        self.lately <= 1 && !self.is_behind()
    }

    /// Commits one batch in the caller's thread.
    pub(crate) fn commit_one(
        &mut self,
        batch: Batch,
    ) -> std::result::Result<Committed, AppendError> {
        let (sender, answer) = std::sync::mpsc::sync_channel(1);
        let reply: Reply = Box::new(move |outcome| drop(sender.send(outcome)));
        self.commit(vec![Request { batch, reply, room: None }]);
        answer.recv().unwrap_or(Err(AppendError::Closed))
    }

    fn commit(&mut self, requests: Vec<Request>) {
        self.lately = requests.len();
        *self.committing.lock() = Some(Instant::now());
        self.writer.commit(requests);
        *self.committing.lock() = None;
        self.stopped.lock().clone_from(&self.writer.stopped);
        self.heads.send_replace(self.writer.shared.head());
        self.wake_background();
    }

    /// A full channel means the thread is already due to look.
    fn wake_background(&self) {
        let (unsealed, bad) = {
            let state = self.writer.shared.state.read();
            (state.unsealed_segments() > 0, state.runs.bad().is_some())
        };
        if unsealed || bad {
            self.wake_sealer.try_send(()).unwrap_or_default();
        }
        if self.writer.journals.wants_spare() {
            self.wake_preparer.try_send(()).unwrap_or_default();
        }
    }

    fn is_behind(&self) -> bool {
        let unsealed = self.writer.shared.state.read().unsealed_segments();
        unsealed >= self.options.max_unsealed_segments && self.writer.stopped.is_none()
    }

    /// Keeps the unsealed tail, and so memory, bounded when the sealer is slower. Returns
    /// whether it is: what was accepted before the log was closed is committed anyway.
    fn wait_for_sealer(&mut self, queue: &mpsc::Receiver<Request>) -> bool {
        const LOOK: Duration = Duration::from_millis(100);
        let sealed = Arc::clone(&self.sealed);
        let mut guard = sealed.0.lock();
        let mut waited = Duration::ZERO;
        loop {
            if !self.is_behind() || queue.is_closed() {
                self.behind = false;
                return true;
            }
            if self.behind || waited >= self.options.max_sealing_wait {
                self.behind = true;
                return false;
            }
            // A sealer that failed does not signal; look again now and then.
            if sealed.1.wait_for(&mut guard, LOOK).timed_out() {
                waited += LOOK;
            }
        }
    }
}

/// The thread that commits what is queued.
struct Sequencer {
    committer: Arc<Mutex<Option<Committer>>>,
    queue: mpsc::Receiver<Request>,
}

impl Sequencer {
    fn run(mut self) {
        if let Some(committer) = &*self.committer.lock() {
            committer.wake_background();
        }
        while let Some(first) = self.queue.blocking_recv() {
            let committer = Arc::clone(&self.committer);
            let mut committer = committer.lock();
            // It is taken out below, after the last request.
            let Some(committer) = &mut *committer else { break };
            let caught_up = committer.wait_for_sealer(&self.queue);
            let requests = self.gather(first, &committer.options);
            if caught_up {
                committer.commit(requests);
            } else {
                refuse(requests, &AppendError::SealingBehind);
            }
        }
        // The sealer and the preparer end with their wakers, and the lock is given back.
        drop(self.committer.lock().take());
    }

    /// Takes what waits, up to the limits of one commit. Never waits: the next batch
    /// gathers while the disk syncs.
    fn gather(&mut self, first: Request, options: &Options) -> Vec<Request> {
        let mut records = first.batch.len();
        let mut bytes = first.batch.byte_len();
        let mut requests = vec![first];
        while records < options.max_commit_records && bytes < options.max_commit_bytes {
            let Ok(next) = self.queue.try_recv() else { break };
            records += next.batch.len();
            bytes += next.batch.byte_len();
            requests.push(next);
        }
        requests
    }
}

/// Seals whatever is full when woken, and after a failure again and again: the journals
/// still hold the records, and nothing else wakes it once appends are refused.
fn run_sealer(
    shared: &Shared,
    wakes: &std::sync::mpsc::Receiver<()>,
    sealed: &SealedSignal,
    origin: &str,
    retry: Duration,
) {
    let mut pause = None;
    while rest(wakes, pause) {
        let outcome = loop {
            match seal_next(shared) {
                Ok(true) => {
                    drop(sealed.0.lock());
                    sealed.1.notify_all();
                }
                Ok(false) => break shared.repair_runs().map_err(|error| chain(&error)),
                Err(error) => break Err(chain(&error)),
            }
        };
        let error = outcome.err();
        if let Some(error) = &error {
            tracing::error!(log = origin, error, "could not seal a segment, or mend an id run");
        }
        pause = error.as_ref().map(|_| match pause {
            None => retry,
            Some(before) => (before * 2).min(retry * 30),
        });
        *shared.sealing_error.lock() = error.map(Into::into);
    }
}

/// Waits to be woken, or after a failure until `pause` is over, however often it is woken
/// meanwhile: commits make no room. False when the log is closed.
fn rest(wakes: &std::sync::mpsc::Receiver<()>, pause: Option<Duration>) -> bool {
    use std::sync::mpsc::RecvTimeoutError;
    let Some(pause) = pause else { return wakes.recv().is_ok() };
    let until = Instant::now() + pause;
    loop {
        match wakes.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout) => return true,
            Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
}

fn run_preparer(journals: &Journals, wakes: &std::sync::mpsc::Receiver<()>) {
    while wakes.recv().is_ok() {
        if let Err(error) = journals.prepare() {
            // The sequencer will meet the same error and report it to a caller.
            tracing::warn!(error = chain(&error), "could not prepare the next journal");
        }
    }
}
