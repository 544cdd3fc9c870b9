//! The keys of a log: the first, and those that replaced it. docs/formats.md §2.
//!
//! A replacement is *announced* by a note that both keys sign and that says from which
//! size on the new one signs ([`KeyLine`] has the rule). Whoever holds any one of a log's
//! keys can check what all of them signed. During the overlap both keys sign every
//! checkpoint; after it a note by the new key says where the old one ended.
//! Keys are never removed: old receipts verify with old keys for ever.

use crate::{
    Options,
    error::{LogError, Result, chain, damaged},
    patient::Patient,
};
use indelible_event::Timestamp;
use indelible_store::{Store, StoreError};
use indelible_tlog::{
    Announcement, Checkpoint, Hash, KeyEnd, KeyLine, LineError, NoteError, Signer, SigningKey,
    VerifyingKey,
};
use parking_lot::{Mutex, RwLock};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Path of the first secret key in its log's store.
pub(crate) const KEY_PATH: &str = "key";
/// How a secret key in a folder begins.
const SECRET: &str = "PRIVATE+KEY+";
/// Folder of announcements, in the order they were made.
const ANNOUNCEMENTS: &str = "announcements";
/// Folder of the notes that say where replaced keys ended, by the number of the key.
const ENDS: &str = "retired";

/// What the ring holds of one key.
#[derive(Debug, Clone)]
struct Slot {
    /// Absent once a note says where the key ended: its secret is needed no more.
    signer: Option<Arc<dyn Signer>>,
    /// Microseconds since the epoch; for ever, if absent.
    until_us: Option<i64>,
}

/// All keys of a log, oldest first; never empty.
#[derive(Debug, Clone)]
pub(crate) struct KeyRing {
    line: KeyLine,
    /// One for each key of the line.
    slots: Vec<Slot>,
    /// The announcements as they are stored, in order.
    notes: Vec<Arc<str>>,
    /// A key that signs already and is being announced: whether its announcement is there
    /// is known only when it is durable, and what comes after that must be signed by it.
    pending: Option<Pending>,
}

/// A key that signs and is not announced yet.
#[derive(Debug, Clone)]
struct Pending {
    signer: Arc<dyn Signer>,
    /// Records there were when it began to sign.
    since: u64,
}

/// The keys in force, and whose turn it is: a commit, or the replacement of a key.
#[derive(Debug)]
pub(crate) struct Keys {
    ring: RwLock<Arc<KeyRing>>,
    /// Held for the whole of a commit. True once the log has stopped: then a commit may be
    /// durable that nobody knows of.
    pub(crate) turn: Mutex<bool>,
}

impl Keys {
    pub(crate) fn new(ring: KeyRing) -> Self {
        Self { ring: RwLock::new(Arc::new(ring)), turn: Mutex::new(false) }
    }

    /// The keys in force now.
    pub(crate) fn ring(&self) -> Arc<KeyRing> {
        Arc::clone(&self.ring.read())
    }

    pub(crate) fn set(&self, ring: KeyRing) {
        *self.ring.write() = Arc::new(ring);
    }
}

impl KeyRing {
    /// A ring of one key.
    pub(crate) fn new(signer: Arc<dyn Signer>) -> Self {
        Self {
            line: KeyLine::new(signer.verifying_key().clone()),
            slots: vec![Slot { signer: Some(signer), until_us: None }],
            notes: Vec::new(),
            pending: None,
        }
    }

    /// Reads the keys of a log.
    pub(crate) fn load(store: &dyn Store, options: &Options) -> Result<Self> {
        let mut announced = announcements(store)?.into_iter();
        let Some(first) = announced.next() else {
            return Ok(Self::new(read_signer(store, KEY_PATH, None, options)?));
        };
        let mut ring = Self {
            line: KeyLine::new(first.announcement.previous.clone()),
            slots: vec![Slot { signer: None, until_us: None }],
            notes: Vec::new(),
            pending: None,
        };
        for found in std::iter::once(first).chain(announced) {
            ring.line
                .announce(&found.announcement)
                .map_err(|e| damaged(&found.path, 0, chain(&e)))?;
            ring.push(None, &found)?;
        }
        let ended = ends(store, &ring.line)?;
        let keys = ring.line.keys().iter().zip(&mut ring.slots).enumerate();
        for (n, (key, slot)) in keys {
            if ended.iter().any(|end| end.key == *key) {
                continue;
            }
            let (path, origin) = match n {
                0 => (KEY_PATH.to_owned(), None),
                _ => (secret_path(key), Some(key.name())),
            };
            let signer = read_signer(store, &path, origin, options)?;
            if signer.verifying_key() != key {
                return Err(damaged(&path, 0, "not the key that was announced"));
            }
            slot.signer = Some(signer);
        }
        Ok(ring)
    }

    fn push(&mut self, signer: Option<Arc<dyn Signer>>, found: &Found) -> Result<()> {
        if let Some(last) = self.slots.last_mut() {
            last.until_us = Some(found.overlap_until()?.as_micros());
        }
        self.slots.push(Slot { signer, until_us: None });
        self.notes.push(found.note.as_str().into());
        Ok(())
    }

    /// The keys, and what each may sign.
    pub(crate) const fn line(&self) -> &KeyLine {
        &self.line
    }

    /// The newest key.
    pub(crate) fn current(&self) -> &VerifyingKey {
        self.line.newest()
    }

    pub(crate) fn origin(&self) -> &str {
        self.line.first().name()
    }

    /// The announcements, in order.
    pub(crate) fn announcements(&self) -> &[Arc<str>] {
        &self.notes
    }

    /// The signed note of a checkpoint, by every key that signs at `now_us`.
    pub(crate) fn sign(&self, checkpoint: &Checkpoint, now_us: i64) -> Result<String> {
        self.sign_text(&checkpoint.to_string(), now_us)
    }

    /// The signed note of a text, by every key that signs at `now_us`.
    pub(crate) fn sign_text(&self, text: &str, now_us: i64) -> Result<String> {
        let signs = |slot: &&Slot| slot.until_us.is_none_or(|until| now_us < until);
        let slots = self.slots.iter().filter(signs).filter_map(|slot| slot.signer.as_ref());
        let pending = self.pending.as_ref().map(|pending| &pending.signer);
        signed(text, slots.chain(pending))
    }

    /// A note by the newest key.
    pub(crate) fn sign_newest(&self, text: &str) -> Result<String> {
        let newest = self.slots.last().and_then(|slot| slot.signer.as_ref());
        signed(text, newest)
    }

    /// The ring in which a staged key signs beside the others, not yet announced: whatever
    /// is committed after the `since` records there are.
    pub(crate) fn with_pending(
        &self,
        store: &dyn Store,
        options: &Options,
        key: &VerifyingKey,
        since: u64,
    ) -> Result<Self> {
        if let Some(Pending { signer: other, .. }) = &self.pending {
            if other.verifying_key() == key {
                return Ok(self.clone());
            }
            return Err(LogError::Invalid(format!(
                "the key is being replaced by {}, and whether that is announced is not known: ask for that again, or restart",
                other.verifying_key()
            )));
        }
        let signer = read_signer(store, &secret_path(key), Some(self.origin()), options)?;
        if signer.verifying_key() != key {
            return Err(LogError::Invalid(format!("the staged key is not {key}")));
        }
        Ok(Self { pending: Some(Pending { signer, since }), ..self.clone() })
    }

    /// What announces the pending key from the tree of this size and root on, and its note.
    pub(crate) fn announcement(
        &self,
        (size, root): (u64, Hash),
        overlap_until: Timestamp,
    ) -> Result<(Announcement, String)> {
        let Some(Pending { signer, .. }) = &self.pending else {
            return Err(LogError::Invalid("no key is to be announced".to_owned()));
        };
        let announcement = Announcement {
            previous: self.current().clone(),
            key: signer.verifying_key().clone(),
            size,
            root,
            overlap: overlap_until.to_string(),
        };
        let old = self.slots.last().and_then(|slot| slot.signer.as_ref());
        let note = signed(&announcement.to_string(), old.into_iter().chain([signer]))?;
        Ok((announcement, note))
    }

    /// Makes the announcement of the pending key durable: from its size on, durably. it
    /// must have signed every commit. After an error it may be announced or not.
    pub(crate) fn announce(
        &self,
        store: &dyn Store,
        (wanted, note): (Announcement, String),
    ) -> Result<Self> {
        let path = announcement_path(self.notes.len() as u64 + 2);
        let found = match store.create(&path, note.as_bytes()) {
            // An attempt that failed may have come so far. It is made durable, and counts;
            // the key has signed since.
            Err(StoreError::AlreadyExists { .. }) => {
                store.sync(&path)?;
                read_announcement(store, &path)?
            }
            other => {
                other?;
                Found { path, note, announcement: wanted.clone() }
            }
        };
        let since = self.pending.as_ref().map_or(u64::MAX, |pending| pending.since);
        let same = found.announcement.key == wanted.key && found.announcement.size >= since;
        let mut ring = self.clone();
        if !same || ring.line.announce(&found.announcement).is_err() {
            return Err(damaged(&found.path, 0, "another key is announced there"));
        }
        // If we crash here the new key is in force at the next start.
        let pending = ring.pending.take();
        ring.push(pending.map(|pending| pending.signer), &found)?;
        Ok(ring)
    }

    /// The ring without a pending key.
    pub(crate) fn without_pending(&self) -> Self {
        Self { pending: None, ..self.clone() }
    }

    /// Whether a replaced key has signed for the last time, and no note says so yet.
    pub(crate) fn is_over(&self, now_us: i64) -> bool {
        self.over(now_us).is_some()
    }

    fn over(&self, now_us: i64) -> Option<usize> {
        self.slots.iter().position(|slot| {
            slot.signer.is_some() && slot.until_us.is_some_and(|until| until <= now_us)
        })
    }

    /// Says, durably, where the keys ended that sign no more at `now_us`; no commit may be
    /// under way. From then on they are not needed, whatever the clock says later.
    pub(crate) fn end_over(
        &self,
        store: &dyn Store,
        (size, root): (u64, Hash),
        now_us: i64,
    ) -> Result<Self> {
        let mut ring = self.clone();
        while let Some(at) = ring.over(now_us) {
            let (Some(key), Some(slot)) = (ring.line.keys().get(at), ring.slots.get_mut(at)) else {
                break;
            };
            let end = KeyEnd { key: key.clone(), size, root };
            let path = end_path(at as u64 + 1);
            let note = self.sign_newest(&end.to_string())?;
            match store.create(&path, note.as_bytes()) {
                // What an attempt left that failed.
                Err(StoreError::AlreadyExists { .. }) => {
                    read_end(store, &path, &ring.line)?;
                    store.sync(&path)?;
                }
                other => other?,
            }
            slot.signer = None;
        }
        Ok(ring)
    }
}

/// The signed note of a text.
fn signed<'a>(
    text: &str,
    signers: impl IntoIterator<Item = &'a Arc<dyn Signer>>,
) -> Result<String> {
    let mut note = format!("{text}\n");
    for signer in signers {
        let line = signer.sign_text(text).map_err(|e| LogError::Signing(e.0))?;
        note.push_str(&line.to_string());
    }
    Ok(note)
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

/// An announcement as it is stored.
#[derive(Debug)]
struct Found {
    path: String,
    note: String,
    announcement: Announcement,
}

impl Found {
    fn overlap_until(&self) -> Result<Timestamp> {
        let text = &self.announcement.overlap;
        text.parse()
            .ok()
            .filter(|time: &Timestamp| time.to_string() == *text)
            .ok_or_else(|| damaged(&self.path, 0, "the end of its overlap is not a time"))
    }
}

fn read_announcement(store: &dyn Store, path: &str) -> Result<Found> {
    let bytes = store.read(path)?;
    let announcement = Announcement::read(&bytes).map_err(|e| not_held(path, e))?;
    let note = String::from_utf8(bytes).map_err(|_| damaged(path, 0, "not UTF-8"))?;
    let found = Found { path: path.to_owned(), note, announcement };
    found.overlap_until()?;
    Ok(found)
}

fn not_held(path: &str, error: LineError) -> LogError {
    match error {
        LineError::Note(source) => {
            LogError::Checkpoint { path: path.to_owned(), source: source.into() }
        }
        // It may be all right; the trusted key cannot tell.
        LineError::Stranger => {
            LogError::Checkpoint { path: path.to_owned(), source: NoteError::Unsigned.into() }
        }
        other => damaged(path, 0, chain(&other)),
    }
}

/// The announcements, in order.
fn announcements(store: &dyn Store) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    for (path, number) in store.list(ANNOUNCEMENTS)?.into_iter().zip(2..) {
        if path != announcement_path(number) {
            return Err(damaged(&announcement_path(number), 0, "the announcement is missing"));
        }
        found.push(read_announcement(store, &path)?);
    }
    Ok(found)
}

fn end_path(number: u64) -> String {
    format!("{ENDS}/{number:04}")
}

/// The keys that were announced, in order.
pub(crate) fn announced(store: &dyn Store) -> Result<Vec<VerifyingKey>> {
    Ok(announcements(store)?.into_iter().map(|found| found.announcement.key).collect())
}

/// Where replaced keys ended, as far as it is said.
fn ends(store: &dyn Store, line: &KeyLine) -> Result<Vec<KeyEnd>> {
    store.list(ENDS)?.iter().map(|path| read_end(store, path, line)).collect()
}

fn read_end(store: &dyn Store, path: &str, line: &KeyLine) -> Result<KeyEnd> {
    let end = line.read_end(&store.read(path)?).map_err(|e| not_held(path, e))?;
    let number = line.keys().iter().zip(1..).find(|(key, _)| **key == end.key);
    match number.filter(|(_, number)| end_path(*number) == path) {
        Some(_) => Ok(end),
        None => Err(damaged(path, 0, "not the end of the key of this number")),
    }
}

/// The keys of a log of which a pinned one is one, from the announcements alone: no secret
/// is needed.
pub(crate) fn line(store: &dyn Store, pinned: &VerifyingKey) -> Result<KeyLine> {
    let found = announcements(store)?;
    let notes: Vec<&str> = found.iter().map(|found| found.note.as_str()).collect();
    KeyLine::read(pinned, &notes).map_err(|error| not_held(ANNOUNCEMENTS, error))
}

/// Sizes and roots that the notes about keys vouch for, and where each stands.
pub(crate) fn vouched(store: &dyn Store, line: &KeyLine) -> Result<Vec<(String, u64, Hash)>> {
    let announced = line.announced().iter().zip(2..);
    let mut vouched: Vec<_> =
        announced.map(|((size, root), number)| (announcement_path(number), *size, *root)).collect();
    for (end, path) in ends(store, line)?.into_iter().zip(store.list(ENDS)?) {
        vouched.push((path, end.size, end.root));
    }
    Ok(vouched)
}

/// The keys whose secrets are in the folder, as far as they can be read. Of keys that ended
/// the secret may be gone.
pub(crate) fn secrets(store: &dyn Store) -> Result<Vec<VerifyingKey>> {
    let mut paths = vec![KEY_PATH.to_owned()];
    paths.extend(announcements(store)?.iter().map(|found| secret_path(&found.announcement.key)));
    let mut keys = Vec::new();
    for path in paths {
        let text = match read_secret(store, &path) {
            Err(LogError::NoLog(_)) => continue,
            other => other?,
        };
        if text.starts_with(SECRET) {
            let key: SigningKey =
                text.parse().map_err(|source| LogError::Key { path: path.clone(), source })?;
            keys.push(key.verifying_key().clone());
        }
    }
    Ok(keys)
}
