//! A search over several logs at once: the logs are searched one by one and what is
//! found is merged by the time of receipt, so that each log's own order is kept.

use crate::{
    access::{
        Decision, Permission, Scope, decide,
        gate::{Caller, Shown, no_such_log},
        token::asked as asked_for,
    },
    app::App,
    error::{ApiError, Result},
    params::Params,
    routes::{
        events::{Consistency, Order, shown, view},
        search::{PROBLEM, index_of, parsed, reach_head, searching},
    },
    trail::{Access, Outcome},
};
use axum::{Json, extract::State};
use indelible_api::{Code, ErrorBody, EventView, LogEvent, LogsPage, MAX_PAGE, SearchedLog};
use indelible_event::Timestamp;
use indelible_index::{LogIndex, Order as SearchOrder, Query};
use indelible_log::{Kind, Log};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};
use utoipa::IntoParams;

/// Logs of one search.
const MAX_LOGS: usize = 64;

/// Which events, of which logs.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LogsParams {
    /// Only events that this query finds (docs/query.md); all, if empty.
    q: String,
    /// Names of logs, with commas between, each perhaps with `*` at its end; default
    /// `*`. Patterns take in what the caller may read, and none of the system's logs
    /// unless they begin with `_`.
    logs: String,
    /// The `next` of the page before.
    after: Option<String>,
    /// `head` waits until everything that is in the logs is searched.
    consistency: Option<Consistency>,
    /// Items wanted, 1 to 1000; default 100.
    limit: usize,
    /// `asc` (default, oldest first) or `desc`, by the time of receipt.
    order: Order,
}

impl Default for LogsParams {
    fn default() -> Self {
        Self {
            q: String::new(),
            logs: "*".to_owned(),
            after: None,
            consistency: None,
            limit: 100,
            order: Order::Asc,
        }
    }
}

/// Where a search goes on in each log that is not yet at its end; `None`: at the
/// beginning.
pub(crate) type Beyond = BTreeMap<String, Option<u64>>;

/// Bound to the query and to the moment that its ages count from.
struct Cursor {
    now_us: i64,
    beyond: Beyond,
}

impl Cursor {
    fn encode(&self, params: &LogsParams) -> String {
        let place = |(name, beyond): (&String, &Option<u64>)| {
            format!("{name}:{}", beyond.map_or_else(|| "-".to_owned(), |at| at.to_string()))
        };
        let places: Vec<String> = self.beyond.iter().map(place).collect();
        let rest = format!("{}.{}", self.now_us, places.join(","));
        format!("m1.{}.{rest}", check(params, &rest))
    }

    fn decode(text: &str, params: &LogsParams) -> Result<Self> {
        let refused = || {
            ApiError::new(
                Code::InvalidCursor,
                "the cursor is not one of this query, in these logs and this order; begin without it",
            )
        };
        let (_, rest) = text
            .strip_prefix("m1.")
            .and_then(|text| text.split_once('.'))
            .filter(|(found, rest)| *found == check(params, rest))
            .ok_or_else(refused)?;
        let (now, places) = rest.split_once('.').ok_or_else(refused)?;
        let place = |text: &str| {
            let (name, at) = text.split_once(':')?;
            let at = if at == "-" { None } else { Some(at.parse().ok()?) };
            Some((name.to_owned(), at))
        };
        let beyond: Option<Beyond> = places.split(',').map(place).collect();
        Ok(Self {
            now_us: now.parse().map_err(|_| refused())?,
            beyond: beyond.filter(|beyond| beyond.len() <= MAX_LOGS).ok_or_else(refused)?,
        })
    }
}

fn check(params: &LogsParams, rest: &str) -> String {
    let text = format!("{}\n{}\n{:?}\n{rest}", params.logs, params.q, params.order);
    let mut check = crate::access::token::hex(&Sha256::digest(text.as_bytes()));
    check.truncate(16);
    check
}

/// A log that is searched.
struct Place {
    name: String,
    log: Arc<Log>,
    index: Arc<LogIndex>,
    scope: Scope,
    query: Query,
    beyond: Option<u64>,
}

/// Find events in several logs at once, in the order of their receipt.
#[utoipa::path(get, path = "/v1/events", tag = "search", params(LogsParams),
    responses((status = 200, body = LogsPage), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn search_logs(
    State(app): State<Arc<App>>,
    caller: Caller,
    Params(params): Params<LogsParams>,
) -> Result<Json<LogsPage>> {
    if !(1..=MAX_PAGE).contains(&params.limit) {
        return Err(ApiError::invalid(format!(
            "limit is {}, expected 1 to {MAX_PAGE}",
            params.limit
        )));
    }
    const ASKED: Asked = Asked { action: "access.event.list", route: "GET /v1/events" };
    let cursor = params.after.as_deref().map(|text| Cursor::decode(text, &params)).transpose()?;
    let now_us =
        cursor.as_ref().map_or_else(|| app.control.now().as_micros(), |cursor| cursor.now_us);
    let query = parsed(&params.q, now_us)?;
    let mut places = Vec::new();
    let only = cursor.as_ref().map(|cursor| &cursor.beyond);
    for (name, scope) in readable(&app, &caller, &ASKED, &params.logs, only).await? {
        let (log, index) = (app.log(&name)?, index_of(&app, &name)?);
        if params.consistency.is_some() {
            reach_head(&index, &log).await?;
        }
        let beyond = match &cursor {
            Some(cursor) => cursor.beyond.get(&name).copied().flatten(),
            // What is appended from now on is newer than every page of this search.
            None if params.order == Order::Desc => Some(*index.indexed().borrow()),
            None => None,
        };
        let query = scope.narrow(query.clone());
        places.push(Place { name, log, index, scope, query, beyond });
    }
    let (order, limit) = (params.order, params.limit);
    let (places, items, beyond) = searching(&app, move || {
        let (items, beyond) = merge(&places, order, limit)?;
        Ok((places, items, beyond))
    })
    .await?;
    let trail = places.iter().map(|place| {
        let own = items.iter().filter(|item| item.log == place.name);
        let seen = shown(&own.map(|item| item.view.clone()).collect::<Vec<_>>());
        record(&app, &caller, &ASKED, (&place.name, &place.scope), &params.q, seen)
    });
    futures_util::future::try_join_all(trail).await?;
    Ok(Json(LogsPage {
        next: (!beyond.is_empty()).then(|| Cursor { now_us, beyond }.encode(&params)),
        logs: places.iter().map(|place| searched(&place.name, &place.log, &place.index)).collect(),
        items,
    }))
}

/// How much of a log was searched.
pub(crate) fn searched(name: &str, log: &Log, index: &LogIndex) -> SearchedLog {
    SearchedLog {
        log: name.to_owned(),
        indexed: *index.indexed().borrow(),
        size: log.head().size,
        problem: index.problem().map(|_| PROBLEM.to_owned()),
    }
}

/// What is asked of several logs: its name in the trail, and its route.
pub(crate) struct Asked {
    pub(crate) action: &'static str,
    pub(crate) route: &'static str,
}

/// The logs that are to be searched, and what the caller may see of each; `only` those
/// of them, if it is given.
pub(crate) async fn readable(
    app: &App,
    caller: &Caller,
    asked: &Asked,
    logs: &str,
    only: Option<&Beyond>,
) -> Result<Vec<(String, Scope)>> {
    let (control, now) = (app.control.current(), app.control.now());
    let principal = caller.known()?;
    let may = |name: &str| match decide(&control, principal, Permission::Read, name, now) {
        Decision::Allowed(scope) => Some(scope),
        Decision::Forbidden | Decision::Invisible => None,
    };
    let patterns: Vec<&str> = logs.split(',').map(str::trim).collect();
    let mut found = BTreeMap::new();
    for pattern in &patterns {
        let Some(stem) = pattern.strip_suffix('*') else {
            // Named, so it must be there, and be the caller's business.
            match app.log(pattern).ok().and_then(|_| may(pattern)) {
                Some(scope) => drop(found.insert((*pattern).to_owned(), scope)),
                None => return Err(refused(app, caller, asked, pattern).await),
            }
            continue;
        };
        for (name, log) in app.logs() {
            let is_meant = name.starts_with(stem) && name.starts_with('_') == stem.starts_with('_');
            if is_meant
                && log.manifest().kind != Kind::Raw
                && let Some(scope) = may(&name)
            {
                found.insert(name, scope);
            }
        }
    }
    if let Some(only) = only {
        found.retain(|name, _| only.contains_key(name));
    }
    if found.len() > MAX_LOGS {
        return Err(ApiError::invalid(format!(
            "{} logs are meant, at most {MAX_LOGS} can be searched at once",
            found.len()
        ))
        .member("logs"));
    }
    Ok(found.into_iter().collect())
}

/// The refusal of a log that was named, in the trail of that log too.
async fn refused(app: &App, caller: &Caller, asked: &Asked, name: &str) -> ApiError {
    let mut access = access(caller, asked, name, None);
    let reason = "needs the permission read".to_owned();
    access.outcome = Outcome::Denied(Code::LogNotFound.name(), reason);
    match app.trail.record(&access, Some(&caller.origin)).await {
        Ok(()) => no_such_log(name),
        Err(error) => error,
    }
}

fn access(caller: &Caller, asked: &Asked, name: &str, tenant: Option<&str>) -> Access {
    let mut details = serde_json::Map::new();
    details.insert("route".to_owned(), asked.route.into());
    Access {
        action: asked.action,
        principal: caller.principal.as_ref().map(|known| (known.id.clone(), known.name.clone())),
        log: Some(name.chars().take(128).collect()),
        target: None,
        tenant: tenant.map(str::to_owned),
        outcome: Outcome::Success,
        details,
    }
}

/// Writes what was shown of one log into the trail.
pub(crate) async fn record(
    app: &App,
    caller: &Caller,
    asked: &Asked,
    (name, scope): (&str, &Scope),
    q: &str,
    shown: Shown,
) -> Result<()> {
    let mut access = access(caller, asked, name, scope.tenant());
    access.details.insert("q".to_owned(), asked_for(q));
    access.details.extend(shown.0);
    app.trail.record(&access, Some(&caller.origin)).await
}

/// What was found in one log and is not shown yet.
struct Found {
    hits: VecDeque<u64>,
    /// Where its search goes on behind the hits; `None` at the end.
    next: Option<u64>,
    /// The first of what is left, and when it was received.
    first: Option<(Timestamp, EventView)>,
    /// Where to go on behind what was shown.
    beyond: Option<u64>,
}

/// The next items of all logs, and where to go on in those that are not at their end.
fn merge(places: &[Place], order: Order, limit: usize) -> Result<(Vec<LogEvent>, Beyond)> {
    let search_order = match order {
        Order::Asc => SearchOrder::OldestFirst,
        Order::Desc => SearchOrder::NewestFirst,
    };
    let mut found = Vec::with_capacity(places.len());
    for place in places {
        let hits = place.index.search(&place.query, search_order, place.beyond, limit)?;
        let (next, beyond) = (hits.next, place.beyond);
        found.push(Found { hits: hits.indexes.into(), next, first: None, beyond });
    }
    let mut items = Vec::new();
    while items.len() < limit {
        for (place, found) in places.iter().zip(&mut found) {
            found.fill(place)?;
        }
        // Whatever comes next in a log that is not searched to its end could be first.
        if found.iter().any(|found| found.first.is_none() && found.next.is_some()) {
            break;
        }
        let time = |at: &usize| {
            found.get(*at).and_then(|found| found.first.as_ref()).map(|(time, _)| *time)
        };
        let waiting = (0..found.len()).filter(|at| time(at).is_some());
        let best = match order {
            Order::Asc => waiting.min_by_key(time),
            Order::Desc => waiting.rev().max_by_key(time),
        };
        let Some((place, found)) = best.and_then(|at| Some((places.get(at)?, found.get_mut(at)?)))
        else {
            break;
        };
        if let Some((_, view)) = found.first.take() {
            found.beyond = Some(view.index);
            items.push(LogEvent { log: place.name.clone(), view });
        }
    }
    let mut beyond = BTreeMap::new();
    for (place, found) in places.iter().zip(found) {
        if found.first.is_some() || !found.hits.is_empty() {
            beyond.insert(place.name.clone(), found.beyond);
        } else if let Some(next) = found.next {
            beyond.insert(place.name.clone(), Some(next));
        }
    }
    Ok((items, beyond))
}

impl Found {
    /// Reads the first of what is left.
    fn fill(&mut self, place: &Place) -> Result<()> {
        while self.first.is_none() {
            let Some(index) = self.hits.pop_front() else { return Ok(()) };
            let record = place.log.record(index)?;
            if let Some(view) = view(&place.log, index, &record, &place.scope) {
                let received = view.envelope.as_ref().map(|envelope| envelope.received_at.parse());
                let time = received.and_then(|time| time.ok());
                self.first = Some((time.unwrap_or(Timestamp::from_micros(0)), view));
            }
        }
        Ok(())
    }
}
