//! The end of a log that is not sealed yet: every commit in the journals, its records and
//! its checkpoint, on top of the sealed tree.

use super::{
    LogCheck, damaged,
    segments::{hash_entries, push},
};
use crate::verdict::FindingKind;
use indelible_event::record_id;
use indelible_log::{
    Kind, LogError, RECORDS_PER_SEGMENT,
    stored::{self, Commit, Found},
};
use indelible_store::{Blob, StoreError};
use indelible_tlog::{BundleEntries, Frontier, Hash};
use rayon::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Looks at a commit that is being written at this moment.
const LOOKS: u32 = 20;

/// A journal and its path.
type NamedBlob = (String, Arc<dyn Blob>);

/// A commit that was read, its checkpoint not yet checked.
struct Signed {
    path: String,
    first: u64,
    end: u64,
    records_at: u64,
    note: Vec<u8>,
    /// The root that the records lead to; `None` where what is before them is lost.
    root: Option<Hash>,
}

/// Where the reading of the journals stands.
struct Tail {
    /// Roots of the sealed segments.
    row: Vec<Hash>,
    sealed: u64,
    /// The tree so far; `None` where part of it is lost.
    frontier: Option<Frontier>,
    /// Where the next commit begins; `None` before the first.
    next: Option<u64>,
    /// Sizes whose root something signed speaks of.
    wanted: BTreeSet<u64>,
    roots: BTreeMap<u64, Hash>,
    signed: Vec<Signed>,
}

impl LogCheck<'_> {
    /// Reads the journals on top of the segments, and compares every checkpoint. Segments
    /// that were not read yet are read first: a running server seals meanwhile.
    pub(super) fn tail(&mut self) {
        if let Err(error) = self.read_tail() {
            self.verdict.fail(None, &error);
        }
    }

    fn read_tail(&mut self) -> Result<(), LogError> {
        // Journals first: what a running server seals and deletes in between is then both
        // open here and in a segment listed below.
        let journals = self.open_journals()?;
        let count = self.segments();
        for number in 0..count {
            if !self.sealed.contains_key(&number) && !self.tried.contains(&number) {
                self.segment(number);
            }
        }
        let row = self.row();
        let sealed = row.len() as u64 * RECORDS_PER_SEGMENT;
        let mut tail = Tail {
            frontier: self.frontier_at(&row, sealed).ok(),
            row,
            sealed,
            next: None,
            wanted: self.vouched_sizes(),
            roots: BTreeMap::new(),
            signed: Vec::new(),
        };
        for (path, blob) in &journals {
            if !self.read_journal(path, blob.as_ref(), &mut tail)? {
                break;
            }
        }
        self.sealed_roots(&mut tail);
        let size =
            tail.frontier.as_ref().map_or(tail.sealed, |frontier| frontier.size().max(tail.sealed));
        self.check_signed(&tail.signed);
        self.compare(&tail.roots, size);
        Ok(())
    }

    fn open_journals(&mut self) -> Result<Vec<NamedBlob>, LogError> {
        let mut open = Vec::new();
        for path in stored::journals(self.store)? {
            match self.store.open(&path) {
                Ok(blob) => {
                    if self.options.from_disk {
                        blob.evict();
                    }
                    open.push((path, blob));
                }
                // Sealed since it was listed.
                Err(StoreError::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(open)
    }

    /// Reads a journal; whether to go on with the next.
    fn read_journal(
        &mut self,
        path: &str,
        blob: &dyn Blob,
        tail: &mut Tail,
    ) -> Result<bool, LogError> {
        self.verdict.coverage.file_bytes += blob.size();
        let mut at = 0;
        while let Some(commit) = self.next_commit(path, blob, at, tail)? {
            (self.options.pace)(commit.next_at - at);
            at = commit.next_at;
            if !self.follows(path, &commit, tail) || !self.add(path, commit, tail) {
                return Ok(false);
            }
        }
        (self.options.pace)(blob.size() - at);
        Ok(true)
    }

    /// The commit at `at`, or `None` at the end of the journal. One that a running server
    /// is writing at this moment looks damaged; it is looked at again.
    fn next_commit(
        &mut self,
        path: &str,
        blob: &dyn Blob,
        at: u64,
        tail: &Tail,
    ) -> Result<Option<Commit>, LogError> {
        let index = tail.next.unwrap_or(tail.sealed);
        for look in 1..=LOOKS {
            match stored::commit_at(blob, at)? {
                Found::Commit(found) => return Ok(Some(found)),
                Found::End => return Ok(None),
                Found::Torn => {
                    self.incomplete(path, at, index);
                    return Ok(None);
                }
                Found::Damaged { offset, problem } => {
                    if look == LOOKS || !self.store.is_locked() {
                        self.verdict.fail(Some(index), &damaged(path, offset, problem));
                        return Ok(None);
                    }
                    std::thread::yield_now();
                }
            }
        }
        Ok(None)
    }

    /// An incomplete commit is ordinary while a server writes it. Left by a crash it holds
    /// nothing that was acknowledged, but that cannot be checked.
    fn incomplete(&mut self, path: &str, at: u64, index: u64) {
        self.verdict.coverage.incomplete_tail = true;
        if !self.store.is_locked() {
            let message = format!(
                "{path} ends in an incomplete frame at offset {at}: no receipt was given for it, and the next start of the server cuts it off"
            );
            self.verdict.find(FindingKind::Unverifiable, Some(index), message);
        }
    }

    /// Commits follow each other. Of journals whose records are all sealed any may be gone
    /// before others: there the segments go on, and nothing is missing.
    fn follows(&mut self, path: &str, commit: &Commit, tail: &mut Tail) -> bool {
        let (first, expected) = (commit.first, tail.next.unwrap_or(tail.sealed));
        let is_sealed = tail.next.unwrap_or(0)..=tail.sealed;
        let follows = Some(first) == tail.next || is_sealed.contains(&first);
        if self.verdict.coverage.incomplete_tail || !follows || commit.count == 0 {
            let (kind, message) = if first > expected {
                let last = first - 1;
                (
                    FindingKind::Missing,
                    format!(
                        "{path} goes on with record {first}: the records {expected} to {last} are missing"
                    ),
                )
            } else if commit.count == 0 {
                (
                    FindingKind::Altered,
                    format!("{path} has a frame without records before record {expected}"),
                )
            } else if self.verdict.coverage.incomplete_tail {
                (
                    FindingKind::Altered,
                    format!("{path} goes on with record {first} after a frame that is incomplete"),
                )
            } else {
                (
                    FindingKind::Altered,
                    format!(
                        "{path} has records from {first} on where {expected} follows: frames stand twice, or out of their order"
                    ),
                )
            };
            self.verdict.find(kind, Some(expected.min(first)), message);
            return false;
        }
        if Some(first) != tail.next {
            tail.frontier = self.frontier_at(&tail.row, first).ok();
        }
        tail.next = Some(commit.end());
        true
    }

    /// Hashes the records of a commit into the tree; whether to go on.
    fn add(&mut self, path: &str, commit: Commit, tail: &mut Tail) -> bool {
        self.verdict.coverage.commits += 1;
        let (first, end) = (commit.first, commit.end());
        let entries = hash_entries(&commit.records, first, self.kind, &mut self.attachments)
            .filter(|entries| entries.leaves.len() as u64 == u64::from(commit.count));
        let Some(entries) = entries else {
            let error = damaged(path, commit.records_at, "frame does not hold its records");
            self.verdict.fail(Some(first), &error);
            return false;
        };
        self.times(path, &commit, tail);
        for (leaf, index) in entries.leaves.into_iter().zip(first..) {
            let Some(frontier) = &mut tail.frontier else { break };
            push(frontier, leaf);
            if tail.wanted.contains(&(index + 1)) {
                tail.roots.insert(index + 1, frontier.root());
            }
            if index + 1 == tail.sealed && !self.is_sealed_tree(path, frontier, &tail.row) {
                // From here on the segments count.
                tail.frontier = self.frontier_at(&tail.row, tail.sealed).ok();
            }
        }
        for (hash, index) in entries.ids.into_iter().filter(|(_, index)| *index >= tail.sealed) {
            self.hold_id(hash, index);
        }
        self.keep_records(&commit, tail.sealed);
        let new = end.saturating_sub(tail.sealed.max(first));
        let lengths = BundleEntries::new(&commit.records).filter_map(Result::ok).map(<[u8]>::len);
        let skipped = (commit.count as u64).saturating_sub(new) as usize;
        self.verdict.coverage.records += new;
        self.verdict.coverage.record_bytes += lengths.skip(skipped).sum::<usize>() as u64;
        let root = tail.frontier.as_ref().map(Frontier::root);
        let (path, records_at) = (path.to_owned(), commit.records_at);
        tail.signed.push(Signed { path, first, end, records_at, note: commit.note, root });
        true
    }

    /// Records that stand in a journal and in a segment must be the same ones.
    fn is_sealed_tree(&mut self, path: &str, frontier: &Frontier, row: &[Hash]) -> bool {
        let same = self
            .frontier_at(row, frontier.size())
            .is_ok_and(|sealed| sealed.root() == frontier.root());
        if !same {
            let error = damaged(path, 0, "its records are not those that were sealed");
            self.verdict.fail(Some(frontier.size().saturating_sub(1)), &error);
        }
        same
    }

    /// A segment says when its first and its last record were committed; where the commits
    /// are still there they must say the same.
    fn times(&mut self, path: &str, commit: &Commit, tail: &Tail) {
        let numbers =
            [commit.first / RECORDS_PER_SEGMENT, (commit.end() - 1) / RECORDS_PER_SEGMENT];
        for number in numbers.into_iter().collect::<BTreeSet<u64>>() {
            let Some(sealed) = self.sealed.get(&number) else { continue };
            let (first, last) =
                (number * RECORDS_PER_SEGMENT, (number + 1) * RECORDS_PER_SEGMENT - 1);
            let holds = |index: u64| commit.first <= index && index < commit.end();
            let told = [(first, sealed.time_us.0), (last, sealed.time_us.1)];
            let other =
                told.into_iter().find(|(index, time)| holds(*index) && *time != commit.time_us);
            if let Some((index, _)) = other.filter(|_| number < tail.row.len() as u64) {
                let message = format!(
                    "segment {number} and {path} disagree about when record {index} was committed"
                );
                self.verdict.find(FindingKind::Altered, Some(index), message);
            }
        }
    }

    /// Records whose ids may have to be compared, by index: those of which no run is.
    fn keep_records(&mut self, commit: &Commit, sealed: u64) {
        if self.kind == Kind::Raw {
            return;
        }
        let entries = BundleEntries::new(&commit.records).filter_map(Result::ok);
        for (record, index) in entries.zip(commit.first..).filter(|(_, index)| *index >= sealed) {
            if let Some(id) = record_id(record) {
                self.tail_ids.insert(index, id.into_owned().into());
            }
        }
    }

    /// The roots at the sizes below the sealed end that something signed speaks of.
    fn sealed_roots(&mut self, tail: &mut Tail) {
        let sizes: Vec<u64> = tail.wanted.range(..=tail.sealed).copied().collect();
        let roots: Vec<(u64, Hash)> = sizes
            .into_par_iter()
            .filter_map(|size| Some((size, self.frontier_at(&tail.row, size).ok()?.root())))
            .collect();
        // What the journals say of them was compared with the segments.
        tail.roots.extend(roots);
    }

    /// Checks the checkpoint of every commit, signatures in parallel.
    fn check_signed(&mut self, signed: &[Signed]) {
        let keys = &self.keys;
        let problems: Vec<(u64, LogError)> = signed
            .par_iter()
            .filter_map(|commit| {
                let Signed { path, first, end, records_at, note, root } = commit;
                let problem = match keys.checkpoint(note) {
                    Err(source) => LogError::Checkpoint { path: path.clone(), source },
                    Ok(checkpoint) => {
                        let leads = root.is_none_or(|root| root == checkpoint.root);
                        if checkpoint.size == *end && leads {
                            return None;
                        }
                        let last = end - 1;
                        let problem =
                            format!("records {first} to {last} do not lead to their checkpoint");
                        damaged(path, *records_at, problem)
                    }
                };
                Some((*first, problem))
            })
            .collect();
        self.verdict.coverage.checkpoints += (signed.len() - problems.len()) as u64;
        for (index, error) in problems {
            self.verdict.fail(Some(index), &error);
        }
        let last = signed.last().and_then(|commit| self.keys.checkpoint(&commit.note).ok());
        self.verdict.coverage.head = last;
    }
}
