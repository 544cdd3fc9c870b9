//! One offline proof of one record.

use crate::verdict::{FindingKind, Unproven, Verdict, of_checkpoint};
use indelible_log::chain;
use indelible_tlog::{Checkpoint, OfflineError, OfflineProof, VerifyingKey};

/// Verifies a `.tlog-proof` of a record against a pinned key, and, as far as a proof alone
/// can, against a checkpoint held from before.
#[must_use]
pub fn verify_proof(
    proof: &[u8],
    record: &[u8],
    key: &VerifyingKey,
    since: Option<&Checkpoint>,
) -> (Verdict, Option<OfflineProof>) {
    let mut verdict = Verdict::default();
    let held = OfflineProof::parse(proof).and_then(|proof| Ok((proof.verify(record, key)?, proof)));
    let (checkpoint, proof) = match held {
        Ok(held) => held,
        Err(error) => {
            let kind = match &error {
                OfflineError::Checkpoint(error) => of_checkpoint(error),
                _ => FindingKind::Altered,
            };
            verdict.find(kind, None, chain(&error));
            return (verdict, None);
        }
    };
    verdict.coverage.records = 1;
    verdict.coverage.record_bytes = record.len() as u64;
    verdict.coverage.checkpoints = 1;
    match since {
        Some(held) if held.size == checkpoint.size && held.root != checkpoint.root => {
            let message = "the proof's checkpoint and the one held from before have the same size and different roots";
            verdict.find(FindingKind::Altered, None, message);
        }
        Some(held) if held.size == checkpoint.size => {
            verdict.coverage.since = Some(held.size);
        }
        Some(_) => drop(verdict.coverage.unproven.insert(Unproven::Continuity)),
        None => {}
    }
    verdict.coverage.head = Some(checkpoint);
    (verdict, Some(proof))
}
