//! The log engine from outside: append, read, prove, crash, verify.
#![expect(clippy::unwrap_used, reason = "tests state their expectations by failing")]

mod appending;
mod damage;
mod keys;
mod recovery;
mod sealing;

use indelible_log::{Batch, Clock, DataDir, Kind, Log, Options, Placed};
use indelible_store::Store;
use indelible_tlog::{Checkpoint, Signer as _, SigningKey, VerifyingKey};
use indelible_verify::{Verdict, verify_store};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

/// A clock that stands where it is put.
#[derive(Debug, Default)]
pub(crate) struct TestClock(pub(crate) AtomicI64);

impl Clock for TestClock {
    fn now_us(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Small journals, so that a small log has several small files.
pub(crate) fn options() -> Options {
    Options { journal_capacity: (4096, 1 << 20), ..Options::default() }
}

pub(crate) fn create(path: &Path, kind: Kind) -> (Arc<dyn Store>, Log) {
    let data = DataDir::open_or_create(path, Some("test.example")).unwrap();
    data.create_log("prod", kind, &options()).unwrap();
    let store = data.store("prod").unwrap();
    let log = Log::open(Arc::clone(&store), &options()).unwrap();
    (store, log)
}

pub(crate) fn reopen(path: &Path) -> indelible_log::Result<Log> {
    Log::open(DataDir::open(path).unwrap().store("prod").unwrap(), &options())
}

pub(crate) fn event(id: &str, action: &str) -> String {
    format!(
        r#"{{"id":"{id}","time":"2026-03-01T12:00:00Z","action":"{action}","actor":{{"type":"user","id":"ada"}},"outcome":{{"result":"success"}}}}"#
    )
}

/// Appends `count` raw records `prefix/n`.
pub(crate) fn append_raw(log: &Log, prefix: &str, count: usize) -> u64 {
    let mut batch = Batch::new();
    (0..count).for_each(|n| batch.push_raw(format!("{prefix}/{n}").as_bytes()).unwrap());
    match log.append(batch).unwrap().placed.first() {
        Some(Placed::Created(index)) => *index,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn verify(store: &dyn Store, key: &VerifyingKey) -> Verdict {
    verify_store(store, key, None, &|_, _| {})
}

/// The checkpoint of any size, signed with the key in the folder.
pub(crate) fn sign(root: &Path, log: &Log, size: u64) -> String {
    let secret = std::fs::read_to_string(root.join("logs/prod/key")).unwrap();
    let key: SigningKey = secret.trim_end().parse().unwrap();
    let origin = log.manifest().origin.clone();
    let text = Checkpoint::new(origin, size, log.root(size).unwrap()).to_string();
    format!("{text}\n{}", key.sign_text(&text).unwrap())
}

#[track_caller]
pub(crate) fn assert_holds(store: &dyn Store, log: &Log) -> Verdict {
    let verdict = verify(store, &log.verifying_key());
    assert_eq!(verdict.findings, []);
    assert_eq!(verdict.coverage.records, log.head().size);
    verdict
}
