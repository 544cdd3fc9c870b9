//! The search of several logs at once: they are searched one by one, and what is found is
//! merged by the time of receipt, so that each log's own order is kept.

use crate::{
    access::{Decision, Permission, Scope, caller::Caller, decide},
    error::{ApiError, Result},
    reading::desk::Desk,
    reading::{
        Order,
        cursor::{Beyond, Bound, Cursor, MAX_LOGS},
        reader::Reader,
        room::{Reading, Room},
        search::{index_of, parsed},
        view::{Gathered, Rendered, received},
        whole::{Target, searched},
    },
    site::memory::Held,
    trail::shown::{Facts, ShownOf},
};
use indelible_api::{ReadConsistency, Searched};
use indelible_event::Timestamp;
use indelible_index::{LogIndex, Query};
use indelible_log::{Kind, Log};
use serde::{Serialize, Serializer, ser::Error as _};
use serde_json::value::RawValue;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

/// Why logs cannot be searched together.
#[derive(Debug)]
pub(crate) enum Unreadable {
    /// This one was named, and is not there or not the caller's business.
    Log(String),
    Failed(ApiError),
}

impl<E: Into<ApiError>> From<E> for Unreadable {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// The logs that are to be searched, and what the caller may see of each; `only` those
/// of them, if it is given.
pub(crate) fn readable(
    desk: &Arc<Desk>,
    caller: Caller,
    logs: &str,
    only: Option<&Beyond>,
) -> std::result::Result<Reader, Unreadable> {
    let (control, now) = (desk.control.current(), desk.control.now());
    let principal = caller.principal()?;
    let may = |name: &str| match decide(&control, principal, Permission::Read, name, now) {
        Decision::Allowed(scope) => Some(Arc::new(scope)),
        Decision::Forbidden | Decision::Invisible => None,
    };
    let mut found = BTreeMap::new();
    for pattern in logs.split(',').map(str::trim) {
        let Some(stem) = pattern.strip_suffix('*') else {
            // Named, so it must be there, and be the caller's business.
            match desk.log(pattern).ok().and_then(|_| may(pattern)) {
                Some(scope) => drop(found.insert(pattern.to_owned(), scope)),
                None => return Err(Unreadable::Log(pattern.to_owned())),
            }
            continue;
        };
        for (name, log) in desk.logs() {
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
        let found = found.len();
        let error = ApiError::invalid(format!(
            "{found} logs are meant, at most {MAX_LOGS} can be searched at once"
        ));
        return Err(Unreadable::Failed(error.member("logs")));
    }
    let logs = found.into_iter().collect();
    Ok(Reader { desk: Arc::clone(desk), caller, permission: Permission::Read, logs })
}

/// What is searched for in several logs.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) q: String,
    pub(crate) logs: String,
    pub(crate) order: Order,
    /// The `next` of the page before.
    pub(crate) after: Option<String>,
    pub(crate) limit: usize,
    pub(crate) consistency: ReadConsistency,
}

/// A page of several logs: a [`indelible_api::LogsPage`] whose events are written
/// already.
#[derive(Debug, Serialize)]
pub(crate) struct LogsPage {
    items: Vec<OfLog>,
    next: Option<String>,
    searched: Searched,
}

impl LogsPage {
    /// What it shows of each log that was searched.
    pub(crate) fn shown(&self, reader: &Reader, asked: &Facts) -> Vec<ShownOf> {
        let facts = |name: &str| {
            let own = self.items.iter().filter(|item| item.log == *name);
            Facts::of_records(own.map(|item| item.event.index)).and(asked.clone())
        };
        shown_of(reader, facts)
    }
}

/// What an answer shows of each log of a reader.
pub(crate) fn shown_of(reader: &Reader, facts: impl Fn(&str) -> Facts) -> Vec<ShownOf> {
    let each = reader.logs.iter().map(|(name, scope)| ShownOf {
        log: name.clone(),
        tenant: scope.tenant().map(str::to_owned),
        facts: facts(name),
    });
    each.collect()
}

/// An event, and whose: a [`indelible_api::LogEvent`].
#[derive(Debug)]
struct OfLog {
    log: String,
    event: Rendered,
}

impl Serialize for OfLog {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        // A view is an object with members.
        let rest = self.event.json().strip_prefix('{').unwrap_or_default();
        let log = serde_json::to_string(&self.log).map_err(S::Error::custom)?;
        let json = RawValue::from_string(format!("{{\"log\":{log},{rest}"));
        json.map_err(S::Error::custom)?.serialize(serializer)
    }
}

/// A log that is searched.
struct Place {
    name: String,
    log: Arc<Log>,
    search: Arc<LogIndex>,
    scope: Arc<Scope>,
    query: Query,
    beyond: Option<u64>,
}

/// A page of a search, whose logs it shows, and the memory it is held in.
pub(crate) async fn find(
    desk: &Arc<Desk>,
    caller: Caller,
    wanted: Wanted,
) -> std::result::Result<(LogsPage, Reader, Option<Held>), Unreadable> {
    let Wanted { q, logs, order, after, limit, consistency } = wanted;
    let bound = Bound { of: ("logs", &logs), q: &q, order };
    let cursor = after.map(|text| Cursor::decode(&text, bound)).transpose()?;
    let now_us =
        cursor.as_ref().map_or_else(|| desk.control.now().as_micros(), |cursor| cursor.now_us);
    let query = parsed(&q, now_us)?;
    let reader = readable(desk, caller, &logs, cursor.as_ref().map(|cursor| &cursor.beyond))?;
    let mut places = Vec::with_capacity(reader.logs.len());
    for (name, scope) in &reader.logs {
        let (log, search) = (desk.log(name)?, index_of(desk, name)?);
        let (query, scope) = (scope.narrow(query.clone()), Arc::clone(scope));
        places.push(Place { name: name.clone(), log, search, scope, query, beyond: None });
    }
    let target = |place: &Place| {
        let beyond = cursor.as_ref().and_then(|cursor| *cursor.beyond.get(&place.name)?);
        let size = order.about(place.log.head().size, beyond);
        Target { name: place.name.clone(), index: Arc::clone(&place.search), size }
    };
    let targets: Vec<Target> = places.iter().map(target).collect();
    reader.reach(consistency, &targets).await?;
    let searched = searched(desk, &targets);
    for place in &mut places {
        place.beyond = match &cursor {
            Some(cursor) => cursor.beyond.get(&place.name).copied().flatten(),
            // What is appended from now on is newer than every page of this search.
            None if order == Order::Desc => Some(*place.search.indexed().borrow()),
            None => None,
        };
    }
    let (places, found) = reader
        .turn(move || {
            let each = places.iter().map(|place| Found::search(place, order, limit));
            let found = each.collect::<Result<Vec<_>>>()?;
            Ok((places, found))
        })
        .await?;
    let merged = move |room: &mut Room| merge(room, &places, found.clone(), order, limit);
    let ((items, beyond), held) = reader.read(merged).await?;
    let next = (!beyond.is_empty()).then(|| Cursor { now_us, beyond }.encode(bound));
    Ok((LogsPage { items, next, searched }, reader, held))
}

/// What was found in one log and is not shown yet.
#[derive(Debug, Clone)]
struct Found {
    hits: VecDeque<u64>,
    /// Where its search goes on behind the hits; `None` at the end.
    next: Option<u64>,
    /// The first of what is left: its index, record, and time of receipt.
    first: Option<(Timestamp, u64, Vec<u8>)>,
    /// Where to go on behind what was shown.
    beyond: Option<u64>,
}

impl Found {
    fn search(place: &Place, order: Order, limit: usize) -> Result<Self> {
        let hits = place.search.search(&place.query, order.into(), place.beyond, limit)?;
        let (next, beyond) = (hits.next, place.beyond);
        Ok(Self { hits: hits.indexes.into(), next, first: None, beyond })
    }

    /// Reads the first of what is left; its attachment is read when it is shown.
    fn fill(&mut self, place: &Place) -> Result<()> {
        if self.first.is_none()
            && let Some(index) = self.hits.pop_front()
        {
            let record = place.log.record(index)?;
            self.first = Some((received(&record), index, record));
        }
        Ok(())
    }
}

/// The next items of all logs, and where to go on in those that are not at their end.
fn merge(
    room: &mut Room,
    places: &[Place],
    mut found: Vec<Found>,
    order: Order,
    limit: usize,
) -> Reading<(Vec<OfLog>, Beyond)> {
    let mut gathered = Gathered::new(limit);
    let mut names = Vec::new();
    loop {
        for (place, found) in places.iter().zip(&mut found) {
            found.fill(place)?;
        }
        // Whatever comes next in a log that is not searched to its end could be first.
        if found.iter().any(|found| found.first.is_none() && found.next.is_some()) {
            break;
        }
        let time = |at: &usize| found.get(*at).and_then(|found| Some(found.first.as_ref()?.0));
        let waiting = (0..found.len()).filter(|at| time(at).is_some());
        let best = match order {
            Order::Asc => waiting.min_by_key(time),
            Order::Desc => waiting.rev().max_by_key(time),
        };
        let Some((place, found)) = best.and_then(|at| Some((places.get(at)?, found.get_mut(at)?)))
        else {
            break;
        };
        let Some((_, index, record)) = &found.first else { break };
        if !gathered.add(room, &place.log, *index, record, &place.scope)? {
            break;
        }
        if gathered.items.len() > names.len() {
            names.push(place.name.clone());
        }
        found.beyond = found.first.take().map(|(_, index, _)| index);
    }
    let mut beyond = BTreeMap::new();
    for (place, found) in places.iter().zip(found) {
        if found.first.is_some() || !found.hits.is_empty() {
            beyond.insert(place.name.clone(), found.beyond);
        } else if let Some(next) = found.next {
            beyond.insert(place.name.clone(), Some(next));
        }
    }
    let items = names.into_iter().zip(gathered.items);
    Ok((items.map(|(log, event)| OfLog { log, event }).collect(), beyond))
}
