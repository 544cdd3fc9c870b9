//! Verification of a log's folder, from the bytes alone: it shares no state with a
//! running log, needs no lock, and trusts nothing but the pinned key.
//!
//! Checked are: every record, by hashing it into the tree; every checkpoint in
//! journals and segments, by signature and by root; every seal; every attachment;
//! every byte of padding; the id runs; and, if one is given, that a checkpoint held
//! from before is a prefix of what is here. Nothing missing is skipped: it is a
//! finding.

mod hash;

use crate::{
    LogError, attachment,
    chain::{Break, Chain},
    error::chain,
    features,
    frame::{self, Found, Frame},
    ids::Runs,
    journal, keys,
    manifest::{Kind, Manifest},
    open::list_journals,
    segment::{self, Footer, SEGMENT_RECORDS, Segment},
};
use hash::{Named, Problem, SegmentResult, frontier_at, hash_entries, hash_segment, scale};
use indelible_event::Attachment;
use indelible_store::{Blob, Store, StoreError};
use indelible_tlog::{
    Checkpoint, CheckpointError, Frontier, Hash, KeyLine, NoteError, VerifyingKey,
};
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
    let (line, refused) = match keys::line(store, key) {
        Ok(line) => (line, None),
        Err(error) => (KeyLine::new(key.clone()), Some(error)),
    };
    let mut check =
        Check { store, line, progress, done: AtomicU64::new(0), verdict: Verdict::default() };
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
    /// The keys of which the pinned one is one.
    line: KeyLine,
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
        if let Err(error) = features::check(self.store, self.line.keys()) {
            self.fail(None, &error);
        }
        self.secret_key();
        // Journals first: what a running server seals and deletes in between is then
        // both open here and in a segment listed below.
        let journals = self.open_journals()?;
        let segments = self.open_segments()?;
        let mut vouched = self.seal_checkpoints(&segments);
        if let Some(note) = since {
            match self.line.checkpoint(note.as_bytes()) {
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
        match keys::vouched(self.store, &self.line) {
            Err(error) => self.fail(None, &error),
            Ok(notes) => vouched.extend(notes.into_iter().map(|(found_in, size, root)| {
                let origin = self.line.first().name().to_owned();
                let checkpoint = Checkpoint::new(origin, size, root);
                Vouched { checkpoint, found_in, since: false }
            })),
        }
        let mut attachments = BTreeSet::new();
        let sealed = self.hash_segments(&segments, &vouched, kind, &mut attachments);
        let Some((frontier, mut roots)) = sealed else { return Ok(()) };
        let named = segments.iter().map(|(_, footer)| footer.link);
        let chain = Chain::new(frontier.size(), named);
        self.hash_journals(
            &journals,
            chain,
            frontier,
            &vouched,
            &mut roots,
            kind,
            &mut attachments,
        )?;
        self.compare(vouched, &roots);
        self.unsigned_tail();
        self.attachments(&attachments);
        match Runs::verify_all(self.store) {
            Ok(bytes) => self.verdict.coverage.file_bytes += bytes,
            Err(error) => self.fail(None, &error),
        }
        Ok(())
    }

    fn fail(&mut self, index: Option<u64>, error: &LogError) {
        self.verdict.findings.push(Finding { kind: kind_of(error), index, message: chain(error) });
    }

    fn manifest(&mut self) -> Kind {
        match Manifest::read(self.store, self.line.first()) {
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
        match keys::secrets(self.store) {
            Ok(found) if found.iter().all(|key| self.line.keys().contains(key)) => {
                self.verdict.coverage.key_checked = !found.is_empty();
            }
            Ok(found) => {
                let other = found.iter().find(|key| !self.line.keys().contains(key));
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
        for number in list_journals(self.store)? {
            let path = journal::path(number);
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
    fn open_segments(&mut self) -> Result<Vec<(Segment, Footer)>, LogError> {
        let mut numbers = BTreeSet::new();
        for path in self.store.list("segments")? {
            match segment::number(&path) {
                Some(number) => drop(numbers.insert(number)),
                None => {
                    self.fail(None, &crate::error::damaged(&path, 0, "not the name of a segment"))
                }
            }
        }
        let count = numbers.last().map_or(0, |last| last + 1);
        let mut segments = Vec::new();
        for number in 0..count {
            let opened = Segment::open(self.store, number).and_then(|segment| {
                let footer = segment.footer()?;
                Ok((segment, footer))
            });
            match opened {
                Ok(opened) => segments.push(opened),
                Err(error) => self.fail(Some(number * SEGMENT_RECORDS), &error),
            }
        }
        Ok(segments)
    }

    fn seal_checkpoints(&mut self, segments: &[(Segment, Footer)]) -> Vec<Vouched> {
        let mut vouched = Vec::new();
        for (segment, footer) in segments {
            let end = (segment.number + 1) * SEGMENT_RECORDS;
            let found_in = segment.path().to_owned();
            if let Err(error) = footer.signed(segment, &self.line) {
                self.fail(Some(end - SEGMENT_RECORDS), &error);
            }
            match self.line.checkpoint(&footer.note) {
                Ok(checkpoint) if checkpoint.size >= end && checkpoint.size == footer.link.end => {
                    vouched.push(Vouched { checkpoint, found_in, since: false })
                }
                Ok(_) => {
                    let error =
                        crate::error::damaged(&found_in, 0, "its checkpoint does not cover it");
                    self.fail(Some(end - SEGMENT_RECORDS), &error);
                }
                Err(source) => self.fail(
                    Some(end - SEGMENT_RECORDS),
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
        segments: &[(Segment, Footer)],
        vouched: &[Vouched],
        kind: Kind,
        attachments: &mut BTreeSet<Named>,
    ) -> Option<(Frontier, BTreeMap<u64, Hash>)> {
        let expected = segments.len() as u64 * SEGMENT_RECORDS;
        let hashed: Vec<Result<SegmentResult, Vec<Problem>>> = segments
            .par_iter()
            .map(|(segment, footer)| {
                let first = segment.number * SEGMENT_RECORDS;
                let wanted = vouched
                    .iter()
                    .filter_map(|v| v.checkpoint.size.checked_sub(first))
                    .filter(|n| *n < SEGMENT_RECORDS);
                let result = hash_segment(segment, footer, &wanted.collect(), kind);
                let done =
                    self.done.fetch_add(SEGMENT_RECORDS, Ordering::Relaxed) + SEGMENT_RECORDS;
                (self.progress)(done, expected);
                result
            })
            .collect();
        let complete = self.verdict.findings.iter().all(|finding| finding.index.is_none());
        let mut frontier = Frontier::new();
        let mut roots = BTreeMap::new();
        let mut whole = complete;
        for ((segment, _), result) in segments.iter().zip(hashed) {
            let coverage = &mut self.verdict.coverage;
            coverage.segments += 1;
            coverage.file_bytes += segment.file_size();
            match result {
                Ok(result) => {
                    coverage.records += SEGMENT_RECORDS;
                    coverage.record_bytes += result.record_bytes;
                    attachments.extend(result.attachments);
                    for (offset, partial) in result.partial {
                        if let Some(joined) = frontier_at(&frontier, &partial) {
                            roots.insert(segment.number * SEGMENT_RECORDS + offset, joined);
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
        mut chain: Chain,
        mut frontier: Frontier,
        vouched: &[Vouched],
        roots: &mut BTreeMap<u64, Hash>,
        kind: Kind,
        attachments: &mut BTreeSet<Named>,
    ) -> Result<(), LogError> {
        let sealed = frontier.size();
        let wanted: BTreeSet<u64> = vouched.iter().map(|v| v.checkpoint.size).collect();
        let mut notes = Vec::new();
        for (path, blob) in journals {
            self.verdict.coverage.file_bytes += blob.size();
            let mut at = 0;
            while let Some(found) = self.next_frame(path, blob.as_ref(), at)? {
                let end = found.first + u64::from(found.count);
                let follows = match self.verdict.coverage.incomplete_tail {
                    true => Err(Break::Hole(chain.last().map_or(sealed, |last| last.end))),
                    false => chain.follow(&found),
                };
                if let Err(found_break) = follows {
                    self.verdict.findings.push(broken(path, &found, found_break));
                    return Ok(());
                }
                at = found.end;
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
                        &crate::error::damaged(
                            path,
                            found.records_at,
                            "frame does not hold its records",
                        ),
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
                notes.push((path.clone(), Frame { records: Vec::new(), ..found }));
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
    ) -> Result<Option<Frame>, LogError> {
        const LOOKS: u32 = 20;
        for look in 1..=LOOKS {
            match frame::read(blob, at)? {
                Found::Frame(found) => return Ok(Some(found)),
                Found::End => return Ok(None),
                Found::Torn { .. } => {
                    self.incomplete(path, at);
                    return Ok(None);
                }
                Found::Damaged { offset, problem } => {
                    if look == LOOKS || !self.store.is_locked() {
                        let error = crate::error::damaged(path, offset, problem);
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
        frames: &[(String, Frame)],
        roots: &BTreeMap<u64, Hash>,
        sealed: u64,
    ) {
        let problems: Vec<Problem> = frames
            .par_iter()
            .filter_map(|(path, found)| {
                let end = found.first + u64::from(found.count);
                let root = roots.get(&end);
                let agrees = root.map_or(end < sealed, |root| *root == found.root);
                if found.note.is_empty() && agrees {
                    return None;
                }
                let problem = match self.line.checkpoint(&found.note) {
                    Err(source) => LogError::Checkpoint { path: path.clone(), source },
                    Ok(checkpoint) => {
                        // Frames of records that are sealed meanwhile: their root is
                        // that of the segments, known only at some sizes.
                        if agrees && checkpoint.size == end && checkpoint.root == found.root {
                            return None;
                        }
                        crate::error::damaged(
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
            .iter()
            .rev()
            .find(|(_, found)| !found.note.is_empty())
            .and_then(|(_, found)| self.line.checkpoint(&found.note).ok());
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

    /// Records that no checkpoint vouches for might be anybody's.
    fn unsigned_tail(&mut self) {
        let Coverage { records, head, .. } = &self.verdict.coverage;
        let signed = head.as_ref().map_or(0, |head| head.size);
        if signed < *records && self.verdict.findings.is_empty() {
            self.verdict.findings.push(Finding {
                kind: FindingKind::Unverifiable,
                index: Some(signed),
                message: format!("no checkpoint vouches for the records from {signed} on"),
            });
        }
    }

    /// Every attachment that a record names is there and whole, and so is every other.
    fn attachments(&mut self, named: &BTreeSet<Named>) {
        let missing: Vec<Problem> = named
            .par_iter()
            .filter_map(|named| {
                let attachment = Attachment { sha256: named.sha256, size: named.size };
                attachment::get(self.store, &attachment)
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
            .map(|n| attachment::path(&Attachment { sha256: n.sha256, size: n.size }))
            .collect();
        for path in self.store.list("attachments").unwrap_or_default() {
            if known.contains(&path) {
                continue;
            }
            let whole = self.store.read(&path).map(|data| attachment::is_named(&path, &data));
            match whole {
                Ok(true) => {}
                Ok(false) => self.fail(
                    None,
                    &crate::error::damaged(&path, 0, "attachment does not match its hash"),
                ),
                Err(error) => self.fail(None, &error.into()),
            }
        }
    }
}

/// A frame that does not follow the one before it.
fn broken(path: &str, found: &Frame, found_break: Break) -> Finding {
    match found_break {
        Break::Hole(expected) => Finding {
            kind: FindingKind::Missing,
            index: Some(expected),
            message: format!(
                "{path} goes on with record {}, record {expected} is missing",
                found.first
            ),
        },
        Break::Other(problem) => Finding {
            kind: FindingKind::Altered,
            index: Some(found.first),
            message: format!("{path}: {problem}"),
        },
    }
}

fn kind_of(error: &LogError) -> FindingKind {
    match error {
        LogError::Damaged { .. } | LogError::Forked { .. } | LogError::Key { .. } => {
            FindingKind::Altered
        }
        LogError::Checkpoint {
            source:
                CheckpointError::Note(NoteError::Unsigned | NoteError::Replaced { .. })
                | CheckpointError::Origin { .. },
            ..
        } => FindingKind::Unverifiable,
        LogError::Checkpoint { .. } => FindingKind::Altered,
        LogError::NewerFormat { .. } => FindingKind::Unverifiable,
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
