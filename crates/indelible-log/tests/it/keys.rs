//! Keys that are replaced, and keys that are kept elsewhere.

use crate::{TestClock, options, verify};
use indelible_log::{AppendError, DataDir, KeyStore, Kind, Log, LogError, Options, StageError};
use indelible_tlog::{
    Checkpoint, Note, NoteSignature, SignError, Signer, SigningKey, VerifyingKey,
};
use indelible_verify::FindingKind;
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

const HOUR: i64 = 3_600_000_000;

fn data(folder: &tempfile::TempDir) -> DataDir {
    DataDir::open_or_create(folder.path(), Some("test.example")).unwrap()
}

fn event(id: &str) -> String {
    crate::event(id, "a.b")
}

fn at(hours: i64) -> indelible_event::Timestamp {
    indelible_event::Timestamp::from_micros(hours * HOUR)
}

/// Who signed the newest checkpoint.
fn signers(log: &Log, keys: &[VerifyingKey]) -> Vec<bool> {
    let note = Note::parse(log.head().note.as_bytes()).unwrap();
    keys.iter().map(|key| note.signatures.iter().any(|line| line.key_id == key.id())).collect()
}

#[test]
fn both_keys_sign_during_the_overlap_and_old_receipts_hold_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(TestClock::default());
    let options = Options { clock: clock.clone(), ..options() };
    let data = data(&folder);
    data.create_log("prod", Kind::Events, &options).unwrap();
    let log = Log::open(data.store("prod").unwrap(), &options).unwrap();
    let first = log.verifying_key();
    let old = log.append_event("me", &event("a")).unwrap();
    let proof = log.prove(old.index, None).unwrap();
    // Staged: nothing signs with it yet, and a restart forgets nothing.
    let second = log.stage_key().unwrap();
    log.append_event("me", &event("b")).unwrap();
    assert_eq!(signers(&log, &[first.clone(), second.clone()]), [true, false]);
    log.replace_key(&second, at(24)).unwrap();
    log.replace_key(&second, at(24)).unwrap();
    assert_eq!(log.verifying_key(), second);
    log.append_event("me", &event("c")).unwrap();
    assert_eq!(signers(&log, &[first.clone(), second.clone()]), [true, true]);
    log.close();
    drop(log);
    let log = Log::open(data.store("prod").unwrap(), &options).unwrap();
    assert_eq!(log.verifying_keys(), [first.clone(), second.clone()]);
    // A third before the overlap of the first ends, and then time passes.
    let third = log.stage_key().unwrap();
    log.replace_key(&third, at(12)).unwrap();
    for (hour, expected) in
        [(1, [true, true, true]), (12, [true, false, true]), (24, [false, false, true])]
    {
        clock.0.store(hour * HOUR, Ordering::SeqCst);
        log.append_event("me", &event(&format!("h{hour}"))).unwrap();
        assert_eq!(
            signers(&log, &[first.clone(), second.clone(), third.clone()]),
            expected,
            "{hour}"
        );
        // What is signed on request is signed by the same keys.
        let earlier = log.checkpoint(1).unwrap();
        assert!(Checkpoint::verify(earlier.as_bytes(), &third).is_ok());
        assert_eq!(Checkpoint::verify(earlier.as_bytes(), &second).is_ok(), expected[1]);
    }
    let record = log.record(old.index).unwrap();
    proof.verify(&record, &first).unwrap();
    assert!(log.prove(old.index, None).unwrap().verify(&record, &first).is_err());
    log.prove(old.index, None).unwrap().verify(&record, &third).unwrap();
    log.close();
    drop(log);
    // Whoever pinned any one of the keys can check all of it, from the files alone.
    let store = data.store("prod").unwrap();
    for key in [&first, &second, &third] {
        let verdict = verify(store.as_ref(), key);
        assert_eq!(verdict.findings, [], "{key}");
        assert_eq!(verdict.coverage.records, 6);
        assert!(verdict.coverage.key_checked);
    }
    let stranger = SigningKey::from_seed(first.name(), &[9; 32]).unwrap();
    let verdict = verify(store.as_ref(), stranger.verifying_key());
    assert_eq!(verdict.worst(), Some(FindingKind::Unverifiable));
}

#[test]
fn an_announcement_that_was_touched_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let data = data(&folder);
    data.create_log("prod", Kind::Events, &options()).unwrap();
    let log = Log::open(data.store("prod").unwrap(), &options()).unwrap();
    let first = log.verifying_key();
    for n in 0..2 {
        log.append_event("me", &event(&format!("e{n}"))).unwrap();
        let key = log.stage_key().unwrap();
        log.replace_key(&key, at(0)).unwrap();
    }
    log.append_event("me", &event("last")).unwrap();
    log.close();
    drop(log);
    let path = data.path().join("logs/prod/announcements/0002");
    let sound = fs::read(&path).unwrap();
    let write = |bytes: &[u8]| {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, bytes).unwrap();
    };
    let open = || Log::open(data.store("prod").unwrap(), &options());
    for at in 0..sound.len() {
        let mut bytes = sound.clone();
        bytes[at] ^= 1;
        write(&bytes);
        let verdict = verify(data.store("prod").unwrap().as_ref(), &first);
        assert!(!verdict.findings.is_empty(), "byte {at}");
        assert!(open().is_err(), "byte {at}");
    }
    write(&sound);
    // A stranger's key, announced by itself.
    let stranger = SigningKey::from_seed(first.name(), &[9; 32]).unwrap();
    let text = String::from_utf8(sound.clone()).unwrap();
    let (text, _) = text.split_once("\n\n").unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines[3] = format!("key {}", stranger.verifying_key());
    let text = format!("{}\n", lines.join("\n"));
    write(format!("{text}\n{}", stranger.sign(&text)).as_bytes());
    assert!(!verify(data.store("prod").unwrap().as_ref(), &first).findings.is_empty());
    assert!(open().is_err());
    // The first of two announcements is gone.
    fs::remove_file(&path).unwrap();
    assert!(matches!(open().unwrap_err(), LogError::Damaged { .. }));
    assert!(!verify(data.store("prod").unwrap().as_ref(), &first).findings.is_empty());
    let folder = data.path().join("logs/prod/announcements");
    fs::write(folder.join("0002"), &sound).unwrap();
    assert_eq!(open().unwrap().head().size, 3);
}

#[test]
fn keys_that_others_can_read_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = data(&folder);
    data.create_log("prod", Kind::Events, &options()).unwrap();
    let path = data.path().join("logs/prod/key");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o400);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o440)).unwrap();
    let refused = Log::open(data.store("prod").unwrap(), &options()).unwrap_err();
    assert!(refused.to_string().contains("others can read it"), "{refused}");
}

/// A key store that can be out of reach.
#[derive(Debug, Default)]
struct Vault {
    away: Arc<AtomicBool>,
    /// Held while it does not answer.
    silent: Arc<Mutex<()>>,
}

#[derive(Debug)]
struct Remote {
    key: SigningKey,
    away: Arc<AtomicBool>,
    silent: Arc<Mutex<()>>,
}

impl Signer for Remote {
    fn verifying_key(&self) -> &VerifyingKey {
        self.key.verifying_key()
    }

    fn sign_text(&self, text: &str) -> Result<NoteSignature, SignError> {
        drop(self.silent.lock());
        if self.away.load(Ordering::SeqCst) {
            return Err(SignError("the module is away".into()));
        }
        self.key.sign_text(text)
    }
}

impl KeyStore for Vault {
    fn create(&self, origin: &str) -> Result<(String, Arc<dyn Signer>), String> {
        Ok(("vault:7".to_owned(), self.open(origin, "vault:7")?))
    }

    fn open(&self, origin: &str, reference: &str) -> Result<Arc<dyn Signer>, String> {
        let seed =
            reference.strip_prefix("vault:").and_then(|n| n.parse().ok()).ok_or("no such key")?;
        let key = SigningKey::from_seed(origin, &[seed; 32]).map_err(|e| e.to_string())?;
        Ok(Arc::new(Remote { key, away: Arc::clone(&self.away), silent: Arc::clone(&self.silent) }))
    }
}

#[test]
fn a_key_store_keeps_the_secret_and_a_lost_one_refuses_without_harm() {
    let folder = tempfile::tempdir().unwrap();
    let vault = Arc::new(Vault::default());
    let options = Options { key_store: Some(vault.clone()), ..options() };
    let data = data(&folder);
    data.create_log("prod", Kind::Events, &options).unwrap();
    let kept = data.store("prod").unwrap().read("key").unwrap();
    assert_eq!(kept, b"vault:7\n");
    let log = Log::open(data.store("prod").unwrap(), &options).unwrap();
    log.append_event("me", &event("a")).unwrap();
    vault.away.store(true, Ordering::SeqCst);
    let refused = log.append_event("me", &event("b")).unwrap_err();
    assert!(matches!(refused, StageError::Append(AppendError::Signing(_))), "{refused}");
    assert!(log.stopped().is_none() && log.head().size == 1);
    vault.away.store(false, Ordering::SeqCst);
    // The same id again: nothing was left behind of the refused one.
    let receipt = log.append_event("me", &event("b")).unwrap();
    assert!(receipt.created && receipt.index == 1);
    let key = log.verifying_key();
    log.close();
    drop(log);
    let refused = Log::open(data.store("prod").unwrap(), &crate::options()).unwrap_err();
    assert!(refused.to_string().contains("hardware module"), "{refused}");
    assert_eq!(verify(data.store("prod").unwrap().as_ref(), &key).findings, []);
}

#[test]
fn a_key_store_that_never_answers_is_waited_for_only_so_long() {
    let folder = tempfile::tempdir().unwrap();
    let vault = Arc::new(Vault::default());
    let wait = Duration::from_millis(300);
    let options = Options { key_store: Some(vault.clone()), max_signing_wait: wait, ..options() };
    let data = data(&folder);
    data.create_log("prod", Kind::Events, &options).unwrap();
    let log = Log::open(data.store("prod").unwrap(), &options).unwrap();
    log.append_event("me", &event("a")).unwrap();
    let silent = vault.silent.lock().unwrap();
    let started = Instant::now();
    for _ in 0..20 {
        let refused = log.append_event("me", &event("b")).unwrap_err();
        assert!(matches!(refused, StageError::Append(AppendError::Signing(_))), "{refused}");
        assert!(refused.to_string().contains("no answer"), "{refused}");
    }
    // Only the first waits.
    assert!((wait..20 * wait).contains(&started.elapsed()), "{:?}", started.elapsed());
    assert!(log.stopped().is_none());
    drop(silent);
    // It answers again: what was asked in vain, and then what is asked now.
    let receipt = loop {
        match log.append_event("me", &event("b")) {
            Ok(receipt) => break receipt,
            Err(error) => assert!(started.elapsed() < Duration::from_secs(60), "{error}"),
        }
    };
    assert!(receipt.created && receipt.index == 1);
    let key = log.verifying_key();
    drop(log);
    assert_eq!(verify(data.store("prod").unwrap().as_ref(), &key).findings, []);
}

#[test]
fn what_a_crash_left_of_a_log_can_be_discarded_and_a_used_log_cannot() {
    let folder = tempfile::tempdir().unwrap();
    let data = data(&folder);
    data.discard_unused("prod").unwrap();
    data.create_log("prod", Kind::Raw, &options()).unwrap();
    let before = data.verifying_key("prod", &options()).unwrap();
    data.discard_unused("prod").unwrap();
    data.create_log("prod", Kind::Events, &options()).unwrap();
    assert_eq!(data.verifying_key("prod", &options()).unwrap(), before);
    let log = Log::open(data.store("prod").unwrap(), &options()).unwrap();
    log.append_event("me", &event("a")).unwrap();
    assert!(data.discard_unused("prod").is_err());
    log.close();
    drop(log);
    assert!(data.discard_unused("prod").is_err());
    assert_eq!(Log::open(data.store("prod").unwrap(), &options()).unwrap().head().size, 1);
}

#[test]
fn a_data_directory_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("data");
    std::fs::create_dir(&root).unwrap();
    std::fs::set_permissions(&root, std::fs::Permissions::from_mode(0o755)).unwrap();
    let (_, log) = crate::create(&root, Kind::Raw);
    crate::append_raw(&log, "r", 3);
    let mut folders = vec![root];
    while let Some(path) = folders.pop() {
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", path.display());
        if path.is_dir() {
            folders.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
}

#[test]
fn a_key_is_never_replaced_by_making_the_log_again() {
    let folder = tempfile::tempdir().unwrap();
    let data = data(&folder);
    data.create_log("prod", Kind::Events, &options()).unwrap();
    let root = folder.path().join("logs/prod");
    let key = std::fs::read(root.join("key")).unwrap();
    // Cut short before the manifest: the next attempt goes on with the key.
    std::fs::remove_file(root.join("log")).unwrap();
    data.create_log("prod", Kind::Events, &options()).unwrap();
    assert_eq!(std::fs::read(root.join("key")).unwrap(), key);
    let log = Log::open(data.store("prod").unwrap(), &options()).unwrap();
    log.append_event("me", &event("a")).unwrap();
    drop(log);
    // Lost later: refused, and everything stays as it was.
    let manifest = std::fs::read(root.join("log")).unwrap();
    std::fs::remove_file(root.join("log")).unwrap();
    let refused = data.create_log("prod", Kind::Events, &options()).unwrap_err();
    assert!(
        refused.to_string().contains("the manifest is missing although there is journal/"),
        "{refused}"
    );
    assert_eq!(std::fs::read(root.join("key")).unwrap(), key);
    std::fs::write(root.join("log"), manifest).unwrap();
    assert_eq!(Log::open(data.store("prod").unwrap(), &options()).unwrap().head().size, 1);
}

/// Puts a note signed by these keys in a log's folder.
fn put(root: &std::path::Path, path: &str, text: &str, keys: &[&SigningKey]) {
    let lines: String = keys.iter().map(|key| key.sign(text).to_string()).collect();
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    drop(fs::remove_file(&path));
    fs::write(path, format!("{text}\n{lines}")).unwrap();
}

fn secret(path: &std::path::Path) -> SigningKey {
    fs::read_to_string(path).unwrap().trim_end().parse().unwrap()
}

#[test]
fn a_key_that_was_replaced_is_worth_nothing_for_what_comes_after_it() {
    let (folder, thief) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let data = data(&folder);
    data.create_log("prod", Kind::Events, &options()).unwrap();
    let log = Log::open(data.store("prod").unwrap(), &options()).unwrap();
    let first = log.verifying_key();
    log.append_event("me", &event("a")).unwrap();
    crate::recovery::copy_folder(folder.path(), thief.path());
    let second = log.stage_key().unwrap();
    log.replace_key(&second, at(0)).unwrap();
    log.append_event("me", &event("b")).unwrap();
    log.close();
    drop(log);
    let store = data.store("prod").unwrap();
    for key in [&first, &second] {
        assert_eq!(verify(store.as_ref(), key).findings, []);
    }
    // Whoever stole the old key goes on with it in a copy, beside the true announcement.
    let stolen = DataDir::open(thief.path()).unwrap().store("prod").unwrap();
    let log = Log::open(Arc::clone(&stolen), &options()).unwrap();
    (0..9).for_each(|n| drop(log.append_event("thief", &event(&format!("t{n}"))).unwrap()));
    drop(log);
    assert_eq!(verify(stolen.as_ref(), &first).findings, []);
    let (from, to) = (folder.path().join("logs/prod"), thief.path().join("logs/prod"));
    for path in ["announcements/0002", "retired/0001"] {
        fs::create_dir_all(to.join(path).parent().unwrap()).unwrap();
        fs::copy(from.join(path), to.join(path)).unwrap();
        for key in [&first, &second] {
            let verdict = verify(stolen.as_ref(), key);
            assert_eq!(verdict.worst(), Some(FindingKind::Unverifiable), "{verdict:?}");
            assert_eq!(verdict.first_bad_index(), Some(1), "{verdict:?}");
        }
    }
    // Or announces a key of theirs beside the true one, or instead of it.
    let (old, third) = (secret(&from.join("key")), SigningKey::from_seed(first.name(), &[9; 32]));
    let third = third.unwrap();
    let text = fs::read_to_string(from.join("announcements/0002")).unwrap();
    let text = text.split_once("\n\n").unwrap().0.to_owned() + "\n";
    let text = text.replace(&second.to_string(), &third.verifying_key().to_string());
    for path in ["announcements/0003", "announcements/0002"] {
        put(&from, path, &text, &[&old, &third]);
        assert!(verify(store.as_ref(), &second).worst().is_some(), "{path}");
        assert!(Log::open(Arc::clone(&store), &options()).is_err(), "{path}");
    }
}

#[test]
fn a_key_signs_before_it_is_known_to_be_announced() {
    let folder = tempfile::tempdir().unwrap();
    let data = data(&folder);
    data.create_log("prod", Kind::Events, &options()).unwrap();
    let log = Log::open(data.store("prod").unwrap(), &options()).unwrap();
    log.append_event("me", &event("a")).unwrap();
    let keys = [log.verifying_key(), log.stage_key().unwrap()];
    // Where announcements are kept there is a file.
    let path = folder.path().join("logs/prod/announcements");
    fs::write(&path, b"").unwrap();
    assert!(log.replace_key(&keys[1], at(24)).is_err());
    assert_eq!(log.verifying_keys(), keys[..1]);
    log.append_event("me", &event("b")).unwrap();
    assert_eq!(signers(&log, &keys), [true, true]);
    // Whether that key is announced is not known, so no other takes its place.
    let other = log.stage_key().unwrap();
    assert!(matches!(log.replace_key(&other, at(24)), Err(LogError::Invalid(_))));
    fs::remove_file(&path).unwrap();
    log.replace_key(&keys[1], at(24)).unwrap();
    assert_eq!(log.verifying_keys(), keys);
    log.append_event("me", &event("c")).unwrap();
    log.close();
    drop(log);
    let store = data.store("prod").unwrap();
    keys.iter().for_each(|key| assert_eq!(verify(store.as_ref(), key).findings, []));
    assert_eq!(Log::open(store, &options()).unwrap().head().size, 3);
}

#[test]
fn a_key_that_ended_is_needed_no_more_and_never_signs_again() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(TestClock::default());
    let options = Options { clock: clock.clone(), ..options() };
    let data = data(&folder);
    data.create_log("prod", Kind::Events, &options).unwrap();
    let log = Log::open(data.store("prod").unwrap(), &options).unwrap();
    log.append_event("me", &event("a")).unwrap();
    let keys = [log.verifying_key(), log.stage_key().unwrap()];
    log.replace_key(&keys[1], at(24)).unwrap();
    log.append_event("me", &event("b")).unwrap();
    let root = folder.path().join("logs/prod");
    let end = root.join("retired/0001");
    assert!(!end.exists());
    clock.0.store(24 * HOUR, Ordering::SeqCst);
    log.append_event("me", &event("c")).unwrap();
    let said = fs::read_to_string(&end).unwrap();
    assert!(said.contains("\nsize 2\n"), "{said}");
    // The clock is set back: what ended has ended.
    clock.0.store(0, Ordering::SeqCst);
    log.append_event("me", &event("d")).unwrap();
    assert_eq!(signers(&log, &keys), [false, true]);
    log.close();
    drop(log);
    fs::remove_file(root.join("key")).unwrap();
    let store = data.store("prod").unwrap();
    let log = Log::open(Arc::clone(&store), &options).unwrap();
    log.append_event("me", &event("e")).unwrap();
    drop(log);
    keys.iter().for_each(|key| assert_eq!(verify(store.as_ref(), key).findings, []));
    // A root that the log never had, though the newest key signed it.
    let newest = secret(&root.join(format!("keys/{:08x}", keys[1].id())));
    let text = said.split_once("\n\n").unwrap().0.to_owned() + "\n";
    for (from, to) in
        [("size 2\n", "size 1\n"), ("size 2\n", "size 99\n"), ("size 2\n", "size 0\n")]
    {
        put(&root, "retired/0001", &text.replace(from, to), &[&newest]);
        assert!(verify(store.as_ref(), &keys[0]).worst().is_some(), "{to}");
        assert!(Log::open(Arc::clone(&store), &options).is_err(), "{to}");
    }
}

#[test]
fn what_a_log_requires_is_known_or_it_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (store, log) = crate::create(folder.path(), Kind::Raw);
    crate::append_raw(&log, "r", 3);
    let key = log.verifying_key();
    drop(log);
    let root = folder.path().join("logs/prod");
    let sound = fs::read_to_string(root.join("features")).unwrap();
    let text = sound.split_once("\n\n").unwrap().0.to_owned() + "\n";
    let own = secret(&root.join("key"));
    put(&root, "features", &format!("{text}requires tiles/1\n"), &[&own]);
    let refused = crate::reopen(folder.path()).unwrap_err();
    assert!(refused.to_string().contains("requires \"tiles/1\""), "{refused}");
    assert_eq!(verify(store.as_ref(), &key).worst(), Some(FindingKind::Unverifiable));
    // By a stranger, or for another log.
    let stranger = SigningKey::from_seed(key.name(), &[9; 32]).unwrap();
    put(&root, "features", &text, &[&stranger]);
    assert!(crate::reopen(folder.path()).is_err());
    put(&root, "features", &text.replace("prod", "test"), &[&own]);
    assert!(crate::reopen(folder.path()).is_err());
    fs::remove_file(root.join("features")).unwrap();
    let refused = crate::reopen(folder.path()).unwrap_err();
    assert!(refused.to_string().contains("features is missing"), "{refused}");
    assert!(verify(store.as_ref(), &key).worst().is_some());
    fs::write(root.join("features"), &sound).unwrap();
    assert_eq!(crate::reopen(folder.path()).unwrap().head().size, 3);
}
