//! What the reader trusts, from files of theirs: keys, and checkpoints held from before.

use anyhow::Context as _;
use indelible_tlog::{Checkpoint, OfflineProof, VerifyingKey};
use std::path::Path;

/// Reads a key given as a file or as text.
pub(crate) fn read_key(given: &str) -> anyhow::Result<VerifyingKey> {
    let text = match Path::new(given).is_file() {
        true => std::fs::read_to_string(given)
            .with_context(|| format!("could not read the key file {given}"))?,
        false => given.to_owned(),
    };
    text.trim().parse().with_context(|| format!("{given:?} is neither a vkey (name+id+key) nor a file with one; `indelible key show LOG` prints it"))
}

/// Reads a signed checkpoint (or the one in a tlog-proof) from a file and checks it.
pub(crate) fn read_checkpoint(
    path: &Path,
    key: &VerifyingKey,
) -> anyhow::Result<(Checkpoint, String)> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("could not read {}", path.display()))?;
    let note = match OfflineProof::parse(text.as_bytes()) {
        Ok(proof) => proof.checkpoint,
        Err(_) => text,
    };
    let checkpoint = Checkpoint::verify(note.as_bytes(), key)
        .with_context(|| format!("the checkpoint in {} does not hold", path.display()))?;
    Ok((checkpoint, note))
}
