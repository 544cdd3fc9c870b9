//! The search of one log, and what stands around one of its records.

use crate::{
    access::{Scope, caller::Caller},
    error::{ApiError, Result},
    reading::desk::Desk,
    reading::{
        Order,
        cursor::{Bound, Cursor},
        page::Page,
        reader::Reader,
        room::{Reading, Room},
        view::{Gathered, locate, look},
        whole::{Target, searched},
    },
    site::memory::Held,
};
use indelible_api::{Code, ReadConsistency, RecordName};
use indelible_index::{Field, LogIndex, Order as SearchOrder, Query, SearchError, Source, parse};
use indelible_log::Log;
use std::sync::Arc;

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

/// A query of a caller: parsed, and narrowed to what it may see.
pub(crate) fn query(caller: &Caller, q: &str, now_us: i64) -> Result<Query> {
    Ok(caller.scope.narrow(parsed(q, now_us)?))
}

/// A query as it was typed.
pub(crate) fn parsed(q: &str, now_us: i64) -> Result<Query> {
    parse(q, now_us).map_err(|e| ApiError::new(Code::InvalidQuery, e.to_string()))
}

/// The search index of a log.
pub(crate) fn index_of(desk: &Desk, name: &str) -> Result<Arc<LogIndex>> {
    desk.log(name)?;
    desk.indexes.get(name).ok_or_else(|| {
        ApiError::new(
            Code::WrongKind,
            format!("log {name:?} cannot be searched: it takes raw entries, or its index cannot be opened"),
        )
    })
}

/// What is searched for in one log.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    pub(crate) q: String,
    pub(crate) order: Order,
    /// The `next` of the page before.
    pub(crate) after: Option<String>,
    pub(crate) limit: usize,
    pub(crate) consistency: ReadConsistency,
}

/// A page of a search, and the memory it is held in.
pub(crate) async fn find(reader: &Reader, wanted: Wanted) -> Result<(Page, Option<Held>)> {
    let Wanted { name, q, order, after, limit, consistency } = wanted;
    let desk = &reader.desk;
    let (log, search) = (desk.log(&name)?, index_of(desk, &name)?);
    let bound = Bound { of: ("log", &name), q: &q, order };
    let cursor = after.map(|text| Cursor::decode(&text, bound)).transpose()?;
    let now_us =
        cursor.as_ref().map_or_else(|| desk.control.now().as_micros(), |cursor| cursor.now_us);
    let query = query(&reader.caller, &q, now_us)?;
    let beyond = cursor.and_then(|cursor| cursor.beyond.get(&name).copied().flatten());
    let size = order.about(log.head().size, beyond);
    let target = [Target { name: name.clone(), index: Arc::clone(&search), size }];
    reader.reach(consistency, &target).await?;
    let searched = searched(desk, &target);
    let hits = reader.turn(move || Ok(search.search(&query, order.into(), beyond, limit)?)).await?;
    let (scope, read_from) = (Arc::clone(&reader.caller.scope), Arc::clone(&log));
    let (found, end) = (hits.indexes, hits.next);
    let ((items, next), held) = reader
        .read(move |room| {
            let (items, last) = gather(room, &read_from, &found, &scope)?;
            Ok((items, last.or(end)))
        })
        .await?;
    let next = next
        .map(|last| Cursor { now_us, beyond: [(name.clone(), Some(last))].into() }.encode(bound));
    Ok((Page { items: items.items, next, searched }, held))
}

/// The views of what was found, as far as there is room; where it stopped, the index of
/// the last one looked at.
fn gather(
    room: &mut Room,
    log: &Log,
    found: &[u64],
    scope: &Scope,
) -> Reading<(Gathered, Option<u64>)> {
    let mut gathered = Gathered::new(found.len());
    let mut last = None;
    for at in found {
        if !gathered.add(room, log, *at, &log.record(*at)?, scope)? {
            return Ok((gathered, last));
        }
        last = Some(*at);
    }
    Ok((gathered, None))
}

/// Around which record, and by what it belongs together.
#[derive(Debug)]
pub(crate) struct Around {
    pub(crate) name: String,
    pub(crate) record: RecordName,
    pub(crate) by: String,
    /// Records before it, and behind it.
    pub(crate) n: usize,
    /// Only what is behind this index.
    pub(crate) after: Option<u64>,
}

/// The records around one, itself included, oldest first.
pub(crate) async fn context(reader: &Reader, around: Around) -> Result<(Page, Option<Held>)> {
    let Around { name, record, by, n, after } = around;
    let desk = &reader.desk;
    let (log, search) = (desk.log(&name)?, index_of(desk, &name)?);
    let (scope, read_from) = (Arc::clone(&reader.caller.scope), Arc::clone(&log));
    let middle = move |room: &mut Room| {
        let at = locate(room, &read_from, &record, &scope)?;
        Ok((at, same(room, &read_from, at, &by)?))
    };
    let ((at, q), _) = reader.read(middle).await?;
    let query = query(&reader.caller, &q, 0)?;
    let (size, index) = (log.head().size, Arc::clone(&search));
    let target = [Target { name, index, size }];
    reader.reach(ReadConsistency::Head, &target).await?;
    let searched = searched(desk, &target);
    let found = reader
        .turn(move || {
            let before = search.search(&query, SearchOrder::NewestFirst, Some(at), n.max(1))?;
            let behind = search.search(&query, SearchOrder::OldestFirst, Some(at), n.max(1))?;
            let mut found: Vec<u64> = before.indexes.into_iter().take(n).collect();
            found.reverse();
            found.push(at);
            found.extend(behind.indexes.into_iter().take(n));
            found.retain(|index| after.is_none_or(|after| *index > after));
            Ok(found)
        })
        .await?;
    let (scope, read_from) = (Arc::clone(&reader.caller.scope), Arc::clone(&log));
    let ((gathered, last), held) =
        reader.read(move |room| gather(room, &read_from, &found, &scope)).await?;
    let next = last.map(|last| last.to_string());
    Ok((Page { items: gathered.items, next, searched }, held))
}

/// The query for records with the same actor, session, request or trace; by position,
/// all.
fn same(room: &Room, log: &Log, at: u64, by: &str) -> Reading<String> {
    match by {
        "position" => return Ok(String::new()),
        "actor" | "session" | "request" | "trace" => {}
        other => {
            return Err(ApiError::invalid(format!(
                "by is {other:?}, expected position, actor, session, request or trace"
            ))
            .into());
        }
    }
    let record = log.record(at)?;
    look(room, log, &record)?;
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
