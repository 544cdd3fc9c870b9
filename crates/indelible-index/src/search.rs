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
use std::time::{Duration, Instant};
use tantivy::{
    DocSet as _, SegmentReader,
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
    trust: Trust,
    query: &'a Query,
    index: &'a LogIndex,
    /// Documents among which all matches are.
    during: During,
}

impl<'a> Prepared<'a> {
    pub(crate) fn new(
        index: &'a LogIndex,
        piece: &'a Piece,
        plan: &Plan,
        query: &'a Query,
    ) -> Result<Self, SearchError> {
        let weight = plan.upper.weight(EnableScoring::disabled_from_searcher(piece.searcher()))?;
        let during = piece.during(&plan.times)?;
        Ok(Self { piece, weight, trust: plan.trust, query, index, during })
    }

    /// Whether every document that the index finds matches.
    pub(crate) fn is_counted(&self) -> Result<bool, SearchError> {
        let docs = self.piece.segment().map_or(0, SegmentReader::max_doc);
        Ok(self.during.is_all(docs) && self.is_exact()?)
    }

    /// Whether no candidate has to be read.
    fn is_exact(&self) -> Result<bool, SearchError> {
        match (self.trust, self.piece.segment()) {
            (Trust::Exact, _) => Ok(true),
            (Trust::UnlessPartial, Some(segment)) => {
                Ok(segment.fast_fields().u64("partial")?.max_value() == 0)
            }
            _ => Ok(false),
        }
    }

    /// Visits the documents that match, newest first, from `doc` on, until `visit`
    /// returns false.
    pub(crate) fn each(
        &self,
        from: u32,
        mut visit: impl FnMut(u32) -> Result<bool, SearchError>,
    ) -> Result<(), SearchError> {
        let Some(segment) = self.piece.segment() else { return Ok(()) };
        let from = from.max(self.during.span.start);
        if from >= self.during.span.end {
            return Ok(());
        }
        let exact = self.is_exact()?;
        let partial = match self.trust {
            Trust::UnlessPartial if !exact => Some(segment.fast_fields().u64("partial")?),
            _ => None,
        };
        let mut found = self.weight.scorer(segment, 1.0)?;
        let mut doc = found.doc();
        if doc < from {
            doc = found.seek(from);
        }
        while doc < self.during.span.end {
            let sure = exact || partial.as_ref().is_some_and(|column| column.first(doc) == Some(0));
            if self.during.holds(doc)
                && (sure || self.index.is_match(self.query, self.piece.index_of(doc))?)
                && !visit(doc)?
            {
                return Ok(());
            }
            doc = found.advance();
        }
        Ok(())
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
        let Snapshot { pieces, indexed } = self.snapshot();
        let plan = Plan::of(query, self.columns());
        let deadline = Deadline::after(PAGE_TIME);
        let mut hits = Hits { indexes: Vec::new(), next: None, indexed };
        match order {
            Order::NewestFirst => {
                for piece in pieces.iter().rev() {
                    if beyond.is_some_and(|beyond| piece.start >= beyond) {
                        continue;
                    }
                    let from = beyond
                        .filter(|beyond| *beyond < piece.end)
                        .map_or(0, |beyond| piece.doc_at(beyond - 1));
                    let prepared = Prepared::new(self, piece, &plan, query)?;
                    prepared.each(from, |doc| {
                        hits.indexes.push(piece.index_of(doc));
                        Ok(hits.indexes.len() < limit && !deadline.is_over())
                    })?;
                    if hits.indexes.len() >= limit || deadline.is_over() {
                        hits.next = hits.indexes.last().copied().filter(|last| *last > 0);
                        if hits.indexes.is_empty() {
                            hits.next = Some(piece.start).filter(|start| *start > 0);
                        }
                        break;
                    }
                }
            }
            Order::OldestFirst => {
                for piece in pieces.iter() {
                    if beyond.is_some_and(|beyond| piece.end <= beyond + 1) {
                        continue;
                    }
                    let prepared = Prepared::new(self, piece, &plan, query)?;
                    // Documents come newest first: the last ones are wanted.
                    let mut last = std::collections::VecDeque::new();
                    let wanted = limit - hits.indexes.len();
                    prepared.each(0, |doc| {
                        let index = piece.index_of(doc);
                        if beyond.is_some_and(|beyond| index <= beyond) {
                            return Ok(false);
                        }
                        last.push_front(index);
                        last.truncate(wanted);
                        Ok(true)
                    })?;
                    hits.indexes.extend(last);
                    if hits.indexes.len() >= limit || deadline.is_over() {
                        hits.next = hits
                            .indexes
                            .last()
                            .copied()
                            .or(Some(piece.end - 1))
                            .filter(|last| last + 1 < indexed);
                        break;
                    }
                }
            }
        }
        Ok(hits)
    }
}
