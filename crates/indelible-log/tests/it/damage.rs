//! Folders that are not as they were.

use crate::{create, event, verify};
use indelible_log::{Kind, LogError};

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
