//! Exports: asked for, looked at, downloaded.

use crate::{
    access::{Permission, caller::Caller},
    app::App,
    control::new_id,
    error::{ApiError, Result},
    http::answer::Answer,
    jobs::export::Wanted,
    reading::search::{index_of, query},
    redact::redact,
    trail::shown::Facts,
};
use axum::{
    Json,
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use futures_util::StreamExt as _;
use indelible_api::{
    Code, ErrorBody, Export, ExportFormat, ExportRequest, ExportState, Manifest, NDJSON, Page,
};
use indelible_event::Timestamp;
use indelible_log::Kind;
use std::{io, sync::Arc};
use tower::ServiceExt as _;
use tower_http::services::ServeFile;

/// Ask for an export of everything a query finds, oldest first, without a limit. It is
/// written in the background, can be downloaded by who asked for it, and is removed a
/// day after it was finished.
#[utoipa::path(post, path = "/v1/logs/{log}/exports", tag = "exports", params(("log" = String, Path, description = "Name of the log")), request_body = ExportRequest,
    responses((status = 202, body = Export), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody), (status = 429, body = ErrorBody)))]
pub(crate) async fn start_export(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer> {
    let wanted: ExportRequest = app.bodies.receive_json(caller.who(), &headers, body).await?;
    caller.still_may(&app.control, Permission::Read, &name)?;
    let (log, search) = (app.log(&name)?, index_of(&app, &name)?);
    let now = app.control.now();
    app.exports.expire(now);
    app.exports.check_room()?;
    let query = query(&caller, &wanted.q, now.as_micros())?;
    let size = log.head().size;
    let facts = Facts::default()
        .with("q", redact(&wanted.q))
        .with("format", wanted.format.name())
        .with("proofs", wanted.proofs)
        .with("size", size);
    let manifest = Manifest {
        v: 2,
        written_by: indelible_export::VERSION.to_owned(),
        log: name,
        origin: log.manifest().origin.clone(),
        raw: log.manifest().kind == Kind::Raw,
        q: wanted.q,
        format: wanted.format,
        proofs: wanted.proofs,
        made_by: caller.principal()?.id.clone(),
        made_at: Timestamp::to_string(&now),
        narrowed: caller.scope.filters.is_some(),
        size,
        checkpoint: log.checkpoint(size)?.to_string(),
        count: 0,
        first: None,
        last: None,
        bytes: 0,
        sha256: String::new(),
    };
    let id = new_id("exp")?;
    let facts = facts.with("export", id.clone());
    let export =
        app.exports.start(&app.desk, caller, id, Wanted { log, search, query, manifest })?;
    Ok(Answer::here((StatusCode::ACCEPTED, Json(export)), facts))
}

/// List the caller's exports of a log, newest first.
#[utoipa::path(get, path = "/v1/logs/{log}/exports", tag = "exports", params(("log" = String, Path, description = "Name of the log")),
    responses((status = 200, body = Page<Export>), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn list_exports(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(log): Path<String>,
) -> Result<Answer> {
    app.log(&log)?;
    app.exports.expire(app.control.now());
    let items = app.exports.list(&caller, &log)?;
    Ok(Answer::json(&Page { items, next: None }, Facts::default()))
}

/// How far an export is; with its manifest when it is done.
#[utoipa::path(get, path = "/v1/logs/{log}/exports/{export}", tag = "exports",
    params(("log" = String, Path, description = "Name of the log"), ("export" = String, Path, description = "Id of the export")),
    responses((status = 200, body = Export), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn show_export(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((log, export)): Path<(String, String)>,
) -> Result<Answer> {
    app.log(&log)?;
    let shown = app.exports.get(&caller, &log, &export)?.show();
    Ok(Answer::json(&shown, of(&shown)))
}

/// Download the file of an export that is done; `Range` gives a part of it.
#[utoipa::path(get, path = "/v1/logs/{log}/exports/{export}/file", tag = "exports",
    params(("log" = String, Path, description = "Name of the log"), ("export" = String, Path, description = "Id of the export")),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream"), (status = 206, body = Vec<u8>, content_type = "application/octet-stream"), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody), (status = 416, description = "the range is not in the file")))]
pub(crate) async fn download_export(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((log, export)): Path<(String, String)>,
    request: Request,
) -> Result<Answer> {
    app.log(&log)?;
    let job = app.exports.get(&caller, &log, &export)?;
    let export = job.show();
    let Some(manifest) = &export.manifest else {
        let message = match export.state {
            ExportState::Failed => "the export failed; start it again",
            _ => "the export is not finished yet; look at it until its state is done",
        };
        return Err(ApiError::new(Code::Conflict, message));
    };
    let answer = ServeFile::new(job.file()).oneshot(request).await;
    let Ok(answer) = answer;
    let (mut head, body) = answer.into_parts();
    let kind = match export.format {
        ExportFormat::Ndjson | ExportFormat::Ocsf => NDJSON,
        ExportFormat::Csv => "text/csv; charset=utf-8",
        ExportFormat::Parquet => "application/vnd.apache.parquet",
    };
    head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", manifest.sha256)) {
        head.headers.insert(header::ETAG, tag);
    }
    // What was revoked meanwhile gets no more of it.
    let body = Body::new(body).into_data_stream().map(move |part| {
        match caller.still_may(&app.control, Permission::Read, &log) {
            Ok(()) => part,
            Err(_) => Err(axum::Error::new(io::Error::other("the credential lost its leave"))),
        }
    });
    let facts = of(&export).with("first", manifest.first).with("last", manifest.last);
    Ok(Answer::here(Response::from_parts(head, Body::from_stream(body)), facts))
}

/// Delete an export, or give up one that is not finished; answers what it was.
#[utoipa::path(delete, path = "/v1/logs/{log}/exports/{export}", tag = "exports",
    params(("log" = String, Path, description = "Name of the log"), ("export" = String, Path, description = "Id of the export")),
    responses((status = 200, body = Export), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn delete_export(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((log, export)): Path<(String, String)>,
) -> Result<Answer> {
    app.log(&log)?;
    let job = app.exports.get(&caller, &log, &export)?;
    app.exports.delete(&job);
    let shown = job.show();
    Ok(Answer::json(&shown, of(&shown)))
}

/// Which export, for the trail, and what it found so far.
fn of(export: &Export) -> Facts {
    Facts::default().with("export", export.id.clone()).with("records", export.count)
}
