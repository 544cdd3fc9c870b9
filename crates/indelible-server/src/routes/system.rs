//! For operators: health, metrics, the API's description.

use crate::{
    access::{Decision, Permission, caller::Caller, decide},
    app::App,
    control::{fold::Control, principal::Principal},
    disk::Disk,
    error::{ApiError, Result},
    http::answer::Answer,
    metrics::{LogFigures, ProcessFigures},
    trail::shown::Facts,
    troubles::Part,
};
use axum::{
    Extension,
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use indelible_api::{ClockStatus, Code, DiskStatus, ErrorBody, Failing, LogStatus, Status, WhoAmI};
use indelible_event::Timestamp;
use indelible_log::Log;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// The process is alive.
#[utoipa::path(get, path = "/healthz", tag = "system", responses((status = 200, body = String)))]
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// Every log is open and accepts appends, and what is answered can be recorded. What else
/// fails stands in lines below; to whoever is not known they name no log.
#[utoipa::path(get, path = "/readyz", tag = "system", responses((status = 200, body = String), (status = 503, body = indelible_api::ErrorBody)))]
pub(crate) async fn readyz(State(app): State<Arc<App>>) -> Result<String> {
    let failures = app.life.failures();
    // Asked directly too: a look is up to a second old.
    let is_stopped = app.logs().iter().any(|(_, log)| log.stopped().is_some());
    if is_stopped {
        return Err(ApiError::new(
            Code::LogStopped,
            "a log stopped after a storage error; the server's log says which",
        ));
    }
    if failures.iter().any(|((part, _), _)| part.stops()) {
        return Err(ApiError::new(
            Code::TrailUnavailable,
            "the trail of accesses cannot be written, so nothing is answered; the server's log says why",
        ));
    }
    let failing: BTreeSet<Part> = failures.iter().map(|((part, _), _)| *part).collect();
    let line = |part: Part| format!("{} fails: {}\n", part.name(), part.effect());
    Ok(["ready\n".to_owned()].into_iter().chain(failing.into_iter().map(line)).collect())
}

fn typed(body: impl IntoResponse, content_type: &'static str) -> Response {
    let mut response = body.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// What the caller may know of: its logs, and whether the whole server is its to observe.
struct Sight<'a> {
    control: Arc<Control>,
    principal: &'a Principal,
    now: Timestamp,
}

impl<'a> Sight<'a> {
    fn of(app: &App, caller: &'a Caller) -> Result<Self> {
        let principal = caller.principal()?;
        Ok(Self { control: app.control.current(), principal, now: app.control.now() })
    }

    fn has(&self, log: &str) -> bool {
        let decided = decide(&self.control, self.principal, Permission::Describe, log, self.now);
        matches!(decided, Decision::Allowed(_))
    }

    fn is_whole(&self) -> bool {
        let mut grants = self.principal.grants(&self.control, self.now);
        grants.any(|grant| grant.log == "*" && Permission::Observe.is_in(grant.role))
    }
}

/// Metrics in the Prometheus (OpenMetrics) text format: of the logs that the caller may
/// know of, and of the process where it observes everything.
#[utoipa::path(get, path = "/metrics", tag = "system", responses((status = 200, body = String)))]
pub(crate) async fn metrics(State(app): State<Arc<App>>, caller: Caller) -> Result<Answer> {
    let sight = Sight::of(&app, &caller)?;
    let indexes: BTreeMap<String, (u64, bool)> = app
        .indexes
        .states()
        .into_iter()
        .map(|state| (state.log, (state.lag, state.problem.is_some())))
        .collect();
    let logs = app.logs().into_iter().filter(|(name, _)| sight.has(name));
    let figures = logs.map(|(name, log)| LogFigures {
        stats: log.stats(),
        is_accepting: log.stopped().is_none(),
        index: indexes.get(&name).copied(),
        log: name,
    });
    let clock = app.life.clock();
    let process = sight.is_whole().then(|| ProcessFigures {
        control_misfits: app.control.misfits().count,
        index_panics: app.indexes.panics(),
        failures: app.life.failures().into_iter().map(|((part, _), _)| part).collect(),
        clock_offset_us: clock.offset_us(),
        clock_steps: clock.all_steps,
        uptime_us: app.life.uptime_us(),
        disk: app.life.disk(),
        scrub: app.scrub.status(),
    });
    let text = app.metrics.render(process.as_ref(), &figures.collect::<Vec<_>>());
    Ok(Answer::nothing(typed(text, "application/openmetrics-text; version=1.0.0; charset=utf-8")))
}

/// How the server stands: what fails, its logs, its clock, its disk, the reading again of
/// what it keeps. Of logs those that the caller may know of; the rest is for who observes
/// everything.
#[utoipa::path(get, path = "/v1/status", tag = "system", responses((status = 200, body = Status), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody)))]
pub(crate) async fn status(State(app): State<Arc<App>>, caller: Caller) -> Result<Answer> {
    let sight = Sight::of(&app, &caller)?;
    let whole = sight.is_whole();
    let failures = app.life.failures();
    let is_stopped = app.logs().iter().any(|(_, log)| log.stopped().is_some());
    let logs = app.logs().into_iter().filter(|(name, _)| sight.has(name));
    let clock = app.life.clock();
    let status = Status {
        site: app.site().to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        now: app.life.now().to_string(),
        started_at: app.life.started_at.to_string(),
        uptime_s: app.life.uptime_us().max(0).unsigned_abs() / 1_000_000,
        ready: !is_stopped && !failures.iter().any(|((part, _), _)| part.stops()),
        failures: failures
            .iter()
            .filter(|((_, log), _)| log.as_ref().map_or(whole, |log| whole || sight.has(log)))
            .map(|((part, log), failure)| Failing {
                part: part.name().to_owned(),
                log: log.clone(),
                since: failure.since.to_string(),
                effect: part.effect().to_owned(),
                cause: if whole { failure.cause.clone() } else { String::new() },
            })
            .collect(),
        logs: logs.map(|(name, log)| log_status(&app, whole, name, &log)).collect(),
        clock: whole.then(|| ClockStatus {
            offset_us: clock.offset_us(),
            steps: clock.all_steps,
            last_step_us: clock.last_step.map(|(by_us, _)| by_us),
            last_step_at: clock.last_step.map(|(_, at)| Timestamp::from_micros(at).to_string()),
        }),
        disk: app.life.disk().filter(|_| whole).map(|Disk { free, total, is_low }| DiskStatus {
            free,
            total,
            low: is_low,
        }),
        scrub: whole.then(|| app.scrub.status()),
        control_misfits: whole.then(|| app.control.misfits().count),
    };
    Ok(Answer::json(&status, Facts::default()))
}

fn log_status(app: &App, whole: bool, name: String, log: &Log) -> LogStatus {
    let stats = log.stats();
    let index = app.indexes.get(&name);
    let cause = |cause: Arc<str>| if whole { cause.to_string() } else { "it fails".to_owned() };
    LogStatus {
        size: stats.size,
        rate: app.life.rate(&name),
        committed_at: (stats.committed_us != 0)
            .then(|| Timestamp::from_micros(stats.committed_us).to_string()),
        accepting: log.stopped().is_none(),
        segments: stats.segments,
        unsealed_segments: stats.unsealed_segments,
        sealing_error: stats.sealing_error.map(cause),
        index_lag: index.map(|index| stats.size.saturating_sub(*index.indexed().borrow())),
        index_problem: app.indexes.problem(&name).map(cause),
        ahead_s: stats.ahead_us / 1_000_000,
        name,
    }
}

/// Who the caller is, and what it may do now.
#[utoipa::path(get, path = "/v1/whoami", tag = "access", responses((status = 200, body = WhoAmI), (status = 401, body = ErrorBody)))]
pub(crate) async fn whoami(State(app): State<Arc<App>>, caller: Caller) -> Result<Answer> {
    let principal = caller.principal()?;
    let (control, now) = (app.control.current(), app.control.now());
    let who = WhoAmI {
        principal: principal.id.clone(),
        name: principal.name.clone(),
        groups: principal.groups.clone(),
        grants: principal.grants(&control, now).cloned().collect(),
        expires_at: principal.expires_at.map(|end| end.to_string()),
    };
    Ok(Answer::json(&who, Facts::default()))
}

/// The API's description, made once.
#[derive(Debug, Clone)]
pub(crate) struct Described(pub(crate) bytes::Bytes);

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "system", responses((status = 200, body = String)))]
pub(crate) async fn openapi(Extension(document): Extension<Described>) -> Response {
    typed(document.0, "application/json")
}
