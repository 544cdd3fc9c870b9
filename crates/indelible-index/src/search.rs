//! Finding records: pieces are walked from the end asked for, and no further than the
//! limit.

use crate::{
    doc::Source,
    index::{LogIndex, Snapshot},
    piece::{During, Piece},
    plan::{Plan, Trust},
    query::Query,
};
use indelible_log::LogError;
use std::{
    ops::Range,
    time::{Duration, Instant},
};
use tantivy::{
    DocSet as _, SegmentReader,
    columnar::Column,
    query::{EnableScoring, Weight},
};

/// Which end comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The highest index.
    NewestFirst,
    /// The lowest index.
    OldestFirst,
}

/// What was found.
#[derive(Debug, Clone)]
pub struct Hits {
    /// Indexes of matching records, in order.
    pub indexes: Vec<u64>,
    /// Where to go on: the index last looked at; `None` at the end.
    pub next: Option<u64>,
    /// Records that the index knows.
    pub indexed: u64,
}

/// A search failed.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The index cannot be read.
    #[error("could not read the index")]
    Index(#[from] tantivy::TantivyError),
    /// A record cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// It would take too long: too many records must be read to decide.
    #[error(
        "the query takes too long: it is about members that are not indexed, and too many records had to be read; narrow it, for example with after: or action:"
    )]
    TooSlow,
    /// The histogram would have too many buckets.
    #[error("the histogram has more than 10000 buckets; take a longer interval or a shorter time")]
    TooManyBuckets,
}

/// How long one call may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    pub(crate) fn after(time: Duration) -> Self {
        // A moment so far away that it cannot be said is no limit; there is none here.
        Self(Instant::now() + time)
    }

    pub(crate) fn is_over(self) -> bool {
        Instant::now() >= self.0
    }
}

/// A plan for one piece.
pub(crate) struct Prepared<'a> {
    pub(crate) piece: &'a Piece,
    pub(crate) weight: Box<dyn Weight>,
    sure: Sure,
    query: &'a Query,
    index: &'a LogIndex,
    /// Documents among which all matches are.
    during: During,
}

/// Which candidates match without being read.
enum Sure {
    All,
    /// Those of which all is indexed: 0 in this column.
    Whole(Column<u64>),
    None,
}

impl Sure {
    fn of(trust: Trust, piece: &Piece) -> tantivy::Result<Self> {
        match (trust, piece.segment()) {
            (Trust::Exact, _) => Ok(Self::All),
            (Trust::UnlessPartial, Some(segment)) => {
                let partial = segment.fast_fields().u64("partial")?;
                Ok(if partial.max_value() == 0 { Self::All } else { Self::Whole(partial) })
            }
            _ => Ok(Self::None),
        }
    }

    fn includes(&self, doc: u32) -> bool {
        match self {
            Self::All => true,
            Self::Whole(partial) => partial.first(doc) == Some(0),
            Self::None => false,
        }
    }
}

/// Candidates between two looks at the clock that need not be read.
const LOOK: usize = 1024;

impl<'a> Prepared<'a> {
    /// `None` if the times of the plan are outside the piece.
    pub(crate) fn new(
        index: &'a LogIndex,
        piece: &'a Piece,
        plan: &Plan,
        query: &'a Query,
    ) -> Result<Option<Self>, SearchError> {
        let during = piece.during(&plan.times)?;
        if during.is_nothing() {
            return Ok(None);
        }
        let weight = plan.upper.weight(EnableScoring::disabled_from_searcher(piece.searcher()))?;
        let sure = Sure::of(plan.trust, piece)?;
        Ok(Some(Self { piece, weight, sure, query, index, during }))
    }

    /// Whether every document that the index finds matches.
    pub(crate) fn is_counted(&self) -> bool {
        let docs = self.piece.segment().map_or(0, SegmentReader::max_doc);
        self.during.is_all(docs) && matches!(self.sure, Sure::All)
    }

    /// The documents among these that the index finds, newest first.
    fn candidates(&self, docs: Range<u32>) -> Result<impl Iterator<Item = u32>, SearchError> {
        let (start, end) =
            (docs.start.max(self.during.span.start), docs.end.min(self.during.span.end));
        let mut found = match self.piece.segment() {
            Some(segment) if start < end => Some(self.weight.scorer(segment, 1.0)?),
            _ => None,
        };
        if let Some(found) = &mut found
            && found.doc() < start
        {
            found.seek(start);
        }
        let next = move || {
            let found = found.as_mut()?;
            let doc = Some(found.doc()).filter(|doc| *doc < end)?;
            found.advance();
            Some(doc)
        };
        Ok(std::iter::from_fn(next).filter(|doc| self.during.holds(*doc)))
    }

    /// Visits the candidates that match, until `visit` returns false or the time is over.
    /// Returns the one it stopped at, which has been looked at.
    fn walk(
        &self,
        candidates: impl Iterator<Item = u32>,
        deadline: Deadline,
        mut visit: impl FnMut(u32) -> Result<bool, SearchError>,
    ) -> Result<Option<u32>, SearchError> {
        for (n, doc) in candidates.enumerate() {
            let sure = self.sure.includes(doc);
            let is_match = sure || self.index.is_match(self.query, self.piece.index_of(doc))?;
            let goes_on = !is_match || visit(doc)?;
            // The clock is read in far less time than a record.
            let looks = !sure || n % LOOK == LOOK - 1;
            if !goes_on || (looks && deadline.is_over()) {
                return Ok(Some(doc));
            }
        }
        Ok(None)
    }

    /// Visits what matches, newest first, from a document on; see [`Self::walk`].
    fn newest_first(
        &self,
        from: u32,
        deadline: Deadline,
        visit: impl FnMut(u32) -> Result<bool, SearchError>,
    ) -> Result<Option<u32>, SearchError> {
        self.walk(self.candidates(from..u32::MAX)?, deadline, visit)
    }

    /// Visits what matches, oldest first, of the documents before one; see [`Self::walk`].
    fn oldest_first(
        &self,
        before: u32,
        deadline: Deadline,
        visit: impl FnMut(u32) -> Result<bool, SearchError>,
    ) -> Result<Option<u32>, SearchError> {
        // The index goes one way only, and no more is read than is wanted.
        let candidates: Vec<u32> = self.candidates(0..before)?.collect();
        self.walk(candidates.into_iter().rev(), deadline, visit)
    }

    /// Visits all that matches; too slow, if the time does not suffice.
    pub(crate) fn each(
        &self,
        deadline: Deadline,
        mut visit: impl FnMut(u32) -> Result<(), SearchError>,
    ) -> Result<(), SearchError> {
        match self.newest_first(0, deadline, |doc| visit(doc).map(|()| true))? {
            None => Ok(()),
            Some(_) => Err(SearchError::TooSlow),
        }
    }
}

/// Time for one page.
const PAGE_TIME: Duration = Duration::from_secs(10);

impl LogIndex {
    /// Whether the record at `index` matches, by reading it.
    pub(crate) fn is_match(&self, query: &Query, index: u64) -> Result<bool, SearchError> {
        let record = self.log().record(index)?;
        Ok(query.matches(&Source::of(self.log(), index, &record)?.read()))
    }

    /// Finds at most `limit` records beyond `beyond` (an index last looked at).
    ///
    /// # Errors
    /// [`SearchError`].
    pub fn search(
        &self,
        query: &Query,
        order: Order,
        beyond: Option<u64>,
        limit: usize,
    ) -> Result<Hits, SearchError> {
        self.search_until(Deadline::after(PAGE_TIME), query, order, beyond, limit)
    }

    /// The same, with the time there is; whatever that is, the page gets further.
    fn search_until(
        &self,
        deadline: Deadline,
        query: &Query,
        order: Order,
        beyond: Option<u64>,
        limit: usize,
    ) -> Result<Hits, SearchError> {
        let Snapshot { pieces, indexed } = self.snapshot();
        let plan = Plan::of(query, self.columns());
        let mut hits = Hits { indexes: Vec::new(), next: None, indexed };
        match order {
            Order::NewestFirst => {
                let beyond = beyond.unwrap_or(u64::MAX);
                for piece in pieces.iter().rev().filter(|piece| piece.start < beyond) {
                    let from = if beyond < piece.end { piece.doc_at(beyond - 1) } else { 0 };
                    let Some(prepared) = Prepared::new(self, piece, &plan, query)? else {
                        continue;
                    };
                    let stopped = prepared.newest_first(from, deadline, |doc| {
                        hits.indexes.push(piece.index_of(doc));
                        Ok(hits.indexes.len() < limit)
                    })?;
                    if let Some(doc) = stopped {
                        hits.next = Some(piece.index_of(doc)).filter(|last| *last > 0);
                        break;
                    }
                }
            }
            Order::OldestFirst => {
                let first = beyond.map_or(0, |beyond| beyond.saturating_add(1));
                for piece in pieces.iter().filter(|piece| first < piece.end) {
                    // Documents come newest first.
                    let before = piece.doc_at(first.max(piece.start)) + 1;
                    let Some(prepared) = Prepared::new(self, piece, &plan, query)? else {
                        continue;
                    };
                    let stopped = prepared.oldest_first(before, deadline, |doc| {
                        hits.indexes.push(piece.index_of(doc));
                        Ok(hits.indexes.len() < limit)
                    })?;
                    if let Some(doc) = stopped {
                        hits.next = Some(piece.index_of(doc)).filter(|last| last + 1 < indexed);
                        break;
                    }
                }
            }
        }
        Ok(hits)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests state their expectations by failing")]

    use super::*;
    use crate::{IndexOptions, parse};
    use indelible_event::{NATIVE, format_named};
    use indelible_log::{Batch, DataDir, Kind, Log, Options};
    use std::sync::Arc;

    #[test]
    fn pages_whose_time_is_over_find_everything_in_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { journal_capacity: (4096, 1 << 20), ..Options::default() };
        let data = DataDir::open_or_create(folder.path(), Some("test.example")).unwrap();
        data.create_log("prod", Kind::Events, &options).unwrap();
        let log = Arc::new(Log::open(data.store("prod").unwrap(), &options).unwrap());
        let (now, header) = log.header("token:abc", NATIVE);
        let mut batch = Batch::new();
        for n in 0..150 {
            let event = format!(
                r#"{{"time":"2026-03-01T12:00:00Z","action":"a.b","actor":{{"type":"user","id":"ada"}},"outcome":{{"result":"success"}},"metadata":{{"n":{n}}}}}"#
            );
            log.stage(&mut batch, &header, now, format_named(NATIVE).unwrap(), &event).unwrap();
        }
        log.append(batch).unwrap();
        let small = IndexOptions { shard: 64, step: 8, fan_in: 3 };
        let index = LogIndex::open(log, &folder.path().join("index"), small).unwrap();
        while index.extend().unwrap() || index.merge().unwrap() {}
        // Members are not indexed: every candidate is read, and one a page with no time.
        let query = parse("data.metadata.n:>=140 OR data.metadata.n:<3", 0).unwrap();
        let expected: Vec<u64> = (0..3).chain(140..150).collect();
        for order in [Order::OldestFirst, Order::NewestFirst] {
            let (mut found, mut beyond, mut pages) = (Vec::new(), None, 0);
            loop {
                let over = Deadline::after(Duration::ZERO);
                let hits = index.search_until(over, &query, order, beyond, 100).unwrap();
                found.extend(hits.indexes);
                pages += 1;
                beyond = hits.next;
                if beyond.is_none() {
                    break;
                }
            }
            found.sort_unstable();
            assert_eq!((found, pages), (expected.clone(), 150), "{order:?}");
        }
    }
}
