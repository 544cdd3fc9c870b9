//! Checking proofs: RFC 9162 §2.1.3.2 and §2.1.4.2, and their subtree forms.
//!
//! Inputs are byte slices of any length, indexes any `u64`; nothing here panics.

use crate::{
    hash::{EMPTY_ROOT, HASH_LEN, node_hash_of},
    tree::is_valid_subtree,
};

/// Why a proof does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The index is not in a tree of this size, or the range is not a subtree of it.
    #[error("index or range is not in a tree of this size")]
    OutOfRange,
    /// The proof has fewer or more hashes than the position demands, or the leaf is no hash.
    #[error("proof has the wrong number of hashes")]
    WrongLength,
    /// The hashes lead to another root.
    #[error("proof leads to another root")]
    RootMismatch,
}

/// Checks that `leaf_hash` is leaf `index` of the tree of `size` leaves with `root`.
///
/// # Errors
/// [`ProofError`] tells which part does not hold.
pub fn verify_inclusion<P: AsRef<[u8]>>(
    leaf_hash: &[u8],
    index: u64,
    size: u64,
    proof: &[P],
    root: &[u8],
) -> Result<(), ProofError> {
    let mut last =
        size.checked_sub(1).filter(|last| index <= *last).ok_or(ProofError::OutOfRange)?;
    if leaf_hash.len() != HASH_LEN {
        return Err(ProofError::WrongLength);
    }
    let mut node = index;
    let mut running = leaf_hash.to_vec();
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::WrongLength);
        }
        if node & 1 == 1 || node == last {
            running = node_hash_of(sibling.as_ref(), &running).0.to_vec();
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            running = node_hash_of(&running, sibling.as_ref()).0.to_vec();
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::WrongLength);
    }
    if running == root { Ok(()) } else { Err(ProofError::RootMismatch) }
}

/// Checks that `leaf_hash` is leaf `index` of the subtree `[start, end)` with hash `root`.
///
/// # Errors
/// [`ProofError`] tells which part does not hold.
pub fn verify_subtree_inclusion<P: AsRef<[u8]>>(
    leaf_hash: &[u8],
    index: u64,
    start: u64,
    end: u64,
    proof: &[P],
    root: &[u8],
) -> Result<(), ProofError> {
    if !is_valid_subtree(start, end) {
        return Err(ProofError::OutOfRange);
    }
    let index = index.checked_sub(start).ok_or(ProofError::OutOfRange)?;
    verify_inclusion(leaf_hash, index, end.saturating_sub(start), proof, root)
}

/// Checks that the tree of `from` leaves with `from_root` is a prefix of the tree
/// of `to` leaves with `to_root`.
///
/// `from` = 0 says nothing about `to` and is refused unless `to` = 0 too; a caller
/// that wants the rule of tlog-witness (0 with an empty proof is a start) states
/// it itself.
///
/// # Errors
/// [`ProofError`] tells which part does not hold.
pub fn verify_consistency<P: AsRef<[u8]>>(
    from: u64,
    to: u64,
    proof: &[P],
    from_root: &[u8],
    to_root: &[u8],
) -> Result<(), ProofError> {
    if from == 0 && (to != 0 || to_root != EMPTY_ROOT.as_ref()) {
        return Err(if to == 0 { ProofError::RootMismatch } else { ProofError::OutOfRange });
    }
    verify_subtree_consistency(0, from, to, proof, from_root, to_root)
}

/// Checks that the subtree `[start, end)` with `subtree_root` is part of the tree of
/// `size` leaves with `root` (draft-ietf-plants-merkle-tree-certs §4.4.3).
///
/// # Errors
/// [`ProofError`] tells which part does not hold.
pub fn verify_subtree_consistency<P: AsRef<[u8]>>(
    start: u64,
    end: u64,
    size: u64,
    proof: &[P],
    subtree_root: &[u8],
    root: &[u8],
) -> Result<(), ProofError> {
    if !is_valid_subtree(start, end) || end > size {
        return Err(ProofError::OutOfRange);
    }
    if start == end {
        // Nothing is part of every tree, whatever its root.
        return match (proof.is_empty(), subtree_root == EMPTY_ROOT.as_ref()) {
            (true, true) => Ok(()),
            (true, false) => Err(ProofError::RootMismatch),
            (false, _) => Err(ProofError::WrongLength),
        };
    }
    let mut first = start;
    let mut last = end.saturating_sub(1);
    let mut edge = size.saturating_sub(1);
    // Climb to the largest perfect node that the subtree and the tree share.
    while first != last && (last == edge || last & 1 == 1) {
        first >>= 1;
        last >>= 1;
        edge >>= 1;
    }
    let mut path = proof.iter().map(AsRef::as_ref);
    let seed =
        if first == last { subtree_root } else { path.next().ok_or(ProofError::WrongLength)? };
    let mut subtree = seed.to_vec();
    let mut tree = seed.to_vec();
    for sibling in path {
        if edge == 0 {
            return Err(ProofError::WrongLength);
        }
        if last & 1 == 1 || last == edge {
            if first < last {
                subtree = node_hash_of(sibling, &subtree).0.to_vec();
            }
            tree = node_hash_of(sibling, &tree).0.to_vec();
            while last & 1 == 0 && edge != 0 {
                first >>= 1;
                last >>= 1;
                edge >>= 1;
            }
        } else {
            tree = node_hash_of(&tree, sibling).0.to_vec();
        }
        first >>= 1;
        last >>= 1;
        edge >>= 1;
    }
    if edge != 0 {
        return Err(ProofError::WrongLength);
    }
    if subtree == subtree_root && tree == root { Ok(()) } else { Err(ProofError::RootMismatch) }
}

#[cfg(test)]
mod tests;
