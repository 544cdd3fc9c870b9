//! What a check holds while it goes on.

use super::fingerprint::{Fingerprint, Points};
use crate::{keys::Keys, verdict::Verdict};
use indelible_log::{Kind, LogError, stored::Link};
use indelible_store::Store;
use indelible_tlog::{Checkpoint, Hash};
use std::collections::{BTreeMap, BTreeSet};

/// How to check.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// Read from the disk itself, not from what the system keeps of it in memory.
    pub from_disk: bool,
    /// Called with the bytes that were just read of a journal. Who must not read faster
    /// than so much waits in it.
    pub pace: &'a (dyn Fn(u64) + Sync),
}

impl std::fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").field("from_disk", &self.from_disk).finish_non_exhaustive()
    }
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self { from_disk: false, pace: &|_| {} }
    }
}

/// A part of a log's folder that is checked in one go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// The manifest, the keys, and every file's name.
    Files,
    /// A sealed segment: some ten megabytes.
    Segment(u64),
    /// The journals, and every checkpoint against the tree. Reads segments that came
    /// since; after all others that were listed.
    Tail,
    /// An id run, after the segments that it is of.
    IdRun(String),
    /// Ids that occur twice, after the tail and the runs.
    Ids,
    /// Attachments whose names begin with these two hex digits, after segments and tail.
    Attachments(String),
}

/// The check of one log's folder, made piece by piece:
///
/// ```no_run
/// # fn check(store: &dyn indelible_store::Store, key: &indelible_tlog::VerifyingKey) {
/// use indelible_verify::{LogCheck, Options};
///
/// let mut check = LogCheck::new(store, key, Options { from_disk: true, ..Options::default() });
/// while let Some(piece) = check.next_piece() {
///     let bytes = check.check(&piece);
///     // Wait as long as so many bytes may take.
/// }
/// let verdict = check.finish();
/// # }
/// ```
///
/// A server may write to the log meanwhile, and what it does is no finding. A piece that
/// is not checked is missing in the verdict, so who stops early has no verdict of the
/// whole, and may look at [`LogCheck::findings`] alone.
#[derive(Debug)]
pub struct LogCheck<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) options: Options<'a>,
    pub(super) keys: Keys,
    pub(super) kind: Kind,
    pub(super) since: Option<Checkpoint>,
    /// Sizes and roots that the notes about keys vouch for, and where each stands.
    pub(super) announced: Vec<(String, u64, Hash)>,
    pub(super) points: Points,
    /// Segments that were read, by number.
    pub(super) sealed: BTreeMap<u64, Sealed>,
    /// Segments that were tried.
    pub(super) tried: BTreeSet<u64>,
    pub(super) attachments: BTreeSet<Named>,
    /// Id runs that hold.
    pub(super) runs: Vec<String>,
    /// Hash and index of ids of which no run is.
    pub(super) held: Vec<(u64, u64)>,
    /// The ids of the records in journals.
    pub(super) tail_ids: BTreeMap<u64, Box<str>>,
    /// What is still to be checked, last first.
    pub(super) pieces: Vec<Piece>,
    pub(super) verdict: Verdict,
}

/// What is kept of a segment that was read.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) root: Hash,
    /// Its times, microseconds since 1970.
    pub(super) time_us: (i64, i64),
    /// Every record hashed to the root.
    pub(super) sound: bool,
    pub(super) ids: Fingerprint,
    /// The checkpoint in it, and the commit that made it.
    pub(super) checkpoint: Option<Checkpoint>,
    pub(super) link: Link,
}

/// An attachment and the record that names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Named {
    pub(super) attachment: [u8; 32],
    pub(super) size: u64,
    pub(super) index: u64,
}

/// A problem with stored bytes.
pub(super) fn damaged(path: &str, offset: u64, problem: impl Into<String>) -> LogError {
    LogError::Damaged { path: path.to_owned(), offset, problem: problem.into() }
}
