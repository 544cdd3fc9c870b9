//! The primitives of a transparency log: RFC 6962/9162 hashing, Merkle trees and
//! their proofs, C2SP tiles and entry bundles, signed notes, checkpoints,
//! offline proofs and cosignatures.
//!
//! What this crate is *not*: it has no async, clock, randomness or I/O, so that a
//! verifier needs nothing else. Every parser is total: hostile bytes give an
//! error, never a panic, and never more memory than a small multiple of the input.
//!
//! The formats are those of <https://c2sp.org> (`signed-note`, `tlog-checkpoint`,
//! `tlog-tiles`, `tlog-proof`, `tlog-cosignature`).
#![warn(missing_docs)]
#![warn(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::arithmetic_side_effects,
    clippy::panic
)]
#![cfg_attr(
    test,
    expect(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::cast_possible_truncation,
        clippy::arithmetic_side_effects,
        reason = "tests state their expectations by failing"
    )
)]

mod base64;
mod bundle;
mod checkpoint;
mod cosignature;
mod hash;
mod keyline;
mod note;
mod offline;
mod proof;
mod tile;
mod tree;

pub use bundle::{BundleEntries, BundleError, MAX_ENTRY_LEN, push_entry};
pub use checkpoint::{Checkpoint, CheckpointError};
pub use cosignature::Cosignature;
pub use hash::{EMPTY_ROOT, HASH_LEN, Hash, ParseHashError, leaf_hash, node_hash};
pub use keyline::{Announcement, KeyEnd, KeyLine, LineError};
pub use note::{
    KeyError, MAX_NOTE_LEN, MAX_SIGNATURES, Note, NoteError, NoteSignature, SignError, Signer,
    SigningKey, VerifyingKey, cosign,
};
pub use offline::{OfflineError, OfflineProof};
pub use proof::{
    ProofError, verify_consistency, verify_inclusion, verify_subtree_consistency,
    verify_subtree_inclusion,
};
pub use tile::{TILE_HEIGHT, TILE_WIDTH, TileError, TilePath};
pub use tree::{
    Frontier, NodeReader, consistency_proof, covering_subtrees, inclusion_proof, is_valid_subtree,
    root, subtree_consistency_proof, subtree_hash, subtree_inclusion_proof,
};
