//! One log's folder, checked from the bytes alone, whole or piece by piece.
//!
//! Checked are: every record, by hashing it into the tree; every checkpoint in journals
//! and segments, by signature and by root; every seal; every attachment; every byte of
//! padding; the id runs, by the ids of the records, and that no id occurs twice; every
//! file's name and the secret keys' modes; and, if one is given, that a checkpoint held
//! from before is a prefix of what is here.

mod files;
mod fingerprint;
mod ids;
mod journals;
mod segments;
mod state;

pub use state::{LogCheck, Options, Piece};

use crate::{
    keys::Keys,
    verdict::{Finding, Unproven, Verdict},
};
use fingerprint::Points;
use indelible_log::{Kind, LogError, RECORDS_PER_SEGMENT, stored};
use indelible_store::Store;
use indelible_tlog::VerifyingKey;
use rayon::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicU64, Ordering},
};

/// Called with records done and records expected (0 while not known).
pub type Progress<'a> = &'a (dyn Fn(u64, u64) + Sync);

impl<'a> LogCheck<'a> {
    /// Begins the check of the log in `store` against a pinned key.
    #[must_use]
    pub fn new(store: &'a dyn Store, key: &VerifyingKey, options: Options<'a>) -> Self {
        let (keys, refused) = Keys::of(store, key);
        let mut verdict = Verdict::default();
        verdict.coverage.logs = 1;
        if let Some(error) = refused {
            verdict.fail(None, &error);
        }
        let points = Points::random().unwrap_or_else(|error| {
            verdict.fail(None, &error);
            Points::default()
        });
        if let Err(error) = stored::features(store, keys.line()) {
            verdict.fail(None, &error);
        }
        let kind = match stored::manifest(store, keys.line().first()) {
            Ok(manifest) => manifest.kind,
            Err(error) => {
                verdict.fail(None, &error);
                Kind::Events
            }
        };
        let announced = stored::vouched_roots(store, keys.line()).unwrap_or_else(|error| {
            verdict.fail(None, &error);
            Vec::new()
        });
        let mut check = Self {
            store,
            options,
            keys,
            kind,
            since: None,
            announced,
            points,
            sealed: BTreeMap::new(),
            tried: BTreeSet::new(),
            attachments: BTreeSet::new(),
            runs: Vec::new(),
            held: Vec::new(),
            tail_ids: BTreeMap::new(),
            pieces: Vec::new(),
            verdict,
        };
        check.plan();
        check
    }

    /// Compares with a checkpoint held from before, a signed note.
    pub fn since(&mut self, note: &str) {
        match self.keys.checkpoint(note.as_bytes()) {
            Ok(checkpoint) => self.since = Some(checkpoint),
            Err(source) => {
                let path = "the checkpoint held from before".to_owned();
                self.verdict.fail(None, &LogError::Checkpoint { path, source });
            }
        }
    }

    /// The pieces there are now, in the order in which they are to be checked.
    fn plan(&mut self) {
        let mut pieces = vec![Piece::Files];
        pieces.extend((0..self.segments()).map(Piece::Segment));
        pieces.push(Piece::Tail);
        pieces.push(Piece::Ids);
        pieces.extend((0..=255u8).map(|n| Piece::Attachments(format!("{n:02x}"))));
        pieces.reverse();
        self.pieces = pieces;
    }

    /// Begins with these segments, such as those near damage that was found before.
    pub fn begin_with(&mut self, segments: &[u64]) {
        let (first, rest): (Vec<Piece>, Vec<Piece>) = std::mem::take(&mut self.pieces)
            .into_iter()
            .partition(|piece| matches!(piece, Piece::Segment(n) if segments.contains(n)));
        self.pieces = rest;
        self.pieces.extend(first);
    }

    /// The next piece to be checked; `None` when all were.
    pub fn next_piece(&mut self) -> Option<Piece> {
        self.pieces.pop()
    }

    /// Checks a piece; returns how many bytes were read of it.
    pub fn check(&mut self, piece: &Piece) -> u64 {
        match piece {
            Piece::Files => {
                self.files();
                self.secret_key();
                0
            }
            Piece::Segment(number) => self.segment(*number),
            Piece::Tail => {
                self.tail();
                // Listed only now: what they are of is read.
                let runs = self.store.list("ids").unwrap_or_default();
                self.pieces.extend(runs.into_iter().rev().map(Piece::IdRun));
                0
            }
            Piece::IdRun(path) => self.id_run(path),
            Piece::Ids => {
                self.twice();
                0
            }
            Piece::Attachments(folder) => self.attachments_below(folder),
        }
    }

    fn segment(&mut self, number: u64) -> u64 {
        self.tried.insert(number);
        let hashed = self.hash_segment(number);
        self.take_segment(hashed)
    }

    /// What was found so far.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.verdict.findings
    }

    /// Records hashed so far, and those in segments that are still to be read.
    #[must_use]
    pub fn progress(&self) -> (u64, u64) {
        let left = self.pieces.iter().filter(|piece| matches!(piece, Piece::Segment(_))).count();
        let done = self.verdict.coverage.records;
        (done, done + left as u64 * RECORDS_PER_SEGMENT)
    }

    /// What was found, and what was not proven.
    #[must_use]
    pub fn finish(mut self) -> Verdict {
        if self.verdict.coverage.since.is_none() {
            self.verdict.coverage.unproven.insert(Unproven::End);
        }
        self.verdict.coverage.unproven.insert(Unproven::Index);
        self.verdict.sorted()
    }

    /// Checks all that is left, segments in parallel.
    pub(crate) fn run(&mut self, progress: Progress<'_>) {
        let (segments, rest): (Vec<Piece>, Vec<Piece>) = std::mem::take(&mut self.pieces)
            .into_iter()
            .partition(|piece| matches!(piece, Piece::Segment(_)));
        self.pieces = rest;
        let mut numbers: Vec<u64> = segments
            .iter()
            .filter_map(|piece| match piece {
                Piece::Segment(number) => Some(*number),
                _ => None,
            })
            .collect();
        numbers.reverse();
        let expected = numbers.len() as u64 * RECORDS_PER_SEGMENT;
        let done = AtomicU64::new(0);
        let hashed: Vec<_> = numbers
            .par_iter()
            .map(|number| {
                let hashed = self.hash_segment(*number);
                let now = done.fetch_add(RECORDS_PER_SEGMENT, Ordering::Relaxed);
                progress(now + RECORDS_PER_SEGMENT, expected);
                hashed
            })
            .collect();
        self.tried.extend(numbers);
        for hashed in hashed {
            self.take_segment(hashed);
        }
        while let Some(piece) = self.next_piece() {
            self.check(&piece);
        }
    }
}

/// Verifies the log in `store` against a pinned key, and against a checkpoint (`since`, a
/// signed note) that the caller holds from before.
#[must_use]
pub fn verify_store(
    store: &dyn Store,
    key: &VerifyingKey,
    since: Option<&str>,
    progress: Progress<'_>,
) -> Verdict {
    let mut check = LogCheck::new(store, key, Options::default());
    if let Some(note) = since {
        check.since(note);
    }
    check.run(progress);
    check.finish()
}
