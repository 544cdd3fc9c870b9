//! Exports: asked for, looked at, downloaded.

use crate::{
    access::{
        gate::{Caller, Shown},
        token::asked,
    },
    app::App,
    body::receive_json,
    control::new_id,
    error::{ApiError, Result},
    jobs::export::Wanted,
    routes::search::{index_of, query},
};
use axum::{
    Json,
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::StreamExt as _;
use indelible_api::{
    Code, ErrorBody, Export, ExportFormat, ExportRequest, ExportState, Manifest, NDJSON, Page,
};
use indelible_event::Timestamp;
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
) -> Result<Response> {
    let wanted: ExportRequest = receive_json(&app, &headers, body).await?;
    let (log, search) = (app.log(&name)?, index_of(&app, &name)?);
    let now = app.control.now();
    app.exports.expire(now);
    app.exports.check_room()?;
    let query = query(&caller, &wanted.q, now.as_micros())?;
    let size = log.head().size;
    let mut shown = Shown::default();
    shown.0.insert("q".to_owned(), asked(&wanted.q));
    shown.0.insert("format".to_owned(), wanted.format.name().into());
    shown.0.insert("proofs".to_owned(), wanted.proofs.into());
    shown.0.insert("size".to_owned(), size.into());
    let manifest = Manifest {
        v: 1,
        log: name,
        origin: log.manifest().origin.clone(),
        q: wanted.q,
        format: wanted.format,
        proofs: wanted.proofs,
        made_by: caller.known()?.id.clone(),
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
    shown.0.insert("export".to_owned(), id.clone().into());
    let export = app.exports.start(&app, caller, id, Wanted { log, search, query, manifest })?;
    let mut response = (StatusCode::ACCEPTED, Json(export)).into_response();
    response.extensions_mut().insert(shown);
    Ok(response)
}

/// List the caller's exports of a log, newest first.
#[utoipa::path(get, path = "/v1/logs/{log}/exports", tag = "exports", params(("log" = String, Path, description = "Name of the log")),
    responses((status = 200, body = Page<Export>), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn list_exports(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(log): Path<String>,
) -> Result<Json<Page<Export>>> {
    app.log(&log)?;
    app.exports.expire(app.control.now());
    Ok(Json(Page { items: app.exports.list(&caller, &log)?, next: None }))
}

/// How far an export is; with its manifest when it is done.
#[utoipa::path(get, path = "/v1/logs/{log}/exports/{export}", tag = "exports",
    params(("log" = String, Path, description = "Name of the log"), ("export" = String, Path, description = "Id of the export")),
    responses((status = 200, body = Export), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn show_export(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((log, export)): Path<(String, String)>,
) -> Result<Json<Export>> {
    app.log(&log)?;
    Ok(Json(app.exports.get(&caller, &log, &export)?.show()))
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
) -> Result<Response> {
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
        match caller.still_may_read(&app, &log) {
            true => part,
            false => Err(axum::Error::new(io::Error::other("the credential lost its leave"))),
        }
    });
    Ok(Response::from_parts(head, Body::from_stream(body)))
}

/// Delete an export, or give up one that is not finished; answers what it was.
#[utoipa::path(delete, path = "/v1/logs/{log}/exports/{export}", tag = "exports",
    params(("log" = String, Path, description = "Name of the log"), ("export" = String, Path, description = "Id of the export")),
    responses((status = 200, body = Export), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn delete_export(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((log, export)): Path<(String, String)>,
) -> Result<Json<Export>> {
    app.log(&log)?;
    let job = app.exports.get(&caller, &log, &export)?;
    app.exports.delete(&job);
    Ok(Json(job.show()))
}
