//! Flipping any single byte in any stored file of a small log is found.

use crate::{create, event, verify};
use indelible_log::{Kind, LogError};
use indelible_store::{LocalStore, MemoryStore, Store};
use indelible_verify::verify_store;

#[test]
fn every_flipped_byte_of_every_file_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let (_, log) = create(folder.path(), Kind::Events);
    for n in 0..4 {
        log.append_event("tester", &event(&format!("e{n}"), "a.b")).unwrap();
    }
    log.append_event("tester", &event("large", &"x".repeat(66_000))).unwrap();
    let key = log.verifying_key();
    let held = log.head().note.to_string();
    drop(log);
    let local = LocalStore::open(folder.path().join("logs/prod")).unwrap();
    let files: Vec<(String, Vec<u8>)> = local
        .list("")
        .unwrap()
        .into_iter()
        .map(|path| (path.clone(), local.read(&path).unwrap()))
        .collect();
    let sound = MemoryStore::default();
    files.iter().for_each(|(path, bytes)| sound.create(path, bytes).unwrap());
    assert_eq!(verify(&sound, &key).findings, []);
    for (altered, bytes) in &files {
        // An attachment is one hash over all its bytes: a sample of them is enough.
        let step = if altered.starts_with("attachments/") { 997 } else { 1 };
        for position in (0..bytes.len()).step_by(step) {
            let mut bytes = bytes.clone();
            bytes[position] ^= 1 << (position % 8);
            sound.delete(altered).unwrap();
            sound.create(altered, &bytes).unwrap();
            assert!(verify(&sound, &key).worst().is_some(), "{altered} at {position}");
        }
        sound.delete(altered).unwrap();
        // Cutting off the end needs a checkpoint held from before to be found.
        let verdict = verify_store(&sound, &key, Some(&held), &|_, _| {});
        assert!(
            verdict.worst().is_some() || altered == "key" || is_spare(bytes),
            "{altered} deleted"
        );
        sound.create(altered, bytes).unwrap();
    }
}

/// A journal made ready for what comes next holds nothing yet.
fn is_spare(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

#[test]
fn a_read_only_folder_is_refused_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("file/below");
    std::fs::write(folder.path().join("file"), b"").unwrap();
    let error = indelible_log::DataDir::open_or_create(&missing, None).unwrap_err();
    assert!(matches!(error, LogError::Store(_)));
    assert!(error.to_string().contains("file"), "{error}");
}

#[test]
fn verifying_changes_nothing_in_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (store, log) = create(folder.path(), Kind::Events);
    log.append_event("tester", &event("e", "a")).unwrap();
    let key = log.verifying_key();
    drop(log);
    let root = folder.path().join("logs/prod");
    // A torn frame, which makes verification ask whether a server is running.
    let journal = root.join("journal/0000000000.journal");
    let mut bytes = std::fs::read(&journal).unwrap();
    let end = bytes.len() - 1;
    bytes[end] = 1;
    std::fs::write(&journal, bytes).unwrap();
    std::fs::write(root.join("tmp/1-2"), b"evidence too").unwrap();
    std::fs::remove_file(root.join("WRITER")).unwrap();
    assert!(verify(store.as_ref(), &key).worst().is_some());
    assert!(root.join("tmp/1-2").exists() && !root.join("WRITER").exists());
}
