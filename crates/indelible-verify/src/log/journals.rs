//! The end of a log that is not sealed yet: every commit in the journals, its records and
//! its checkpoint, on top of the sealed tree.

use super::{
    segments::{hash_entries, push},
    state::{LogCheck, damaged},
};
use crate::verdict::FindingKind;
use indelible_event::record_id;
use indelible_log::{
    Kind, LogError, RECORDS_PER_SEGMENT,
    stored::{self, Break, Commit, Found, Row},
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
    /// The root that its frame says.
    told: Hash,
    /// The root that the records lead to; `None` where what is before them is lost.
    root: Option<Hash>,
}

/// Where the reading of the journals stands.
struct Tail {
    /// Roots of the sealed segments.
    row: Vec<Hash>,
    sealed: u64,
    chain: Row,
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
            chain: Row::new(sealed, self.sealed.values().map(|sealed| sealed.link)),
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
        self.unsigned_tail(size);
        Ok(())
    }

    /// Records that no checkpoint vouches for might be anybody's.
    fn unsigned_tail(&mut self, size: u64) {
        let signed = self.verdict.coverage.head.as_ref().map_or(0, |head| head.size);
        if signed < size && self.verdict.findings.is_empty() {
            let message = format!("no checkpoint vouches for the records from {signed} on");
            self.verdict.find(FindingKind::Unverifiable, Some(signed), message);
        }
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
                Found::Commit(found) => return Ok(Some(*found)),
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

    /// Commits follow each other, each naming the one before it. Of journals whose records
    /// are all sealed any may be gone: there the segments go on, and nothing is missing.
    fn follows(&mut self, path: &str, commit: &Commit, tail: &mut Tail) -> bool {
        let (first, expected) = (commit.first, tail.next.unwrap_or(tail.sealed));
        if self.verdict.coverage.incomplete_tail {
            let message = format!("{path} goes on with record {first} after an incomplete frame");
            self.verdict.find(FindingKind::Altered, Some(expected.min(first)), message);
            return false;
        }
        match tail.chain.follow(commit) {
            Ok(()) => {}
            Err(Break::Hole(from)) => {
                let message = format!(
                    "{path} goes on with record {first}: the records {from} to {} are missing",
                    first.saturating_sub(1)
                );
                self.verdict.find(FindingKind::Missing, Some(from), message);
                return false;
            }
            Err(Break::Other(problem)) => {
                let message = format!("{path}: {problem}");
                self.verdict.find(FindingKind::Altered, Some(expected.min(first)), message);
                return false;
            }
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
        self.times(path, &commit);
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
        let (note, told) = (commit.note, commit.root);
        tail.signed.push(Signed { path, first, end, records_at, note, told, root });
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

    /// A segment says, signed, between which times its records were committed; where the
    /// commits are still there theirs must be between them.
    fn times(&mut self, path: &str, commit: &Commit) {
        let numbers = commit.first / RECORDS_PER_SEGMENT..=(commit.end() - 1) / RECORDS_PER_SEGMENT;
        for number in numbers {
            let Some(sealed) = self.sealed.get(&number) else { continue };
            let (earliest, latest) = sealed.time_us;
            if !(earliest..=latest).contains(&commit.time_us) {
                let first = commit.first;
                let message = format!(
                    "{path} says another time of the commit of records from {first} on than segment {number}"
                );
                self.verdict.find(FindingKind::Altered, Some(first), message);
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
                let Signed { path, first, end, records_at, note, told, root } = commit;
                let leads = root.is_none_or(|root| root == *told);
                if note.is_empty() && leads {
                    return None;
                }
                let problem = match keys.checkpoint(note) {
                    Err(source) => LogError::Checkpoint { path: path.clone(), source },
                    Ok(checkpoint) => {
                        if leads && checkpoint.size == *end && checkpoint.root == *told {
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
        let last = signed.iter().rev().find(|commit| !commit.note.is_empty());
        let last = last.and_then(|commit| self.keys.checkpoint(&commit.note).ok());
        self.verdict.coverage.head = last;
    }
}
