//! Building: roots, inclusion and consistency proofs of a tree whose perfect
//! subtrees a [`NodeReader`] can tell, and the [`Frontier`] that grows one.
//!
//! A *perfect node* `(level, index)` is the root over the 2^level leaves from
//! `index · 2^level`. A *subtree* `[start, end)` is valid when `start` is a
//! multiple of the smallest power of two that is at least `end - start`
//! (draft-ietf-plants-merkle-tree-certs §4.1); the whole tree is `[0, size)`.

use crate::hash::{EMPTY_ROOT, Hash, node_hash};

/// Tells the hashes of perfect nodes that lie wholly inside the tree.
pub trait NodeReader {
    /// Why a node could not be told.
    type Error;

    /// Root over leaves `[index << level, (index + 1) << level)`.
    ///
    /// # Errors
    /// Whatever keeps the reader from knowing the node.
    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error>;
}

/// The right edge of a growing tree: the perfect nodes its size is the sum of.
/// Memory and cost of an append are O(log n).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    /// One node per set bit of `size`, largest first.
    nodes: Vec<Hash>,
}

impl Frontier {
    /// The empty tree.
    #[must_use]
    pub const fn new() -> Self {
        Self { size: 0, nodes: Vec::new() }
    }

    /// The frontier of an existing tree of `size` leaves.
    ///
    /// # Errors
    /// Those of `reader`.
    pub fn read<R: NodeReader>(size: u64, reader: &R) -> Result<Self, R::Error> {
        let nodes = perfect_nodes(0, size)
            .map(|(level, index)| reader.node(level, index))
            .collect::<Result<_, _>>()?;
        Ok(Self { size, nodes })
    }

    /// Number of leaves.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf and reports each perfect node that it completes, the leaf
    /// itself (level 0) first.
    ///
    /// # Panics
    /// On the 2^64th leaf.
    pub fn push(&mut self, leaf: Hash, mut completed: impl FnMut(u8, u64, Hash)) {
        let mut hash = leaf;
        let mut index = self.size;
        let mut level: u8 = 0;
        completed(level, index, hash);
        while index & 1 == 1 {
            if let Some(left) = self.nodes.pop() {
                hash = node_hash(&left, &hash);
            }
            index >>= 1;
            level = level.saturating_add(1);
            completed(level, index, hash);
        }
        self.nodes.push(hash);
        #[expect(clippy::expect_used, reason = "documented panic; 2^64 appends cannot happen")]
        let size = self.size.checked_add(1).expect("a tree has fewer than 2^64 leaves");
        self.size = size;
    }

    /// Root of the tree.
    #[must_use]
    pub fn root(&self) -> Hash {
        fold(&self.nodes)
    }

    /// The same nodes seen from `levels` below: each leaf of this tree becomes a
    /// perfect node of 2^`levels` leaves. `None` when the size would overflow.
    #[must_use]
    pub fn scaled(&self, levels: u8) -> Option<Self> {
        let factor = 1u64.checked_shl(levels.into())?;
        Some(Self { size: self.size.checked_mul(factor)?, nodes: self.nodes.clone() })
    }

    /// The frontier of this tree followed by the leaves of `right`, when those are
    /// aligned: this size is a multiple of a power of two larger than theirs.
    /// Lets parts of a tree be hashed apart and put together.
    #[must_use]
    pub fn join(&self, right: &Self) -> Option<Self> {
        let aligned =
            self.size == 0 || right.size.checked_shr(self.size.trailing_zeros()) == Some(0);
        let size = self.size.checked_add(right.size).filter(|_| aligned)?;
        Some(Self { size, nodes: self.nodes.iter().chain(&right.nodes).copied().collect() })
    }
}

/// Hash over perfect nodes from left (largest) to right.
fn fold(nodes: &[Hash]) -> Hash {
    let Some((last, rest)) = nodes.split_last() else {
        return EMPTY_ROOT;
    };
    rest.iter().rev().fold(*last, |right, left| node_hash(left, &right))
}

/// The perfect nodes that make up `[start, end)`, left to right, as (level, index).
fn perfect_nodes(start: u64, end: u64) -> impl Iterator<Item = (u8, u64)> {
    let len = end.saturating_sub(start);
    let mut at = start;
    (0..64u8).rev().filter(move |level| len >> level & 1 == 1).map(move |level| {
        let node = (level, at >> level);
        at = at.wrapping_add(1 << level);
        node
    })
}

/// Whether `[start, end)` is a subtree with a hash of its own.
#[must_use]
pub fn is_valid_subtree(start: u64, end: u64) -> bool {
    let Some(len) = end.checked_sub(start) else {
        return false;
    };
    // An empty range is valid anywhere; past 2^63 only the whole range is.
    len.checked_next_power_of_two().map_or(start == 0, |width| start & width.wrapping_sub(1) == 0)
}

/// Root of the tree of `size` leaves.
///
/// # Errors
/// Those of `reader`.
pub fn root<R: NodeReader>(size: u64, reader: &R) -> Result<Hash, R::Error> {
    subtree_hash(0, size, reader)
}

/// Hash of a valid subtree; [`EMPTY_ROOT`] for an empty range.
///
/// # Errors
/// Those of `reader`.
pub fn subtree_hash<R: NodeReader>(start: u64, end: u64, reader: &R) -> Result<Hash, R::Error> {
    let nodes = perfect_nodes(start, end)
        .map(|(level, index)| reader.node(level, index))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(fold(&nodes))
}

/// Largest power of two below `len`; `len` is at least 2.
fn split_width(len: u64) -> u64 {
    let below = len.saturating_sub(1);
    1u64.checked_shl(below.checked_ilog2().unwrap_or(0)).unwrap_or(1)
}

/// Inclusion proof of leaf `index` in the tree of `size` leaves, from the leaf up
/// (RFC 9162 §2.1.3). `None` when the tree does not have that leaf.
///
/// # Errors
/// Those of `reader`.
pub fn inclusion_proof<R: NodeReader>(
    index: u64,
    size: u64,
    reader: &R,
) -> Result<Option<Vec<Hash>>, R::Error> {
    subtree_inclusion_proof(index, 0, size, reader)
}

/// Inclusion proof of leaf `index` in the subtree `[start, end)`.
/// `None` when the subtree is not valid or does not have that leaf.
///
/// # Errors
/// Those of `reader`.
pub fn subtree_inclusion_proof<R: NodeReader>(
    index: u64,
    start: u64,
    end: u64,
    reader: &R,
) -> Result<Option<Vec<Hash>>, R::Error> {
    if !is_valid_subtree(start, end) || index < start || index >= end {
        return Ok(None);
    }
    let (mut low, mut high) = (start, end);
    let mut proof = Vec::new();
    while high.saturating_sub(low) > 1 {
        let middle = low.saturating_add(split_width(high.saturating_sub(low)));
        if index < middle {
            proof.push(subtree_hash(middle, high, reader)?);
            high = middle;
        } else {
            proof.push(subtree_hash(low, middle, reader)?);
            low = middle;
        }
    }
    proof.reverse();
    Ok(Some(proof))
}

/// Proof that the tree of `from` leaves is a prefix of the tree of `to` leaves
/// (RFC 9162 §2.1.4). `from` = 0 and `from` = `to` have the empty proof; `None`
/// when `from` > `to`.
///
/// # Errors
/// Those of `reader`.
pub fn consistency_proof<R: NodeReader>(
    from: u64,
    to: u64,
    reader: &R,
) -> Result<Option<Vec<Hash>>, R::Error> {
    subtree_consistency_proof(0, from, to, reader)
}

/// Proof that the subtree `[start, end)` is part of the tree of `size` leaves
/// (draft-ietf-plants-merkle-tree-certs §4.4). `None` when it is not.
///
/// # Errors
/// Those of `reader`.
pub fn subtree_consistency_proof<R: NodeReader>(
    start: u64,
    end: u64,
    size: u64,
    reader: &R,
) -> Result<Option<Vec<Hash>>, R::Error> {
    if !is_valid_subtree(start, end) || end > size {
        return Ok(None);
    }
    if start == end {
        return Ok(Some(Vec::new()));
    }
    let (mut low, mut high) = (0u64, size);
    let mut known = true;
    let mut from = start;
    let mut proof = Vec::new();
    // Walk from the root to the subtree; what is stepped past is what the verifier lacks.
    while (from, end) != (low, high) {
        let middle = low.saturating_add(split_width(high.saturating_sub(low)));
        if end <= middle {
            proof.push(subtree_hash(middle, high, reader)?);
            high = middle;
        } else {
            proof.push(subtree_hash(low, middle, reader)?);
            low = middle;
            if from < middle {
                // The subtree straddles the split: its left part is this perfect
                // node, and the verifier is told the right part's node.
                from = middle;
                known = false;
            }
        }
    }
    if !known {
        proof.push(subtree_hash(low, high, reader)?);
    }
    proof.reverse();
    Ok(Some(proof))
}

/// The one or two valid subtrees that together cover `[start, end)` and reach at
/// most a factor of two too far to the left (draft-ietf-plants-merkle-tree-certs
/// §4.5). An empty range covers itself.
#[must_use]
pub fn covering_subtrees(start: u64, end: u64) -> Vec<(u64, u64)> {
    let Some(last) = end.checked_sub(1).filter(|last| *last >= start) else {
        return vec![(start, end)];
    };
    let Some(split) = (start ^ last).checked_ilog2() else {
        return vec![(start, end)];
    };
    let mask = 1u64.checked_shl(split).unwrap_or(0).wrapping_sub(1);
    let middle = last & !mask;
    let left_bits = (!start & mask).checked_ilog2().map_or(0, |log| log.saturating_add(1));
    let left_mask = 1u64.checked_shl(left_bits).unwrap_or(0).wrapping_sub(1);
    vec![(start & !left_mask, middle), (middle, end)]
}

#[cfg(test)]
mod tests;
