//! The Bloom filter of a run: blocks, of which a hash is in one.

use super::hash::HASH_BITS;

/// Filter bits per entry; about one false candidate in a thousand lookups.
const BITS_PER_ENTRY: u64 = 14;
const PROBES: usize = 6;
/// Bytes of a block: one read of a disk's sector.
pub(super) const BLOCK_LEN: usize = 512;
const BITS: u64 = 8 * BLOCK_LEN as u64;

/// A block of a Bloom filter.
pub(super) type Block = [u8; BLOCK_LEN];

/// Blocks of a filter for so many entries.
pub(super) fn blocks_for(entries: u64) -> u64 {
    (entries * BITS_PER_ENTRY).div_ceil(BITS).max(1)
}

pub(super) fn insert(block: &mut Block, short: u64) {
    for (byte, bit) in bits(short) {
        block[byte] |= bit;
    }
}

pub(super) fn has(block: &Block, short: u64) -> bool {
    bits(short).all(|(byte, bit)| block[byte] & bit != 0)
}

/// The block of a filter that a hash of 36 bits is in; ascends with the hash.
pub(super) fn block_of(short: u64, blocks: u64) -> u64 {
    ((u128::from(short) * u128::from(blocks)) >> HASH_BITS) as u64
}

/// Bits of a block for one hash: double hashing, of which the place of the block is
/// independent enough (it is of the high bits, and these of all).
fn bits(short: u64) -> impl Iterator<Item = (usize, u8)> {
    let mixed = (short ^ short >> 17).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let step = (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) | 1;
    (0..PROBES).map(move |probe| {
        let at = mixed.wrapping_add(step.wrapping_mul(probe as u64));
        let bit = ((u128::from(at) * u128::from(BITS)) >> 64) as usize;
        (bit / 8, 1 << (bit % 8))
    })
}
