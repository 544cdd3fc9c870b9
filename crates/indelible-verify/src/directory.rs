//! Verification of a log's folder, from the bytes alone: it shares no state with a
//! running log, needs no lock, and trusts nothing but the pinned key.
//!
//! Checked are: every record, by hashing it into the tree; every checkpoint in
//! journals and segments, by signature and by root; every seal; every attachment;
//! every byte of padding; the id runs; and, if one is given, that a checkpoint held
//! from before is a prefix of what is here. Nothing missing is skipped: it is a
//! finding.

mod hash;

use hash::{Named, Problem, SegmentResult, frontier_at, hash_entries, hash_segment, scale};
use indelible_event::Attachment;
use indelible_log::{
    Kind, LogError, RECORDS_PER_SEGMENT, chain,
    stored::{self, Commit, Found, Segment},
};
use indelible_store::{Blob, Store, StoreError};
use indelible_tlog::{Checkpoint, CheckpointError, Frontier, Hash, NoteError, VerifyingKey};
use rayon::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// What kind of trouble a finding is. Ordered: the first is the gravest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FindingKind {
    /// Bytes are not what was recorded.
    Altered,
    /// Something that must be there is not.
    Missing,
    /// It cannot be checked with the given key.
    Unverifiable,
    /// The system did not let it be read.
    Unreadable,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What kind of trouble.
    pub kind: FindingKind,
    /// First record it affects, where that is known.
    pub index: Option<u64>,
    /// What is wrong, and where.
    pub message: String,
}

/// What was checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Records hashed; they are `[0, records)` when there is no finding.
    pub records: u64,
    /// Bytes of those records.
    pub record_bytes: u64,
    /// Bytes of files read.
    pub file_bytes: u64,
    /// Sealed segments checked.
    pub segments: u64,
    /// Journal frames (commits) checked.
    pub commits: u64,
    /// Checkpoints whose signature and root were checked.
    pub checkpoints: u64,
    /// Attachments checked.
    pub attachments: u64,
    /// The newest checkpoint, and so what all of this is a statement about.
    pub head: Option<Checkpoint>,
    /// The secret key was there and is that of the pinned key.
    pub key_checked: bool,
    /// An incomplete frame at the end, which no one was given a receipt for: being
    /// written just now, or left by a crash.
    pub incomplete_tail: bool,
    /// The size of the checkpoint held from before, if it was given and holds.
    pub since: Option<u64>,
}

/// The result of a verification.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What was checked.
    pub coverage: Coverage,
    /// What is wrong, gravest and lowest index first. Empty: everything holds.
    pub findings: Vec<Finding>,
}

/// Called with records done and records expected (0 while not known).
pub type Progress<'a> = &'a (dyn Fn(u64, u64) + Sync);

/// Verifies the log in `store` against a pinned key, and against a checkpoint
/// (`since`, a signed note) that the caller holds from before.
pub fn verify_store(
    store: &dyn Store,
    key: &VerifyingKey,
    since: Option<&str>,
    progress: Progress<'_>,
) -> Verdict {
    let (keys, refused) = match stored::vouched_keys(store, key) {
        Ok(keys) => (keys, None),
        Err(error) => (vec![key.clone()], Some(error)),
    };
    let mut check =
        Check { store, keys, progress, done: AtomicU64::new(0), verdict: Verdict::default() };
    if let Some(error) = refused {
        check.fail(None, &error);
    }
    if let Err(error) = check.run(since) {
        check.fail(None, &error);
    }
    let mut verdict = check.verdict;
    // Findings without an index concern all of it.
    verdict.findings.sort_by_key(|finding| (finding.index, finding.kind));
    verdict
}

impl Verdict {
    /// The gravest kind of finding.
    #[must_use]
    pub fn worst(&self) -> Option<FindingKind> {
        self.findings.iter().map(|finding| finding.kind).min()
    }

    /// The lowest record index that a finding names.
    #[must_use]
    pub fn first_bad_index(&self) -> Option<u64> {
        self.findings.iter().filter_map(|finding| finding.index).min()
    }
}

struct Check<'a> {
    store: &'a dyn Store,
    /// The pinned key and those that it vouches for, oldest first.
    keys: Vec<VerifyingKey>,
    progress: Progress<'a>,
    done: AtomicU64,
    verdict: Verdict,
}

/// A checkpoint to compare with the tree once its size is hashed.
struct Vouched {
    checkpoint: Checkpoint,
    found_in: String,
    since: bool,
}

/// A journal and its path.
type NamedBlob = (String, Arc<dyn Blob>);

impl Check<'_> {
    fn run(&mut self, since: Option<&str>) -> Result<(), LogError> {
        let kind = self.manifest();
        self.secret_key();
        // Journals first: what a running server seals and deletes in between is then
        // both open here and in a segment listed below.
        let journals = self.open_journals()?;
        let segments = self.open_segments()?;
        let mut vouched = self.seal_checkpoints(&segments);
        if let Some(note) = since {
            match Checkpoint::verify_any(note.as_bytes(), &self.keys) {
                Ok(checkpoint) => vouched.push(Vouched {
                    checkpoint,
                    found_in: "the checkpoint held from before".into(),
                    since: true,
                }),
                Err(source) => self.fail(
                    None,
                    &LogError::Checkpoint {
                        path: "the checkpoint held from before".into(),
                        source,
                    },
                ),
            }
        }
        let mut attachments = BTreeSet::new();
        let sealed = self.hash_segments(&segments, &vouched, kind, &mut attachments);
        let Some((frontier, mut roots)) = sealed else { return Ok(()) };
        self.hash_journals(&journals, frontier, &vouched, &mut roots, kind, &mut attachments)?;
        self.compare(vouched, &roots);
        self.attachments(&attachments);
        match stored::id_runs(self.store) {
            Ok(bytes) => self.verdict.coverage.file_bytes += bytes,
            Err(error) => self.fail(None, &error),
        }
        Ok(())
    }

    fn fail(&mut self, index: Option<u64>, error: &LogError) {
        self.verdict.findings.push(Finding { kind: kind_of(error), index, message: chain(error) });
    }

    fn manifest(&mut self) -> Kind {
        let first = self.keys.first().cloned();
        let read = first.map_or_else(
            || Err(LogError::Invalid("no key".to_owned())),
            |first| stored::manifest(self.store, &first),
        );
        match read {
            Ok(manifest) => manifest.kind,
            Err(error) => {
                self.fail(None, &error);
                Kind::Events
            }
        }
    }

    /// The secret key is not part of the evidence, and an auditor's copy does not have
    /// it; but if it is there it must be the one that signs this log.
    fn secret_key(&mut self) {
        match stored::secret_keys(self.store) {
            Ok(found) if found.iter().all(|key| self.keys.contains(key)) => {
                self.verdict.coverage.key_checked = !found.is_empty();
            }
            Ok(found) => {
                let other = found.iter().find(|key| !self.keys.contains(key));
                let message = format!(
                    "the secret key in the folder is that of {}, for which the pinned key does not vouch",
                    other.map_or_else(String::new, ToString::to_string)
                );
                self.verdict.findings.push(Finding {
                    kind: FindingKind::Unverifiable,
                    index: None,
                    message,
                });
            }
            Err(LogError::NoLog(_) | LogError::Store(_) | LogError::KeyStore { .. }) => {}
            Err(error) => self.fail(None, &error),
        }
    }

    fn open_journals(&self) -> Result<Vec<NamedBlob>, LogError> {
        let mut open = Vec::new();
        for path in stored::journals(self.store)? {
            match self.store.open(&path) {
                Ok(blob) => open.push((path, blob)),
                // Sealed since it was listed.
                Err(StoreError::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(open)
    }

    /// Opens every segment; a hole in their row is a finding.
    fn open_segments(&mut self) -> Result<Vec<Segment>, LogError> {
        let mut numbers = BTreeSet::new();
        for path in self.store.list("segments")? {
            match stored::segment_number(&path) {
                Some(number) => drop(numbers.insert(number)),
                None => self.fail(None, &damaged(&path, 0, "not the name of a segment")),
            }
        }
        let count = numbers.last().map_or(0, |last| last + 1);
        let mut segments = Vec::new();
        for number in 0..count {
            match Segment::open(self.store, number) {
                Ok(opened) => segments.push(opened),
                Err(error) => self.fail(Some(number * RECORDS_PER_SEGMENT), &error),
            }
        }
        Ok(segments)
    }

    fn seal_checkpoints(&mut self, segments: &[Segment]) -> Vec<Vouched> {
        let mut vouched = Vec::new();
        for segment in segments {
            let end = (segment.number() + 1) * RECORDS_PER_SEGMENT;
            let found_in = segment.path().to_owned();
            match Checkpoint::verify_any(segment.note(), &self.keys) {
                Ok(checkpoint) if checkpoint.size >= end => {
                    vouched.push(Vouched { checkpoint, found_in, since: false })
                }
                Ok(_) => {
                    let error = damaged(&found_in, 0, "its checkpoint does not cover it");
                    self.fail(Some(end - RECORDS_PER_SEGMENT), &error);
                }
                Err(source) => self.fail(
                    Some(end - RECORDS_PER_SEGMENT),
                    &LogError::Checkpoint { path: found_in, source },
                ),
            }
        }
        vouched
    }

    /// Hashes all segments in parallel. Returns the frontier over them and the root
    /// at each vouched size below it; `None` when one cannot be hashed.
    fn hash_segments(
        &mut self,
        segments: &[Segment],
        vouched: &[Vouched],
        kind: Kind,
        attachments: &mut BTreeSet<Named>,
    ) -> Option<(Frontier, BTreeMap<u64, Hash>)> {
        let expected = segments.len() as u64 * RECORDS_PER_SEGMENT;
        let hashed: Vec<Result<SegmentResult, Vec<Problem>>> = segments
            .par_iter()
            .map(|segment| {
                let first = segment.number() * RECORDS_PER_SEGMENT;
                let wanted = vouched
                    .iter()
                    .filter_map(|v| v.checkpoint.size.checked_sub(first))
                    .filter(|n| *n < RECORDS_PER_SEGMENT);
                let result = hash_segment(segment, &wanted.collect(), kind);
                let done = self.done.fetch_add(RECORDS_PER_SEGMENT, Ordering::Relaxed)
                    + RECORDS_PER_SEGMENT;
                (self.progress)(done, expected);
                result
            })
            .collect();
        let complete = self.verdict.findings.iter().all(|finding| finding.index.is_none());
        let mut frontier = Frontier::new();
        let mut roots = BTreeMap::new();
        let mut whole = complete;
        for (segment, result) in segments.iter().zip(hashed) {
            let coverage = &mut self.verdict.coverage;
            coverage.segments += 1;
            coverage.file_bytes += segment.file_size();
            match result {
                Ok(result) => {
                    coverage.records += RECORDS_PER_SEGMENT;
                    coverage.record_bytes += result.record_bytes;
                    attachments.extend(result.attachments);
                    for (offset, partial) in result.partial {
                        if let Some(joined) = frontier_at(&frontier, &partial) {
                            roots.insert(segment.number() * RECORDS_PER_SEGMENT + offset, joined);
                        }
                    }
                    frontier.push(result.root, |_, _, _| {});
                }
                Err(problems) => {
                    whole = false;
                    problems.into_iter().for_each(|(index, error)| self.fail(index, &error));
                }
            }
        }
        let frontier = whole.then(|| scale(&frontier))??;
        roots.insert(frontier.size(), frontier.root());
        Some((frontier, roots))
    }

    /// Hashes the journals on top of the segments and checks every commit.
    fn hash_journals(
        &mut self,
        journals: &[NamedBlob],
        mut frontier: Frontier,
        vouched: &[Vouched],
        roots: &mut BTreeMap<u64, Hash>,
        kind: Kind,
        attachments: &mut BTreeSet<Named>,
    ) -> Result<(), LogError> {
        let sealed = frontier.size();
        let wanted: BTreeSet<u64> = vouched.iter().map(|v| v.checkpoint.size).collect();
        let mut notes = Vec::new();
        let mut next = None;
        for (path, blob) in journals {
            self.verdict.coverage.file_bytes += blob.size();
            let mut at = 0;
            while let Some(found) = self.next_frame(path, blob.as_ref(), at)? {
                let end = found.end();
                let follows = next.map_or(found.first <= sealed, |next| found.first == next);
                if self.verdict.coverage.incomplete_tail || !follows || found.count == 0 {
                    let expected = next.unwrap_or(sealed);
                    let message = format!(
                        "{path} goes on with record {}, record {expected} is missing",
                        found.first
                    );
                    self.verdict.findings.push(Finding {
                        kind: FindingKind::Missing,
                        index: Some(expected),
                        message,
                    });
                    return Ok(());
                }
                next = Some(end);
                at = found.next_at;
                self.verdict.coverage.commits += 1;
                if end <= sealed {
                    notes.push((path.clone(), found));
                    continue;
                }
                let index = found.first;
                let leaves = hash_entries(&found.records, index, kind, attachments);
                let Some(leaves) =
                    leaves.filter(|leaves| leaves.len() as u64 == u64::from(found.count))
                else {
                    self.fail(
                        Some(index),
                        &damaged(path, found.records_at, "frame does not hold its records"),
                    );
                    return Ok(());
                };
                for (leaf, index) in leaves.into_iter().zip(index..) {
                    if index >= sealed {
                        frontier.push(leaf, |_, _, _| {});
                        if wanted.contains(&(index + 1)) {
                            roots.insert(index + 1, frontier.root());
                        }
                    }
                }
                let new = end - sealed.max(found.first);
                self.verdict.coverage.records += new;
                self.verdict.coverage.record_bytes +=
                    found.records.len() as u64 - 2 * u64::from(found.count);
                (self.progress)(self.done.fetch_add(new, Ordering::Relaxed) + new, 0);
                roots.insert(end, frontier.root());
                notes.push((path.clone(), Commit { records: Vec::new(), ..found }));
            }
        }
        self.frame_checkpoints(&notes, roots, sealed);
        Ok(())
    }

    /// The frame at `at`, or `None` at the end of the journal. A frame that a running
    /// server is writing at this moment looks damaged; it is looked at again.
    fn next_frame(
        &mut self,
        path: &str,
        blob: &dyn Blob,
        at: u64,
    ) -> Result<Option<Commit>, LogError> {
        const LOOKS: u32 = 20;
        for look in 1..=LOOKS {
            match stored::commit_at(blob, at)? {
                Found::Commit(found) => return Ok(Some(found)),
                Found::End => return Ok(None),
                Found::Torn => {
                    self.incomplete(path, at);
                    return Ok(None);
                }
                Found::Damaged { offset, problem } => {
                    if look == LOOKS || !self.store.is_locked() {
                        let error = damaged(path, offset, problem);
                        self.fail(Some(self.verdict.coverage.records), &error);
                        return Ok(None);
                    }
                    std::thread::yield_now();
                }
            }
        }
        Ok(None)
    }

    /// An incomplete frame is ordinary while a server writes it. Left by a crash it
    /// holds nothing that was acknowledged, but that cannot be checked.
    fn incomplete(&mut self, path: &str, at: u64) {
        self.verdict.coverage.incomplete_tail = true;
        if !self.store.is_locked() {
            let message = format!(
                "{path} ends in an incomplete frame at offset {at}: no receipt was given for it, and the next start of the server cuts it off"
            );
            self.verdict.findings.push(Finding {
                kind: FindingKind::Unverifiable,
                index: Some(self.verdict.coverage.records),
                message,
            });
        }
    }

    /// Checks the checkpoint of every frame, signatures in parallel.
    fn frame_checkpoints(
        &mut self,
        frames: &[(String, Commit)],
        roots: &BTreeMap<u64, Hash>,
        sealed: u64,
    ) {
        let problems: Vec<Problem> = frames
            .par_iter()
            .filter_map(|(path, found)| {
                let end = found.end();
                let problem = match Checkpoint::verify_any(&found.note, &self.keys) {
                    Err(source) => LogError::Checkpoint { path: path.clone(), source },
                    Ok(checkpoint) => {
                        // Frames of records that are sealed meanwhile: their root is
                        // that of the segments, known only at some sizes.
                        let root = roots.get(&end);
                        let holds = checkpoint.size == end
                            && root.map_or(end < sealed, |root| *root == checkpoint.root);
                        if holds {
                            return None;
                        }
                        damaged(
                            path,
                            found.records_at,
                            format!(
                                "records {} to {} do not lead to their checkpoint",
                                found.first,
                                end - 1
                            ),
                        )
                    }
                };
                Some((Some(found.first), problem))
            })
            .collect();
        self.verdict.coverage.checkpoints += (frames.len() - problems.len()) as u64;
        for (index, error) in problems {
            self.fail(index, &error);
        }
        let last = frames
            .last()
            .and_then(|(_, found)| Checkpoint::verify_any(&found.note, &self.keys).ok());
        self.verdict.coverage.head = last;
    }

    /// Compares the vouched checkpoints with the tree.
    fn compare(&mut self, vouched: Vec<Vouched>, roots: &BTreeMap<u64, Hash>) {
        let size = self.verdict.coverage.records;
        for Vouched { checkpoint, found_in, since } in vouched {
            match roots.get(&checkpoint.size) {
                Some(root) if *root == checkpoint.root => {
                    self.verdict.coverage.checkpoints += 1;
                    if since {
                        self.verdict.coverage.since = Some(checkpoint.size);
                    }
                    if self
                        .verdict
                        .coverage
                        .head
                        .as_ref()
                        .is_none_or(|head| head.size < checkpoint.size)
                    {
                        self.verdict.coverage.head = Some(checkpoint);
                    }
                }
                Some(found) => {
                    let error = LogError::Forked {
                        size: checkpoint.size,
                        found: *found,
                        known: checkpoint.root,
                    };
                    self.fail(None, &error);
                }
                None => {
                    let error =
                        LogError::RolledBack { size, known: checkpoint.size, origin: found_in };
                    self.fail(Some(size), &error);
                }
            }
        }
    }

    /// Every attachment that a record names is there and whole, and so is every other.
    fn attachments(&mut self, named: &BTreeSet<Named>) {
        let missing: Vec<Problem> = named
            .par_iter()
            .filter_map(|named| {
                let attachment = Attachment { sha256: named.sha256, size: named.size };
                stored::attachment(self.store, &attachment)
                    .err()
                    .map(|error| (Some(named.index), error))
            })
            .collect();
        self.verdict.coverage.attachments += (named.len() - missing.len()) as u64;
        for (index, error) in missing {
            self.fail(index, &error);
        }
        // A crash between attachment and record leaves one that no record names.
        let known: BTreeSet<String> = named
            .iter()
            .map(|n| stored::attachment_path(&Attachment { sha256: n.sha256, size: n.size }))
            .collect();
        for path in self.store.list("attachments").unwrap_or_default() {
            if known.contains(&path) {
                continue;
            }
            if let Err(error) = stored::attachment_at(self.store, &path) {
                self.fail(None, &error);
            }
        }
    }
}

fn kind_of(error: &LogError) -> FindingKind {
    match error {
        LogError::Damaged { .. } | LogError::Forked { .. } | LogError::Key { .. } => {
            FindingKind::Altered
        }
        LogError::Checkpoint {
            source: CheckpointError::Note(NoteError::Unsigned) | CheckpointError::Origin { .. },
            ..
        } => FindingKind::Unverifiable,
        LogError::Checkpoint { .. } => FindingKind::Altered,
        LogError::NoLog(_)
        | LogError::RolledBack { .. }
        | LogError::NoRecord(_)
        | LogError::NoCheckpoint { .. } => FindingKind::Missing,
        LogError::Store(StoreError::NotFound { .. }) => FindingKind::Missing,
        LogError::Store(_)
        | LogError::Invalid(_)
        | LogError::KeyStore { .. }
        | LogError::Signing(_) => FindingKind::Unreadable,
    }
}

/// A problem with stored bytes.
fn damaged(path: &str, offset: u64, problem: impl Into<String>) -> LogError {
    LogError::Damaged { path: path.to_owned(), offset, problem: problem.into() }
}
