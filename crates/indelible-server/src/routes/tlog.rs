//! The C2SP tlog-tiles read API, and the raw add route that tlog load tools use.

use crate::{
    access::{Permission, caller::Caller},
    app::App,
    background::in_background,
    error::{ApiError, Result},
    http::{
        answer::Answer,
        asked::{Asked, no_such_tile},
    },
    intake::submit,
    routes::proofs,
    trail::shown::Facts,
};
use axum::{
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use indelible_api::{Code, ErrorBody};
use indelible_log::{Batch, Kind, Placed};
use indelible_tlog::{MAX_ENTRY_LEN, TILE_WIDTH, TilePath};
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
) -> Result<Answer> {
    let note = app.log(&name)?.head().note.to_string();
    Ok(Answer::here(public(proofs::text(note)), Facts::default()))
}

/// A hash tile `{L}/{N}[.p/{W}]`.
#[utoipa::path(get, path = "/tlog/{log}/tile/{path}", tag = "tlog-tiles",
    params(("log" = String, Path, description = "Name of the log"), ("path" = String, Path, description = "Tile path of C2SP tlog-tiles")),
    responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn tile(
    State(app): State<Arc<App>>,
    caller: Caller,
    asked: Asked,
) -> Result<Answer> {
    serve(&app, &caller, &asked).await
}

/// An entry bundle `entries/{N}[.p/{W}]`: up to 256 records.
#[utoipa::path(get, path = "/tlog/{log}/tile/entries/{path}", tag = "tlog-tiles",
    params(("log" = String, Path, description = "Name of the log"), ("path" = String, Path, description = "Tile path of C2SP tlog-tiles")),
    responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn bundle(
    State(app): State<Arc<App>>,
    caller: Caller,
    asked: Asked,
) -> Result<Answer> {
    serve(&app, &caller, &asked).await
}

/// Serves the tile that was parsed and decided on, whichever route it came by.
async fn serve(app: &App, caller: &Caller, asked: &Asked) -> Result<Answer> {
    caller.require_whole("tiles")?;
    let name = asked.log.as_deref().unwrap_or_default();
    let (log, tile) = (app.log(name)?, asked.tile()?);
    if tile.level.is_none() && asked.rule.permission != Permission::Read {
        return Err(ApiError::new(Code::Internal, "records were asked for without leave to read"));
    }
    let bytes = in_background(move || Ok(log.tile(&tile)?)).await?.ok_or_else(no_such_tile)?;
    let is_public = app.control.current().logs.get(name).is_some_and(|entry| entry.public);
    let cache = if is_public && tile.level.is_some() { PUBLIC } else { PRIVATE };
    let mut response = bytes.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CACHE_CONTROL, cache);
    Ok(Answer::here(public(response), facts(&tile)))
}

/// The records that an entry bundle shows.
fn facts(tile: &TilePath) -> Facts {
    let first = tile.index.saturating_mul(TILE_WIDTH);
    match tile.level {
        Some(_) => Facts::default(),
        None => Facts::default()
            .with("records", tile.width)
            .with("first", first)
            .with("last", first.saturating_add(u64::from(tile.width)).saturating_sub(1)),
    }
}

/// Append the body as one raw entry; answers its index in decimal once it is
/// durable. Only in logs created with `raw_add`.
#[utoipa::path(post, path = "/tlog/{log}/add", tag = "tlog-tiles", params(("log" = String, Path, description = "Name of the log")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 200, body = String, content_type = "text/plain"), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody), (status = 413, body = ErrorBody)))]
pub(crate) async fn add(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer> {
    if !caller.scope.is_whole() {
        return Err(ApiError::new(
            Code::Forbidden,
            "this credential writes for one tenant only, and raw entries have none",
        ));
    }
    let log = app.log(&name)?;
    if log.manifest().kind != Kind::Raw {
        return Err(ApiError::new(
            Code::WrongKind,
            format!("log {name:?} takes events; raw entries need a log created with --raw-add"),
        ));
    }
    let entry = app.bodies.receive_entry(caller.who(), &headers, body, MAX_ENTRY_LEN).await?;
    caller.still_may(&app.control, Permission::Append, &name)?;
    let mut batch = Batch::new();
    batch.push_raw(&entry).map_err(|e| ApiError::new(Code::TooLarge, e.to_string()))?;
    match submit(&log, &name, batch, false, &app.troubles).await?.placed.first() {
        Some(Placed::Created(index)) => Ok(Answer::nothing(proofs::text(index.to_string()))),
        _ => Err(ApiError::new(Code::Internal, "the entry was not placed")),
    }
}
