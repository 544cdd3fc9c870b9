//! Counting: how many, by which values, over which time. What a piece adds up to never
//! changes, so it is kept.

use crate::{
    count::{MAX_BUCKETS, TIME, count_piece},
    index::{LogIndex, Snapshot},
    kept::{self, Key},
    plan::Plan,
    rollup,
    tally::{Tally, Values, What},
    walk::{Deadline, SearchError},
};
use indelible_query::{Field, Query};
use rayon::prelude::*;
use rustc_hash::FxHashMap;
use std::{collections::BTreeMap, sync::Arc};

/// The values of one field and how often each stands in the records found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facet {
    /// Most frequent first; equal ones in the order of their names.
    pub values: Vec<(String, u64)>,
    /// How many different values there are.
    pub distinct: u64,
}

/// Counts by time: start of the bucket (microseconds) to count, or to counts by value.
pub type Buckets<T> = std::collections::BTreeMap<i64, T>;

/// A histogram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    /// Count of each bucket that is not empty, and its most frequent values.
    pub buckets: Buckets<(u64, Vec<(String, u64)>)>,
}

/// The sum of counts by value, of a bucket or of everything.
fn sum<'a>(of: &[&'a Values]) -> FxHashMap<&'a str, u64> {
    let mut sum = FxHashMap::default();
    for (value, count) in of.iter().copied().flatten() {
        *sum.entry(value.as_str()).or_default() += count;
    }
    sum
}

fn top<'a>(values: impl IntoIterator<Item = (&'a str, u64)>, limit: usize) -> Vec<(String, u64)> {
    let mut values: Vec<(&str, u64)> = values.into_iter().collect();
    values.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    values.truncate(limit);
    values.into_iter().map(|(value, count)| (value.to_owned(), count)).collect()
}

/// An index, and what is asked of it.
pub type Searched<'a> = (&'a LogIndex, &'a Query);

/// How many indexed records match, in all of these together.
///
/// # Errors
/// [`SearchError`].
pub fn count(of: &[Searched<'_>]) -> Result<u64, SearchError> {
    Ok(parts(of, &What::Count)?.iter().map(|part| part.count).sum())
}

/// The values of a counted field ([`Field::is_counted`]) in matching records, of all of
/// these together.
///
/// # Errors
/// [`SearchError`].
pub fn facet(of: &[Searched<'_>], field: Field, limit: usize) -> Result<Facet, SearchError> {
    let parts = parts(of, &What::Facet(field))?;
    let values = sum(&parts.iter().map(|part| &part.values).collect::<Vec<_>>());
    Ok(Facet { distinct: values.len() as u64, values: top(values, limit) })
}

/// Matching records of all of these together by time of occurrence, in buckets of
/// `interval_us`, perhaps with the most frequent values of a counted field in each.
///
/// # Errors
/// [`SearchError`].
pub fn histogram(
    of: &[Searched<'_>],
    interval_us: i64,
    by: Option<(Field, usize)>,
) -> Result<Histogram, SearchError> {
    let interval_us = interval_us.max(1);
    let what = What::Histogram { interval_us, by: by.map(|(field, _)| field) };
    let parts = parts(of, &what)?;
    let limit = by.map_or(0, |(_, limit)| limit);
    // In one log nearly every bucket is in one piece, or in two neighbours.
    let mut all: BTreeMap<i64, (u64, Vec<&Values>)> = BTreeMap::new();
    for (start, (count, values)) in parts.iter().flat_map(|part| &part.buckets) {
        let bucket = all.entry(*start).or_default();
        bucket.0 += count;
        bucket.1.push(values);
        if all.len() > MAX_BUCKETS {
            return Err(SearchError::TooManyBuckets);
        }
    }
    let buckets = all.into_iter().map(|(start, (count, values))| {
        let values = match values.as_slice() {
            [only] => top(only.iter().map(|(value, count)| (value.as_str(), *count)), limit),
            several => top(sum(several), limit),
        };
        (start, (count, values))
    });
    Ok(Histogram { buckets: buckets.collect() })
}

/// What each piece of each index adds.
fn parts(of: &[Searched<'_>], what: &What) -> Result<Vec<Arc<Tally>>, SearchError> {
    let deadline = Deadline::after(TIME);
    let mut parts = Vec::new();
    for (index, query) in of {
        parts.extend(index.parts(query, what, deadline)?);
    }
    Ok(parts)
}

impl LogIndex {
    /// What each piece adds.
    fn parts(
        &self,
        query: &Query,
        what: &What,
        deadline: Deadline,
    ) -> Result<Vec<Arc<Tally>>, SearchError> {
        let Snapshot { pieces, .. } = self.untouched();
        let plan = Plan::of(query, self.columns());
        let parts = pieces
            .par_iter()
            .map(|piece| {
                let during = piece.during(&plan.times)?;
                if during.is_nothing() {
                    return Ok(Arc::default());
                }
                // Times that all of a piece is in ask nothing of it: "the last seven days"
                // is the same question in nearly every piece, whenever it is asked.
                let key = Key {
                    index: self.number(),
                    start: piece.start,
                    end: piece.end,
                    query: kept::digest(&plan.rest, during.divides()),
                    what: what.clone(),
                };
                if let Some(kept) = kept::find(&key) {
                    return Ok(kept);
                }
                let rolled_up = match during.divides() {
                    [] => rollup::kept(piece, &plan.rest, what),
                    _ => None,
                };
                let tally = match rolled_up {
                    Some(tally) => tally,
                    None => count_piece(self.log(), piece, &plan, query, what, deadline)?,
                };
                let tally = Arc::new(tally);
                if self.keeps(piece) {
                    kept::keep(key, &tally);
                }
                Ok(tally)
            })
            .collect();
        self.unaltered(&pieces)?;
        parts
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests state their expectations by failing")]

    use super::*;
    use crate::{index::IndexOptions, piece::Piece};
    use indelible_event::{NATIVE, format_named};
    use indelible_log::{Batch, DataDir, Kind, Log, Options};
    use indelible_query::parse;

    #[test]
    fn the_last_seven_days_are_one_question_however_often_they_are_asked_for() {
        const DAY: i64 = 86_400_000_000;
        let folder = tempfile::tempdir().unwrap();
        let options = Options { journal_capacity: (4096, 1 << 20), ..Options::default() };
        let data = DataDir::open_or_create(folder.path(), Some("test.example")).unwrap();
        data.create_log("prod", Kind::Events, &options).unwrap();
        let log = Arc::new(Log::open(data.store("prod").unwrap(), &options).unwrap());
        let (now, header) = log.header("token:abc", NATIVE);
        let mut batch = Batch::new();
        for day in 1..=16 {
            let event = format!(
                r#"{{"time":"2026-03-{day:02}T12:00:00Z","action":"a.b","actor":{{"type":"user","id":"ada"}},"outcome":{{"result":"success"}}}}"#
            );
            log.stage(&mut batch, &header, now, format_named(NATIVE).unwrap(), &event).unwrap();
        }
        log.append(batch).unwrap();
        let small = IndexOptions { shard: 64, step: 8, fan_in: 3 };
        let index = LogIndex::open(log, &folder.path().join("index"), small).unwrap();
        while index.extend().unwrap() {}
        // The ninth to the sixteenth of March are the second piece.
        let pieces = index.snapshot().pieces;
        let [first, second] = pieces.as_slice() else { unreachable!("{pieces:?}") };
        let digest = |piece: &Piece, text: &str, now: i64| {
            let plan = Plan::of(&parse(text, now).unwrap(), index.columns());
            kept::digest(&plan.rest, piece.during(&plan.times).unwrap().divides())
        };
        let march_17 = 1_773_705_600_000_000;
        let (text, always) = ("action:a.b after:9d", "action:a.b before:2027");
        let asked = digest(second, text, march_17);
        for later in [1, DAY / 7, DAY / 3] {
            assert_eq!(digest(second, text, march_17 + later), asked, "{later} µs later");
        }
        assert_eq!(digest(second, always, 0), asked);
        // Where the time divides a piece it is another question each time.
        assert_ne!(digest(first, text, march_17 - 3 * DAY), digest(first, always, 0));
        assert_ne!(digest(second, "action:a.c after:9d", march_17), asked);
        for now in [march_17 - 3 * DAY, march_17, march_17 + DAY] {
            let query = parse(text, now).unwrap();
            let expected = u64::try_from((march_17 - now) / DAY + 9).unwrap();
            for _ in 0..2 {
                assert_eq!(count(&[(&index, &query)]).unwrap(), expected, "{now}");
            }
        }
    }
}
