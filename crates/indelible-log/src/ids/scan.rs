//! Ids read from the segments themselves: to make a run, and where a run is bad.

use super::hash::IdHash;
use crate::{
    error::{Result, damaged},
    segment::{self, SEGMENT_BUNDLES, SEGMENT_RECORDS, Segment},
};
use indelible_event::record_id;
use indelible_store::Store;
use indelible_tlog::{BundleEntries, Hash};
use std::ops::Range;

/// The hashes of the ids of a segment's records, in order, and its root, to which the
/// records were hashed.
pub(crate) fn ids_of(store: &dyn Store, number: u64) -> Result<(Hash, Vec<Option<IdHash>>)> {
    let segment = Segment::open(store, number)?;
    let footer = segment.footer()?;
    let mut ids = Vec::with_capacity(SEGMENT_RECORDS as usize);
    for bundle in 0..SEGMENT_BUNDLES {
        let raw = segment.bundle(&footer, bundle)?;
        let root = segment::leaf_hashes(&raw).map(|leaves| segment::fold(&leaves));
        if root.as_ref() != footer.roots.get(bundle) {
            let at = segment.bundle_offset(&footer, bundle);
            return Err(damaged(segment.path(), at, "records do not hash to the bundle's root"));
        }
        let records = BundleEntries::new(&raw).filter_map(std::result::Result::ok);
        ids.extend(records.map(|record| record_id(record).map(|id| IdHash::of(&id))));
    }
    Ok((segment.trailer.root, ids))
}

/// Indexes of records of some segments that may have the id.
pub(super) fn search(store: &dyn Store, segments: Range<u64>, hash: IdHash) -> Result<Vec<u64>> {
    let mut found = Vec::new();
    for number in segments {
        let (_, ids) = ids_of(store, number)?;
        let indexes = (number * SEGMENT_RECORDS..).zip(ids);
        found.extend(indexes.filter(|(_, id)| *id == Some(hash)).map(|(index, _)| index));
    }
    Ok(found)
}
