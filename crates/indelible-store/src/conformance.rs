//! What every backend must do, as one check to run against an empty store.

use crate::{Store, StoreError};
use std::io::Write as _;

/// Runs the whole contract against an empty store.
///
/// # Panics
/// At the first promise that is not kept.
pub fn check(store: &dyn Store) {
    locks_are_exclusive(store);
    objects_are_created_once(store);
    unfinished_objects_do_not_exist(store);
    reads_are_exact(store);
    journals_start_as_zeros_and_keep_what_is_written(store);
    deletion_leaves_open_readers_alone(store);
    listing_is_sorted_and_by_folder(store);
}

fn locks_are_exclusive(store: &dyn Store) {
    assert!(!store.is_locked(), "nobody holds the lock");
    let guard = store.lock().expect("a free store can be locked");
    assert!(store.is_locked(), "asking tells of the holder");
    assert!(matches!(store.lock(), Err(StoreError::Locked { .. })), "a second lock is refused");
    drop(guard);
    assert!(!store.is_locked(), "asking does not hold the lock");
    drop(store.lock().expect("a released lock can be taken again"));
}

fn objects_are_created_once(store: &dyn Store) {
    store.create("once/a", b"first").expect("create");
    assert!(matches!(store.create("once/a", b"second"), Err(StoreError::AlreadyExists { .. })));
    assert_eq!(store.read("once/a").expect("read"), b"first");
    let mut one = store.writer("once/b").expect("writer");
    let mut two = store.writer("once/b").expect("a second writer may start");
    one.write_all(b"one").expect("write");
    two.write_all(b"two").expect("write");
    one.finish().expect("the first to finish wins");
    assert!(matches!(two.finish(), Err(StoreError::AlreadyExists { .. })), "the second loses");
    assert_eq!(store.read("once/b").expect("read"), b"one");
    store.sync("once/b").expect("what exists can be synced");
    assert!(matches!(store.sync("once/c"), Err(StoreError::NotFound { .. })));
}

fn unfinished_objects_do_not_exist(store: &dyn Store) {
    let mut writer = store.writer("half/a").expect("writer");
    writer.write_all(b"half").expect("write");
    assert!(matches!(store.open("half/a"), Err(StoreError::NotFound { .. })));
    assert!(store.list("half").expect("list").is_empty());
    drop(writer);
    assert!(matches!(store.read("half/a"), Err(StoreError::NotFound { .. })));
    store.create("half/a", b"").expect("an abandoned name is free");
    assert_eq!(store.open("half/a").expect("open").size(), 0);
}

fn reads_are_exact(store: &dyn Store) {
    store.create("read/a", b"0123456789").expect("create");
    let blob = store.open("read/a").expect("open");
    assert_eq!(blob.size(), 10);
    assert_eq!(blob.read_vec(3, 4).expect("read"), b"3456");
    assert!(blob.read_vec(8, 4).is_err(), "a short read is an error");
    assert!(blob.read_vec(u64::MAX, 1).is_err());
}

fn journals_start_as_zeros_and_keep_what_is_written(store: &dyn Store) {
    let journal = store.create_journal("journal/a", 8192).expect("create");
    assert!(matches!(store.create_journal("journal/a", 1), Err(StoreError::AlreadyExists { .. })));
    assert_eq!(journal.size(), 8192);
    assert_eq!(journal.read_vec(0, 8192).expect("read"), vec![0; 8192]);
    journal.write_at(512, b"frame").expect("write");
    journal.sync().expect("sync");
    assert!(journal.write_at(8190, b"over").is_err(), "a journal has a fixed capacity");
    let again = store.open_journal("journal/a").expect("open");
    assert_eq!(again.read_vec(510, 9).expect("read"), b"\0\0frame\0\0");
    assert!(matches!(store.open_journal("journal/b"), Err(StoreError::NotFound { .. })));
}

fn deletion_leaves_open_readers_alone(store: &dyn Store) {
    store.create("delete/a", b"kept").expect("create");
    let blob = store.open("delete/a").expect("open");
    store.delete("delete/a").expect("delete");
    assert_eq!(blob.read_vec(0, 4).expect("read"), b"kept");
    assert!(matches!(store.delete("delete/a"), Err(StoreError::NotFound { .. })));
}

fn listing_is_sorted_and_by_folder(store: &dyn Store) {
    for path in ["list/b", "list/a", "list/c/d", "list2/x"] {
        store.create(path, b"").expect("create");
    }
    assert_eq!(store.list("list").expect("list"), ["list/a", "list/b", "list/c/d"]);
    assert!(store.list("nowhere").expect("list").is_empty());
}
