//! The log of the server's own life: each second a look at every part and at the clock,
//! and what there is to say of it goes to `_control`, once that can be written.
//!
//! **Invariant**: what was seen is told by readyz, metrics and status at once, whether or
//! not it could be written; what could not be written is tried again each second.

use super::{
    clock::{ClockWatch, behind},
    watch::{Failure, Seen, Watch, What},
};
use crate::{
    control::{event::Change, system::ClockStepped},
    disk::Disk,
    reading::desk::Desk,
    subject::CONTROL,
    troubles::Part,
};
use indelible_event::Timestamp;
use indelible_log::{Clock, Stats};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, VecDeque},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Microseconds that a commit may take before it is a failure.
const SLOW_COMMIT_US: u128 = 10_000_000;
/// Microseconds that a log may be ahead of the clock: two clocks of one machine differ.
const AHEAD_US: u64 = 2_000_000;
/// Events that wait to be written at most, besides those of failures and of the clock.
const WAITING: usize = 64;
/// How far back the rate of a log looks, and between what.
const RATE_US: i64 = 60_000_000;
const RATE_STEP_US: i64 = 5_000_000;

/// What the server knows of its own life.
#[derive(Debug)]
pub(crate) struct Life {
    clock: Arc<dyn Clock>,
    data: PathBuf,
    pub(crate) started_at: Timestamp,
    started_us: i64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    watch: Watch,
    clock: ClockWatch,
    /// The clock was set back between two runs, and that is not written yet.
    between: Option<ClockStepped>,
    /// Requests refused by failures, at the last look.
    refused: BTreeMap<(Part, String), u64>,
    /// Sizes of logs over the last minute, by the count that nobody can set.
    sizes: BTreeMap<String, VecDeque<(i64, u64)>>,
    disk: Option<Disk>,
    waiting: VecDeque<Change>,
}

impl Life {
    pub(crate) fn new(clock: Arc<dyn Clock>, data: &Path) -> Self {
        let (now_us, started_us) = (clock.now_us(), clock.elapsed_us());
        let started_at = Timestamp::from_micros(now_us);
        Self { clock, data: data.to_owned(), started_at, started_us, state: Mutex::default() }
    }

    /// Takes up what the run before left, as the fold of `_control` knows it. To be called
    /// before anything is written there.
    pub(crate) fn resume(&self, desk: &Desk) {
        let last_us = desk.site.log(CONTROL).map_or(0, |log| log.head().time_us);
        let mut state = self.state.lock();
        state.watch.resume(&desk.control.current().life.failures, self.clock.elapsed_us());
        state.between = behind(self.clock.now_us(), last_us);
        if let Some(step) = &state.between {
            tracing::error!(
                by_us = step.by_us,
                "the clock is behind the last event of _control; times in the logs stand still until it is there, and credentials end late"
            );
        }
    }

    /// Microseconds since the server started, by a count that nobody can set.
    pub(crate) fn uptime_us(&self) -> i64 {
        self.clock.elapsed_us().saturating_sub(self.started_us)
    }

    /// Looks at every part. Blocks for as long as asking the disk for its room takes.
    pub(crate) fn look(&self, desk: &Desk) {
        let disk = Disk::of(&self.data);
        let logs: Vec<(String, Stats, Option<Arc<str>>)> =
            desk.logs().into_iter().map(|(name, log)| (name, log.stats(), log.stopped())).collect();
        let (now, elapsed_us) = (self.now(), self.clock.elapsed_us());
        let mut state = self.state.lock();
        state.clock.look(self.clock.as_ref());
        let met: BTreeMap<_, _> = desk.troubles.met().into_iter().collect();
        let mut seen = seen_of_logs(desk, &logs);
        if let Some(disk) = disk.filter(|disk| disk.is_low) {
            let cause = format!("{} of {} bytes are left", disk.free, disk.total);
            seen.insert((Part::Disk, None), cause);
        }
        for ((part, log), met) in &met {
            let before = state.refused.insert((*part, log.clone()), met.refused);
            if met.going || before.unwrap_or_default() < met.refused {
                seen.entry((*part, Some(log.clone()))).or_insert_with(|| met.cause.clone());
            }
        }
        let refused = |(part, log): &What| {
            let key = (*part, log.clone().unwrap_or_default());
            met.get(&key).map_or(0, |met| met.refused)
        };
        let seen =
            seen.into_iter().map(|(what, cause)| Seen { refused: refused(&what), what, cause });
        let begun = state.watch.sample(now, elapsed_us, seen.collect());
        for (part, log) in begun {
            let failure = state.watch.going().find(|(what, _)| **what == (part, log.clone()));
            let cause = failure.map_or("", |(_, failure)| failure.cause.as_str());
            tracing::error!(
                part = part.name(),
                log,
                cause,
                effect = part.effect(),
                "a part of the server fails"
            );
        }
        state.disk = disk;
        state.measure(&logs, elapsed_us);
    }

    /// Something to be written besides failures and the clock. What there is no room for is
    /// dropped: whoever says it counts it too.
    pub(crate) fn say(&self, change: impl Into<Change>) {
        let mut state = self.state.lock();
        if state.waiting.len() < WAITING {
            state.waiting.push_back(change.into());
        }
    }

    /// Writes what there is to say. What fails is tried again with the next call.
    pub(crate) async fn write(&self, desk: &Desk) {
        let between = self.state.lock().between.clone();
        if let Some(step) = between
            && record(desk, step.into()).await
        {
            self.state.lock().between = None;
        }
        let stepped = self.state.lock().clock.stepped(self.clock.elapsed_us());
        if let Some(step) = stepped
            && record(desk, step.clone().into()).await
        {
            self.state.lock().clock.told(&step, self.clock.elapsed_us());
        }
        let due = self.state.lock().watch.due(self.clock.elapsed_us());
        for (what, change) in due {
            if !record(desk, change.clone()).await {
                break;
            }
            self.state.lock().watch.written(&what, &change);
        }
        loop {
            let first = self.state.lock().waiting.front().cloned();
            let Some(change) = first else { break };
            if !record(desk, change).await {
                break;
            }
            self.state.lock().waiting.pop_front();
        }
        let reading = self.state.lock().clock.reading(self.clock.elapsed_us());
        if let Some(reading) = reading
            && record(desk, reading.clone().into()).await
        {
            self.state.lock().clock.read(&reading, self.clock.elapsed_us());
        }
    }

    /// Now, by the clock.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.clock.now_us())
    }

    /// What fails now.
    pub(crate) fn failures(&self) -> Vec<(What, Failure)> {
        let state = self.state.lock();
        state.watch.going().map(|(what, failure)| (what.clone(), failure.clone())).collect()
    }

    /// How the clock goes.
    pub(crate) fn clock(&self) -> ClockWatch {
        self.state.lock().clock.clone()
    }

    /// Room on the disk of the data, as of the last look.
    pub(crate) fn disk(&self) -> Option<Disk> {
        self.state.lock().disk
    }

    /// Records a second that a log took over the last minute.
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    pub(crate) fn rate(&self, log: &str) -> f64 {
        let state = self.state.lock();
        let Some(sizes) = state.sizes.get(log) else { return 0.0 };
        let (Some((then, from)), Some((now, to))) = (sizes.front(), sizes.back()) else {
            return 0.0;
        };
        let seconds = now.saturating_sub(*then) as f64 / 1e6;
        if seconds > 0.0 { to.saturating_sub(*from) as f64 / seconds } else { 0.0 }
    }
}

impl State {
    /// Notes the sizes of the logs.
    fn measure(&mut self, logs: &[(String, Stats, Option<Arc<str>>)], elapsed_us: i64) {
        for (name, stats, _) in logs {
            let sizes = self.sizes.entry(name.clone()).or_default();
            if sizes.back().is_some_and(|(at, _)| elapsed_us - at < RATE_STEP_US) && sizes.len() > 1
            {
                sizes.pop_back();
            }
            sizes.push_back((elapsed_us, stats.size));
            while sizes.front().is_some_and(|(at, _)| elapsed_us - at > RATE_US) {
                sizes.pop_front();
            }
        }
    }
}

/// What of the logs fails, and why.
fn seen_of_logs(desk: &Desk, logs: &[(String, Stats, Option<Arc<str>>)]) -> BTreeMap<What, String> {
    let mut seen = BTreeMap::new();
    for (name, stats, stopped) in logs {
        let mut see = |part: Part, cause: &str| {
            seen.insert((part, Some(name.clone())), cause.to_owned());
        };
        if let Some(cause) = stopped {
            see(Part::Log, cause);
        }
        if let Some(cause) = &stats.sealing_error {
            see(Part::Sealing, cause);
        }
        if let Some(cause) = desk.indexes.stopped(name) {
            see(Part::Index, &cause);
        }
        if let Some(long) = stats.committing_for.filter(|long| long.as_micros() > SLOW_COMMIT_US) {
            see(Part::Commit, &format!("a commit is on its way since {} s", long.as_secs()));
        }
        if stats.ahead_us > AHEAD_US {
            let cause =
                format!("the last commit is {} s ahead of the clock", stats.ahead_us / 1_000_000);
            see(Part::Clock, &cause);
        }
    }
    seen
}

/// Writes into `_control`; whether it is there now.
async fn record(desk: &Desk, change: Change) -> bool {
    match desk.control.record(change).await {
        Ok(_) => true,
        Err(error) => {
            tracing::debug!(
                error = indelible_log::chain(&error),
                "the log of the server's life waits"
            );
            false
        }
    }
}
