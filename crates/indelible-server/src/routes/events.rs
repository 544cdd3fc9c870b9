//! Reading: events as people see them, records as they were hashed.

use crate::{
    access::{Scope, caller::Caller},
    app::App,
    error::{ApiError, Result},
    http::answer::OldShown as Shown,
    http::body::in_background,
    http::params::Params,
    routes::search,
    trail::ACCESS,
};
use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use indelible_api::{Code, EnvelopeView, ErrorBody, EventView, MAX_PAGE, SearchPage};
use indelible_event::{Attachment, Envelope, Event, format_named};
use indelible_log::{Kind, Log, RECORDS_PER_BUNDLE};
use indelible_tlog::leaf_hash;
use serde::Deserialize;
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use utoipa::IntoParams;

/// Longest long poll in seconds.
const MAX_WAIT_S: u64 = 60;
/// Bytes of records after which a page ends early.
const PAGE_BYTES: usize = 4 << 20;
/// Records that a narrowed reader's page looks at at most; `next` goes on.
const MAX_SCANNED: u64 = 20_000;
/// Seconds between two looks of a long poll at the trail, which itself leaves a record.
const TRAIL_PAUSE_S: u64 = 5;

/// Which events, in which order.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ListParams {
    /// Cursor: start after this index (with `order=desc`: below it). With `q`, the
    /// `next` of the page before.
    after: Option<String>,
    /// Only events that this query finds (docs/query.md).
    q: Option<String>,
    /// With `q`: `head` waits until everything that is in the log is searched.
    consistency: Option<Consistency>,
    /// Items wanted, 1 to 1000; default 100.
    limit: usize,
    /// `asc` (default, oldest first) or `desc`.
    order: Order,
    /// With `asc`: wait up to this many seconds (at most 60) for a next event.
    wait: u64,
}

impl Default for ListParams {
    fn default() -> Self {
        Self { after: None, q: None, consistency: None, limit: 100, order: Order::Asc, wait: 0 }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Order {
    #[default]
    Asc,
    Desc,
}

/// What a search waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Consistency {
    /// Everything that was in the log when it was asked.
    Head,
}

fn not_found(record: &str) -> ApiError {
    ApiError::new(
        Code::RecordNotFound,
        format!("no record with index or id {record:?} in this log"),
    )
}

/// Index of a record named by index or id, if the caller may see it: what is not in
/// its scope does not exist for it.
pub(crate) fn locate(log: &Log, record: &str, scope: &Scope) -> Result<u64> {
    let index = match record.parse::<u64>() {
        Ok(index) if index < log.head().size => index,
        // An id may look like a number; an index wins.
        _ => log.find(record).map_err(|error| match error {
            indelible_log::LogError::NoRecord(_) => not_found(record),
            other => other.into(),
        })?,
    };
    if admits(log, &log.record(index)?, scope) { Ok(index) } else { Err(not_found(record)) }
}

/// Whether a record is in a scope. One that cannot be shown is in none but the whole.
fn admits(log: &Log, record: &[u8], scope: &Scope) -> bool {
    if scope.filters.is_none() {
        return true;
    }
    let event = Envelope::parse(record).ok().and_then(|envelope| event(log, &envelope).ok());
    event.is_some_and(|event| scope.admits(&event))
}

fn event(log: &Log, envelope: &Envelope<'_>) -> std::result::Result<Event, String> {
    let data = log.data(envelope).map_err(|e| e.to_string())?;
    let format = format_named(&envelope.format).map_err(|e| e.to_string())?;
    format.view(&data).map_err(|e| e.to_string())
}

/// A record as people see it; `None` if it is not in the scope.
pub(crate) fn view(log: &Log, index: u64, record: &[u8], scope: &Scope) -> Option<EventView> {
    let mut view = EventView {
        index,
        leaf_hash: leaf_hash(record).to_string(),
        envelope: None,
        event: Value::Null,
        note: None,
    };
    let narrowed = scope.filters.is_some();
    if log.manifest().kind == Kind::Raw {
        view.note = Some("a raw log: entries have no envelope".to_owned());
        return (!narrowed).then_some(view);
    }
    let envelope = match Envelope::parse(record) {
        Ok(envelope) => envelope,
        Err(error) => {
            view.note = Some(error.to_string());
            return (!narrowed).then_some(view);
        }
    };
    match event(log, &envelope) {
        Ok(event) if !scope.admits(&event) => return None,
        Ok(event) => match serde_json::to_value(event) {
            Ok(value) => view.event = value,
            Err(error) => view.note = Some(error.to_string()),
        },
        Err(_) if narrowed => return None,
        Err(note) => view.note = Some(note),
    }
    view.envelope = Some(EnvelopeView {
        v: envelope.v,
        id: envelope.id.into_owned(),
        received_at: envelope.received_at.into_owned(),
        recorded_by: envelope.recorded_by.into_owned(),
        format: envelope.format.into_owned(),
    });
    Some(view)
}

/// List events, oldest or newest first, by index; `wait` follows the log. With `q`, search.
#[utoipa::path(get, path = "/v1/logs/{log}/events", tag = "events", params(("log" = String, Path, description = "Name of the log"), ListParams),
    responses((status = 200, body = SearchPage), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn list_events(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(name): Path<String>,
    Params(params): Params<ListParams>,
) -> Result<Response> {
    if !(1..=MAX_PAGE).contains(&params.limit) {
        return Err(ApiError::invalid(format!(
            "limit is {}, expected 1 to {MAX_PAGE}",
            params.limit
        )));
    }
    if let Some(q) = params.q {
        let at_head = params.consistency.is_some();
        let (order, after, limit) = (params.order, params.after, params.limit);
        return search::find(&app, caller, name, q, order, after, limit, at_head).await;
    }
    let log = app.log(&name)?;
    let after = params.after.as_deref().map(str::parse::<u64>).transpose();
    let after = after.map_err(|_| {
        ApiError::invalid("after is not an index; cursors of a search go with its q")
    })?;
    let first = after.map_or(0, |after| after.saturating_add(1));
    if params.order == Order::Asc && params.wait > 0 {
        let mut stopping = app.stopping.subscribe();
        let mut heads = log.follow();
        let pause = if name == ACCESS { TRAIL_PAUSE_S.min(params.wait) } else { 0 };
        let wait = Duration::from_secs(params.wait.min(MAX_WAIT_S).saturating_sub(pause));
        let next = async {
            tokio::time::sleep(Duration::from_secs(pause)).await;
            // Whether something came or the time is up: answer with what is there.
            let came = heads.wait_for(|head| head.size > first);
            drop(tokio::time::timeout(wait, came).await);
        };
        tokio::select! {
            () = next => {}
            _ = stopping.wait_for(|stopping| *stopping) => {}
        }
    }
    in_background(move || {
        let page = page(&log, params.order, params.limit, after, &caller.scope)?;
        let shown = shown(&page.items);
        let mut response = Json(page).into_response();
        response.extensions_mut().insert(shown);
        Ok(response)
    })
    .await
}

/// What a page shows, for the trail.
pub(crate) fn shown(items: &[EventView]) -> Shown {
    let mut shown = Shown::default();
    shown.0.insert("records".to_owned(), items.len().into());
    if let (Some(first), Some(last)) = (items.first(), items.last()) {
        shown.0.insert("first".to_owned(), first.index.min(last.index).into());
        shown.0.insert("last".to_owned(), last.index.max(first.index).into());
    }
    shown
}

fn page(
    log: &Log,
    order: Order,
    limit: usize,
    after: Option<u64>,
    scope: &Scope,
) -> Result<SearchPage> {
    let first = after.map_or(0, |after| after.saturating_add(1));
    let size = log.head().size;
    let scanned = if scope.filters.is_some() { MAX_SCANNED } else { limit as u64 };
    match order {
        Order::Asc => {
            let range = first.min(size)..first.saturating_add(scanned).min(size);
            let (items, end) = scan(log, range, limit, scope)?;
            // Where the next page starts, whether or not the last record was shown.
            let next = (end < size && end > 0).then(|| (end - 1).to_string());
            Ok(SearchPage { items, next, indexed: size, size, problem: None })
        }
        Order::Desc => {
            let end = after.unwrap_or(size).min(size);
            let (items, at) = scan_back(log, end, scanned, limit, scope)?;
            let next = (at > 0).then(|| at.to_string());
            Ok(SearchPage { items, next, indexed: size, size, problem: None })
        }
    }
}

/// Views of a range, oldest first, and the index behind the last one looked at.
fn scan(
    log: &Log,
    range: std::ops::Range<u64>,
    limit: usize,
    scope: &Scope,
) -> Result<(Vec<EventView>, u64)> {
    let (mut items, mut bytes, mut at) = (Vec::new(), 0, range.start);
    while at < range.end && bytes < PAGE_BYTES && items.len() < limit {
        for record in log.records(at..range.end, PAGE_BYTES)? {
            if items.len() == limit || bytes >= PAGE_BYTES {
                break;
            }
            if let Some(view) = view(log, at, &record, scope) {
                bytes += record.len();
                items.push(view);
            }
            at += 1;
        }
    }
    Ok((items, at))
}

/// Views below `end`, newest first, and the index of the last one looked at.
fn scan_back(
    log: &Log,
    end: u64,
    scanned: u64,
    limit: usize,
    scope: &Scope,
) -> Result<(Vec<EventView>, u64)> {
    let lowest = end.saturating_sub(scanned);
    let (mut items, mut bytes, mut at) = (Vec::new(), 0, end);
    while at > lowest && bytes < PAGE_BYTES && items.len() < limit {
        // No more than is wanted, and never across a bundle.
        let bundle = (at - 1) / RECORDS_PER_BUNDLE * RECORDS_PER_BUNDLE;
        let wanted = if scope.filters.is_some() { RECORDS_PER_BUNDLE } else { limit as u64 };
        let from = bundle.max(lowest).max(at.saturating_sub(wanted));
        let records = log.records(from..at, usize::MAX)?;
        for record in records.iter().rev() {
            if items.len() == limit || bytes >= PAGE_BYTES {
                break;
            }
            at -= 1;
            if let Some(view) = view(log, at, record, scope) {
                bytes += record.len();
                items.push(view);
            }
        }
    }
    Ok((items, at))
}

/// Show one event, by index or id.
#[utoipa::path(get, path = "/v1/logs/{log}/events/{record}", tag = "events",
    params(("log" = String, Path, description = "Name of the log"), ("record" = String, Path, description = "Index or id")),
    responses((status = 200, body = EventView), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn show_event(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((name, record)): Path<(String, String)>,
) -> Result<Response> {
    let log = app.log(&name)?;
    in_background(move || {
        let index = locate(&log, &record, &caller.scope)?;
        let view = view(&log, index, &log.record(index)?, &caller.scope)
            .ok_or_else(|| not_found(&record))?;
        let shown = shown(std::slice::from_ref(&view));
        let mut response = Json(view).into_response();
        response.extensions_mut().insert(shown);
        Ok(response)
    })
    .await
}

/// The bytes of a record exactly as they were hashed, by index or id.
#[utoipa::path(get, path = "/v1/logs/{log}/records/{record}", tag = "events",
    params(("log" = String, Path, description = "Name of the log"), ("record" = String, Path, description = "Index or id")),
    responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn show_record(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((name, record)): Path<(String, String)>,
) -> Result<Response> {
    let log = app.log(&name)?;
    in_background(move || Ok(octets(log.record(locate(&log, &record, &caller.scope)?)?))).await
}

/// The bytes of an attachment, by the SHA-256 its record names. Attachments do not say
/// whose they are, so a credential narrowed to a tenant sees none.
#[utoipa::path(get, path = "/v1/logs/{log}/attachments/{sha256}", tag = "events",
    params(("log" = String, Path, description = "Name of the log"), ("sha256" = String, Path, description = "64 hex digits")),
    responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn show_attachment(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((name, sha256)): Path<(String, String)>,
) -> Result<Response> {
    caller.require_whole("attachments")?;
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
