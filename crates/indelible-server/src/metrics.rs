//! Figures for operators, in the Prometheus text format.

use crate::app::App;
use indelible_log::Log;
use parking_lot::Mutex;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
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
    method: String,
    route: String,
    status: u16,
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
    append_seconds: Histogram,
    appended_events: Counter,
    refused_appends: Counter,
    trail_seconds: Histogram,
    log_size: Family<LogLabels, Gauge>,
    log_segments: Family<LogLabels, Gauge>,
    log_accepting: Family<LogLabels, Gauge>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let metrics = Self {
            registry: Mutex::new(Registry::with_prefix("indelible")),
            requests: Family::default(),
            // 100 µs to about 13 s.
            append_seconds: Histogram::new(exponential_buckets(0.0001, 2.0, 18)),
            appended_events: Counter::default(),
            refused_appends: Counter::default(),
            // 50 µs to about 70 ms in steps of a half, then to seconds.
            trail_seconds: Histogram::new(exponential_buckets(0.00005, 1.5, 28)),
            log_size: Family::default(),
            log_segments: Family::default(),
            log_accepting: Family::default(),
        };
        let mut registry = metrics.registry.lock();
        registry.register("http_requests", "Requests answered", metrics.requests.clone());
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
        registry.register("log_size", "Records of a log", metrics.log_size.clone());
        registry.register("log_segments", "Sealed segments of a log", metrics.log_segments.clone());
        registry.register(
            "log_accepting",
            "1 while a log accepts appends",
            metrics.log_accepting.clone(),
        );
        drop(registry);
        metrics
    }

    pub(crate) fn request(&self, method: &str, route: &str, status: u16) {
        let labels = RequestLabels { method: method.to_owned(), route: route.to_owned(), status };
        self.requests.get_or_create(&labels).inc();
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

    /// All metrics as text, the logs' as of now.
    pub(crate) fn render(&self, app: &App) -> String {
        for (name, log) in app.logs() {
            self.observe_log(name, &log);
        }
        let mut text = String::new();
        // Writing to a string does not fail.
        if encode(&mut text, &self.registry.lock()).is_err() {
            text.clear();
        }
        text
    }

    fn observe_log(&self, name: String, log: &Arc<Log>) {
        let labels = LogLabels { log: name };
        let stats = log.stats();
        self.log_size.get_or_create(&labels).set(i64::try_from(stats.size).unwrap_or(i64::MAX));
        self.log_segments
            .get_or_create(&labels)
            .set(i64::try_from(stats.segments).unwrap_or(i64::MAX));
        self.log_accepting.get_or_create(&labels).set(i64::from(log.stopped().is_none()));
    }
}
