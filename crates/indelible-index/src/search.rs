//! Finding records: pieces are walked from the end asked for, and no further than the
//! limit.

use crate::{
    index::{LogIndex, Snapshot},
    piece::Piece,
    plan::Plan,
    walk::{Deadline, Prepared, SearchError},
};
use indelible_query::Query;
use std::{sync::Arc, time::Duration};

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

/// Time for one page.
const PAGE_TIME: Duration = Duration::from_secs(10);

impl LogIndex {
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
        let Snapshot { pieces, indexed } = self.untouched();
        let plan = Plan::of(query, self.columns());
        let mut hits = Hits { indexes: Vec::new(), next: None, indexed };
        let walked =
            self.walk_pieces(&pieces, &plan, (query, order, beyond, limit), deadline, &mut hits);
        self.unaltered(&pieces)?;
        walked.map(|()| hits)
    }

    /// Walks pieces from the end asked for, as far as the limit.
    fn walk_pieces(
        &self,
        pieces: &[Arc<Piece>],
        plan: &Plan,
        (query, order, beyond, limit): (&Query, Order, Option<u64>, usize),
        deadline: Deadline,
        hits: &mut Hits,
    ) -> Result<(), SearchError> {
        let indexed = hits.indexed;
        match order {
            Order::NewestFirst => {
                let beyond = beyond.unwrap_or(u64::MAX);
                for piece in pieces.iter().rev().filter(|piece| piece.start < beyond) {
                    let from = if beyond < piece.end { piece.doc_at(beyond - 1) } else { 0 };
                    let Some(prepared) = Prepared::new(self.log(), piece, plan, query)? else {
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
                    let Some(prepared) = Prepared::new(self.log(), piece, plan, query)? else {
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
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests state their expectations by failing")]

    use super::*;
    use crate::index::IndexOptions;
    use indelible_event::{NATIVE, format_named};
    use indelible_log::{Batch, DataDir, Kind, Log, Options};
    use indelible_query::parse;
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
