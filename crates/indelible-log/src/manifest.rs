//! What a log is: a note signed by its own key, written when it is created.
//! docs/formats.md §2.

use crate::{
    Options,
    error::{LogError, Result, damaged},
    keys,
};
use indelible_store::{Store, StoreError};
use indelible_tlog::{Note, Signer, SigningKey, VerifyingKey};
use std::{fmt, sync::Arc};
use zeroize::Zeroizing;

/// Path of the manifest in its log's store.
pub(crate) const PATH: &str = "log";
/// Path of the secret key in its log's store.
pub(crate) const KEY_PATH: &str = "key";
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

    /// Creates the manifest and key of a new log. The key goes first: a key alone is
    /// not a log, and the next attempt replaces it.
    pub(crate) fn create(&self, store: &dyn Store, options: &Options) -> Result<()> {
        self.create_with(store, |origin| {
            let (text, key) = keys::make(origin, options)?;
            let signer = keys::signer(origin, &text, options)?;
            debug_assert_eq!(signer.verifying_key(), &key);
            Ok((text, signer))
        })
    }

    /// The same, from the seed of its key.
    pub(crate) fn create_from_seed(&self, store: &dyn Store, seed: &[u8; 32]) -> Result<()> {
        self.create_with(store, |origin| {
            let key = SigningKey::from_seed(origin, seed)
                .map_err(|source| LogError::Key { path: origin.to_owned(), source })?;
            let text = Zeroizing::new(format!("{}\n", key.to_secret_text().as_str()));
            Ok((text, Arc::new(key) as Arc<dyn Signer>))
        })
    }

    fn create_with(
        &self,
        store: &dyn Store,
        key: impl FnOnce(&str) -> Result<(Zeroizing<String>, Arc<dyn Signer>)>,
    ) -> Result<()> {
        match store.open(PATH) {
            Err(StoreError::NotFound { .. }) => {}
            Ok(_) => return Err(StoreError::AlreadyExists { path: PATH.to_owned() }.into()),
            Err(error) => return Err(error.into()),
        }
        match store.delete(KEY_PATH) {
            Ok(()) | Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let (secret, signer) = key(&self.origin)?;
        store.create(KEY_PATH, secret.as_bytes())?;
        // If we crash here there is no log yet.
        let text = self.to_string();
        let line = signer.sign_text(&text).map_err(|e| LogError::Signing(e.0))?;
        store.create(PATH, format!("{text}\n{line}").as_bytes())?;
        Ok(())
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
