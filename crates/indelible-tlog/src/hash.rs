//! Hashes of a Merkle tree as RFC 6962 §2.1 and RFC 9162 §2.1.1 define them.

use sha2::{Digest, Sha256, block_api::compress256};
use std::{fmt, str::FromStr};

/// Length of a [`struct@Hash`] in bytes.
pub const HASH_LEN: usize = 32;

/// A SHA-256 value in the tree. Its text form is padded base64, as in C2SP.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Hash(pub [u8; HASH_LEN]);

/// Root of the tree with no entries: SHA-256 of the empty string.
pub const EMPTY_ROOT: Hash = Hash([
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
    0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
]);

/// Text that is not the base64 form of 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a base64-encoded 32-byte hash")]
pub struct ParseHashError;

impl Hash {
    /// The bytes of the hash.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; HASH_LEN] {
        &self.0
    }

    /// A hash from exactly 32 bytes.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl AsRef<[u8]> for Hash {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::base64::encode(&self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

impl FromStr for Hash {
    type Err = ParseHashError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        crate::base64::decode(text).and_then(|bytes| Self::from_slice(&bytes)).ok_or(ParseHashError)
    }
}

/// Hash of a leaf: SHA-256(0x00 ‖ entry).
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Hash {
    prefixed(0x00, entry)
}

/// Hash of an inner node: SHA-256(0x01 ‖ left ‖ right).
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut pair = [0; 2 * HASH_LEN];
    let (first, second) = pair.split_at_mut(HASH_LEN);
    first.copy_from_slice(&left.0);
    second.copy_from_slice(&right.0);
    prefixed(0x01, &pair)
}

/// SHA-256(prefix ‖ data), its blocks taken where they lie. A tree hashes short
/// messages by the million; the buffering of the streaming interface costs a third
/// of such a hash. A test compares the two.
fn prefixed(prefix: u8, data: &[u8]) -> Hash {
    const BLOCK: usize = 64;
    const INITIAL: [u32; 8] = [
        0x6a09_e667,
        0xbb67_ae85,
        0x3c6e_f372,
        0xa54f_f53a,
        0x510e_527f,
        0x9b05_688c,
        0x1f83_d9ab,
        0x5be0_cd19,
    ];
    let mut state = INITIAL;
    let mut last = [[0; BLOCK]; 2];
    let mut filled = 1;
    let mut tail = data;
    if let Some((first, rest)) = data.split_first_chunk::<63>() {
        let mut block = [prefix; BLOCK];
        if let Some(after) = block.get_mut(1..) {
            after.copy_from_slice(first);
        }
        let (blocks, rest) = rest.as_chunks::<BLOCK>();
        compress256(&mut state, &[block]);
        compress256(&mut state, blocks);
        (filled, tail) = (0, rest);
    }
    let flat = last.as_flattened_mut();
    let bits = (data.len() as u64).wrapping_add(1).wrapping_mul(8).to_be_bytes();
    let message = [prefix].into_iter().take(filled).chain(tail.iter().copied()).chain([0x80]);
    let mut used = 0usize;
    for (slot, byte) in flat.iter_mut().zip(message) {
        *slot = byte;
        used = used.wrapping_add(1);
    }
    let blocks = if used <= BLOCK.wrapping_sub(bits.len()) { 1 } else { 2 };
    let end = BLOCK.wrapping_mul(blocks);
    if let Some(length) = flat.get_mut(end.wrapping_sub(bits.len())..end) {
        length.copy_from_slice(&bits);
    }
    compress256(&mut state, last.get(..blocks).unwrap_or_default());
    let mut hash = Hash::default();
    for (bytes, word) in hash.0.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    hash
}

/// [`node_hash`] over arbitrary bytes: what a verifier computes before it knows
/// that what it was handed has the length of a hash.
pub(crate) fn node_hash_of(left: &[u8], right: &[u8]) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update([0x01]);
    hasher.update(left);
    hasher.update(right);
    Hash(hasher.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_hashes() {
        assert_eq!(EMPTY_ROOT.to_string(), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
        assert_eq!(leaf_hash(b"").to_string(), "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=");
    }

    #[test]
    fn every_length_agrees_with_the_streaming_hash() {
        let data: Vec<u8> = (0..1000u32).map(|n| (n * 7) as u8).collect();
        for len in 0..data.len() {
            for prefix in [0, 1] {
                let mut hasher = Sha256::new();
                hasher.update([prefix]);
                hasher.update(&data[..len]);
                assert_eq!(
                    prefixed(prefix, &data[..len]).0,
                    <[u8; 32]>::from(hasher.finalize()),
                    "{len}"
                );
            }
        }
        let (left, right) = (leaf_hash(b"l"), leaf_hash(b"r"));
        assert_eq!(node_hash(&left, &right), node_hash_of(left.as_ref(), right.as_ref()));
    }

    #[test]
    fn text_form_is_canonical() {
        let text = leaf_hash(b"x").to_string();
        assert_eq!(text.parse::<Hash>().unwrap().to_string(), text);
        for bad in ["", "AAAA", &text[1..], &format!("{text}\n"), "!!!!"] {
            assert_eq!(bad.parse::<Hash>(), Err(ParseHashError), "{bad:?}");
        }
        // The last character before the padding carries two unused bits.
        let mut tail = text.clone();
        tail.replace_range(42..43, "B");
        if tail != text {
            assert!(
                tail.parse::<Hash>().is_err() || tail.parse::<Hash>().unwrap().to_string() == tail
            );
        }
    }
}
