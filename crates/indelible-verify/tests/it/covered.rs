//! What is stored and no record: each has a way to be found.

use crate::{
    append, assert_holds, create, event, files, memory,
    order::{Parts, frames, journal},
    replace, seal, sealed, verify,
};
use indelible_log::{DataDir, Kind, Log};
use indelible_store::Store as _;
use indelible_tlog::{Announcement, Signer as _, SigningKey};
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

/// A run of other records, or signed by another key, is no run of this log: it is found,
/// and a log that is opened with it takes no other data under an id that it has.
#[test]
fn an_id_run_of_another_log_is_found_and_makes_the_log_forget_nothing() {
    let (one, other) = (sealed(), seal("other-"));
    let run = |files: &[(String, Vec<u8>)]| {
        files.iter().find(|(path, _)| path.starts_with("ids/")).unwrap().clone()
    };
    let ((path, _), (same_path, forged)) = (run(&one.files), run(&other.files));
    assert_eq!(path, same_path);
    let store = memory(&one.files);
    replace(&store, &path, &forged);
    let verdict = verify(&store, &one.key);
    assert!(!verdict.findings.is_empty() && verdict.worst() == Some(FindingKind::Unverifiable));
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("logs/prod");
    let data = DataDir::open_or_create(folder.path(), Some("test.example")).unwrap();
    for (path, bytes) in &one.files {
        fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        fs::write(root.join(path), if path.starts_with("ids/") { &forged } else { bytes }).unwrap();
    }
    fs::set_permissions(root.join("key"), fs::Permissions::from_mode(0o400)).unwrap();
    let log = Log::open(data.store("prod").unwrap(), &crate::options()).unwrap();
    let (now, header) = log.header("token:1", indelible_event::NATIVE);
    let format = indelible_event::format_named(indelible_event::NATIVE).unwrap();
    let mut batch = indelible_log::Batch::new();
    let data = event("e0-7").replace("ada", "eve");
    log.stage(&mut batch, &header, now, format, &data).unwrap();
    assert!(log.append(batch).is_err(), "the id is taken");
}

/// One id twice in a log, as whoever holds the key can write it: records that were taken as
/// bytes, under a manifest that says they are events.
#[test]
fn an_id_that_occurs_twice_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let (store, log) = create(folder.path(), "prod", Kind::Raw);
    let (_, header) = log.header("token:1", indelible_event::NATIVE);
    let mut batch = indelible_log::Batch::new();
    for (id, who) in [("a", "ada"), ("b", "ada"), ("a", "eve")] {
        let (data, mut record) = (event(id).replace("ada", who), Vec::new());
        header.encode(id, indelible_event::Payload::Inline(&data), &mut record);
        batch.push_raw(&record).unwrap();
    }
    log.append(batch).unwrap();
    log.close();
    let root = folder.path().join("logs/prod");
    let key: SigningKey = fs::read_to_string(root.join("key")).unwrap().trim().parse().unwrap();
    let manifest = fs::read_to_string(root.join("log")).unwrap();
    let (text, _) = manifest.split_once("\n\n").unwrap();
    let text = format!("{}\n", text.replace("kind raw", "kind events"));
    let line = key.sign_text(&text).unwrap();
    fs::set_permissions(root.join("log"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(root.join("log"), format!("{text}\n{line}")).unwrap();
    let verdict = verify(store.as_ref(), key.verifying_key());
    let found: Vec<_> = verdict.findings.iter().map(|found| (found.kind, found.index)).collect();
    assert_eq!(found, [(FindingKind::Unexpected, Some(2))], "{:?}", verdict.findings);
}

fn raw(log: &Log, count: usize, prefix: &str) {
    let mut batch = indelible_log::Batch::new();
    (0..count).for_each(|n| batch.push_raw(format!("{prefix}{n}").as_bytes()).unwrap());
    log.append(batch).unwrap();
}

fn wait_for_segment(log: &Log) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(120);
    while log.stats().segments < 1 {
        assert!(std::time::Instant::now() < deadline, "sealing takes too long");
        std::thread::yield_now();
    }
}

/// Commits of another history, signed with the stolen key, in a journal whose records are
/// sealed: with those of the segment its frames do not lead to their checkpoints.
#[test]
fn a_signed_fork_in_frames_of_sealed_records_is_found() {
    let (folder, thief) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (_, log) = create(folder.path(), "prod", Kind::Raw);
    (0..20).for_each(|n| raw(&log, 1000, &format!("a{n}-")));
    let stolen = files(&folder.path().join("logs/prod"));
    (0..50).for_each(|n| raw(&log, 1000, &format!("b{n}-")));
    wait_for_segment(&log);
    let key = log.verifying_key();
    log.close();
    drop(log);
    let sound = files(&folder.path().join("logs/prod"));
    assert_holds(&verify(&memory(&sound), &key));
    let data = DataDir::open_or_create(thief.path(), Some("test.example")).unwrap();
    write(&thief.path().join("logs/prod"), &stolen);
    let forked = Log::open(data.store("prod").unwrap(), &crate::options()).unwrap();
    (0..40).for_each(|n| raw(&forked, 1000, &format!("x{n}-")));
    forked.close();
    drop(forked);
    let mut tried = 0;
    for (path, bytes) in files(&thief.path().join("logs/prod")) {
        let is_new = stolen.iter().chain(&sound).all(|(known, _)| *known != path);
        if path.starts_with("journal/") && is_new && bytes.iter().any(|byte| *byte != 0) {
            let store = memory(&sound);
            store.create(&path, &bytes).unwrap();
            let verdict = verify(&store, &key);
            assert_eq!(verdict.worst(), Some(FindingKind::Altered), "{path}");
            tried += 1;
        }
    }
    assert!(tried > 0, "no journal is of the fork alone");
}

fn write(root: &std::path::Path, files: &[(String, Vec<u8>)]) {
    for (path, bytes) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

/// A thief of the old key writes on where it was replaced, beside the public announcement.
#[test]
fn a_replaced_key_is_worth_nothing_for_what_came_after_it() {
    let (folder, thief) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (_, log) = create(folder.path(), "prod", Kind::Events);
    append(&log, (0..10).map(|n| event(&format!("e{n}"))));
    let root = folder.path().join("logs/prod");
    let stolen = files(&root);
    let first = log.verifying_key();
    let second = log.stage_key().unwrap();
    log.replace_key(&second, indelible_event::Timestamp::from_micros(0)).unwrap();
    append(&log, (0..10).map(|n| event(&format!("f{n}"))));
    log.close();
    drop(log);
    for key in [&first, &second] {
        assert_holds(&verify(&memory(&files(&root)), key));
    }
    let data = DataDir::open_or_create(thief.path(), Some("test.example")).unwrap();
    write(&thief.path().join("logs/prod"), &stolen);
    let forged = Log::open(data.store("prod").unwrap(), &crate::options()).unwrap();
    append(&forged, (0..90).map(|n| event(&format!("forged{n}"))));
    forged.close();
    drop(forged);
    let announced = fs::read(root.join("announcements/0002")).unwrap();
    let forged = files(&thief.path().join("logs/prod"));
    let store = memory(&forged);
    assert_holds(&verify(&store, &first));
    store.create("announcements/0002", &announced).unwrap();
    for key in [&first, &second] {
        assert_eq!(verify(&store, key).worst(), Some(FindingKind::Unverifiable));
    }
    // The stolen key announces a third, beside the one that replaced it.
    let secret = fs::read_to_string(root.join("key")).unwrap();
    let one: SigningKey = secret.trim_end().parse().unwrap();
    let three = SigningKey::from_seed(first.name(), &[3; 32]).unwrap();
    let announcement = Announcement {
        previous: first.clone(),
        key: three.verifying_key().clone(),
        size: 10,
        root: indelible_tlog::EMPTY_ROOT,
        overlap: "2026-03-01T12:00:00.000000Z".to_owned(),
    };
    let text = announcement.to_string();
    let note = format!("{text}\n{}{}", one.sign(&text), three.sign(&text));
    store.create("announcements/0003", note.as_bytes()).unwrap();
    for key in [&first, &second, three.verifying_key()] {
        assert!(verify(&store, key).worst().is_some());
    }
}

/// Whoever sets the clock of a commit back has to write every commit after it anew.
#[test]
fn the_time_of_a_commit_that_others_follow_is_covered() {
    let folder = tempfile::tempdir().unwrap();
    let (_, log) = create(folder.path(), "prod", Kind::Events);
    (0..5).for_each(|n| append(&log, std::iter::once(event(&format!("e{n}")))));
    let key = log.verifying_key();
    log.close();
    drop(log);
    let sound = files(&folder.path().join("logs/prod"));
    for (path, bytes) in sound.iter().filter(|(path, _)| path.starts_with("journal/")) {
        let all = frames(bytes);
        for at in 0..all.len().saturating_sub(1) {
            let mut altered = all.clone();
            // docs/formats.md §3: the time, and the checksum of the first sector.
            altered[at][32] ^= 1;
            let crc = crc32c::crc32c(&altered[at][..120]);
            let crc = crc32c::crc32c_append(crc, &altered[at][124..512]);
            altered[at][120..124].copy_from_slice(&crc.to_le_bytes());
            let store = memory(&sound);
            replace(&store, path, &journal(&altered, bytes.len()));
            let verdict = verify(&store, &key);
            let [found] = verdict.findings.as_slice() else { panic!("{:?}", verdict.findings) };
            assert!(found.message.contains("does not name the frame"), "{}", found.message);
        }
    }
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
    (0..65).for_each(|n| raw(&log, 1000, &format!("a{n}-")));
    let before = files(&root);
    (0..20).for_each(|n| raw(&log, 100, &format!("b{n}-")));
    wait_for_segment(&log);
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
