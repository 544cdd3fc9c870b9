//! For operators: health, metrics, the API's description.

use crate::{
    access::caller::Caller,
    app::App,
    error::{ApiError, Result},
};
use axum::{
    Json,
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use indelible_api::{Code, ErrorBody, WhoAmI};
use std::sync::Arc;

/// The process is alive.
#[utoipa::path(get, path = "/healthz", tag = "system", responses((status = 200, body = String)))]
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// Every log is open and accepts appends.
#[utoipa::path(get, path = "/readyz", tag = "system", responses((status = 200, body = String), (status = 503, body = indelible_api::ErrorBody)))]
pub(crate) async fn readyz(State(app): State<Arc<App>>) -> Result<&'static str> {
    match app.logs().iter().find(|(_, log)| log.stopped().is_some()) {
        None => Ok("ready\n"),
        // Whoever asks is not known: no names.
        Some(_) => Err(ApiError::new(
            Code::LogStopped,
            "a log stopped after a storage error; the server's log says which",
        )),
    }
}

fn typed(body: String, content_type: &'static str) -> Response {
    let mut response = body.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Metrics in the Prometheus (OpenMetrics) text format.
#[utoipa::path(get, path = "/metrics", tag = "system", responses((status = 200, body = String)))]
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Response {
    typed(app.metrics.render(&app), "application/openmetrics-text; version=1.0.0; charset=utf-8")
}

/// Who the caller is, and what it may do now.
#[utoipa::path(get, path = "/v1/whoami", tag = "access", responses((status = 200, body = WhoAmI), (status = 401, body = ErrorBody)))]
pub(crate) async fn whoami(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<WhoAmI>> {
    let principal = caller.principal()?;
    let (control, now) = (app.control.current(), app.control.now());
    Ok(Json(WhoAmI {
        principal: principal.id.clone(),
        name: principal.name.clone(),
        groups: principal.groups.clone(),
        grants: principal.grants(&control, now).cloned().collect(),
        expires_at: principal.expires_at.map(|end| end.to_string()),
    }))
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "system", responses((status = 200, body = String)))]
pub(crate) async fn openapi() -> Response {
    typed(crate::table::openapi_json(), "application/json")
}
