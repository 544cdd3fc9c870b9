//! Ranges over columns: one value looked at per document that is asked for. (tantivy's
//! own range over columns counts on an order of calls that its intersections do not
//! keep.)

use std::{fmt, sync::Arc};
use tantivy::{
    DocId, DocSet, Score, SegmentReader, TERMINATED, TantivyError,
    query::{ConstScorer, EmptyScorer, EnableScoring, Explanation, Query, Scorer, Weight},
};

/// Whether a document of a segment is in the range; `None`: none of them is.
type Test = Box<dyn Fn(DocId) -> bool + Send>;
type Prepare = dyn Fn(&SegmentReader) -> tantivy::Result<Option<Test>> + Send + Sync;

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
            if values.max_value() < from || values.min_value() > to {
                return Ok(None);
            }
            let test =
                move |doc| values.first(doc).is_some_and(|value| (from..=to).contains(&value));
            Ok(Some(Box::new(test) as Test))
        };
        Self { name: format!("{column} {from}..={to}"), prepare: Arc::new(prepare) }
    }

    /// The same, without sign.
    pub(crate) fn unsigned(column: &'static str, from: u64, to: u64) -> Self {
        let prepare = move |segment: &SegmentReader| {
            let values = segment.fast_fields().u64(column)?;
            if values.max_value() < from || values.min_value() > to {
                return Ok(None);
            }
            let test =
                move |doc| values.first(doc).is_some_and(|value| (from..=to).contains(&value));
            Ok(Some(Box::new(test) as Test))
        };
        Self { name: format!("{column} {from}..={to}"), prepare: Arc::new(prepare) }
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
            Ok(Some(Box::new(test) as Test))
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
        match (self.prepare)(segment)? {
            None => Ok(Box::new(EmptyScorer)),
            Some(test) => {
                let mut docs = Scan { doc: 0, end: segment.max_doc(), test };
                docs.settle();
                Ok(Box::new(ConstScorer::new(docs, boost)))
            }
        }
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
        self.end
    }
}
