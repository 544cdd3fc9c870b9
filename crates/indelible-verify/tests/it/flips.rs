//! Flipping any single byte in any stored file is found.

use crate::{append, assert_holds, create, event, files, memory, replace, sealed, verify};
use indelible_event::Timestamp;
use indelible_log::Kind;
use indelible_store::Store;
use indelible_verify::{LogCheck, Options, Piece, verify_store};

/// A journal made ready for what comes next holds nothing yet.
fn is_spare(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

#[test]
fn every_byte_of_every_file_of_a_small_log() {
    let folder = tempfile::tempdir().unwrap();
    let (_, log) = create(folder.path(), "prod", Kind::Events);
    let key = log.verifying_key();
    for n in 0..2 {
        append(&log, (0..2).map(|m| event(&format!("e{n}-{m}"))));
        let next = log.stage_key().unwrap();
        log.replace_key(&next, Timestamp::from_micros(0)).unwrap();
    }
    let large = event("large").replace("a.b", &"x".repeat(66_000));
    append(&log, std::iter::once(large));
    let held = log.head().note.to_string();
    log.close();
    drop(log);
    let files = files(&folder.path().join("logs/prod"));
    for kind in ["log", "key", "features", "keys/", "announcements/", "journal/", "attachments/"] {
        assert!(files.iter().any(|(path, _)| path.starts_with(kind)), "there is no {kind}");
    }
    let store = memory(&files);
    assert_holds(&verify(&store, &key));
    for (path, bytes) in &files {
        // An attachment is one hash over all its bytes, the free end of a journal is
        // compared with zeros: a sample of them is enough.
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
        let step = if path.starts_with("attachments/") { 997 } else { 1 };
        for at in (0..used).step_by(step).chain((used..bytes.len()).step_by(509)) {
            let mut altered = bytes.clone();
            altered[at] ^= 1 << (at % 8);
            replace(&store, path, &altered);
            assert!(verify(&store, &key).worst().is_some(), "{path} at {at}");
        }
        store.delete(path).unwrap();
        // Cutting off the end needs a checkpoint held from before to be found.
        let verdict = verify_store(&store, &key, Some(&held), &|_, _| {});
        // Secrets are no evidence, and where a key ended is said by its announcement too.
        let secret = ["key", "keys/", "retired/"].iter().any(|kind| path.starts_with(kind));
        assert!(verdict.worst().is_some() || secret || is_spare(bytes), "{path} deleted");
        store.create(path, bytes).unwrap();
    }
}

#[test]
fn bytes_of_segments_and_id_runs() {
    let sealed = sealed();
    let store = memory(&sealed.files);
    assert_holds(&verify(&store, &sealed.key));
    let count = |kind: &str| sealed.files.iter().filter(|(path, _)| path.starts_with(kind)).count();
    assert_eq!((count("segments/"), count("ids/")), (1, 1));
    for (path, bytes) in &sealed.files {
        // All of the ends, where everything but the data is, and a sample of the rest.
        let step = match path.split('/').next() {
            Some("segments") => bytes.len() / 150,
            Some("ids") => bytes.len() / 60,
            _ => continue,
        };
        let end = bytes.len().saturating_sub(120);
        let places = (0..48).chain((48..end).step_by(step)).chain(end..bytes.len());
        for at in places {
            let mut altered = bytes.clone();
            altered[at] ^= 1 << (at % 8);
            replace(&store, path, &altered);
            let mut check = LogCheck::new(&store, &sealed.key, Options::default());
            check.check(&Piece::Segment(0));
            if path.starts_with("ids/") {
                check.check(&Piece::IdRun(path.clone()));
            }
            assert!(!check.findings().is_empty(), "{path} at {at}");
        }
        replace(&store, path, bytes);
    }
}
