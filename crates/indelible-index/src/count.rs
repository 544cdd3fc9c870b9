//! Counting one piece.

use crate::{
    piece::Piece,
    plan::Plan,
    schema::counted_name,
    tally::{Tally, What},
    walk::{Deadline, Prepared, SearchError},
};
use indelible_log::Log;
use indelible_query::Query;
use rustc_hash::FxHashMap;
use std::{collections::HashMap, time::Duration};

/// Time for one count over everything.
pub(crate) const TIME: Duration = Duration::from_secs(30);
/// Buckets of a histogram at most.
pub(crate) const MAX_BUCKETS: usize = 10_000;

/// What one piece adds.
///
/// # Errors
/// [`SearchError`].
pub(crate) fn count_piece(
    log: &Log,
    piece: &Piece,
    plan: &Plan,
    query: &Query,
    what: &What,
    deadline: Deadline,
) -> Result<Tally, SearchError> {
    let mut tally = Tally::default();
    let (Some(prepared), Some(segment)) =
        (Prepared::new(log, piece, plan, query)?, piece.segment())
    else {
        return Ok(tally);
    };
    match what {
        What::Count if prepared.is_counted() => {
            tally.count = prepared.weight.count(segment)?.into();
        }
        What::Count => prepared.each(deadline, |_| {
            tally.count += 1;
            Ok(())
        })?,
        What::Facet(field) => {
            let Some(column) = segment.fast_fields().str(&counted_name(*field))? else {
                return Ok(tally);
            };
            let mut counts = Ords::default();
            let mut own = Vec::new();
            prepared.each(deadline, |doc| {
                own.clear();
                own.extend(column.term_ords(doc));
                own.sort_unstable();
                own.dedup();
                own.iter().for_each(|ord| *counts.entry(*ord).or_default() += 1);
                Ok(())
            })?;
            tally.values = names(&column, counts)?;
        }
        What::Histogram { interval_us, by } => {
            let times = segment.fast_fields().i64("time")?;
            let column = match by {
                Some(field) => segment.fast_fields().str(&counted_name(*field))?,
                None => None,
            };
            let ords = column.as_ref().map(|column| column.ords());
            let mut buckets = HashMap::new();
            // Neighbours mostly fall in the same bucket.
            let mut current = Bucket::default();
            prepared.each(deadline, |doc| {
                if let Some(time) = times.first(doc) {
                    if !current.holds(time, *interval_us) {
                        current.leave(&mut buckets)?;
                        current = Bucket::of(time, *interval_us);
                    }
                    current.count += 1;
                    if let Some(ord) = ords.and_then(|ords| ords.first(doc)) {
                        *current.ords.entry(ord).or_default() += 1;
                    }
                }
                Ok(())
            })?;
            current.leave(&mut buckets)?;
            for (start, (count, ords)) in buckets {
                let values = match &column {
                    Some(column) => names(column, ords)?,
                    None => HashMap::new(),
                };
                tally.buckets.insert(start, (count, values));
            }
        }
    }
    Ok(tally)
}

/// A bucket of a histogram that is being counted, values by their number.
#[derive(Default)]
struct Bucket {
    start: i64,
    count: u64,
    ords: Ords,
}

type Ords = FxHashMap<u64, u64>;

impl Bucket {
    fn of(time: i64, interval_us: i64) -> Self {
        let start = time.div_euclid(interval_us).saturating_mul(interval_us);
        Self { start, ..Self::default() }
    }

    const fn holds(&self, time: i64, interval_us: i64) -> bool {
        self.count > 0 && self.start <= time && time.saturating_sub(self.start) < interval_us
    }

    /// Adds it to those that were counted before.
    fn leave(&mut self, buckets: &mut HashMap<i64, (u64, Ords)>) -> Result<(), SearchError> {
        if self.count == 0 {
            return Ok(());
        }
        let bucket = buckets.entry(self.start).or_default();
        bucket.0 += std::mem::take(&mut self.count);
        for (ord, count) in self.ords.drain() {
            *bucket.1.entry(ord).or_default() += count;
        }
        match buckets.len() > MAX_BUCKETS {
            true => Err(SearchError::TooManyBuckets),
            false => Ok(()),
        }
    }
}

/// Counts by value instead of by number of the value.
fn names(
    column: &tantivy::columnar::StrColumn,
    counts: Ords,
) -> Result<HashMap<String, u64>, SearchError> {
    let mut named = HashMap::with_capacity(counts.len());
    let mut text = String::new();
    for (ord, count) in counts {
        text.clear();
        column.ord_to_str(ord, &mut text).map_err(crate::piece::other)?;
        *named.entry(text.clone()).or_default() += count;
    }
    Ok(named)
}
