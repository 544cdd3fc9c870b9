//! Sealing: a full segment moves from the journals to its own file.

use crate::{
    error::{LogError, Result, chain, damaged},
    handover,
    ids::IdHash,
    journal,
    segment::{
        self, BUNDLE_LEVEL, BUNDLE_RECORDS, SEGMENT_BUNDLES, SEGMENT_RECORDS, Seal, Segment,
    },
    shared::{Head, Shared},
};
use indelible_event::record_id;
use indelible_store::StoreError;
use indelible_tlog::{BundleEntries, Hash, NodeReader, leaf_hash};

/// Seals the next segment if all its records are committed. Returns whether it did.
pub(crate) fn seal_next(shared: &Shared) -> Result<bool> {
    let (number, head, times) = {
        let state = shared.state.read();
        if state.head.size < state.sealed() + SEGMENT_RECORDS {
            return Ok(false);
        }
        (state.sealed_segments(), state.head.clone(), state.next_segment_times())
    };
    let (segment, ids) = match left_over(shared, number)? {
        Some(found) => found,
        None => {
            write(shared, number, times, &head)?;
            let segment = Segment::open(shared.store.as_ref(), number)?;
            let ids = read_back(shared, &segment)?;
            (segment, ids)
        }
    };
    // If we crash here the journals still hold the records; the segment is compared with
    // them at the next start.
    let runs = shared.state.read().runs.clone();
    let new = (number, segment.trailer.root);
    let (runs, superseded) =
        runs.with_segment(shared.store.as_ref(), &shared.keys.ring(), new, ids.into_iter())?;
    // If we crash here the run is there or is rebuilt from the segment.
    let done = shared.publish_seal(segment.trailer.clone(), runs);
    // If we crash here recovery finds runs that are merged and journals whose records are
    // all sealed, and deletes them. So it does if this fails.
    for path in superseded.into_iter().chain(done.into_iter().map(journal::path)) {
        if let Err(error) = shared.store.delete(&path) {
            tracing::warn!(
                error = chain(&error),
                "what a seal replaced is deleted at the next start"
            );
        }
    }
    Ok(true)
}

/// The segment and its ids, if an attempt that was cut short left them: nothing relied on
/// them, so they may hold or not. If not they are set aside.
fn left_over(shared: &Shared, number: u64) -> Result<Option<(Segment, Vec<Option<IdHash>>)>> {
    match shared.store.sync(&segment::path(number)) {
        Err(StoreError::NotFound { .. }) => return Ok(None),
        other => other?,
    }
    let read = || {
        let segment = Segment::open(shared.store.as_ref(), number)?;
        let ids = read_back(shared, &segment)?;
        Ok((segment, ids))
    };
    match read() {
        Ok(found) => Ok(Some(found)),
        Err(error @ LogError::Damaged { .. }) => {
            tracing::error!(error = chain(&error), "a segment does not hold and is made anew");
            handover::set_aside(shared.store.as_ref(), number)?;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn write(shared: &Shared, number: u64, times: (i64, i64), head: &Head) -> Result<()> {
    let tree = shared.tree();
    let ring = shared.keys.ring();
    let Some(link) = head.link else {
        return Err(LogError::Invalid("the log has no commit".to_owned()));
    };
    let origin = ring.origin();
    let seal = Seal { origin, note: &head.note, link, sign: &|text| ring.sign_newest(text) };
    segment::write(shared.store.as_ref(), number, times, &seal, |bundle| {
        let (first, root) = expected(&tree, number, bundle)?;
        Ok((shared.bundle(first, BUNDLE_RECORDS)?, root))
    })
}

/// First record and root of a bundle, as the tree knows them.
fn expected(
    tree: &impl NodeReader<Error = crate::LogError>,
    number: u64,
    bundle: usize,
) -> Result<(u64, Hash)> {
    let global = number * SEGMENT_BUNDLES as u64 + bundle as u64;
    Ok((global * BUNDLE_RECORDS, tree.node(BUNDLE_LEVEL, global)?))
}

/// Reads a segment back from storage, checks that its records hash to the leaves of
/// the tree and its roots are the tree's, and returns the hashes of their ids.
fn read_back(shared: &Shared, segment: &Segment) -> Result<Vec<Option<IdHash>>> {
    let tree = shared.tree();
    // What memory holds of it proves nothing about the disk.
    segment.evict();
    let footer = segment.footer()?;
    let mut ids = Vec::with_capacity(SEGMENT_RECORDS as usize);
    for bundle in 0..SEGMENT_BUNDLES {
        let raw = segment.bundle(&footer, bundle)?;
        let (first, root) = expected(&tree, segment.number, bundle)?;
        let leaves = read_bundle(&raw, &mut ids);
        if Some(&root) != footer.roots.get(bundle) || shared.unsealed_leaves(first) != Some(leaves)
        {
            let problem =
                format!("records from {first} on do not hash to the tree they were sealed from");
            return Err(damaged(segment.path(), segment.bundle_offset(&footer, bundle), problem));
        }
    }
    Ok(ids)
}

/// Leaf hashes of a bundle; pushes the hashes of its records' ids.
fn read_bundle(raw: &[u8], ids: &mut Vec<Option<IdHash>>) -> Vec<Hash> {
    BundleEntries::new(raw)
        .filter_map(std::result::Result::ok)
        .map(|record| {
            ids.push(record_id(record).map(|id| IdHash::of(&id)));
            leaf_hash(record)
        })
        .collect()
}
