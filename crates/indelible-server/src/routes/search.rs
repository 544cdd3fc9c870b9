//! What stands around a record, and the live tail.

use crate::{
    access::caller::Caller,
    app::App,
    control::new_id,
    error::{ApiError, Result},
    http::params::Params,
    http::{answer::Answer, held},
    reading::{
        reader::Reader,
        search::{self, Around, query},
        tail::{QUEUE, Tail},
        view::{Rendered, named},
    },
    redact::redact,
    trail::shown::Facts,
};
use axum::{
    extract::{Path, State},
    http::HeaderMap,
    response::sse::{Event as SseEvent, KeepAlive, Sse},
};
use indelible_api::{ErrorBody, MAX_PAGE, SearchPage};
use serde::Deserialize;
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::sync::mpsc;
use utoipa::IntoParams;

/// Time between two comments that keep a silent tail open.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Around which record, and by what it belongs together.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ContextParams {
    /// `position` (default: the records before and after it), `actor`, `session`,
    /// `request` or `trace` (the nearest records with the same).
    by: String,
    /// Records before and after it, 0 to 500 each; default 10.
    n: usize,
    /// Only those behind this index: the `next` of an answer that had no room for all.
    after: Option<u64>,
}

impl Default for ContextParams {
    fn default() -> Self {
        Self { by: "position".to_owned(), n: 10, after: None }
    }
}

/// The records around one: by position, or of the same actor, session, request or
/// trace; oldest first, itself included. Where they are too large for one answer, `next`
/// is the `after` of the next.
#[utoipa::path(get, path = "/v1/logs/{log}/events/{record}/context", tag = "search",
    params(("log" = String, Path, description = "Name of the log"), ("record" = String, Path, description = "Index, or id:ID"), ContextParams),
    responses((status = 200, body = SearchPage), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn context(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((name, record)): Path<(String, String)>,
    Params(params): Params<ContextParams>,
) -> Result<Answer> {
    let ContextParams { by, n, after } = params;
    if n > MAX_PAGE / 2 {
        return Err(ApiError::invalid(format!("n is {n}, expected at most {}", MAX_PAGE / 2)));
    }
    let asked = Facts::default().with("by", redact(&by)).with("n", n).with_some("after", after);
    let reader = Reader::of_one(&app.desk, caller, &name);
    let around = Around { name, record: named(&record)?, by, n, after };
    let (page, held) = search::context(&reader, around).await?;
    let facts = Facts::of_records(page.items.iter().map(|item| item.index));
    let response = held::json(page, held).await?;
    Ok(Answer::here(response, facts.and(asked)))
}

/// What to follow, from where.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
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
) -> Result<Answer> {
    let log = app.log(&name)?;
    let query = query(&caller, &params.q, app.control.now().as_micros())?;
    let resumed = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse().ok());
    let from = match resumed.or(params.after) {
        Some(after) => after.saturating_add(1),
        None => log.head().size,
    };
    let (id, reader) = (new_id("tail")?, Reader::of_one(&app.desk, caller, &name));
    let asked = Facts::default().with("q", redact(&params.q)).with("stream", id.clone());
    let tail = Arc::new(Tail { log, query, id, asked: asked.clone() });
    let (sender, mut receiver) = mpsc::channel::<Rendered>(QUEUE);
    tokio::spawn(async move {
        if let Err(error) = tail.follow(&reader, from, &sender).await {
            tracing::debug!(log = name, code = error.code.name(), "a tail ended");
        }
    });
    let stream = futures_util::stream::poll_fn(move |context| {
        receiver.poll_recv(context).map(|event| event.map(|event| Ok::<_, Infallible>(sse(&event))))
    });
    let keep_alive = KeepAlive::new().interval(HEARTBEAT).text("still here");
    let facts = asked.with("after", from.checked_sub(1));
    Ok(Answer::here(Sse::new(stream).keep_alive(keep_alive), facts))
}

fn sse(event: &Rendered) -> SseEvent {
    SseEvent::default().id(event.index.to_string()).data(event.json())
}
