//! The Bloom filter of a run: blocks with their own checksums, of which a hash is in one.

use super::hash::HASH_BITS;

/// Filter bits per entry; about one false candidate in a thousand lookups.
const BITS_PER_ENTRY: u64 = 14;
const PROBES: usize = 6;

/// Blocks of a filter for so many entries.
pub(super) fn blocks_for(entries: u64) -> u64 {
    (entries * BITS_PER_ENTRY).div_ceil(Block::BITS).max(1)
}

/// A block of a Bloom filter: bits, and in the last four bytes their checksum.
pub(super) struct Block([u8; Block::LEN as usize]);

impl Default for Block {
    fn default() -> Self {
        Self([0; Self::LEN as usize])
    }
}

impl Block {
    /// Bytes of a block: one read of a disk's sector.
    pub(super) const LEN: u64 = 512;
    const BITS: u64 = 8 * (Self::LEN - 4);

    pub(super) fn insert(&mut self, short: u64) {
        for (byte, bit) in bits(short) {
            self.0[byte] |= bit;
        }
    }

    pub(super) fn has(&self, short: u64) -> bool {
        has(&self.0, short)
    }

    /// The bytes to write.
    pub(super) fn bytes(mut self) -> [u8; Self::LEN as usize] {
        let (bits, crc) = self.0.split_at_mut(Self::LEN as usize - 4);
        crc.copy_from_slice(&crc32c::crc32c(bits).to_le_bytes());
        self.0
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let block = Self(bytes.try_into().ok()?);
        let (bits, crc) = block.0.split_last_chunk()?;
        (u32::from_le_bytes(*crc) == crc32c::crc32c(bits)).then_some(block)
    }
}

pub(super) fn has(block: &[u8; Block::LEN as usize], short: u64) -> bool {
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
        let bit = ((u128::from(at) * u128::from(Block::BITS)) >> 64) as usize;
        (bit / 8, 1 << (bit % 8))
    })
}
