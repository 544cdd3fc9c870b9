//! Results that are kept. What a piece adds up to never changes, so it is counted once;
//! but whoever may read may also ask anything, so what is kept has a bound in bytes, for
//! all indexes of the process together, and what was not asked for longest goes first.

use crate::tally::{Tally, What};
use indelible_query::{Query, TimeRange};
use lru::LruCache;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use std::{
    mem::size_of,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// Bytes of all results that are kept, their keys included.
const MOST_BYTES: usize = 32 << 20;
/// One result takes at most so much of that: a few huge ones do not displace all others.
const LARGEST_SHARE: usize = 16;
/// What an entry takes beside key and value: its place in the table, its links, and what
/// the allocations cost.
const ENTRY: usize = 96;

static KEPT: LazyLock<Mutex<Kept>> = LazyLock::new(|| Mutex::new(Kept::new(MOST_BYTES)));

/// What a result is of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    /// Which index of the process.
    pub(crate) index: u64,
    /// Records of the piece: first, and the one after the last.
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// SHA-256 of the query: however long that is, and nobody can make another with the
    /// same.
    pub(crate) query: [u8; 32],
    pub(crate) what: What,
}

/// Results, in the order of their last use.
#[derive(Debug)]
struct Kept {
    tallies: LruCache<Key, (usize, Arc<Tally>)>,
    bytes: usize,
    most: usize,
}

impl Kept {
    fn new(most: usize) -> Self {
        Self { tallies: LruCache::unbounded(), bytes: 0, most }
    }

    fn keep(&mut self, key: Key, tally: &Arc<Tally>) {
        let bytes = tally.bytes() + size_of::<(Key, usize)>() + ENTRY;
        if bytes > self.most / LARGEST_SHARE {
            return;
        }
        self.bytes += bytes;
        if let Some((_, (replaced, _))) = self.tallies.push(key, (bytes, Arc::clone(tally))) {
            self.bytes -= replaced;
        }
        while self.bytes > self.most {
            let Some((_, (oldest, _))) = self.tallies.pop_lru() else { break };
            self.bytes -= oldest;
        }
    }
}

/// A number for an index that no other of the process has.
pub(crate) fn next_index() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// What stands in a key for a query: what it asks beside times, and the times that divide
/// the piece.
pub(crate) fn digest(rest: &Query, times: &[TimeRange]) -> [u8; 32] {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.dedup();
    Sha256::digest(format!("{times:?} {rest:?}")).into()
}

/// The result, if it is kept.
pub(crate) fn find(key: &Key) -> Option<Arc<Tally>> {
    KEPT.lock().tallies.get(key).map(|(_, tally)| Arc::clone(tally))
}

/// Keeps a result, unless it is too large.
pub(crate) fn keep(key: Key, tally: &Arc<Tally>) {
    KEPT.lock().keep(key, tally);
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests state their expectations by failing")]

    use super::*;

    fn key(query: &str) -> Key {
        let query = digest(&indelible_query::parse(query, 0).unwrap(), &[]);
        Key { index: 0, start: 0, end: 4096, query, what: What::Count }
    }

    fn facet(values: usize) -> Arc<Tally> {
        let values = (0..values).map(|n| (format!("value {n:>60}"), 1)).collect();
        Arc::new(Tally { values, ..Tally::default() })
    }

    /// What the entries weigh when each is weighed anew.
    fn weigh(kept: &Kept) -> usize {
        kept.tallies.iter().map(|(_, (bytes, _))| bytes).sum()
    }

    #[test]
    fn thousands_of_distinct_queries_stay_within_the_bound() {
        let mut kept = Kept::new(1 << 20);
        for n in 0..20_000 {
            // However long a query is, it takes 32 bytes.
            let query = format!("n{n} {}", "x".repeat(8000 * (n % 2)));
            kept.keep(key(&query), &facet(n % 40));
            assert!(kept.bytes <= 1 << 20);
            assert_eq!(kept.tallies.len().min(50), (n + 1).min(50), "something is kept");
        }
        assert_eq!(kept.bytes, weigh(&kept));
    }

    #[test]
    fn a_facet_is_weighed_by_its_bytes() {
        // 66 bytes of text, at least 32 of the table, for each value.
        assert!(facet(1000).bytes() >= 1000 * (66 + 32));
        let mut kept = Kept::new(1 << 20);
        kept.keep(key("large"), &facet(1000));
        assert_eq!((kept.tallies.len(), kept.bytes), (0, 0), "larger than its share");
    }

    #[test]
    fn what_was_not_asked_for_longest_goes_first() {
        let mut kept = Kept::new(1 << 16);
        kept.keep(key("asked for again"), &facet(1));
        kept.keep(key("asked for once"), &facet(1));
        for n in 0..1000 {
            kept.keep(key(&format!("n{n}")), &facet(1));
            assert!(kept.tallies.get(&key("asked for again")).is_some(), "after {n}");
        }
        assert!(kept.tallies.get(&key("asked for once")).is_none());
    }

    #[test]
    fn a_result_kept_twice_weighs_once() {
        let mut kept = Kept::new(1 << 20);
        kept.keep(key("a"), &facet(10));
        let once = kept.bytes;
        kept.keep(key("a"), &facet(10));
        assert_eq!((kept.tallies.len(), kept.bytes), (1, once));
    }
}
