//! The C2SP tlog-tiles read API, and the raw add route that tlog load tools use.

use crate::{
    access::gate::Caller,
    app::App,
    body::{in_background, receive_entry},
    error::{ApiError, Result},
    routes::proofs,
};
use axum::{
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use indelible_api::{Code, ErrorBody};
use indelible_log::{Batch, Kind, Placed};
use indelible_tlog::{MAX_ENTRY_LEN, TilePath};
use std::sync::Arc;

/// A tile never changes once there is one.
const PUBLIC: HeaderValue = HeaderValue::from_static("public, max-age=604800, immutable");
const PRIVATE: HeaderValue = HeaderValue::from_static("private, max-age=604800, immutable");

fn public(mut response: Response) -> Response {
    response
        .headers_mut()
        .insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

/// The latest signed checkpoint.
#[utoipa::path(get, path = "/tlog/{log}/checkpoint", tag = "tlog-tiles", params(("log" = String, Path, description = "Name of the log")),
    responses((status = 200, body = String, content_type = "text/plain"), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn checkpoint(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Response> {
    Ok(public(proofs::text(app.log(&name)?.head().note.to_string())))
}

/// A hash tile `{L}/{N}[.p/{W}]`.
#[utoipa::path(get, path = "/tlog/{log}/tile/{path}", tag = "tlog-tiles",
    params(("log" = String, Path, description = "Name of the log"), ("path" = String, Path, description = "Tile path of C2SP tlog-tiles")),
    responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn tile(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((name, path)): Path<(String, String)>,
) -> Result<Response> {
    serve(&app, &caller, &name, format!("tile/{path}")).await
}

/// An entry bundle `entries/{N}[.p/{W}]`: 256 records.
#[utoipa::path(get, path = "/tlog/{log}/tile/entries/{path}", tag = "tlog-tiles",
    params(("log" = String, Path, description = "Name of the log"), ("path" = String, Path, description = "Tile path of C2SP tlog-tiles")),
    responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn bundle(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((name, path)): Path<(String, String)>,
) -> Result<Response> {
    serve(&app, &caller, &name, format!("tile/entries/{path}")).await
}

async fn serve(app: &App, caller: &Caller, name: &str, path: String) -> Result<Response> {
    caller.whole("tiles")?;
    let log = app.log(name)?;
    let absent = || ApiError::new(Code::NotFound, "no such tile at this size of the log");
    let path: TilePath = path.parse().map_err(|_| absent())?;
    let bytes = in_background(move || Ok(log.tile(&path)?)).await?.ok_or_else(absent)?;
    let is_public = app.control.current().logs.get(name).is_some_and(|entry| entry.public);
    let mut response = bytes.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CACHE_CONTROL, if is_public { PUBLIC } else { PRIVATE });
    Ok(public(response))
}

/// Append the body as one raw entry; answers its index in decimal once it is
/// durable. Only in logs created with `raw_add`.
#[utoipa::path(post, path = "/tlog/{log}/add", tag = "tlog-tiles", params(("log" = String, Path, description = "Name of the log")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 200, body = String, content_type = "text/plain"), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody), (status = 413, body = ErrorBody)))]
pub(crate) async fn add(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response> {
    let log = app.log(&name)?;
    if log.manifest().kind != Kind::Raw {
        return Err(ApiError::new(
            Code::WrongKind,
            format!("log {name:?} takes events; raw entries need a log created with --raw-add"),
        ));
    }
    let entry = receive_entry(&app, &headers, body, MAX_ENTRY_LEN).await?;
    let mut batch = Batch::new();
    batch.push_raw(&entry).map_err(|e| ApiError::new(Code::TooLarge, e.to_string()))?;
    match log.submit(batch).await?.placed.first() {
        Some(Placed::Created(index)) => Ok(proofs::text(index.to_string())),
        _ => Err(ApiError::new(Code::Internal, "the entry was not placed")),
    }
}
