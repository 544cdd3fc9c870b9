//! Ranges over columns: one value looked at per document that is asked for. (tantivy's
//! own range over columns counts on an order of calls that its intersections do not
//! keep.)

use std::{fmt, ops::Range, sync::Arc};
use tantivy::{
    DocId, DocSet, Score, SegmentReader, TERMINATED, TantivyError,
    query::{ConstScorer, EmptyScorer, EnableScoring, Explanation, Query, Scorer, Weight},
};

/// Whether a document of a segment is in the range.
type Test = Box<dyn Fn(DocId) -> bool + Send>;
/// The documents of a segment among which all in the range are, and what each must be asked.
type Prepare = dyn Fn(&SegmentReader) -> tantivy::Result<(Range<DocId>, Test)> + Send + Sync;

/// Documents whose value is in a range.
#[derive(Clone)]
pub(crate) struct InRange {
    name: String,
    prepare: Arc<Prepare>,
}

impl fmt::Debug for InRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InRange({})", self.name)
    }
}

impl InRange {
    /// Integers of a column from `from` to `to`, both included.
    pub(crate) fn signed(column: &'static str, from: i64, to: i64) -> Self {
        let prepare = move |segment: &SegmentReader| {
            let values = segment.fast_fields().i64(column)?;
            let is_outside = values.max_value() < from || values.min_value() > to;
            let docs = if is_outside { 0 } else { segment.max_doc() };
            let test =
                move |doc| values.first(doc).is_some_and(|value| (from..=to).contains(&value));
            Ok((0..docs, Box::new(test) as Test))
        };
        Self { name: format!("{column} {from}..={to}"), prepare: Arc::new(prepare) }
    }

    /// Documents that have 1 in a column.
    pub(crate) fn flagged(column: &'static str) -> Self {
        let prepare = move |segment: &SegmentReader| {
            let values = segment.fast_fields().u64(column)?;
            let docs = if values.max_value() == 0 { 0 } else { segment.max_doc() };
            Ok((0..docs, Box::new(move |doc| values.first(doc) == Some(1)) as Test))
        };
        Self { name: column.to_owned(), prepare: Arc::new(prepare) }
    }

    /// Records whose index is from `from` to `to`, both included: documents stand newest
    /// first and without holes, and the first says which it is.
    pub(crate) fn indexes(from: u64, to: u64) -> Self {
        let prepare = move |segment: &SegmentReader| {
            let newest = segment.fast_fields().u64("newest")?.first(0).unwrap_or_default();
            let docs = u64::from(segment.max_doc());
            let start = newest.saturating_sub(to).min(docs);
            let end = newest.checked_sub(from).map_or(0, |last| (last + 1).min(docs));
            let span = DocId::try_from(start).unwrap_or(0)..DocId::try_from(end).unwrap_or(0);
            Ok((span, Box::new(|_| true) as Test))
        };
        Self { name: format!("index {from}..={to}"), prepare: Arc::new(prepare) }
    }

    /// Addresses.
    pub(crate) fn addresses(
        column: &'static str,
        from: std::net::Ipv6Addr,
        to: std::net::Ipv6Addr,
    ) -> Self {
        let prepare = move |segment: &SegmentReader| {
            let values = segment.fast_fields().ip_addr(column)?;
            let test =
                move |doc| values.first(doc).is_some_and(|value| (from..=to).contains(&value));
            Ok((0..segment.max_doc(), Box::new(test) as Test))
        };
        Self { name: format!("{column} {from}..={to}"), prepare: Arc::new(prepare) }
    }
}

impl Query for InRange {
    fn weight(&self, _: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        Ok(Box::new(self.clone()))
    }
}

impl Weight for InRange {
    fn scorer(&self, segment: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        let (span, test) = (self.prepare)(segment)?;
        if span.is_empty() {
            return Ok(Box::new(EmptyScorer));
        }
        let mut docs = Scan { doc: span.start, end: span.end, test };
        docs.settle();
        Ok(Box::new(ConstScorer::new(docs, boost)))
    }

    fn explain(&self, _: &SegmentReader, doc: DocId) -> tantivy::Result<Explanation> {
        Err(TantivyError::InvalidArgument(format!("document {doc} is not scored")))
    }
}

struct Scan {
    doc: DocId,
    end: DocId,
    test: Test,
}

impl Scan {
    /// Goes on to the next document in the range, from `doc` on.
    fn settle(&mut self) -> DocId {
        while self.doc < self.end && !(self.test)(self.doc) {
            self.doc += 1;
        }
        if self.doc >= self.end {
            self.doc = TERMINATED;
        }
        self.doc
    }
}

impl DocSet for Scan {
    fn advance(&mut self) -> DocId {
        if self.doc != TERMINATED {
            self.doc += 1;
        }
        self.settle()
    }

    fn seek(&mut self, target: DocId) -> DocId {
        if self.doc < target {
            self.doc = target;
        }
        self.settle()
    }

    fn doc(&self) -> DocId {
        self.doc
    }

    fn size_hint(&self) -> u32 {
        self.end.saturating_sub(self.doc)
    }
}
