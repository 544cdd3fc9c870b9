//! Hashing of segments and frames, record by record.

use super::damaged;
use indelible_event::{Attachment, Envelope, Payload};
use indelible_log::{
    Kind, LogError, RECORDS_PER_BUNDLE as BUNDLE_RECORDS, RECORDS_PER_SEGMENT as SEGMENT_RECORDS,
    stored::{self, BUNDLE_LEVEL, BUNDLES_PER_SEGMENT, SEGMENT_LEVEL, Segment},
};
use indelible_tlog::{BundleEntries, Frontier, Hash, leaf_hash};
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// What hashing one segment yields.
pub(super) struct SegmentResult {
    pub(super) root: Hash,
    /// Frontiers of the segment's first n records, for each n asked for.
    pub(super) partial: BTreeMap<u64, Frontier>,
    pub(super) record_bytes: u64,
    pub(super) attachments: BTreeSet<Named>,
}

/// An attachment and the record that names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Named {
    pub(super) sha256: [u8; 32],
    pub(super) size: u64,
    pub(super) index: u64,
}

/// A problem, and the first record it affects.
pub(super) type Problem = (Option<u64>, LogError);

/// Hashes every record of a segment and checks it against its seal.
pub(super) fn hash_segment(
    segment: &Segment,
    wanted: &BTreeSet<u64>,
    kind: Kind,
) -> Result<SegmentResult, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut frontier = Frontier::new();
    let mut result = SegmentResult {
        root: segment.root(),
        partial: wanted.iter().filter(|n| **n == 0).map(|n| (*n, Frontier::new())).collect(),
        record_bytes: 0,
        attachments: BTreeSet::new(),
    };
    for bundle in 0..BUNDLES_PER_SEGMENT {
        let first = segment.number() * SEGMENT_RECORDS + bundle as u64 * BUNDLE_RECORDS;
        let raw = match segment.bundle(bundle) {
            Ok(raw) => raw,
            Err(error) => {
                problems.push((Some(first), error));
                continue;
            }
        };
        let leaves = hash_entries(&raw, first, kind, &mut result.attachments)
            .filter(|leaves| leaves.len() as u64 == BUNDLE_RECORDS);
        let sound = leaves.as_ref().is_some_and(|leaves| {
            segment.bundle_roots().get(bundle) == Some(&stored::fold(leaves))
        });
        let Some(leaves) = leaves.filter(|_| sound) else {
            let problem = format!(
                "records {first} to {} do not hash to the bundle's root",
                first + BUNDLE_RECORDS - 1
            );
            let offset = segment.bundle_offset(bundle);
            problems.push((Some(first), damaged(segment.path(), offset, problem)));
            continue;
        };
        result.record_bytes += raw.len() as u64 - 2 * BUNDLE_RECORDS;
        let within = bundle as u64 * BUNDLE_RECORDS;
        let ends_inside = wanted.range(within + 1..within + BUNDLE_RECORDS).next().is_some();
        if ends_inside {
            // Rare: a checkpoint ends inside this bundle.
            let mut inside = Frontier::new();
            for (leaf, size) in leaves.iter().zip(within + 1..within + BUNDLE_RECORDS) {
                inside.push(*leaf, |_, _, _| {});
                let before = frontier.scaled(BUNDLE_LEVEL);
                let joined = before.and_then(|before| before.join(&inside));
                if let Some(joined) = joined.filter(|_| wanted.contains(&size)) {
                    result.partial.insert(size, joined);
                }
            }
        }
        frontier.push(segment.bundle_roots()[bundle], |_, _, _| {});
        let size = within + BUNDLE_RECORDS;
        if size < SEGMENT_RECORDS
            && wanted.contains(&size)
            && let Some(whole) = frontier.scaled(BUNDLE_LEVEL)
        {
            result.partial.insert(size, whole);
        }
    }
    if problems.is_empty() && frontier.root() != segment.root() {
        problems.push((
            Some(segment.number() * SEGMENT_RECORDS),
            damaged(segment.path(), 0, "bundles do not lead to the segment root"),
        ));
    }
    if result.record_bytes != segment.record_bytes() && problems.is_empty() {
        problems.push((
            Some(segment.number() * SEGMENT_RECORDS),
            damaged(segment.path(), 0, "trailer has another number of bytes"),
        ));
    }
    if problems.is_empty() { Ok(result) } else { Err(problems) }
}

/// Leaf hashes of the records of a bundle or frame; notes the attachments they name.
pub(super) fn hash_entries(
    bundle: &[u8],
    first: u64,
    kind: Kind,
    attachments: &mut BTreeSet<Named>,
) -> Option<Vec<Hash>> {
    const MARK: &[u8] = b",\"attachment\":{\"sha256\":\"";
    let entries: Option<Vec<&[u8]>> = BundleEntries::new(bundle).map(Result::ok).collect();
    let entries = entries?;
    if kind == Kind::Events {
        let finder = memchr::memmem::Finder::new(MARK);
        // One search over the whole bundle, and a closer look only where it hits.
        if finder.find(bundle).is_some() {
            for (record, index) in entries.iter().zip(first..) {
                let payload = Envelope::parse(record).and_then(|envelope| envelope.payload());
                if let Ok(Payload::Attachment(Attachment { sha256, size })) = payload {
                    attachments.insert(Named { sha256, size, index });
                }
            }
        }
    }
    // Journals come as few large frames, segments are hashed in parallel already.
    if entries.len() > 4 * BUNDLE_RECORDS as usize {
        return Some(entries.par_iter().map(|record| leaf_hash(record)).collect());
    }
    Some(entries.into_iter().map(leaf_hash).collect())
}

/// The frontier here counts segments; this is the root of its records followed by `partial`.
pub(super) fn frontier_at(segments: &Frontier, partial: &Frontier) -> Option<Hash> {
    scale(segments)?.join(partial).map(|joined| joined.root())
}

/// A frontier that counts segments as one that counts records: the same nodes.
pub(super) fn scale(segments: &Frontier) -> Option<Frontier> {
    segments.scaled(SEGMENT_LEVEL)
}
