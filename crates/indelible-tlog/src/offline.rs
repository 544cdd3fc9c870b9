//! C2SP tlog-proof: a receipt that verifies offline (`.tlog-proof`).

use crate::{
    base64,
    checkpoint::{Checkpoint, CheckpointError},
    hash::{Hash, leaf_hash},
    note::VerifyingKey,
    proof::{ProofError, verify_inclusion},
};
use std::fmt;

const HEADER: &str = "c2sp.org/tlog-proof@v1";
/// An inclusion proof never has more hashes than the index has bits.
const MAX_HASHES: usize = 64;

/// Why a proof file is malformed or does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OfflineError {
    /// Not the form of a tlog-proof.
    #[error("malformed tlog-proof: {0}")]
    Malformed(&'static str),
    /// The checkpoint in it does not hold.
    #[error("the checkpoint in the proof does not hold")]
    Checkpoint(#[from] CheckpointError),
    /// The record is not at that index under that checkpoint.
    #[error("the record is not in the signed tree at index {index}")]
    Inclusion {
        /// Index the proof claims.
        index: u64,
        /// What does not hold.
        source: ProofError,
    },
}

/// Index, inclusion proof and signed checkpoint of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfflineProof {
    /// Unauthenticated extra data.
    pub extra: Option<Vec<u8>>,
    /// Index of the record.
    pub index: u64,
    /// Inclusion proof, from the leaf up.
    pub hashes: Vec<Hash>,
    /// The signed checkpoint, verbatim.
    pub checkpoint: String,
}

impl OfflineProof {
    /// Parses a `.tlog-proof` file. Nothing is verified yet.
    ///
    /// # Errors
    /// [`OfflineError::Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, OfflineError> {
        let malformed = OfflineError::Malformed;
        let text = std::str::from_utf8(bytes).map_err(|_| malformed("not UTF-8"))?;
        let (head, checkpoint) = text.split_once("\n\n").ok_or(malformed("no empty line"))?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(HEADER) {
            return Err(malformed("first line is not c2sp.org/tlog-proof@v1"));
        }
        let mut extra = None;
        if let Some(text) = lines.peek().and_then(|line| line.strip_prefix("extra ")) {
            extra = Some(base64::decode(text).ok_or(malformed("extra"))?);
            lines.next();
        }
        let index = lines
            .next()
            .and_then(|line| line.strip_prefix("index "))
            .filter(|n| n.bytes().all(|b| b.is_ascii_digit()) && (*n == "0" || !n.starts_with('0')))
            .and_then(|n| n.parse().ok())
            .ok_or(malformed("index"))?;
        let mut hashes = Vec::new();
        for line in lines {
            if hashes.len() == MAX_HASHES {
                return Err(malformed("more than 64 hashes"));
            }
            hashes.push(line.parse().map_err(|_| malformed("hash"))?);
        }
        Ok(Self { extra, index, hashes, checkpoint: checkpoint.to_owned() })
    }

    /// Checks that `record` is at [`OfflineProof::index`] in the log of `key`, and
    /// returns the checkpoint that says so.
    ///
    /// # Errors
    /// [`OfflineError`] tells which part does not hold.
    pub fn verify(&self, record: &[u8], key: &VerifyingKey) -> Result<Checkpoint, OfflineError> {
        self.verify_leaf(&leaf_hash(record), key)
    }

    /// [`OfflineProof::verify`] for a record whose leaf hash is known.
    ///
    /// # Errors
    /// [`OfflineError`] tells which part does not hold.
    pub fn verify_leaf(&self, leaf: &Hash, key: &VerifyingKey) -> Result<Checkpoint, OfflineError> {
        let checkpoint = Checkpoint::verify(self.checkpoint.as_bytes(), key)?;
        self.verify_under(leaf, &checkpoint)?;
        Ok(checkpoint)
    }

    /// Checks that the record with this leaf hash is at [`OfflineProof::index`] under a
    /// checkpoint that is verified already, and whose text is [`OfflineProof::checkpoint`]:
    /// for many proofs under one.
    ///
    /// # Errors
    /// [`OfflineError::Inclusion`].
    pub fn verify_under(&self, leaf: &Hash, checkpoint: &Checkpoint) -> Result<(), OfflineError> {
        let root = checkpoint.root.as_ref();
        verify_inclusion(leaf.as_ref(), self.index, checkpoint.size, &self.hashes, root)
            .map_err(|source| OfflineError::Inclusion { index: self.index, source })
    }
}

impl fmt::Display for OfflineProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", base64::encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.hashes.iter().try_for_each(|hash| writeln!(f, "{hash}"))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{hash::node_hash, note::SigningKey};
    use proptest::prelude::*;

    fn sample() -> (OfflineProof, SigningKey) {
        let key = SigningKey::from_seed("example.com/log", &[1; 32]).unwrap();
        let (a, b) = (leaf_hash(b"a"), leaf_hash(b"b"));
        let checkpoint = Checkpoint::new("example.com/log".into(), 2, node_hash(&a, &b)).sign(&key);
        (OfflineProof { extra: None, index: 1, hashes: vec![a], checkpoint }, key)
    }

    #[test]
    fn round_trip_and_verify() {
        let (mut proof, key) = sample();
        for extra in [None, Some(b"note".to_vec())] {
            proof.extra = extra;
            let text = proof.to_string();
            assert_eq!(OfflineProof::parse(text.as_bytes()), Ok(proof.clone()));
        }
        assert_eq!(proof.verify(b"b", key.verifying_key()).unwrap().size, 2);
        assert_eq!(
            proof.verify(b"c", key.verifying_key()),
            Err(OfflineError::Inclusion { index: 1, source: ProofError::RootMismatch })
        );
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let (proof, key) = sample();
        let text = proof.to_string().into_bytes();
        for position in 0..text.len() {
            for bit in 0..8 {
                let mut altered = text.clone();
                altered[position] ^= 1 << bit;
                let verdict =
                    OfflineProof::parse(&altered).and_then(|p| p.verify(b"b", key.verifying_key()));
                assert!(verdict.is_err(), "{position}.{bit}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_round_trip(tail in "[a-zA-Z0-9+/= \n]{0,120}") {
            let text = format!("{HEADER}\nindex {tail}");
            if let Ok(proof) = OfflineProof::parse(text.as_bytes()) {
                prop_assert_eq!(proof.to_string(), text);
            }
        }
    }
}
