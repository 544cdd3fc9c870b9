//! Journals, segments and id runs of any bytes: opening and verifying give an answer.
#![no_main]

use indelible_log::{Kind, Options, Stepper};
use indelible_store::{MemoryStore, Store};
use indelible_tlog::SigningKey;
use indelible_verify::verify_store;
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;

fuzz_target!(|bytes: &[u8]| {
    let Some((which, rest)) = bytes.split_first() else { return };
    let store = MemoryStore::default();
    let options = Options::default();
    Stepper::create(&store, "fuzz.example/log", Kind::Events, &options, &[1; 32]).expect("an empty store takes a log");
    let path = match which % 3 {
        0 => "journal/0000000000.journal",
        1 => "segments/0000000000.segment",
        _ => "ids/0000000000-0001.ids",
    };
    store.create(path, rest).expect("the path is free");
    let key = SigningKey::from_seed("fuzz.example/log", &[1; 32]).expect("a valid name");
    let verdict = verify_store(&store, key.verifying_key(), None, &|_, _| {});
    let nothing = rest.iter().all(|byte| *byte == 0);
    assert!(nothing || verdict.worst().is_some() || which % 3 == 2);
    let _ = Stepper::open(Arc::new(store), &options);
});
