//! Reading: events as people see them, records as they were hashed.

use crate::{
    app::App,
    body::in_background,
    error::{ApiError, Result},
    params::Params,
};
use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use indelible_api::{Code, EnvelopeView, ErrorBody, EventView, MAX_PAGE, Page};
use indelible_event::{Attachment, Envelope, format_named};
use indelible_log::{Kind, Log};
use indelible_tlog::leaf_hash;
use serde::Deserialize;
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use utoipa::IntoParams;

/// Longest long poll in seconds.
const MAX_WAIT_S: u64 = 60;
/// Bytes of records after which a page ends early.
const PAGE_BYTES: usize = 4 << 20;

/// Which events, in which order.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ListParams {
    /// Cursor: start after this index (with `order=desc`: below it).
    after: Option<u64>,
    /// Items wanted, 1 to 1000; default 100.
    limit: usize,
    /// `asc` (default, oldest first) or `desc`.
    order: Order,
    /// With `asc`: wait up to this many seconds (at most 60) for a next event.
    wait: u64,
}

impl Default for ListParams {
    fn default() -> Self {
        Self { after: None, limit: 100, order: Order::Asc, wait: 0 }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
enum Order {
    #[default]
    Asc,
    Desc,
}

/// Index of a record named by index or id.
pub(crate) fn locate(log: &Log, record: &str) -> Result<u64> {
    match record.parse::<u64>() {
        Ok(index) if index < log.head().size => Ok(index),
        // An id may look like a number; an index wins.
        _ => log.find(record).map_err(|error| match error {
            indelible_log::LogError::NoRecord(_) => ApiError::new(
                Code::RecordNotFound,
                format!("no record with index or id {record:?} in this log"),
            ),
            other => other.into(),
        }),
    }
}

fn view(log: &Log, index: u64, record: &[u8]) -> EventView {
    let mut view = EventView {
        index,
        leaf_hash: leaf_hash(record).to_string(),
        envelope: None,
        event: Value::Null,
        note: None,
    };
    if log.manifest().kind == Kind::Raw {
        view.note = Some("a raw log: entries have no envelope".to_owned());
        return view;
    }
    match show(log, record) {
        Ok((envelope, event)) => {
            view.envelope = Some(envelope);
            match event {
                Ok(event) => view.event = event,
                Err(note) => view.note = Some(note),
            }
        }
        Err(note) => view.note = Some(note),
    }
    view
}

/// The envelope, and the native view or why there is none.
fn show(
    log: &Log,
    record: &[u8],
) -> std::result::Result<(EnvelopeView, std::result::Result<Value, String>), String> {
    let envelope = Envelope::parse(record).map_err(|e| e.to_string())?;
    let event = log.data(&envelope).map_err(|e| e.to_string()).and_then(|data| {
        let format = format_named(&envelope.format).map_err(|e| e.to_string())?;
        let event = format.view(&data).map_err(|e| e.to_string())?;
        serde_json::to_value(event).map_err(|e| e.to_string())
    });
    let envelope = EnvelopeView {
        v: envelope.v,
        id: envelope.id.into_owned(),
        received_at: envelope.received_at.into_owned(),
        recorded_by: envelope.recorded_by.into_owned(),
        format: envelope.format.into_owned(),
    };
    Ok((envelope, event))
}

/// List events, oldest or newest first, by index; `wait` follows the log.
#[utoipa::path(get, path = "/v1/logs/{log}/events", tag = "events", params(("log" = String, Path, description = "Name of the log"), ListParams),
    responses((status = 200, body = Page<EventView>), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn list_events(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    Params(params): Params<ListParams>,
) -> Result<Json<Page<EventView>>> {
    if !(1..=MAX_PAGE).contains(&params.limit) {
        return Err(ApiError::invalid(format!(
            "limit is {}, expected 1 to {MAX_PAGE}",
            params.limit
        )));
    }
    let log = app.log(&name)?;
    let first = params.after.map_or(0, |after| after.saturating_add(1));
    if params.order == Order::Asc && params.wait > 0 {
        let wait = Duration::from_secs(params.wait.min(MAX_WAIT_S));
        let (mut heads, mut stopping) = (log.follow(), app.stopping.subscribe());
        // Whether something came, the time is up or the server stops: answer with what is there.
        tokio::select! {
            _ = heads.wait_for(|head| head.size > first) => {}
            _ = stopping.wait_for(|stopping| *stopping) => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
    in_background(move || page(&log, &params, first).map(Json)).await
}

fn page(log: &Log, params: &ListParams, first: u64) -> Result<Page<EventView>> {
    let size = log.head().size;
    let range = match params.order {
        Order::Asc => first.min(size)..first.saturating_add(params.limit as u64).min(size),
        Order::Desc => {
            let end = params.after.unwrap_or(size).min(size);
            end.saturating_sub(params.limit as u64)..end
        }
    };
    let mut items = Vec::new();
    let mut bytes = 0;
    let mut at = range.start;
    while at < range.end && bytes < PAGE_BYTES {
        for record in log.records(at..range.end, PAGE_BYTES)? {
            bytes += record.len();
            items.push(view(log, at, &record));
            at += 1;
        }
    }
    let more = match params.order {
        Order::Asc => at < size,
        Order::Desc => range.start > 0,
    };
    if params.order == Order::Desc {
        items.reverse();
    }
    let next = items.last().filter(|_| more).map(|item| item.index.to_string());
    Ok(Page { items, next })
}

/// Show one event, by index or id.
#[utoipa::path(get, path = "/v1/logs/{log}/events/{record}", tag = "events",
    params(("log" = String, Path, description = "Name of the log"), ("record" = String, Path, description = "Index or id")),
    responses((status = 200, body = EventView), (status = 404, body = ErrorBody)))]
pub(crate) async fn show_event(
    State(app): State<Arc<App>>,
    Path((name, record)): Path<(String, String)>,
) -> Result<Json<EventView>> {
    let log = app.log(&name)?;
    in_background(move || {
        let index = locate(&log, &record)?;
        Ok(Json(view(&log, index, &log.record(index)?)))
    })
    .await
}

/// The bytes of a record exactly as they were hashed, by index or id.
#[utoipa::path(get, path = "/v1/logs/{log}/records/{record}", tag = "events",
    params(("log" = String, Path, description = "Name of the log"), ("record" = String, Path, description = "Index or id")),
    responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>), (status = 404, body = ErrorBody)))]
pub(crate) async fn show_record(
    State(app): State<Arc<App>>,
    Path((name, record)): Path<(String, String)>,
) -> Result<Response> {
    let log = app.log(&name)?;
    let bytes = in_background(move || Ok(log.record(locate(&log, &record)?)?)).await?;
    Ok(octets(bytes))
}

/// The bytes of an attachment, by the SHA-256 its record names.
#[utoipa::path(get, path = "/v1/logs/{log}/attachments/{sha256}", tag = "events",
    params(("log" = String, Path, description = "Name of the log"), ("sha256" = String, Path, description = "64 hex digits")),
    responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>), (status = 404, body = ErrorBody)))]
pub(crate) async fn show_attachment(
    State(app): State<Arc<App>>,
    Path((name, sha256)): Path<(String, String)>,
) -> Result<Response> {
    let log = app.log(&name)?;
    let missing =
        || ApiError::new(Code::RecordNotFound, format!("no attachment {sha256:?} in this log"));
    let attachment = Attachment::from_hex(&sha256).ok_or_else(missing)?;
    in_background(move || Ok(octets(log.attachment_by_hash(attachment)?))).await
}

fn octets(bytes: Vec<u8>) -> Response {
    let mut response = bytes.into_response();
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    response
}
