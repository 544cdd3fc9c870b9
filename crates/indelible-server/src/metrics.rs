//! Figures for operators, in the Prometheus text format.

use crate::{disk::Disk, troubles::Part};
use indelible_api::ScrubStatus;
use indelible_event::Timestamp;
use indelible_log::Stats;
use parking_lot::Mutex;
use prometheus_client::{
    encoding::{
        EncodeLabelSet,
        text::{encode_eof, encode_registry},
    },
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ChoreLabels {
    chore: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PartLabels {
    part: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LogLabels {
    log: String,
}

/// All metrics of a server.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Mutex<Registry>,
    requests: Family<RequestLabels, Counter>,
    chore_failures: Family<ChoreLabels, Counter>,
    append_seconds: Histogram,
    appended_events: Counter,
    refused_appends: Counter,
    trail_seconds: Histogram,
}

/// How a log stands.
#[derive(Debug)]
pub(crate) struct LogFigures {
    pub(crate) log: String,
    pub(crate) stats: Stats,
    pub(crate) is_accepting: bool,
    /// Records that are not in its index yet, and whether that goes on; none without one.
    pub(crate) index: Option<(u64, bool)>,
}

/// How the process stands.
#[derive(Debug, Clone)]
pub(crate) struct ProcessFigures {
    /// Events of `_control` that do not apply.
    pub(crate) control_misfits: u64,
    /// Steps of the indexes' threads that panicked.
    pub(crate) index_panics: u64,
    /// What fails now, a part for each log.
    pub(crate) failures: Vec<Part>,
    /// How far the clock has gone ahead of a steady count since the start.
    pub(crate) clock_offset_us: i64,
    /// Jumps of the clock since the start.
    pub(crate) clock_steps: u64,
    /// Since the start.
    pub(crate) uptime_us: i64,
    pub(crate) disk: Option<Disk>,
    pub(crate) scrub: ScrubStatus,
}

/// What is told of logs, and of which: made for each who asks.
#[derive(Debug, Default)]
struct LogMetrics {
    size: Family<LogLabels, Gauge>,
    segments: Family<LogLabels, Gauge>,
    unsealed_segments: Family<LogLabels, Gauge>,
    sealing_failed: Family<LogLabels, Gauge>,
    accepting: Family<LogLabels, Gauge>,
    ahead: Family<LogLabels, Gauge>,
    committing: Family<LogLabels, Gauge>,
    committed: Family<LogLabels, Gauge>,
    index_lag: Family<LogLabels, Gauge>,
    index_stopped: Family<LogLabels, Gauge>,
}

impl LogMetrics {
    fn observe(&self, figures: &LogFigures) {
        let labels = LogLabels { log: figures.log.clone() };
        let set = |family: &Family<LogLabels, Gauge>, value: u64| {
            family.get_or_create(&labels).set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        let stats = &figures.stats;
        set(&self.size, stats.size);
        set(&self.segments, stats.segments);
        set(&self.unsealed_segments, stats.unsealed_segments);
        set(&self.sealing_failed, stats.sealing_error.is_some().into());
        set(&self.accepting, figures.is_accepting.into());
        set(&self.ahead, stats.ahead_us / 1_000_000);
        set(&self.committing, stats.committing_for.map_or(0, |long| long.as_secs()));
        set(&self.committed, stats.committed_us.max(0).unsigned_abs() / 1_000_000);
        if let Some((lag, is_stopped)) = figures.index {
            set(&self.index_lag, lag);
            set(&self.index_stopped, is_stopped.into());
        }
    }

    fn registry(self) -> Registry {
        let mut registry = Registry::with_prefix("indelible");
        for (name, help, family) in [
            ("log_size", "Records of a log", self.size),
            ("log_segments", "Sealed segments of a log", self.segments),
            (
                "log_unsealed_segments",
                "Full segments that wait to be sealed",
                self.unsealed_segments,
            ),
            ("log_sealing_failed", "1 while sealing fails", self.sealing_failed),
            ("log_accepting", "1 while a log accepts appends", self.accepting),
            (
                "log_ahead_seconds",
                "Seconds that the last commit is ahead of the clock, which was set back",
                self.ahead,
            ),
            (
                "log_committing_seconds",
                "For how long the commit that is being made is on its way",
                self.committing,
            ),
            (
                "log_committed_timestamp_seconds",
                "When the last commit was made, since 1970",
                self.committed,
            ),
            ("index_lag", "Records that are not in the index yet", self.index_lag),
            ("index_stopped", "1 while an index does not go on", self.index_stopped),
        ] {
            registry.register(name, help, family);
        }
        registry
    }
}

impl ProcessFigures {
    fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("indelible");
        let mut gauge = |name: &str, help: &str, value: i64| {
            let gauge: Gauge = Gauge::default();
            gauge.set(value);
            registry.register(name, help, gauge);
        };
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        for (name, help, value) in [
            (
                "control_misfits",
                "Events of _control that have no effect because they do not apply",
                number(self.control_misfits),
            ),
            (
                "index_panics",
                "Steps of the indexes' threads that panicked since the start",
                number(self.index_panics),
            ),
            ("uptime_seconds", "Seconds since the start", self.uptime_us / 1_000_000),
            (
                "clock_offset_microseconds",
                "How far the clock has gone ahead of a steady count since the start",
                self.clock_offset_us,
            ),
            (
                "clock_steps",
                "Jumps of the clock of more than two seconds since the start",
                number(self.clock_steps),
            ),
        ] {
            gauge(name, help, value);
        }
        if let Some(Disk { free, total, is_low }) = self.disk {
            gauge("disk_free_bytes", "Bytes that can still be written", number(free));
            gauge("disk_total_bytes", "Bytes of the disk of the data", number(total));
            gauge("disk_low", "1 while little room is left", is_low.into());
        }
        let ScrubStatus { done, total, findings, finished_at, .. } = &self.scrub;
        gauge("scrub_read_bytes", "Bytes read in the round that goes on", number(*done));
        gauge("scrub_total_bytes", "Bytes that a round reads", number(*total));
        gauge("scrub_findings", "What is known to be damaged", number(findings.len() as u64));
        let finished = finished_at.as_ref().and_then(|at| at.parse::<Timestamp>().ok());
        gauge(
            "scrub_finished_timestamp_seconds",
            "When everything was read again the last time, since 1970; 0 if it never was",
            finished.map_or(0, |at| at.as_micros() / 1_000_000),
        );
        let failing: Family<PartLabels, Gauge> = Family::default();
        for part in Part::ALL {
            drop(failing.get_or_create(&PartLabels { part: part.name() }));
        }
        for part in &self.failures {
            failing.get_or_create(&PartLabels { part: part.name() }).inc();
        }
        registry.register(
            "failing",
            "Failures of the server's own parts that go on, one for each log",
            failing,
        );
        registry
    }
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let metrics = Self {
            registry: Mutex::new(Registry::with_prefix("indelible")),
            requests: Family::default(),
            chore_failures: Family::default(),
            // 100 µs to about 13 s.
            append_seconds: Histogram::new(exponential_buckets(0.0001, 2.0, 18)),
            appended_events: Counter::default(),
            refused_appends: Counter::default(),
            // 50 µs to about 70 ms in steps of a half, then to seconds.
            trail_seconds: Histogram::new(exponential_buckets(0.00005, 1.5, 28)),
        };
        let mut registry = metrics.registry.lock();
        registry.register("http_requests", "Requests answered", metrics.requests.clone());
        registry.register(
            "chore_failures",
            "Rounds of the server's own chores that failed",
            metrics.chore_failures.clone(),
        );
        registry.register_with_unit(
            "append",
            "Time from a batch parsed to its records durable",
            Unit::Seconds,
            metrics.append_seconds.clone(),
        );
        registry.register(
            "appended_events",
            "Events acknowledged, duplicates included",
            metrics.appended_events.clone(),
        );
        registry.register(
            "refused_appends",
            "Append requests that were refused or failed",
            metrics.refused_appends.clone(),
        );
        registry.register_with_unit(
            "trail",
            "Time that a record in the trail adds to an answer",
            Unit::Seconds,
            metrics.trail_seconds.clone(),
        );
        drop(registry);
        metrics
    }

    /// Counts an answer. Method and route are ours: nothing that a caller chose becomes
    /// a label.
    pub(crate) fn request(&self, method: &'static str, route: &'static str, status: u16) {
        self.requests.get_or_create(&RequestLabels { method, route, status }).inc();
    }

    /// Counts a round of a chore that did not end well.
    pub(crate) fn chore_failed(&self, chore: &'static str) {
        self.chore_failures.get_or_create(&ChoreLabels { chore }).inc();
    }

    pub(crate) fn appended(&self, events: usize, took: Duration) {
        self.append_seconds.observe(took.as_secs_f64());
        self.appended_events.inc_by(events as u64);
    }

    pub(crate) fn trailed(&self, took: Duration) {
        self.trail_seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn refused(&self) {
        self.refused_appends.inc();
    }

    /// The metrics of these logs as text, and those of the process, if they are given.
    pub(crate) fn render(&self, process: Option<&ProcessFigures>, logs: &[LogFigures]) -> String {
        let of_logs = LogMetrics::default();
        logs.iter().for_each(|figures| of_logs.observe(figures));
        let mut text = String::new();
        let mut written = Ok(());
        if let Some(process) = process {
            written = encode_registry(&mut text, &self.registry.lock())
                .and_then(|()| encode_registry(&mut text, &process.registry()));
        }
        let written = written
            .and_then(|()| encode_registry(&mut text, &of_logs.registry()))
            .and_then(|()| encode_eof(&mut text));
        // Writing to a string does not fail.
        if written.is_err() {
            text.clear();
        }
        text
    }
}
