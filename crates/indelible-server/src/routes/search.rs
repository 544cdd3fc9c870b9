//! Search: events by query, context, and the live tail.

use crate::{
    access::caller::Caller,
    app::App,
    error::{ApiError, Result},
    http::body::in_background,
    http::params::Params,
    routes::events::{Order, locate, shown, view},
    trail::{Access, Outcome},
};
use axum::{
    Json,
    extract::{Path, State},
    http::HeaderMap,
    response::{
        IntoResponse, Response,
        sse::{Event as SseEvent, KeepAlive, Sse},
    },
};
use indelible_api::{Code, ErrorBody, EventView, MAX_PAGE, Page, SearchPage};
use indelible_index::{Field, LogIndex, Order as SearchOrder, Query, SearchError, Source, parse};
use indelible_log::Log;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::sync::mpsc;
use utoipa::IntoParams;

/// What is said of an index that does not go on.
pub(crate) const PROBLEM: &str = "the index does not go on; the server's log says why";
/// How long `consistency=head` waits.
const HEAD_WAIT: Duration = Duration::from_secs(30);
/// How long a search waits for its turn.
const TURN_WAIT: Duration = Duration::from_secs(10);
/// Time between two comments that keep a silent tail open.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Events that wait for a slow reader of a tail, and how long before it is cut off.
const TAIL_QUEUE: usize = 256;
const TAIL_PATIENCE: Duration = Duration::from_secs(30);
/// Records a tail reads at a time.
const TAIL_STEP: u64 = 256;

impl From<SearchError> for ApiError {
    fn from(error: SearchError) -> Self {
        match error {
            SearchError::TooSlow | SearchError::TooManyBuckets => {
                Self::new(Code::QueryTooSlow, error.to_string())
            }
            SearchError::Log(error) => error.into(),
            SearchError::Index(_) => Self::internal(
                "the index could not be read; the server's log says what is wrong, and deleting the index rebuilds it",
                &error,
            ),
        }
    }
}

/// Where a search goes on. Bound to the query and to the moment that its ages count from.
struct Cursor {
    beyond: u64,
    now_us: i64,
}

impl Cursor {
    fn check(&self, log: &str, q: &str, order: Order) -> String {
        let text = format!("{log}\n{q}\n{order:?}\n{}\n{}", self.beyond, self.now_us);
        let mut check = crate::random::hex(&Sha256::digest(text.as_bytes()));
        check.truncate(16);
        check
    }

    fn encode(&self, log: &str, q: &str, order: Order) -> String {
        format!("c1.{}.{}.{}", self.beyond, self.now_us, self.check(log, q, order))
    }

    fn decode(text: &str, log: &str, q: &str, order: Order) -> Result<Self> {
        let refused = || {
            ApiError::new(
                Code::InvalidCursor,
                "the cursor is not one of this query, in this log and order; begin without it",
            )
        };
        let mut parts = text.split('.');
        let (Some("c1"), Some(beyond), Some(now), Some(check), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(refused());
        };
        let cursor = Self {
            beyond: beyond.parse().map_err(|_| refused())?,
            now_us: now.parse().map_err(|_| refused())?,
        };
        if cursor.check(log, q, order) == check { Ok(cursor) } else { Err(refused()) }
    }
}

/// A query of a caller: parsed, and narrowed to what it may see.
pub(crate) fn query(caller: &Caller, q: &str, now_us: i64) -> Result<Query> {
    Ok(caller.scope.narrow(parsed(q, now_us)?))
}

/// A query as it was typed.
pub(crate) fn parsed(q: &str, now_us: i64) -> Result<Query> {
    parse(q, now_us).map_err(|e| ApiError::new(Code::InvalidQuery, e.to_string()))
}

pub(crate) fn index_of(app: &App, name: &str) -> Result<Arc<LogIndex>> {
    app.log(name)?;
    app.indexes.get(name).ok_or_else(|| {
        ApiError::new(
            Code::WrongKind,
            format!("log {name:?} cannot be searched: it takes raw entries, or its index cannot be opened"),
        )
    })
}

/// Waits until the index has what the log had when this was called.
pub(crate) async fn reach_head(index: &LogIndex, log: &Log) -> Result<()> {
    let size = log.head().size;
    let mut indexed = index.indexed();
    let reached = indexed.wait_for(|indexed| *indexed >= size);
    match tokio::time::timeout(HEAD_WAIT, reached).await {
        Ok(_) => Ok(()),
        Err(_) => Err(ApiError::new(
            Code::IndexBehind,
            format!(
                "the index has not reached record {size} in time; without consistency=head the search shows how far it is"
            ),
        )),
    }
}

/// Runs a search: some at a time, so that they neither take all threads and memory nor
/// hold up each other; the others wait a while.
pub(crate) async fn searching<T: Send + 'static>(
    app: &App,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let turn = tokio::time::timeout(TURN_WAIT, app.searches.acquire()).await;
    let _turn = turn.map_err(|_| {
        ApiError::new(Code::Overloaded, "too many searches at once; try again").retry_after(2)
    })?;
    in_background(work).await
}

/// A page of a search: the part of `GET …/events` with `q`.
#[expect(clippy::too_many_arguments, reason = "the parameters of the route")]
pub(crate) async fn find(
    app: &Arc<App>,
    caller: Caller,
    name: String,
    q: String,
    order: Order,
    after: Option<String>,
    limit: usize,
    at_head: bool,
) -> Result<Response> {
    let (log, index) = (app.log(&name)?, index_of(app, &name)?);
    let cursor = after.map(|text| Cursor::decode(&text, &name, &q, order)).transpose()?;
    let now_us =
        cursor.as_ref().map_or_else(|| app.control.now().as_micros(), |cursor| cursor.now_us);
    let query = query(&caller, &q, now_us)?;
    if at_head {
        reach_head(&index, &log).await?;
    }
    searching(app, move || {
        let search_order = match order {
            Order::Asc => SearchOrder::OldestFirst,
            Order::Desc => SearchOrder::NewestFirst,
        };
        let beyond = cursor.map(|cursor| cursor.beyond);
        let hits = index.search(&query, search_order, beyond, limit)?;
        let mut items = Vec::with_capacity(hits.indexes.len());
        for at in hits.indexes {
            items.extend(view(&log, at, &log.record(at)?, &caller.scope));
        }
        let next = hits.next.map(|beyond| Cursor { beyond, now_us }.encode(&name, &q, order));
        let shown = shown(&items);
        let page = SearchPage {
            items,
            next,
            indexed: hits.indexed,
            size: log.head().size,
            problem: index.problem().map(|_| PROBLEM.to_owned()),
        };
        let mut response = Json(page).into_response();
        response.extensions_mut().insert(shown);
        Ok(response)
    })
    .await
}

/// Around which record, and by what it belongs together.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ContextParams {
    /// `position` (default: the records before and after it), `actor`, `session`,
    /// `request` or `trace` (the nearest records with the same).
    by: String,
    /// Records before and after it, 0 to 500 each; default 10.
    n: usize,
}

impl Default for ContextParams {
    fn default() -> Self {
        Self { by: "position".to_owned(), n: 10 }
    }
}

/// The records around one: by position, or of the same actor, session, request or
/// trace; oldest first, itself included.
#[utoipa::path(get, path = "/v1/logs/{log}/events/{record}/context", tag = "search",
    params(("log" = String, Path, description = "Name of the log"), ("record" = String, Path, description = "Index or id"), ContextParams),
    responses((status = 200, body = Page<EventView>), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn context(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((name, record)): Path<(String, String)>,
    Params(params): Params<ContextParams>,
) -> Result<Response> {
    if params.n > MAX_PAGE / 2 {
        return Err(ApiError::invalid(format!(
            "n is {}, expected at most {}",
            params.n,
            MAX_PAGE / 2
        )));
    }
    let log = app.log(&name)?;
    let index = index_of(&app, &name)?;
    searching(&app, move || {
        let at = locate(&log, &record, &caller.scope)?;
        let q = match params.by.as_str() {
            "position" => String::new(),
            "actor" | "session" | "request" | "trace" => same(&log, at, &params.by)?,
            other => {
                return Err(ApiError::invalid(format!(
                    "by is {other:?}, expected position, actor, session, request or trace"
                )));
            }
        };
        let query = query(&caller, &q, 0)?;
        let before = index.search(&query, SearchOrder::NewestFirst, Some(at), params.n.max(1))?;
        let after = index.search(&query, SearchOrder::OldestFirst, Some(at), params.n.max(1))?;
        let mut indexes: Vec<u64> = before.indexes.into_iter().take(params.n).collect();
        indexes.reverse();
        indexes.push(at);
        indexes.extend(after.indexes.into_iter().take(params.n));
        let mut items = Vec::with_capacity(indexes.len());
        for index in indexes {
            items.extend(view(&log, index, &log.record(index)?, &caller.scope));
        }
        let shown = shown(&items);
        let mut response = Json(Page { items, next: None }).into_response();
        response.extensions_mut().insert(shown);
        Ok(response)
    })
    .await
}

/// The query for records with the same actor, session, request or trace.
fn same(log: &Log, at: u64, by: &str) -> Result<String> {
    let record = log.record(at)?;
    let source = Source::of(log, at, &record)?;
    let doc = source.read();
    let value = Field::named(by).and_then(|field| doc.values(field).next());
    let value = value.ok_or_else(|| {
        ApiError::new(
            Code::RecordNotFound,
            format!("record {at} has no {by}, so none has the same"),
        )
    })?;
    Ok(format!("{by}:\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")))
}

/// What to follow, from where.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TailParams {
    /// Only events that the query finds.
    q: String,
    /// Begin after this index; default: with what comes next. `Last-Event-ID` counts
    /// as well.
    after: Option<u64>,
}

/// Follow a log: server-sent events, each an event's view with its index as id. A
/// comment every 15 s keeps a silent stream open; a reader that does not keep up is cut
/// off and goes on with `Last-Event-ID`.
#[utoipa::path(get, path = "/v1/logs/{log}/tail", tag = "search", params(("log" = String, Path, description = "Name of the log"), TailParams),
    responses((status = 200, body = String, content_type = "text/event-stream"), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn tail(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(name): Path<String>,
    Params(params): Params<TailParams>,
    headers: HeaderMap,
) -> Result<Response> {
    let log = app.log(&name)?;
    let query = query(&caller, &params.q, app.control.now().as_micros())?;
    let resumed = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse().ok());
    let from = match resumed.or(params.after) {
        Some(after) => after.saturating_add(1),
        None => log.head().size,
    };
    let (sender, mut receiver) = mpsc::channel::<SseEvent>(TAIL_QUEUE);
    tokio::spawn(async move {
        if let Err(error) = follow(&app, &caller, &name, &log, &query, from, &sender).await {
            tracing::debug!(log = name, code = error.code.name(), "a tail ended");
        }
    });
    let stream = futures_util::stream::poll_fn(move |context| {
        receiver.poll_recv(context).map(|event| event.map(Ok::<_, Infallible>))
    });
    let keep_alive = KeepAlive::new().interval(HEARTBEAT).text("still here");
    Ok(Sse::new(stream).keep_alive(keep_alive).into_response())
}

/// Sends what the query finds, until the reader goes away, does not keep up, loses its
/// leave, or the server stops.
async fn follow(
    app: &Arc<App>,
    caller: &Caller,
    name: &str,
    log: &Arc<Log>,
    query: &Query,
    mut at: u64,
    sender: &mpsc::Sender<SseEvent>,
) -> Result<()> {
    let (mut heads, mut stopping) = (log.follow(), app.stopping.subscribe());
    loop {
        tokio::select! {
            head = heads.wait_for(|head| head.size > at) => if head.is_err() { return Ok(()) },
            _ = stopping.wait_for(|stopping| *stopping) => return Ok(()),
            () = sender.closed() => return Ok(()),
        }
        // What was revoked meanwhile shows nothing more.
        if caller.still_may(&app.control, crate::access::Permission::Read, name).is_err() {
            return Ok(());
        }
        let (log, query, scope) = (Arc::clone(log), query.clone(), Arc::clone(&caller.scope));
        let end = log.head().size.min(at + TAIL_STEP);
        let found = in_background(move || {
            let mut found = Vec::new();
            while at < end {
                for record in log.records(at..end, 4 << 20)? {
                    if query.matches(&Source::of(&log, at, &record)?.read()) {
                        found.extend(view(&log, at, &record, &scope));
                    }
                    at += 1;
                }
            }
            Ok(found)
        })
        .await?;
        at = end;
        if found.is_empty() {
            continue;
        }
        // In the trail before it leaves: the first of a minute, and how many more.
        let mut access = Access {
            action: "access.event.follow",
            principal: caller
                .principal
                .as_ref()
                .map(|known| (known.id.clone(), known.name.clone())),
            log: Some(name.to_owned()),
            target: None,
            tenant: caller.scope.tenant().map(str::to_owned),
            outcome: Outcome::Success,
            details: shown(&found).0,
        };
        access.details.insert("route".to_owned(), "GET /v1/logs/{log}/tail".into());
        app.trail.count(&access, &caller.origin).await?;
        for view in found {
            let text = serde_json::to_string(&view).unwrap_or_default();
            let event = SseEvent::default().id(view.index.to_string()).data(text);
            match tokio::time::timeout(TAIL_PATIENCE, sender.send(event)).await {
                Ok(Ok(())) => {}
                _ => return Ok(()),
            }
        }
    }
}
