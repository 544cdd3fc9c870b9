//! What a reader of a log must understand: a note signed by the log's own key, so that a
//! program that does not is told so instead of taking what it knows for all there is.
//! docs/formats.md §2.

use crate::error::{LogError, Result, damaged};
use indelible_store::{Store, StoreError};
use indelible_tlog::{Note, Signer, VerifyingKey};

/// Path of the note in its log's store.
pub(crate) const PATH: &str = "features";
const VERSION: &str = "indelible-features/v1";
/// All that this version knows; a log that it makes requires them.
const KNOWN: [&str; 3] = ["frame/2", "segment/2", "keys/2"];

fn text(origin: &str) -> String {
    let lines: String = KNOWN.iter().map(|feature| format!("requires {feature}\n")).collect();
    format!("{VERSION}\n{origin}\n{lines}")
}

/// Writes the features of a log that is being made. What an attempt before left goes.
pub(crate) fn create(store: &dyn Store, origin: &str, signer: &dyn Signer) -> Result<()> {
    let text = text(origin);
    let line = signer.sign_text(&text).map_err(|e| LogError::Signing(e.0))?;
    let note = format!("{text}\n{line}");
    match store.read(PATH) {
        Ok(found) if found == note.as_bytes() => return Ok(store.sync(PATH)?),
        Ok(_) => store.delete(PATH)?,
        Err(StoreError::NotFound { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(store.create(PATH, note.as_bytes())?)
}

/// Refuses a log that requires what this version does not know, or does not say what it
/// requires. `keys` are those of the log.
pub(crate) fn check(store: &dyn Store, keys: &[VerifyingKey]) -> Result<()> {
    let bytes = match store.read(PATH) {
        Err(StoreError::NotFound { .. }) => {
            let problem = "the list of features is missing: restore it from a copy; a log of a build before them does not open";
            return Err(damaged(PATH, 0, problem));
        }
        other => other?,
    };
    let malformed = || damaged(PATH, 0, "not the features of this log");
    let note = Note::parse(&bytes).map_err(|e| damaged(PATH, 0, e.to_string()))?;
    note.verify(keys)
        .map_err(|e| LogError::Checkpoint { path: PATH.to_owned(), source: e.into() })?;
    let origin = keys.first().map_or("", VerifyingKey::name);
    let lines = note
        .text
        .strip_prefix(&format!("{VERSION}\n{origin}\n"))
        .filter(|_| note.to_string().as_bytes() == bytes)
        .ok_or_else(malformed)?;
    for line in lines.lines() {
        let feature = line.strip_prefix("requires ").ok_or_else(malformed)?;
        if !KNOWN.contains(&feature) {
            return Err(LogError::NewerFormat { feature: feature.to_owned() });
        }
    }
    Ok(())
}
