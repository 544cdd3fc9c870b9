//! For operators: health, metrics, the API's description.

use crate::{
    app::App,
    error::{ApiError, Result},
    openapi::openapi_json,
};
use axum::{
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use indelible_api::Code;
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
        Some((name, _)) => Err(ApiError::new(
            Code::LogStopped,
            format!("log {name:?} stopped after a storage error; the server's log says which"),
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

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "system", responses((status = 200, body = String)))]
pub(crate) async fn openapi() -> Response {
    typed(openapi_json(), "application/json")
}
