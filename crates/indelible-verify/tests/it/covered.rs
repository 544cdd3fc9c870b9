//! What is stored and no record: each has a way to be found.

use crate::{
    append, assert_holds, create, event, files, memory,
    order::{Parts, frames, journal},
    replace, seal, sealed, verify,
};
use indelible_log::{DataDir, Kind, Log};
use indelible_store::Store as _;
use indelible_tlog::{Checkpoint, Signer as _, SigningKey};
use indelible_verify::{FindingKind, Unproven, verify_store};
use std::{fs, os::unix::fs::PermissionsExt as _};

#[test]
fn bytes_hidden_in_a_bundle_are_found() {
    let sealed = sealed();
    let (path, bytes) =
        sealed.files.iter().find(|(path, _)| path.starts_with("segments/")).unwrap();
    let hidden = [&0x184d_2a50_u32.to_le_bytes()[..], &6u32.to_le_bytes(), b"secret"].concat();
    for before in [false, true] {
        let mut parts = Parts::of(bytes);
        let packed = &mut parts.bundles[7].0;
        *packed = match before {
            true => [hidden.clone(), packed.clone()].concat(),
            false => [packed.clone(), hidden.clone()].concat(),
        };
        let store = memory(&sealed.files);
        replace(&store, path, &parts.bytes());
        let verdict = verify(&store, &sealed.key);
        assert_eq!(verdict.worst(), Some(FindingKind::Altered));
        assert_eq!(verdict.first_bad_index(), Some(7 * 256));
    }
}

/// A run with right checksums that knows other ids: the log would take other data under an
/// id that it has.
#[test]
fn an_id_run_of_other_records_is_found_and_so_is_an_id_that_occurs_twice() {
    let (one, other) = (sealed(), seal("other-"));
    let run = |files: &[(String, Vec<u8>)]| {
        files.iter().find(|(path, _)| path.starts_with("ids/")).unwrap().clone()
    };
    let ((path, sound), (same_path, forged)) = (run(&one.files), run(&other.files));
    assert_eq!(path, same_path);
    let store = memory(&one.files);
    replace(&store, &path, &forged);
    let verdict = verify(&store, &one.key);
    assert_eq!(verdict.worst(), Some(FindingKind::Altered));
    assert!(verdict.findings[0].message.contains("does not have the ids"), "{verdict:?}");
    // A log that was run so has one id twice, whatever its runs say afterwards.
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("logs/prod");
    let data = DataDir::open_or_create(folder.path(), Some("test.example")).unwrap();
    for (path, bytes) in &one.files {
        fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        fs::write(root.join(path), if path.starts_with("ids/") { &forged } else { bytes }).unwrap();
    }
    for secret in ["key"] {
        fs::set_permissions(root.join(secret), fs::Permissions::from_mode(0o400)).unwrap();
    }
    let log = Log::open(data.store("prod").unwrap(), &crate::options()).unwrap();
    append(&log, std::iter::once(event("e0-7").replace("ada", "eve")));
    let size = log.head().size;
    log.close();
    drop(log);
    for runs in [Some(&sound), None] {
        fs::remove_file(root.join(&path)).unwrap_or_default();
        if let Some(run) = runs {
            fs::write(root.join(&path), run).unwrap();
        }
        let verdict = verify(data.store("prod").unwrap().as_ref(), &one.key);
        let found: Vec<_> =
            verdict.findings.iter().map(|found| (found.kind, found.index)).collect();
        let expected = (FindingKind::Unexpected, Some(size - 1));
        assert_eq!(found, [expected], "{:?}", verdict.findings);
    }
}

/// A checkpoint of another history, signed with the stolen key, in the frame of records that
/// are sealed: nobody hashed those.
#[test]
fn a_signed_fork_in_the_frame_of_sealed_records_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let (store, log) = create(folder.path(), "prod", Kind::Raw);
    let raw = |count: usize, prefix: &str| {
        let mut batch = indelible_log::Batch::new();
        (0..count).for_each(|n| batch.push_raw(format!("{prefix}{n}").as_bytes()).unwrap());
        log.append(batch).unwrap();
    };
    // One journal holds the end of the segment and what comes after it.
    raw(65_000, "a");
    (0..20).for_each(|n| raw(30, &format!("b{n}-")));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(120);
    while log.stats().segments < 1 {
        assert!(std::time::Instant::now() < deadline, "sealing takes too long");
        std::thread::yield_now();
    }
    let key = log.verifying_key();
    let origin = log.manifest().origin.clone();
    log.close();
    drop(log);
    assert_holds(&verify(store.as_ref(), &key));
    let all = files(&folder.path().join("logs/prod"));
    let secret = fs::read_to_string(folder.path().join("logs/prod/key")).unwrap();
    let signer: SigningKey = secret.trim_end().parse().unwrap();
    // In the place of a signature: the root of nothing, over so many records.
    let mut forged = 0;
    for (path, bytes) in all.iter().filter(|(path, _)| path.starts_with("journal/")) {
        let sound = frames(bytes);
        for (at, frame) in sound.iter().enumerate() {
            let mark = format!("{origin}\n");
            let Some(note_at) =
                frame.windows(mark.len()).rposition(|bytes| bytes == mark.as_bytes())
            else {
                continue;
            };
            let end = frame.iter().rposition(|byte| *byte != 0).unwrap() + 1;
            let note = String::from_utf8(frame[note_at..end].to_vec()).unwrap();
            let held = Checkpoint::verify(note.as_bytes(), &key).unwrap();
            if held.size > 65_536 {
                continue;
            }
            let text = Checkpoint::new(origin.clone(), held.size, indelible_tlog::EMPTY_ROOT);
            let fork = format!("{text}\n{}", signer.sign_text(&text.to_string()).unwrap());
            assert_eq!(fork.len(), note.len());
            let mut altered = sound.clone();
            altered[at][note_at..end].copy_from_slice(fork.as_bytes());
            rechecksum(&mut altered[at]);
            let store = memory(&all);
            replace(&store, path, &journal(&altered, bytes.len()));
            let verdict = verify(&store, &key);
            assert_eq!(verdict.worst(), Some(FindingKind::Altered), "{path} frame {at}");
            forged += 1;
        }
    }
    assert!(forged > 0, "no journal holds a frame of sealed records");
}

/// Makes the checksums of a frame right again, as docs/formats.md §3 has them.
fn rechecksum(frame: &mut [u8]) {
    let word = |frame: &[u8], at: usize| {
        u32::from_le_bytes([frame[at], frame[at + 1], frame[at + 2], frame[at + 3]]) as usize
    };
    let body = word(frame, 20) + word(frame, 24);
    let crc = crc32c::crc32c(&frame[48..48 + body]);
    frame[28..32].copy_from_slice(&crc.to_le_bytes());
    let crc = crc32c::crc32c(&frame[..44]);
    frame[44..48].copy_from_slice(&crc.to_le_bytes());
}

#[test]
fn files_that_nobody_knows_and_keys_that_others_can_read_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let (store, log) = create(folder.path(), "prod", Kind::Events);
    append(&log, std::iter::once(event("e")));
    let key = log.verifying_key();
    log.close();
    drop(log);
    let root = folder.path().join("logs/prod");
    assert_holds(&verify(store.as_ref(), &key));
    for known in ["tmp/1-2", "set-aside/0000000000.1"] {
        fs::create_dir_all(root.join(known).parent().unwrap()).unwrap();
        fs::write(root.join(known), "").unwrap();
    }
    assert_holds(&verify(store.as_ref(), &key));
    for unknown in ["notes", "journal/x", "segments/0.segment", "attachments/ab/x", "more/deep/x"] {
        let path = root.join(unknown);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "x").unwrap();
        let verdict = verify(store.as_ref(), &key);
        assert!(
            verdict.findings.iter().any(|found| found.kind == FindingKind::Unexpected),
            "{unknown}: {verdict:?}"
        );
        fs::remove_file(path).unwrap();
    }
    fs::set_permissions(root.join("key"), fs::Permissions::from_mode(0o440)).unwrap();
    assert_eq!(verify(store.as_ref(), &key).worst(), Some(FindingKind::Exposed));
}

#[test]
fn a_verdict_says_what_it_does_not_prove() {
    let folder = tempfile::tempdir().unwrap();
    let (store, log) = create(folder.path(), "prod", Kind::Events);
    append(&log, std::iter::once(event("e")));
    let (key, held) = (log.verifying_key(), log.head().note.to_string());
    let without = verify(store.as_ref(), &key);
    assert!(without.coverage.unproven.contains(&Unproven::End));
    let with = verify_store(store.as_ref(), &key, Some(&held), &|_, _| {});
    assert!(!with.coverage.unproven.contains(&Unproven::End));
    assert!(with.coverage.unproven.contains(&Unproven::Index));
}

/// Of journals whose records are all sealed any may be gone before others: the segments have
/// the records, and none is missing.
#[test]
fn a_journal_that_is_gone_between_sealed_ones_is_no_missing_record() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("logs/prod");
    let (_, log) = create(folder.path(), "prod", Kind::Raw);
    let raw = |count: usize, prefix: &str| {
        let mut batch = indelible_log::Batch::new();
        (0..count).for_each(|n| batch.push_raw(format!("{prefix}{n}").as_bytes()).unwrap());
        log.append(batch).unwrap();
    };
    (0..65).for_each(|n| raw(1000, &format!("a{n}-")));
    let before = files(&root);
    (0..20).for_each(|n| raw(100, &format!("b{n}-")));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(120);
    while log.stats().segments < 1 {
        assert!(std::time::Instant::now() < deadline, "sealing takes too long");
        std::thread::yield_now();
    }
    let (key, size) = (log.verifying_key(), log.head().size);
    log.close();
    drop(log);
    let after = files(&root);
    let gone: Vec<_> = before
        .into_iter()
        .filter(|(path, _)| path.starts_with("journal/"))
        .filter(|(path, _)| after.iter().all(|(other, _)| other != path))
        .collect();
    assert!(gone.len() > 3, "{} journals went", gone.len());
    for without in 0..=gone.len() {
        let store = memory(&after);
        for (n, (path, bytes)) in gone.iter().enumerate() {
            if n != without {
                store.create(path, bytes).unwrap();
            }
        }
        let verdict = verify(&store, &key);
        assert_holds(&verdict);
        assert_eq!(verdict.coverage.records, size);
    }
    // Where no segment has them they are missing, and it is said which.
    let store = memory(&after);
    let (path, _) = after.iter().find(|(path, _)| path.starts_with("segments/")).unwrap();
    store.delete(path).unwrap();
    let verdict = verify(&store, &key);
    assert_eq!(verdict.worst(), Some(FindingKind::Missing));
    assert_eq!(verdict.first_bad_index(), Some(0));
}
