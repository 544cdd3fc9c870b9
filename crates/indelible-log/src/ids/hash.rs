//! The hash by which an id is looked for, and what an entry of a run keeps of it.

use sha2::{Digest, Sha256};

/// Low bits of an entry: offset of the record from the run's first.
pub(super) const OFFSET_BITS: u32 = 28;
/// The others: as many of the hash.
pub(super) const HASH_BITS: u32 = 64 - OFFSET_BITS;

/// Hash of an id: the first eight bytes of its SHA-256. Not secret; someone who
/// makes ids collide makes lookups slower, never wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct IdHash(u64);

impl IdHash {
    pub(crate) fn of(id: &str) -> Self {
        let digest: [u8; 32] = Sha256::digest(id).into();
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        Self(u64::from_be_bytes(first))
    }

    /// The 36 bits that runs keep.
    pub(super) const fn short(self) -> u64 {
        self.0 >> OFFSET_BITS
    }
}
