//! Events by index, page by page.

use crate::{
    access::Scope,
    reading::{
        Order,
        room::{Reading, Room, SMALL},
        view::{Gathered, Rendered},
        whole::all_of,
    },
};
use indelible_api::Searched;
use indelible_log::{Log, RECORDS_PER_BUNDLE};
use serde::Serialize;
use std::ops::Range;

/// Records that a narrowed reader's page looks at at most; `next` goes on.
const MAX_SCANNED: u64 = 20_000;
/// Records that are read at a time from the end: at most 2 MiB.
const BACK: u64 = 32;

/// A page of one log: a [`indelible_api::SearchPage`] whose events are written already.
#[derive(Debug, Serialize)]
pub(crate) struct Page {
    pub(crate) items: Vec<Rendered>,
    pub(crate) next: Option<String>,
    pub(crate) searched: Searched,
}

/// The events behind `after`, or with [`Order::Desc`] those below it.
pub(crate) fn page(
    room: &mut Room,
    (name, log): (&str, &Log),
    order: Order,
    limit: usize,
    after: Option<u64>,
    scope: &Scope,
) -> Reading<Page> {
    let first = after.map_or(0, |after| after.saturating_add(1));
    let size = log.head().size;
    let scanned = if scope.filters.is_some() { MAX_SCANNED } else { limit as u64 };
    let mut gathered = Gathered::new(limit);
    let next = match order {
        Order::Asc => {
            let range = first.min(size)..first.saturating_add(scanned).min(size);
            let end = scan(room, log, range, scope, &mut gathered)?;
            // Where the next page starts, whether or not the last record was shown.
            (end < size && end > 0).then(|| end - 1)
        }
        Order::Desc => {
            let end = after.unwrap_or(size).min(size);
            let at = scan_back(room, log, end, scanned, scope, &mut gathered)?;
            (at > 0).then_some(at)
        }
    };
    let next = next.map(|next| next.to_string());
    Ok(Page { items: gathered.items, next, searched: all_of(name, size) })
}

/// Gathers a range, oldest first; returns the index behind the last one looked at.
fn scan(
    room: &mut Room,
    log: &Log,
    range: Range<u64>,
    scope: &Scope,
    gathered: &mut Gathered,
) -> Reading<u64> {
    let mut at = range.start;
    while at < range.end && !gathered.is_full() {
        for record in log.records(at..range.end, SMALL)? {
            if !gathered.add(room, log, at, &record, scope)? {
                return Ok(at);
            }
            at += 1;
        }
    }
    Ok(at)
}

/// Gathers what is below `end`, newest first; returns the index of the last one looked
/// at.
fn scan_back(
    room: &mut Room,
    log: &Log,
    end: u64,
    scanned: u64,
    scope: &Scope,
    gathered: &mut Gathered,
) -> Reading<u64> {
    let lowest = end.saturating_sub(scanned);
    let mut at = end;
    while at > lowest && !gathered.is_full() {
        // Never across a bundle.
        let bundle = (at - 1) / RECORDS_PER_BUNDLE * RECORDS_PER_BUNDLE;
        let from = bundle.max(lowest).max(at.saturating_sub(BACK));
        for record in log.records(from..at, usize::MAX)?.iter().rev() {
            if !gathered.add(room, log, at - 1, record, scope)? {
                return Ok(at);
            }
            at -= 1;
        }
    }
    Ok(at)
}
