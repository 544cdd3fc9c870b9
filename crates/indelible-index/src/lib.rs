//! Search over a log. The index is derived and disposable: delete its folder at any
//! time, running or not, and it is rebuilt from the log.
//!
//! It is a row of *pieces*, each over a contiguous range of records, immutable, one
//! tantivy segment with the newest record first. New records become small pieces;
//! pieces are merged, never across the end of a shard of 2^20 records, until a full
//! shard is one piece. Queries walk the pieces newest first and stop at the limit.
//!
//! What a query means is [`Query::matches`] of `indelible-query`, which reads the record. The index finds
//! candidates that are always a superset; where it cannot decide by itself, each
//! candidate's record is read and asked. So results never depend on what is indexed.
//!
//! What this crate is *not*: it knows no permissions and no HTTP.
#![warn(missing_docs)]

mod aggregate;
mod compare;
mod count;
mod guarded;
mod index;
mod kept;
mod piece;
mod plan;
mod range;
mod rollup;
mod schema;
mod scrub;
mod seal;
mod search;
mod source;
mod tally;
mod walk;

pub use aggregate::{Buckets, Facet, Histogram, Searched, count, facet, histogram};
pub use compare::Compared;
pub use indelible_query::{Field, Part, Query, length_us, parse};
pub use index::{IndexError, IndexOptions, LogIndex};
pub use search::{Hits, Order};
pub use source::Source;
pub use walk::SearchError;
