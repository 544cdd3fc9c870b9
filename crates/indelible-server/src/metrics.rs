//! Figures for operators, in the Prometheus text format.

use indelible_log::Log;
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
use std::{sync::Arc, time::Duration};

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

/// What is told of logs, and of which: made for each who asks.
#[derive(Debug, Default)]
struct LogMetrics {
    size: Family<LogLabels, Gauge>,
    segments: Family<LogLabels, Gauge>,
    accepting: Family<LogLabels, Gauge>,
}

impl LogMetrics {
    fn observe(&self, name: &str, log: &Log) {
        let labels = LogLabels { log: name.to_owned() };
        let stats = log.stats();
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        self.size.get_or_create(&labels).set(number(stats.size));
        self.segments.get_or_create(&labels).set(number(stats.segments));
        self.accepting.get_or_create(&labels).set(i64::from(log.stopped().is_none()));
    }

    fn registry(self) -> Registry {
        let mut registry = Registry::with_prefix("indelible");
        registry.register("log_size", "Records of a log", self.size);
        registry.register("log_segments", "Sealed segments of a log", self.segments);
        registry.register("log_accepting", "1 while a log accepts appends", self.accepting);
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

    /// The metrics of these logs as text, and those of the process if `whole`.
    pub(crate) fn render(&self, whole: bool, logs: &[(String, Arc<Log>)]) -> String {
        let of_logs = LogMetrics::default();
        logs.iter().for_each(|(name, log)| of_logs.observe(name, log));
        let mut text = String::new();
        let mut written = Ok(());
        if whole {
            written = encode_registry(&mut text, &self.registry.lock());
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
