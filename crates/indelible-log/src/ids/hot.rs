//! The ids of records that no run covers yet, in memory.

use super::hash::IdHash;
use crate::segment::SEGMENT_RECORDS;
use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    hash::{BuildHasherDefault, Hasher},
};

/// Ids of records that no run covers yet, by the segment they will be in.
#[derive(Debug, Default)]
pub(crate) struct HotIds {
    segments: BTreeMap<u64, HashMap<IdHash, Indexes, BuildHasherDefault<AsItIs>>>,
}

/// Almost always one index, held without an allocation; more only where hashes collide.
#[derive(Debug)]
struct Indexes {
    first: u64,
    more: Vec<u64>,
}

/// An [`IdHash`] is a hash already.
#[derive(Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

impl HotIds {
    pub(crate) fn insert(&mut self, hash: IdHash, index: u64) {
        match self.segments.entry(index / SEGMENT_RECORDS).or_default().entry(hash) {
            Entry::Vacant(free) => {
                free.insert(Indexes { first: index, more: Vec::new() });
            }
            Entry::Occupied(mut known) => known.get_mut().more.push(index),
        }
    }

    /// Takes back the insert of `index`.
    pub(crate) fn remove(&mut self, hash: IdHash, index: u64) {
        let Some(ids) = self.segments.get_mut(&(index / SEGMENT_RECORDS)) else { return };
        let Entry::Occupied(mut known) = ids.entry(hash) else { return };
        let indexes = known.get_mut();
        if indexes.first != index {
            indexes.more.retain(|more| *more != index);
        } else if indexes.more.is_empty() {
            known.remove();
        } else {
            indexes.first = indexes.more.remove(0);
        }
    }

    pub(crate) fn candidates(&self, hash: IdHash) -> Vec<u64> {
        let known = self.segments.values().filter_map(|ids| ids.get(&hash));
        known
            .flat_map(|indexes| std::iter::once(indexes.first).chain(indexes.more.iter().copied()))
            .collect()
    }

    /// Forgets the segments below `segment`, which runs now cover.
    pub(crate) fn forget_below(&mut self, segment: u64) {
        self.segments = self.segments.split_off(&segment);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(index: u64) -> IdHash {
        IdHash::of(&format!("event-{index}"))
    }

    #[test]
    fn hot_ids_are_taken_back_and_forgotten() {
        let mut hot = HotIds::default();
        hot.insert(id(1), 1);
        hot.insert(id(1), 70_000);
        assert_eq!(hot.candidates(id(1)), [1, 70_000]);
        hot.remove(id(1), 70_000);
        assert_eq!(hot.candidates(id(1)), [1]);
        hot.forget_below(1);
        assert_eq!(hot.candidates(id(1)), Vec::<u64>::new());
    }
}
