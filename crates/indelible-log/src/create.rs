//! Making a log: its key, then its features and the manifest, which the key signs.

use crate::{
    Options,
    error::{LogError, Result, damaged},
    features,
    keys::{self, KEY_PATH},
    manifest::{self, Manifest},
};
use indelible_store::{Store, StoreError};
use indelible_tlog::{Signer, SigningKey};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Creates the manifest and key of a new log. The key goes first: a key alone is not a
/// log, and the next attempt goes on with it. A key is never replaced here: of a folder
/// that lost its manifest it is the only copy.
pub(crate) fn create(manifest: &Manifest, store: &dyn Store, options: &Options) -> Result<()> {
    create_with(manifest, store, options, |origin| Ok(keys::make(origin, options)?.0))
}

/// The same, from the seed of its key.
pub(crate) fn create_from_seed(
    manifest: &Manifest,
    store: &dyn Store,
    options: &Options,
    seed: &[u8; 32],
) -> Result<()> {
    create_with(manifest, store, options, |origin| {
        let key = SigningKey::from_seed(origin, seed)
            .map_err(|source| LogError::Key { path: origin.to_owned(), source })?;
        Ok(Zeroizing::new(format!("{}\n", key.to_secret_text().as_str())))
    })
}

fn create_with(
    manifest: &Manifest,
    store: &dyn Store,
    options: &Options,
    new_key: impl FnOnce(&str) -> Result<Zeroizing<String>>,
) -> Result<()> {
    match store.open(manifest::PATH) {
        Err(StoreError::NotFound { .. }) => {}
        Ok(_) => return Err(StoreError::AlreadyExists { path: manifest::PATH.to_owned() }.into()),
        Err(error) => return Err(error.into()),
    }
    if let Some(path) = in_use(store)? {
        let problem =
            format!("the manifest is missing although there is {path}: restore it from a copy");
        return Err(damaged(manifest::PATH, 0, problem));
    }
    let signer = key(&manifest.origin, store, options, new_key)?;
    // If we crash here there is no log yet.
    features::create(store, &manifest.origin, signer.as_ref())?;
    // Nor here.
    let text = manifest.to_string();
    let line = signer.sign_text(&text).map_err(|e| LogError::Signing(e.0))?;
    store.create(manifest::PATH, format!("{text}\n{line}").as_bytes())?;
    Ok(())
}

/// What a folder holds besides the manifest, its features and the first key, if anything: a log that
/// has been open has a journal, one that took a key of its own has that.
pub(crate) fn in_use(store: &dyn Store) -> Result<Option<String>> {
    let known = [manifest::PATH, features::PATH, KEY_PATH];
    Ok(store.list("")?.into_iter().find(|path| !known.contains(&path.as_str())))
}

/// The key of a log that is being made: one that an attempt before left, or a new one.
fn key(
    origin: &str,
    store: &dyn Store,
    options: &Options,
    new_key: impl FnOnce(&str) -> Result<Zeroizing<String>>,
) -> Result<Arc<dyn Signer>> {
    match store.sync(KEY_PATH) {
        Ok(()) => {}
        Err(StoreError::NotFound { .. }) => {
            store.create(KEY_PATH, new_key(origin)?.as_bytes())?;
        }
        Err(error) => return Err(error.into()),
    }
    let signer = keys::read_signer(store, KEY_PATH, Some(origin), options)?;
    if signer.verifying_key().name() == origin {
        Ok(signer)
    } else {
        let problem = format!("it is the key of {}", signer.verifying_key().name());
        Err(LogError::KeyStore { path: KEY_PATH.to_owned(), problem })
    }
}
