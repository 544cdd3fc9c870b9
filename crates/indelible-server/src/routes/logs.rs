//! Logs: create, list, show.

use crate::{
    app::App,
    body::receive,
    error::{ApiError, Result},
};
use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
};
use indelible_api::{Code, CreateLog, ErrorBody, LogInfo, Page};
use indelible_event::Timestamp;
use indelible_log::{Kind, Log};
use std::sync::Arc;

fn info(name: &str, log: &Log) -> LogInfo {
    let head = log.head();
    let manifest = log.manifest();
    LogInfo {
        name: name.to_owned(),
        origin: manifest.origin.clone(),
        vkey: log.verifying_key().to_string(),
        size: head.size,
        root: head.root.to_string(),
        checkpoint_time: (head.size > 0).then(|| Timestamp::from_micros(head.time_us).to_string()),
        created_at: manifest.created_at.clone(),
        kind: match manifest.kind {
            Kind::Events => "events".to_owned(),
            Kind::Raw => "raw".to_owned(),
        },
        accepting: log.stopped().is_none(),
    }
}

/// Create a log.
#[utoipa::path(post, path = "/v1/logs", tag = "logs", request_body = CreateLog,
    responses((status = 201, body = LogInfo), (status = 400, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(crate) async fn create_log(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<LogInfo>)> {
    let received = receive(&app, &headers, body, 64 << 10).await?;
    let wanted: CreateLog = serde_json::from_slice(&received.bytes).map_err(|e| {
        ApiError::new(
            if e.is_data() { Code::InvalidRequest } else { Code::InvalidJson },
            e.to_string(),
        )
    })?;
    let kind = if wanted.raw_add { Kind::Raw } else { Kind::Events };
    crate::body::in_background(move || {
        let log = app.create_log(&wanted.name, kind)?;
        Ok((StatusCode::CREATED, Json(info(&wanted.name, &log))))
    })
    .await
}

/// List the logs.
#[utoipa::path(get, path = "/v1/logs", tag = "logs", responses((status = 200, body = Page<LogInfo>)))]
pub(crate) async fn list_logs(State(app): State<Arc<App>>) -> Json<Page<LogInfo>> {
    let items = app.logs().iter().map(|(name, log)| info(name, log)).collect();
    Json(Page { items, next: None })
}

/// Show one log: its origin, key, size and root.
#[utoipa::path(get, path = "/v1/logs/{log}", tag = "logs", params(("log" = String, Path, description = "Name of the log")),
    responses((status = 200, body = LogInfo), (status = 404, body = ErrorBody)))]
pub(crate) async fn show_log(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Json<LogInfo>> {
    Ok(Json(info(&name, app.log(&name)?.as_ref())))
}
