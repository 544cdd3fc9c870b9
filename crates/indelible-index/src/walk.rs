//! The records of one piece that match: which candidates there are, which of them must be
//! read, and how long that may take.

use crate::{
    piece::{During, Piece},
    plan::{Plan, Trust},
    source::Source,
};
use indelible_log::{Log, LogError};
use indelible_query::Query;
use std::{
    ops::Range,
    time::{Duration, Instant},
};
use tantivy::{
    DocSet as _, SegmentReader,
    columnar::Column,
    query::{EnableScoring, Weight},
};

/// A search failed.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The index cannot be read.
    #[error("could not read the index")]
    Index(#[from] tantivy::TantivyError),
    /// A record cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Files of the index are not what was written. They are built again from the log.
    #[error(
        "the index of records {from} to {to} is not what was written; it is built again from the log: ask again in a moment"
    )]
    Altered {
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
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
    log: &'a Log,
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
        log: &'a Log,
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
        Ok(Some(Self { piece, weight, sure, query, log, during }))
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

    /// Whether the record at `index` matches, by reading it.
    fn reads(&self, index: u64) -> Result<bool, SearchError> {
        let record = self.log.record(index);
        let source = match &record {
            Ok(record) => Source::of(self.log, index, record)?,
            // It costs no other record; whoever reads it is told.
            Err(_) => Source::unreadable(index),
        };
        Ok(self.query.matches(&source.read()))
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
            let is_match = sure || self.reads(self.piece.index_of(doc))?;
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
    pub(crate) fn newest_first(
        &self,
        from: u32,
        deadline: Deadline,
        visit: impl FnMut(u32) -> Result<bool, SearchError>,
    ) -> Result<Option<u32>, SearchError> {
        self.walk(self.candidates(from..u32::MAX)?, deadline, visit)
    }

    /// Visits what matches, oldest first, of the documents before one; see [`Self::walk`].
    pub(crate) fn oldest_first(
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
