//! For operators: health, metrics, the API's description.

use crate::{
    access::{Decision, Permission, caller::Caller, decide},
    app::App,
    error::{ApiError, Result},
    http::answer::Answer,
    metrics::{LogFigures, ProcessFigures},
    trail::shown::Facts,
};
use axum::{
    Extension,
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use indelible_api::{Code, ErrorBody, WhoAmI};
use std::{collections::BTreeMap, sync::Arc};

/// The process is alive.
#[utoipa::path(get, path = "/healthz", tag = "system", responses((status = 200, body = String)))]
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// Every log is open, accepts appends, and has signed its last commit.
#[utoipa::path(get, path = "/readyz", tag = "system", responses((status = 200, body = String), (status = 503, body = indelible_api::ErrorBody)))]
pub(crate) async fn readyz(State(app): State<Arc<App>>) -> Result<&'static str> {
    let logs = app.logs();
    match logs.iter().find(|(_, log)| log.stopped().is_some()) {
        None if logs.iter().any(|(_, log)| log.stats().signing_error.is_some()) => {
            Err(ApiError::new(
                Code::Overloaded,
                "a log's signing key cannot be used now; the server's log says which",
            ))
        }
        None => Ok("ready\n"),
        // Whoever asks is not known: no names.
        Some(_) => Err(ApiError::new(
            Code::LogStopped,
            "a log stopped after a storage error; the server's log says which",
        )),
    }
}

fn typed(body: impl IntoResponse, content_type: &'static str) -> Response {
    let mut response = body.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Metrics in the Prometheus (OpenMetrics) text format: of the logs that the caller may
/// know of, and of the process where it observes everything.
#[utoipa::path(get, path = "/metrics", tag = "system", responses((status = 200, body = String)))]
pub(crate) async fn metrics(State(app): State<Arc<App>>, caller: Caller) -> Result<Answer> {
    let principal = caller.principal()?;
    let (control, now) = (app.control.current(), app.control.now());
    let may = |permission, log: &str| {
        matches!(decide(&control, principal, permission, log, now), Decision::Allowed(_))
    };
    let indexes: BTreeMap<String, (u64, bool)> = app
        .indexes
        .states()
        .into_iter()
        .map(|state| (state.log, (state.lag, state.problem.is_some())))
        .collect();
    let logs = app.logs().into_iter().filter(|(name, _)| may(Permission::Describe, name));
    let figures = logs.map(|(name, log)| LogFigures {
        stats: log.stats(),
        is_accepting: log.stopped().is_none(),
        index: indexes.get(&name).copied(),
        log: name,
    });
    let is_whole = principal
        .grants(&control, now)
        .any(|grant| grant.log == "*" && Permission::Observe.is_in(grant.role));
    let process = is_whole.then(|| ProcessFigures {
        control_misfits: app.control.misfits().count,
        index_panics: app.indexes.panics(),
    });
    let text = app.metrics.render(process, &figures.collect::<Vec<_>>());
    Ok(Answer::nothing(typed(text, "application/openmetrics-text; version=1.0.0; charset=utf-8")))
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
