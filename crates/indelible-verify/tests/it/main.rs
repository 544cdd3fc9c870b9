//! Verification from outside: sound logs and exports hold, and whatever is changed in them
//! is found.
#![expect(clippy::unwrap_used, reason = "tests state their expectations by failing")]

mod covered;
mod exports;
mod flips;
mod order;
mod parquets;
mod sites;

use indelible_event::format_named;
use indelible_log::{Batch, DataDir, Kind, Log, Options};
use indelible_store::{LocalStore, MemoryStore, Store};
use indelible_tlog::VerifyingKey;
use indelible_verify::{Verdict, verify_store};
use std::{
    path::Path,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

/// Small journals, so that a small log has several small files.
pub(crate) fn options() -> Options {
    Options { journal_capacity: (4096, 1 << 20), ..Options::default() }
}

pub(crate) fn create(path: &Path, name: &str, kind: Kind) -> (Arc<dyn Store>, Log) {
    let data = DataDir::open_or_create(path, Some("test.example")).unwrap();
    data.create_log(name, kind, &options()).unwrap();
    let store = data.store(name).unwrap();
    let log = Log::open(Arc::clone(&store), &options()).unwrap();
    (store, log)
}

pub(crate) fn event(id: &str) -> String {
    event_with(id, "")
}

/// An event with more members, each with a comma before it.
pub(crate) fn event_with(id: &str, more: &str) -> String {
    format!(
        r#"{{"id":"{id}","time":"2026-03-01T12:00:00Z","action":"a.b","actor":{{"type":"user","id":"ada"}},"outcome":{{"result":"success"}}{more}}}"#
    )
}

/// Appends events in one commit.
pub(crate) fn append(log: &Log, events: impl Iterator<Item = String>) {
    let (now, header) = log.header("token:1", indelible_event::NATIVE);
    let format = format_named(indelible_event::NATIVE).unwrap();
    let mut batch = Batch::new();
    events.for_each(|event| log.stage(&mut batch, &header, now, format, &event).unwrap());
    log.append(batch).unwrap();
}

/// A log that holds events in a segment, its ids in a run, and a tail: as bytes.
pub(crate) struct Sealed {
    pub(crate) files: Vec<(String, Vec<u8>)>,
    pub(crate) key: VerifyingKey,
}

/// A sealed log whose ids begin with `prefix`.
pub(crate) fn seal(prefix: &str) -> Sealed {
    let folder = tempfile::tempdir().unwrap();
    let (_, log) = create(folder.path(), "prod", Kind::Events);
    for part in 0..10 {
        append(&log, (0..6_600).map(|n| event(&format!("{prefix}{part}-{n}"))));
    }
    append(&log, std::iter::once(event(&format!("{prefix}last"))));
    let deadline = Instant::now() + Duration::from_secs(120);
    while log.stats().segments < 1 {
        assert!(Instant::now() < deadline, "sealing takes too long");
        std::thread::yield_now();
    }
    let key = log.verifying_key();
    log.close();
    drop(log);
    Sealed { files: files(&folder.path().join("logs/prod")), key }
}

/// The same one for all tests that only read it.
pub(crate) fn sealed() -> &'static Sealed {
    static SEALED: OnceLock<Sealed> = OnceLock::new();
    SEALED.get_or_init(|| seal("e"))
}

/// Every file of a log's folder.
pub(crate) fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let local = LocalStore::open(folder).unwrap();
    let paths = local.list("").unwrap();
    paths.into_iter().map(|path| (path.clone(), local.read(&path).unwrap())).collect()
}

pub(crate) fn memory(files: &[(String, Vec<u8>)]) -> MemoryStore {
    let store = MemoryStore::default();
    files.iter().for_each(|(path, bytes)| store.create(path, bytes).unwrap());
    store
}

/// A store in which one file is another.
pub(crate) fn replace(store: &dyn Store, path: &str, bytes: &[u8]) {
    store.delete(path).unwrap();
    store.create(path, bytes).unwrap();
}

pub(crate) fn verify(store: &dyn Store, key: &VerifyingKey) -> Verdict {
    verify_store(store, key, None, &|_, _| {})
}

#[track_caller]
pub(crate) fn assert_holds(verdict: &Verdict) {
    assert_eq!(verdict.findings, []);
}
