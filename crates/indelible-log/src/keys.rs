//! The keys of a log: the first, and those that replaced it. docs/formats.md §2.
//!
//! A replacement is *announced* by a note that both keys sign: the old one vouches for
//! the new one and the other way round. So whoever holds any one of a log's keys can
//! check what all of them signed. During the overlap both keys sign every checkpoint.
//! Keys are never removed: old receipts verify with old keys for ever.

use crate::{
    Options,
    error::{LogError, Result, damaged},
    patient::Patient,
};
use indelible_event::Timestamp;
use indelible_store::{Store, StoreError};
use indelible_tlog::{Checkpoint, Note, Signer, SigningKey, VerifyingKey};
use std::{fmt::Debug, sync::Arc};
use zeroize::Zeroizing;

/// Path of the first secret key in its log's store.
pub(crate) const KEY_PATH: &str = "key";
const VERSION: &str = "indelible-key/v1";
/// How a secret key in a folder begins.
const SECRET: &str = "PRIVATE+KEY+";
/// Folder of announcements, in the order they were made.
const ANNOUNCEMENTS: &str = "announcements";

/// One key, and until when it signs.
#[derive(Debug, Clone)]
struct Key {
    signer: Arc<dyn Signer>,
    /// Microseconds since the epoch; for ever, if absent.
    until_us: Option<i64>,
}

/// All keys of a log, oldest first; never empty.
#[derive(Debug, Clone)]
pub(crate) struct KeyRing {
    first: Key,
    later: Vec<Key>,
}

impl KeyRing {
    /// A ring of one key.
    pub(crate) fn new(signer: Arc<dyn Signer>) -> Self {
        Self { first: Key { signer, until_us: None }, later: Vec::new() }
    }

    /// Reads the keys of a log.
    pub(crate) fn load(store: &dyn Store, options: &Options) -> Result<Self> {
        let mut ring = Self::new(read_signer(store, KEY_PATH, None, options)?);
        for announcement in announcements(store)? {
            let origin = ring.first.signer.verifying_key().name().to_owned();
            announcement.check(&origin, &[ring.current().clone()])?;
            let path = secret_path(&announcement.key);
            let signer = read_signer(store, &path, Some(&origin), options)?;
            if *signer.verifying_key() != announcement.key {
                return Err(damaged(&path, 0, "not the key that was announced"));
            }
            ring.push(signer, announcement.overlap_until.as_micros());
        }
        Ok(ring)
    }

    fn push(&mut self, signer: Arc<dyn Signer>, overlap_until_us: i64) {
        self.last_mut().until_us = Some(overlap_until_us);
        self.later.push(Key { signer, until_us: None });
    }

    fn last_mut(&mut self) -> &mut Key {
        self.later.last_mut().unwrap_or(&mut self.first)
    }

    fn keys(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.first).chain(&self.later)
    }

    /// The newest key.
    pub(crate) fn current(&self) -> &VerifyingKey {
        self.later.last().unwrap_or(&self.first).signer.verifying_key()
    }

    /// The key that the manifest is signed with.
    pub(crate) fn first(&self) -> &VerifyingKey {
        self.first.signer.verifying_key()
    }

    pub(crate) fn origin(&self) -> &str {
        self.first().name()
    }

    /// All keys, oldest first.
    pub(crate) fn verifying_keys(&self) -> Vec<VerifyingKey> {
        self.keys().map(|key| key.signer.verifying_key().clone()).collect()
    }

    /// The signed note of a checkpoint, by every key that signs at `now_us`.
    pub(crate) fn sign(&self, checkpoint: &Checkpoint, now_us: i64) -> Result<String> {
        let text = checkpoint.to_string();
        let mut note = format!("{text}\n");
        for key in self.keys().filter(|key| key.until_us.is_none_or(|until| now_us < until)) {
            let line = key.signer.sign_text(&text).map_err(|e| LogError::Signing(e.0))?;
            note.push_str(&line.to_string());
        }
        Ok(note)
    }

    /// The note of a text that is no checkpoint, by the newest key. Its second line is
    /// the origin, where a checkpoint has a number.
    pub(crate) fn sign_derived(&self, text: &str) -> Result<String> {
        let newest = self.later.last().unwrap_or(&self.first);
        let line = newest.signer.sign_text(text).map_err(|e| LogError::Signing(e.0))?;
        Ok(format!("{text}\n{line}"))
    }

    /// The ring with one more key, its announcement durable.
    pub(crate) fn with(
        &self,
        store: &dyn Store,
        options: &Options,
        key: &VerifyingKey,
        overlap_until: Timestamp,
    ) -> Result<Self> {
        let origin = self.origin().to_owned();
        let signer = read_signer(store, &secret_path(key), Some(&origin), options)?;
        if signer.verifying_key() != key {
            return Err(LogError::Invalid(format!("the staged key is not {key}")));
        }
        let announcement =
            Announcement { previous: self.current().clone(), key: key.clone(), overlap_until };
        let text = announcement.text();
        let old = self.later.last().unwrap_or(&self.first);
        let mut note = format!("{text}\n");
        for signer in [&old.signer, &signer] {
            let line = signer.sign_text(&text).map_err(|e| LogError::Signing(e.0))?;
            note.push_str(&line.to_string());
        }
        let path = announcement_path(self.later.len() as u64 + 2);
        match store.create(&path, note.as_bytes()) {
            // An attempt that failed may have come so far; it is made durable, and counts.
            Err(StoreError::AlreadyExists { .. }) if store.read(&path)? == note.as_bytes() => {
                store.sync(&path)?;
            }
            other => other?,
        }
        // If we crash here the new key is in force at the next start.
        let mut ring = self.clone();
        ring.push(signer, overlap_until.as_micros());
        Ok(ring)
    }
}

fn secret_path(key: &VerifyingKey) -> String {
    format!("keys/{:08x}", key.id())
}

fn announcement_path(number: u64) -> String {
    format!("{ANNOUNCEMENTS}/{number:04}")
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

/// One key vouching for the next.
#[derive(Debug)]
struct Announcement {
    previous: VerifyingKey,
    key: VerifyingKey,
    overlap_until: Timestamp,
}

/// An announcement as it was read, its signatures not yet checked.
#[derive(Debug)]
struct Read {
    path: String,
    note: Note,
    announcement: Announcement,
}

impl std::ops::Deref for Read {
    type Target = Announcement;

    fn deref(&self) -> &Announcement {
        &self.announcement
    }
}

impl Announcement {
    fn text(&self) -> String {
        format!(
            "{VERSION}\n{}\nprevious {}\nkey {}\noverlap {}\n",
            self.key.name(),
            self.previous,
            self.key,
            self.overlap_until
        )
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines().skip(2);
        let previous = lines.next()?.strip_prefix("previous ")?.parse().ok()?;
        let key = lines.next()?.strip_prefix("key ")?.parse().ok()?;
        let overlap_until = lines.next()?.strip_prefix("overlap ")?.parse().ok()?;
        let parsed = Self { previous, key, overlap_until };
        (parsed.text() == text).then_some(parsed)
    }
}

impl Read {
    /// Both keys must have signed, and one of them be trusted already.
    fn check(&self, origin: &str, trusted: &[VerifyingKey]) -> Result<()> {
        let fits = self.previous.name() == origin
            && self.key.name() == origin
            && (trusted.contains(&self.previous) || trusted.contains(&self.key));
        let both = [self.previous.clone(), self.key.clone()];
        let signers = self
            .note
            .verify(&both)
            .map_err(|e| LogError::Checkpoint { path: self.path.clone(), source: e.into() })?;
        if fits && signers.len() == 2 {
            Ok(())
        } else {
            Err(damaged(&self.path, 0, "not signed by the key before it and the new one"))
        }
    }
}

/// The announcements, in order.
fn announcements(store: &dyn Store) -> Result<Vec<Read>> {
    let mut found = Vec::new();
    for (path, number) in store.list(ANNOUNCEMENTS)?.into_iter().zip(2..) {
        if path != announcement_path(number) {
            return Err(damaged(&announcement_path(number), 0, "the announcement is missing"));
        }
        let bytes = store.read(&path)?;
        let note = Note::parse(&bytes).map_err(|e| damaged(&path, 0, e.to_string()))?;
        let announcement = Announcement::parse(&note.text)
            .filter(|_| note.to_string().as_bytes() == bytes)
            .ok_or_else(|| damaged(&path, 0, "not the announcement of a key"))?;
        found.push(Read { path, note, announcement });
    }
    Ok(found)
}

/// All keys of a log that a pinned one vouches for, oldest first, from the
/// announcements alone: no secret is needed.
pub(crate) fn vouched(store: &dyn Store, pinned: &VerifyingKey) -> Result<Vec<VerifyingKey>> {
    let announcements = announcements(store)?;
    let origin = pinned.name();
    let Some(at) =
        announcements.iter().position(|found| found.previous == *pinned || found.key == *pinned)
    else {
        return Ok(vec![pinned.clone()]);
    };
    let mut keys = vec![pinned.clone()];
    let (before, from) = announcements.split_at(at);
    for found in from {
        found.check(origin, &keys)?;
        for (key, first) in [(&found.key, false), (&found.previous, true)] {
            if !keys.contains(key) {
                if first {
                    keys.insert(0, key.clone());
                } else {
                    keys.push(key.clone());
                }
            }
        }
    }
    for found in before.iter().rev() {
        found.check(origin, &keys)?;
        keys.insert(0, found.previous.clone());
    }
    Ok(keys)
}

/// The keys whose secrets are in the folder, as far as they can be read.
pub(crate) fn secrets(store: &dyn Store) -> Result<Vec<VerifyingKey>> {
    let mut paths = vec![KEY_PATH.to_owned()];
    paths.extend(announcements(store)?.iter().map(|found| secret_path(&found.key)));
    let mut keys = Vec::new();
    for path in paths {
        let text = read_secret(store, &path)?;
        if text.starts_with(SECRET) {
            let key: SigningKey =
                text.parse().map_err(|source| LogError::Key { path: path.clone(), source })?;
            keys.push(key.verifying_key().clone());
        }
    }
    Ok(keys)
}
