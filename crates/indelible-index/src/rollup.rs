//! What a full shard adds up to by the hour, over all its records: counted once, when the
//! shard is merged, and kept beside it. Counts over everything are then the same work
//! for a log of any size but for the number of its shards.

use crate::{
    count::{TIME, count_piece},
    piece::{Of, Piece, other},
    plan::Plan,
    tally::{Tally, What},
    walk::{Deadline, SearchError},
};
use indelible_query::{FIELD_NAMES, Field, Query};
use std::collections::BTreeMap;

const FILE: &str = "rollup.json";
const HOUR_US: i64 = 3_600_000_000;
/// Entries of a field with so many values that it is not kept.
const MAX_ENTRIES: usize = 50_000;

/// By the name of a counted field, or for no field.
type Rollup = BTreeMap<String, Tally>;

fn key(field: Option<Field>) -> &'static str {
    match field {
        Some(field) => field.name(),
        None => "",
    }
}

/// Counts a piece and keeps the result in its folder.
///
/// # Errors
/// [`SearchError`]; the piece is then counted when somebody asks.
pub(crate) fn roll_up(of: &Of<'_>, piece: &Piece) -> Result<(), SearchError> {
    let Of { log, columns, .. } = *of;
    let all = Query::all();
    let plan = Plan::of(&all, columns);
    let count = |what: &What| count_piece(log, piece, &plan, &all, what, Deadline::after(TIME));
    let mut rollup = Rollup::new();
    let counted = FIELD_NAMES.iter().map(|(_, field)| *field).filter(|field| field.is_counted());
    for field in std::iter::once(None).chain(counted.map(Some)) {
        let by_hour = What::Histogram { interval_us: HOUR_US, by: field };
        // Too many hours, or values: those are counted when somebody asks.
        let Ok(mut tally) = count(&by_hour) else { continue };
        if let Some(field) = field {
            tally.set_values(count(&What::Facet(field))?);
        }
        if tally.entries() <= MAX_ENTRIES {
            rollup.insert(key(field).to_owned(), tally);
        }
    }
    let text = serde_json::to_vec(&rollup).map_err(other)?;
    Ok(piece.keep(of.key, FILE, &text)?)
}

/// What a piece adds up to for a query that every record matches, if that was kept.
pub(crate) fn kept(piece: &Piece, query: &Query, what: &What) -> Option<Tally> {
    if !query.is_all() {
        return None;
    }
    let field = match what {
        What::Facet(field) => Some(*field),
        What::Histogram { interval_us, by } if interval_us % HOUR_US == 0 => *by,
        What::Histogram { .. } | What::Count => return None,
    };
    let text = piece.kept(FILE)?;
    let mut rollup: Rollup = serde_json::from_slice(&text).ok()?;
    let tally = rollup.remove(key(field))?;
    Some(match what {
        What::Histogram { interval_us, .. } => tally.in_buckets_of(*interval_us),
        _ => tally.only_values(),
    })
}
