//! Reading: events as people see them, records as they were hashed.

use crate::{
    access::caller::Caller,
    app::App,
    error::{ApiError, Result},
    http::params::Params,
    http::{answer::Answer, held},
    reading::{
        Order,
        page::page,
        reader::Reader,
        room::{Reading, Room},
        search::{self, Wanted},
        view::{locate, named, one},
    },
    redact::redact,
    subject::ACCESS,
    trail::shown::Facts,
};
use axum::extract::{Path, State};
use indelible_api::{Code, ErrorBody, EventView, MAX_PAGE, ReadConsistency, SearchPage};
use indelible_event::Attachment;
use indelible_log::Log;
use serde::Deserialize;
use std::{sync::Arc, time::Duration};
use utoipa::IntoParams;

/// Bytes of an answer whose bytes are the sender's.
const OCTETS: &str = "application/octet-stream";
/// Largest attachment in bytes: that of an event.
const MAX_ATTACHMENT: usize = 16 << 20;

/// Longest long poll in seconds.
const MAX_WAIT_S: u64 = 60;
/// Seconds between two looks of a long poll at the trail, which itself leaves a record.
const TRAIL_PAUSE_S: u64 = 5;

/// Which events, in which order.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ListParams {
    /// Cursor: start after this index (with `order=desc`: below it). With `q`, the
    /// `next` of the page before.
    after: Option<String>,
    /// Only events that this query finds (docs/query.md).
    q: Option<String>,
    /// With `q`: `head` (default) waits some seconds until everything that is in the log is
    /// searched; `now` does not.
    consistency: ReadConsistency,
    /// Items wanted, 1 to 1000; default 100.
    limit: usize,
    /// `asc` (default, oldest first) or `desc`.
    order: Order,
    /// With `asc`: wait up to this many seconds (at most 60) for a next event.
    wait: u64,
}

impl Default for ListParams {
    fn default() -> Self {
        Self {
            after: None,
            q: None,
            consistency: ReadConsistency::Head,
            limit: 100,
            order: Order::Asc,
            wait: 0,
        }
    }
}

impl ListParams {
    /// What was asked for, for the trail.
    fn asked(&self) -> Facts {
        let facts = Facts::default().with("order", self.order.name()).with("limit", self.limit);
        let facts = facts.with_some("q", self.q.as_deref().map(redact));
        facts.with_some("after", self.after.as_deref().map(redact))
    }

    /// The index to start after.
    fn after_index(&self) -> Result<Option<u64>> {
        let after = self.after.as_deref().map(str::parse::<u64>).transpose();
        after.map_err(|_| {
            ApiError::invalid("after is not an index; cursors of a search go with its q")
        })
    }
}

/// List events, oldest or newest first, by index; `wait` follows the log. With `q`, search.
#[utoipa::path(get, path = "/v1/logs/{log}/events", tag = "events", params(("log" = String, Path, description = "Name of the log"), ListParams),
    responses((status = 200, body = SearchPage), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn list_events(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(name): Path<String>,
    Params(params): Params<ListParams>,
) -> Result<Answer> {
    check_limit(params.limit)?;
    let asked = params.asked();
    let reader = Reader::of_one(&app.desk, caller, &name);
    let (page, held) = match params.q {
        Some(q) => {
            let (order, after, limit) = (params.order, params.after, params.limit);
            let consistency = params.consistency;
            search::find(&reader, Wanted { name, q, order, after, limit, consistency }).await?
        }
        None => {
            let (log, after) = (app.log(&name)?, params.after_index()?);
            if params.order == Order::Asc && params.wait > 0 {
                follow(&app, &name, &log, params.wait, after).await;
                reader.still_may()?;
            }
            let (order, limit, scope) =
                (params.order, params.limit, Arc::clone(&reader.caller.scope));
            let read =
                move |room: &mut Room| page(room, (&name, &log), order, limit, after, &scope);
            reader.read(read).await?
        }
    };
    let facts = Facts::of_records(page.items.iter().map(|item| item.index));
    Ok(Answer::here(held::json(page, held).await?, facts.and(asked)))
}

/// Refuses a page of no items, or of too many.
pub(crate) fn check_limit(limit: usize) -> Result<()> {
    match (1..=MAX_PAGE).contains(&limit) {
        true => Ok(()),
        false => Err(ApiError::invalid(format!("limit is {limit}, expected 1 to {MAX_PAGE}"))),
    }
}

/// Waits until there is an event behind `after`, or the time is up.
async fn follow(app: &App, name: &str, log: &Log, wait: u64, after: Option<u64>) {
    let first = after.map_or(0, |after| after.saturating_add(1));
    let mut stopping = app.stopping.subscribe();
    let mut heads = log.follow();
    let pause = if name == ACCESS { TRAIL_PAUSE_S.min(wait) } else { 0 };
    let wait = Duration::from_secs(wait.min(MAX_WAIT_S).saturating_sub(pause));
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

/// Show one event.
#[utoipa::path(get, path = "/v1/logs/{log}/events/{record}", tag = "events",
    params(("log" = String, Path, description = "Name of the log"), ("record" = String, Path, description = "Index, or id:ID")),
    responses((status = 200, body = EventView), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn show_event(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((name, record)): Path<(String, String)>,
) -> Result<Answer> {
    let (log, scope) = (app.log(&name)?, Arc::clone(&caller.scope));
    let record = named(&record)?;
    let reader = Reader::of_one(&app.desk, caller, &name);
    let (event, held) = reader.read(move |room| one(room, &log, &record, &scope)).await?;
    let facts = Facts::of_record(event.index);
    Ok(Answer::here(held::json(event, held).await?, facts))
}

/// The bytes of a record exactly as they were hashed.
#[utoipa::path(get, path = "/v1/logs/{log}/records/{record}", tag = "events",
    params(("log" = String, Path, description = "Name of the log"), ("record" = String, Path, description = "Index, or id:ID")),
    responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn show_record(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((name, record)): Path<(String, String)>,
) -> Result<Answer> {
    let (log, scope) = (app.log(&name)?, Arc::clone(&caller.scope));
    let record = named(&record)?;
    let reader = Reader::of_one(&app.desk, caller, &name);
    let read = move |room: &mut Room| -> Reading<(u64, Vec<u8>)> {
        let index = locate(room, &log, &record, &scope)?;
        Ok((index, log.record(index)?))
    };
    // A record is small; what was held is what it took to see whether it may be shown.
    let ((index, bytes), _) = reader.read(read).await?;
    Ok(Answer::here(held::response(OCTETS, bytes, None), Facts::of_record(index)))
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
) -> Result<Answer> {
    caller.require_whole("attachments")?;
    let log = app.log(&name)?;
    let missing =
        || ApiError::new(Code::RecordNotFound, format!("no attachment {sha256:?} in this log"));
    let attachment = Attachment::from_hex(&sha256).ok_or_else(missing)?;
    let reader = Reader::of_one(&app.desk, caller, &name);
    let read = move |room: &mut Room| -> Reading<Vec<u8>> {
        // How large it is, is seen when it is read.
        room.look(MAX_ATTACHMENT)?;
        Ok(log.attachment_by_hash(attachment)?)
    };
    let (bytes, held) = reader.read(read).await?;
    let facts = Facts::default().with("attachment", attachment.hex()).with("bytes", bytes.len());
    Ok(Answer::here(held::response(OCTETS, bytes, held), facts))
}
