//! What a log is: a note signed by its own key, written when it is created.
//! docs/formats.md §2.

use crate::error::{LogError, Result, damaged};
use indelible_store::{Store, StoreError};
use indelible_tlog::{Note, VerifyingKey};
use std::fmt;

/// Path of the manifest in its log's store.
pub(crate) const PATH: &str = "log";
const VERSION: &str = "indelible-log/v1";

/// What the records of a log are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Events in envelopes.
    Events,
    /// Any bytes, without envelope and id; for tlog tools.
    Raw,
}

/// The facts of a log that never change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Origin of the log: `{site}/{name}`, and the name of its key.
    pub origin: String,
    /// What its records are.
    pub kind: Kind,
    /// When it was created, RFC 3339.
    pub created_at: String,
}

impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Events => "events",
            Kind::Raw => "raw",
        };
        writeln!(f, "{VERSION}\n{}\nkind {kind}\ncreated {}", self.origin, self.created_at)
    }
}

impl Manifest {
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let version = lines.next()?;
        let origin = lines.next()?.to_owned();
        let kind = match lines.next()? {
            "kind events" => Kind::Events,
            "kind raw" => Kind::Raw,
            _ => return None,
        };
        let created_at = lines.next()?.strip_prefix("created ")?.to_owned();
        let manifest = Self { origin, kind, created_at };
        (version == VERSION && manifest.to_string() == text).then_some(manifest)
    }

    /// Reads the manifest and checks that `key` signed it.
    pub(crate) fn read(store: &dyn Store, key: &VerifyingKey) -> Result<Self> {
        let bytes = match store.read(PATH) {
            Err(StoreError::NotFound { path }) => return Err(LogError::NoLog(path)),
            other => other?,
        };
        let note = Note::parse(&bytes).map_err(|e| damaged(PATH, 0, e.to_string()))?;
        note.verify(std::slice::from_ref(key))
            .map_err(|e| LogError::Checkpoint { path: PATH.to_owned(), source: e.into() })?;
        // The text is checked as it stands, so no byte of the file is without meaning.
        Self::parse(&note.text)
            .filter(|manifest| {
                manifest.origin == key.name() && note.to_string().as_bytes() == bytes
            })
            .ok_or_else(|| damaged(PATH, 0, "not the manifest of the key's log"))
    }
}

/// The origin that an unchecked manifest names: where to look for the key that checks it.
pub(crate) fn origin(store: &dyn Store) -> Result<String> {
    let bytes = match store.read(PATH) {
        Err(StoreError::NotFound { path }) => return Err(LogError::NoLog(path)),
        other => other?,
    };
    let note = Note::parse(&bytes).map_err(|e| damaged(PATH, 0, e.to_string()))?;
    Manifest::parse(&note.text)
        .map(|manifest| manifest.origin)
        .ok_or_else(|| damaged(PATH, 0, "not the manifest of a log"))
}
