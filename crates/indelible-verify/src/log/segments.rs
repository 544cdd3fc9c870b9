//! Sealed segments: every record hashed and compared with the seal, and the roots of the
//! tree at any size that something signed speaks of.

use super::{LogCheck, damaged, ids::Fingerprint};
use crate::verdict::Finding;
use indelible_event::{Attachment, Envelope, Payload, record_id};
use indelible_log::{
    Kind, LogError, RECORDS_PER_BUNDLE, RECORDS_PER_SEGMENT,
    stored::{self, BUNDLE_LEVEL, BUNDLES_PER_SEGMENT, Link, SEGMENT_LEVEL, Segment},
};
use indelible_tlog::{BundleEntries, Checkpoint, Frontier, Hash, leaf_hash};
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

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

/// What reading one segment yields.
pub(super) struct Hashed {
    number: u64,
    sealed: Option<Sealed>,
    records: u64,
    record_bytes: u64,
    file_bytes: u64,
    attachments: BTreeSet<Named>,
    findings: Vec<Finding>,
}

/// An attachment and the record that names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Named {
    pub(super) attachment: [u8; 32],
    pub(super) size: u64,
    pub(super) index: u64,
}

impl LogCheck<'_> {
    /// Reads a segment and hashes every record in it. Shares nothing, so that many can be
    /// hashed at a time; [`LogCheck::take_segment`] takes what it yields.
    pub(super) fn hash_segment(&self, number: u64) -> Hashed {
        let first = number * RECORDS_PER_SEGMENT;
        let mut hashed = Hashed {
            number,
            sealed: None,
            records: 0,
            record_bytes: 0,
            file_bytes: 0,
            attachments: BTreeSet::new(),
            findings: Vec::new(),
        };
        let segment = match Segment::open(self.store, number) {
            Ok(segment) => segment,
            Err(error) => {
                hashed.findings.push(Finding::of(Some(first), &error));
                return hashed;
            }
        };
        if self.options.from_disk {
            segment.evict();
        }
        hashed.file_bytes = segment.file_size();
        let checkpoint = self.seal(&segment, &mut hashed.findings);
        let mut ids = Fingerprint::default();
        for bundle in 0..BUNDLES_PER_SEGMENT {
            let at = first + bundle as u64 * RECORDS_PER_BUNDLE;
            match self.hash_bundle(&segment, bundle, at, &mut hashed.attachments) {
                Ok((raw, found)) => {
                    hashed.records += RECORDS_PER_BUNDLE;
                    hashed.record_bytes += raw as u64 - 2 * RECORDS_PER_BUNDLE;
                    found.into_iter().for_each(|(id, index)| ids.add(&self.points, id, index));
                }
                Err(error) => hashed.findings.push(Finding::of(Some(at), &error)),
            }
        }
        if hashed.findings.is_empty() && hashed.record_bytes != segment.record_bytes() {
            let error = damaged(segment.path(), 0, "trailer has another number of bytes");
            hashed.findings.push(Finding::of(Some(first), &error));
        }
        hashed.sealed = Some(Sealed {
            root: segment.root(),
            time_us: segment.time_us(),
            sound: hashed.findings.is_empty(),
            ids,
            checkpoint,
            link: segment.link(),
        });
        hashed
    }

    /// The checkpoint in a segment must be signed and cover it.
    fn seal(&self, segment: &Segment, findings: &mut Vec<Finding>) -> Option<Checkpoint> {
        let first = segment.number() * RECORDS_PER_SEGMENT;
        if let Err(error) = segment.signed(self.keys.line()) {
            findings.push(Finding::of(Some(first), &error));
        }
        let covers = |checkpoint: &Checkpoint| {
            checkpoint.size >= first + RECORDS_PER_SEGMENT
                && checkpoint.size == segment.link().end()
        };
        let error = match self.keys.checkpoint(segment.note()) {
            Ok(checkpoint) if covers(&checkpoint) => return Some(checkpoint),
            Ok(_) => damaged(segment.path(), 0, "its checkpoint does not cover it"),
            Err(source) => LogError::Checkpoint { path: segment.path().to_owned(), source },
        };
        findings.push(Finding::of(Some(first), &error));
        None
    }

    /// Hashes a bundle to its root; the length of its bytes, and the ids in it.
    fn hash_bundle(
        &self,
        segment: &Segment,
        bundle: usize,
        first: u64,
        attachments: &mut BTreeSet<Named>,
    ) -> Result<(usize, Vec<(u64, u64)>), LogError> {
        let raw = segment.bundle(bundle)?;
        let root = segment.bundle_roots().get(bundle);
        let found = hash_entries(&raw, first, self.kind, attachments)
            .filter(|found| found.leaves.len() as u64 == RECORDS_PER_BUNDLE)
            .filter(|found| root == Some(&stored::fold(&found.leaves)));
        found.map(|found| (raw.len(), found.ids)).ok_or_else(|| {
            let last = first + RECORDS_PER_BUNDLE - 1;
            let problem = format!("records {first} to {last} do not hash to the bundle's root");
            damaged(segment.path(), segment.bundle_offset(bundle), problem)
        })
    }

    /// Takes what a segment yielded; returns the bytes read.
    pub(super) fn take_segment(&mut self, hashed: Hashed) -> u64 {
        let coverage = &mut self.verdict.coverage;
        coverage.segments += u64::from(hashed.sealed.is_some());
        coverage.records += hashed.records;
        coverage.record_bytes += hashed.record_bytes;
        coverage.file_bytes += hashed.file_bytes;
        self.attachments.extend(hashed.attachments);
        self.verdict.findings.extend(hashed.findings);
        if let Some(sealed) = hashed.sealed {
            self.sealed.insert(hashed.number, sealed);
        }
        hashed.file_bytes
    }

    /// One more than the highest number of a segment.
    pub(super) fn segments(&mut self) -> u64 {
        let listed = match self.store.list("segments") {
            Ok(listed) => listed,
            Err(error) => {
                self.verdict.fail(None, &error.into());
                return 0;
            }
        };
        listed.iter().filter_map(|path| stored::segment_number(path)).max().map_or(0, |n| n + 1)
    }

    /// Roots of the segments, as far as they follow each other.
    pub(super) fn row(&self) -> Vec<Hash> {
        (0..).map_while(|number| self.sealed.get(&number).map(|sealed| sealed.root)).collect()
    }

    /// The tree of the first `size` records, of which all are sealed; reads the footer and
    /// the bundle that it ends in.
    pub(super) fn frontier_at(&self, row: &[Hash], size: u64) -> Result<Frontier, LogError> {
        let lost = || LogError::NoRecord(format!("{size} is not below the sealed end"));
        let (number, within) = (size / RECORDS_PER_SEGMENT, size % RECORDS_PER_SEGMENT);
        let mut upper = Frontier::new();
        row.get(..number as usize)
            .ok_or_else(lost)?
            .iter()
            .for_each(|root| push(&mut upper, *root));
        let whole = upper.scaled(SEGMENT_LEVEL).ok_or_else(lost)?;
        if within == 0 {
            return Ok(whole);
        }
        let segment = Segment::open(self.store, number)?;
        if row.get(number as usize) != Some(&segment.root()) {
            return Err(damaged(segment.path(), 0, "it changed while it was read"));
        }
        let bundles = (within / RECORDS_PER_BUNDLE) as usize;
        let mut inner = Frontier::new();
        segment.bundle_roots().iter().take(bundles).for_each(|root| push(&mut inner, *root));
        let inner = inner.scaled(BUNDLE_LEVEL).ok_or_else(lost)?;
        let rest = (within % RECORDS_PER_BUNDLE) as usize;
        let mut last = Frontier::new();
        if rest > 0 {
            let raw = segment.bundle(bundles)?;
            let leaves: Vec<Hash> =
                BundleEntries::new(&raw).filter_map(Result::ok).map(leaf_hash).collect();
            if segment.bundle_roots().get(bundles) != Some(&stored::fold(&leaves)) {
                return Err(damaged(
                    segment.path(),
                    segment.bundle_offset(bundles),
                    "bundle does not hash to its root",
                ));
            }
            leaves.into_iter().take(rest).for_each(|leaf| push(&mut last, leaf));
        }
        let inner = inner.join(&last).ok_or_else(lost)?;
        whole.join(&inner).ok_or_else(lost)
    }

    /// The id of a record that is sealed or in a journal.
    pub(super) fn id_at(&self, index: u64) -> Option<Box<str>> {
        if let Some(id) = self.tail_ids.get(&index) {
            return Some(id.clone());
        }
        let segment = Segment::open(self.store, index / RECORDS_PER_SEGMENT).ok()?;
        let within = index % RECORDS_PER_SEGMENT;
        let raw = segment.bundle((within / RECORDS_PER_BUNDLE) as usize).ok()?;
        let mut entries = BundleEntries::new(&raw);
        let record = entries.nth((within % RECORDS_PER_BUNDLE) as usize)?.ok()?;
        record_id(record).map(|id| id.into_owned().into())
    }

    /// Hash and index of the ids in a segment.
    pub(super) fn ids_of(&self, number: u64) -> Vec<(u64, u64)> {
        let Ok(segment) = Segment::open(self.store, number) else { return Vec::new() };
        let bundles = (0..BUNDLES_PER_SEGMENT).into_par_iter();
        let read = bundles.filter_map(|bundle| {
            let first = number * RECORDS_PER_SEGMENT + bundle as u64 * RECORDS_PER_BUNDLE;
            let raw = segment.bundle(bundle).ok()?;
            Some(hash_entries(&raw, first, self.kind, &mut BTreeSet::new())?.ids)
        });
        read.flatten().collect()
    }

    /// Compares the checkpoints in segments, and the one held from before, with the tree.
    pub(super) fn compare(&mut self, roots: &BTreeMap<u64, Hash>, size: u64) {
        let sealed = self.sealed.iter().filter_map(|(number, sealed)| {
            Some((sealed.checkpoint.clone()?, format!("segment {number}"), false))
        });
        let since = self
            .since
            .clone()
            .map(|held| (held, "the checkpoint held from before".to_owned(), true));
        let announced = self.announced.iter().map(|(path, size, root)| {
            let origin = self.keys.line().first().name().to_owned();
            (Checkpoint::new(origin, *size, *root), path.clone(), false)
        });
        let vouched: Vec<_> = sealed.chain(since).chain(announced).collect();
        for (checkpoint, origin, is_since) in vouched {
            match roots.get(&checkpoint.size) {
                Some(root) if *root == checkpoint.root => {
                    let coverage = &mut self.verdict.coverage;
                    coverage.checkpoints += 1;
                    if is_since {
                        coverage.since = Some(checkpoint.size);
                    }
                    if coverage.head.as_ref().is_none_or(|head| head.size < checkpoint.size) {
                        coverage.head = Some(checkpoint);
                    }
                }
                Some(found) => {
                    let (size, found, known) = (checkpoint.size, *found, checkpoint.root);
                    self.verdict.fail(None, &LogError::Forked { size, found, known });
                }
                None if checkpoint.size > size => {
                    let known = checkpoint.size;
                    self.verdict.fail(Some(size), &LogError::RolledBack { size, known, origin });
                }
                // Within what could not be read, which was found.
                None => {}
            }
        }
    }

    /// Sizes that checkpoints in segments, and the one held from before, speak of.
    pub(super) fn vouched_sizes(&self) -> BTreeSet<u64> {
        let sealed = self.sealed.values().filter_map(|sealed| sealed.checkpoint.as_ref());
        let sizes = sealed.chain(&self.since).map(|checkpoint| checkpoint.size);
        sizes.chain(self.announced.iter().map(|(_, size, _)| *size)).collect()
    }
}

/// What hashing the entries of a bundle or commit yields.
pub(super) struct Entries {
    pub(super) leaves: Vec<Hash>,
    /// Hash of the id, and index, of each that has one.
    pub(super) ids: Vec<(u64, u64)>,
}

/// Leaf hashes of the records of a bundle or commit, and their ids; notes the attachments
/// they name.
pub(super) fn hash_entries(
    bundle: &[u8],
    first: u64,
    kind: Kind,
    attachments: &mut BTreeSet<Named>,
) -> Option<Entries> {
    const MARK: &[u8] = b",\"attachment\":{\"sha256\":\"";
    let entries: Option<Vec<&[u8]>> = BundleEntries::new(bundle).map(Result::ok).collect();
    let entries = entries?;
    // One search over the whole bundle, and a closer look only where it hits.
    if kind == Kind::Events && memchr::memmem::find(bundle, MARK).is_some() {
        for (record, index) in entries.iter().zip(first..) {
            let payload = Envelope::parse(record).and_then(|envelope| envelope.payload());
            if let Ok(Payload::Attachment(Attachment { sha256, size })) = payload {
                attachments.insert(Named { attachment: sha256, size, index });
            }
        }
    }
    let id = |(record, index): (&&[u8], u64)| Some((stored::id_hash(record)?, index));
    let ids = match kind {
        Kind::Events => entries.iter().zip(first..).filter_map(id).collect(),
        Kind::Raw => Vec::new(),
    };
    // Journals come as few large commits, segments are hashed in parallel already.
    let leaves = match entries.len() > 4 * RECORDS_PER_BUNDLE as usize {
        true => entries.par_iter().map(|record| leaf_hash(record)).collect(),
        false => entries.into_iter().map(leaf_hash).collect(),
    };
    Some(Entries { leaves, ids })
}

pub(super) fn push(frontier: &mut Frontier, hash: Hash) {
    frontier.push(hash, |_, _, _| {});
}
