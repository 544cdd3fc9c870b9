//! The secrets of a log's keys: in its folder, or in a key store that the folder refers to.
//! docs/formats.md §2.

use crate::{
    Options,
    error::{LogError, Result},
    patient::Patient,
};
use hkdf::Hkdf;
use indelible_store::{Store, StoreError};
use indelible_tlog::{Signer, SigningKey, VerifyingKey};
use sha2::Sha256;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Path of the first secret key in its log's store.
pub(crate) const KEY_PATH: &str = "key";
/// How a secret key in a folder begins.
const SECRET: &str = "PRIVATE+KEY+";

/// Where the secret of a key is that replaces another.
pub(crate) fn secret_path(key: &VerifyingKey) -> String {
    format!("keys/{:08x}", key.id())
}

/// Makes a key that waits to be announced; in the folder, or in the key store.
pub(crate) fn stage(store: &dyn Store, origin: &str, options: &Options) -> Result<VerifyingKey> {
    let (text, key) = make(origin, options)?;
    store.create(&secret_path(&key), text.as_bytes())?;
    Ok(key)
}

/// Makes a key: what is kept of it in the folder, and the key that checks it.
pub(crate) fn make(origin: &str, options: &Options) -> Result<(Zeroizing<String>, VerifyingKey)> {
    let invalid = |problem: String| LogError::KeyStore { path: origin.to_owned(), problem };
    match &options.key_store {
        Some(keys) => {
            let (reference, signer) = keys.create(origin).map_err(invalid)?;
            let text = Zeroizing::new(format!("{reference}\n"));
            Ok((text, signer.verifying_key().clone()))
        }
        None => {
            let mut seed = Zeroizing::new([0; 32]);
            getrandom::fill(seed.as_mut())
                .map_err(|e| invalid(format!("the system gives no random bytes: {e}")))?;
            let key = SigningKey::from_seed(origin, &seed)
                .map_err(|source| LogError::Key { path: origin.to_owned(), source })?;
            let text = Zeroizing::new(format!("{}\n", key.to_secret_text().as_str()));
            Ok((text, key.verifying_key().clone()))
        }
    }
}

/// A key for a purpose, derived from the log's first secret key; `None` where that is in a
/// key store, which signs and does nothing else.
pub(crate) fn derive(store: &dyn Store, purpose: &str) -> Result<Option<Zeroizing<[u8; 32]>>> {
    let text = read_secret(store, KEY_PATH)?;
    if !text.starts_with(SECRET) {
        return Ok(None);
    }
    let mut key = Zeroizing::new([0; 32]);
    let derived = Hkdf::<Sha256>::new(None, text.as_bytes());
    // 32 bytes are never too many.
    Ok(derived.expand(purpose.as_bytes(), key.as_mut()).is_ok().then_some(key))
}

/// Reads a secret key, or the reference to one. The first key tells the origin itself;
/// a reference needs the manifest's word for it.
pub(crate) fn read_signer(
    store: &dyn Store,
    path: &str,
    origin: Option<&str>,
    options: &Options,
) -> Result<Arc<dyn Signer>> {
    let text = read_secret(store, path)?;
    let origin = match origin {
        Some(origin) => origin.to_owned(),
        // A key in the folder has its name in it; a reference does not.
        None if text.starts_with(SECRET) => String::new(),
        None => crate::manifest::origin(store)?,
    };
    signer(&origin, &text, options).map_err(|error| match error {
        LogError::Key { source, .. } => LogError::Key { path: path.to_owned(), source },
        LogError::KeyStore { problem, .. } => LogError::KeyStore { path: path.to_owned(), problem },
        other => other,
    })
}

/// The signer of a secret key's text, or of the reference to one.
pub(crate) fn signer(origin: &str, text: &str, options: &Options) -> Result<Arc<dyn Signer>> {
    let path = || origin.to_owned();
    let text = text.trim_end_matches('\n');
    if text.starts_with(SECRET) {
        let key: SigningKey =
            text.parse().map_err(|source| LogError::Key { path: path(), source })?;
        return Ok(Arc::new(key));
    }
    let problem = |problem: String| LogError::KeyStore { path: path(), problem };
    let keys = options
        .key_store
        .as_ref()
        .ok_or_else(|| problem("it is in a hardware module, and none is configured".to_owned()))?;
    let signer = keys.open(origin, text).map_err(problem)?;
    let patient = Patient::new(signer, options.max_signing_wait)
        .map_err(|e| problem(format!("the system starts no thread: {e}")))?;
    Ok(Arc::new(patient))
}

/// A reference begins with a scheme, such as `pkcs11:`.
fn is_reference(text: &str) -> bool {
    let (scheme, rest) = text.split_once(':').unwrap_or_default();
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    !scheme.is_empty() && scheme.bytes().all(plain) && !rest.is_empty()
}

fn read_secret(store: &dyn Store, path: &str) -> Result<Zeroizing<String>> {
    if !store.is_private(path)? {
        return Err(LogError::KeyStore {
            path: path.to_owned(),
            problem: "others can read it: chmod 400 it, and replace the key".to_owned(),
        });
    }
    let bytes = match store.read(path) {
        Err(StoreError::NotFound { path }) => return Err(LogError::NoLog(path)),
        other => Zeroizing::new(other?),
    };
    let text = std::str::from_utf8(&bytes).ok().and_then(|text| text.strip_suffix('\n'));
    match text.filter(|text| text.starts_with(SECRET) || is_reference(text)) {
        Some(text) => Ok(Zeroizing::new(text.to_owned())),
        None => Err(LogError::Key {
            path: path.to_owned(),
            source: indelible_tlog::KeyError::Malformed,
        }),
    }
}

/// The key whose secret is there; `None` if a reference is.
pub(crate) fn public(store: &dyn Store, path: &str) -> Result<Option<VerifyingKey>> {
    let text = read_secret(store, path)?;
    if !text.starts_with(SECRET) {
        return Ok(None);
    }
    let key: SigningKey =
        text.parse().map_err(|source| LogError::Key { path: path.to_owned(), source })?;
    Ok(Some(key.verifying_key().clone()))
}
