//! What a log proves: roots, proofs, checkpoints, tiles.

use super::Log;
use crate::{LogError, error::Result, segment::BUNDLE_RECORDS};
use indelible_tlog::{
    Checkpoint, Hash, NodeReader as _, OfflineProof, TilePath, consistency_proof, inclusion_proof,
    root,
};
use std::sync::Arc;

impl Log {
    /// Root of the tree of `size` records.
    ///
    /// # Errors
    /// [`LogError::NoRecord`] past the head.
    pub fn root(&self, size: u64) -> Result<Hash> {
        self.check_size(size)?;
        root(size, &self.shared.tree())
    }

    fn check_size(&self, size: u64) -> Result<()> {
        if size <= self.head().size {
            Ok(())
        } else {
            Err(LogError::NoRecord(format!("for a tree of {size}")))
        }
    }

    /// Inclusion proof of a record in the tree of `size` records.
    ///
    /// # Errors
    /// [`LogError::NoRecord`] unless `index` < `size` ≤ head.
    pub fn inclusion_proof(&self, index: u64, size: u64) -> Result<Vec<Hash>> {
        let proofs = self.inclusion_proofs(&[index], size)?;
        proofs.into_iter().next().ok_or_else(|| LogError::NoRecord(index.to_string()))
    }

    /// Inclusion proofs of several records in the tree of `size` records; what neighbours
    /// share is read once.
    ///
    /// # Errors
    /// [`LogError::NoRecord`] unless each index < `size` ≤ head.
    pub fn inclusion_proofs(&self, indexes: &[u64], size: u64) -> Result<Vec<Vec<Hash>>> {
        self.check_size(size)?;
        let tree = self.shared.tree();
        let proof = |index: &u64| {
            inclusion_proof(*index, size, &tree)?
                .ok_or_else(|| LogError::NoRecord(index.to_string()))
        };
        indexes.iter().map(proof).collect()
    }

    /// Proof that the tree of `from` records is a prefix of the tree of `to`.
    ///
    /// # Errors
    /// [`LogError::NoRecord`] unless `from` ≤ `to` ≤ head.
    pub fn consistency_proof(&self, from: u64, to: u64) -> Result<Vec<Hash>> {
        self.check_size(to)?;
        consistency_proof(from, to, &self.shared.tree())?.ok_or_else(|| {
            LogError::NoRecord(format!("in a tree of {from} that is larger than {to}"))
        })
    }

    /// The signed checkpoint of a size that was the head: now, lately (the last 65,536
    /// commits, back to the start of the oldest journal), or when a segment was sealed.
    /// Other sizes are not signed: whoever is shown the checkpoint of one could take it
    /// for all there was.
    ///
    /// # Errors
    /// [`LogError::NoRecord`] past the head, [`LogError::NoCheckpoint`] otherwise.
    pub fn checkpoint(&self, size: u64) -> Result<Arc<str>> {
        let head = self.head();
        if size == head.size {
            return Ok(Arc::clone(&head.note));
        }
        self.check_size(size)?;
        if !self.shared.was_head(size) {
            return self.shared.sealed_checkpoint(size);
        }
        let checkpoint = Checkpoint::new(self.manifest.origin.clone(), size, self.root(size)?);
        let keys = self.keys.ring();
        Ok(keys.sign(&checkpoint, self.options.clock.now_us())?.into())
    }

    /// The offline proof of a record, under the checkpoint of `size` records or the
    /// head.
    ///
    /// # Errors
    /// [`LogError::NoRecord`] unless `index` < `size` ≤ head, and those of
    /// [`Log::checkpoint`].
    pub fn prove(&self, index: u64, size: Option<u64>) -> Result<OfflineProof> {
        let size = size.unwrap_or_else(|| self.head().size);
        let hashes = self.inclusion_proof(index, size)?;
        let checkpoint = self.checkpoint(size)?.to_string();
        Ok(OfflineProof { extra: None, index, hashes, checkpoint })
    }

    /// The bytes of a hash tile or entry bundle; `None` where the log has none.
    ///
    /// # Errors
    /// When stored bytes cannot be read.
    pub fn tile(&self, path: &TilePath) -> Result<Option<Vec<u8>>> {
        if !path.exists_at(self.head().size) {
            return Ok(None);
        }
        let first = path.index * BUNDLE_RECORDS;
        let Some(tile_level) = path.level else {
            return self.shared.bundle(first, path.width.into()).map(Some);
        };
        let tree = self.shared.tree();
        let mut bytes = Vec::with_capacity(usize::from(path.width) * indelible_tlog::HASH_LEN);
        for index in first..first + u64::from(path.width) {
            bytes.extend_from_slice(
                tree.node(tile_level * indelible_tlog::TILE_HEIGHT, index)?.as_ref(),
            );
        }
        Ok(Some(bytes))
    }
}
