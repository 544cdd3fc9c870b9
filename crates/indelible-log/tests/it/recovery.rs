use crate::{append_raw, assert_holds, create, event, options, reopen, sign, verify};
use indelible_log::{DataDir, Kind, KnownCheckpoint, Log, LogError, Options};
use indelible_store::StoreError;
use indelible_verify::{FindingKind, verify_store};
use std::{
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

fn journals(root: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(root.join("logs/prod/journal"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    found.sort();
    found
}

/// The last journal that holds a frame, and where its last frame starts and ends.
fn last_frame(root: &Path) -> (PathBuf, usize, usize) {
    for path in journals(root).into_iter().rev() {
        let bytes = fs::read(&path).unwrap();
        let mut starts =
            (0..bytes.len()).step_by(512).filter(|at| bytes[*at..].starts_with(b"INDFRM2\n"));
        if let Some(start) = starts.next_back() {
            let end = bytes.iter().rposition(|b| *b != 0).unwrap() + 1;
            return (path, start, end.next_multiple_of(512));
        }
    }
    panic!("no frame");
}

pub(crate) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn a_second_process_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (_, log) = create(folder.path(), Kind::Raw);
    assert!(matches!(reopen(folder.path()), Err(LogError::Store(StoreError::Locked { .. }))));
    drop(log);
    reopen(folder.path()).unwrap();
}

#[test]
fn a_torn_last_frame_is_cut_and_the_log_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (store, log) = create(folder.path(), Kind::Raw);
    append_raw(&log, "kept", 3);
    append_raw(&log, &"torn".repeat(300), 3);
    drop(log);
    let (path, start, end) = last_frame(folder.path());
    assert!(end - start >= 2048);
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[0; 512], end as u64 - 512).unwrap();
    let log = reopen(folder.path()).unwrap();
    assert_eq!(log.head().size, 3);
    assert_eq!(append_raw(&log, "after", 2), 3);
    assert_holds(store.as_ref(), &log);
    drop(log);
    assert_eq!(reopen(folder.path()).unwrap().head().size, 5);
}

#[test]
fn a_damaged_frame_is_refused_with_file_and_offset() {
    let folder = tempfile::tempdir().unwrap();
    let (store, log) = create(folder.path(), Kind::Raw);
    let key = log.verifying_key();
    append_raw(&log, "one", 1);
    append_raw(&log, "two", 1);
    drop(log);
    let (path, start, _) = last_frame(folder.path());
    for at in [100, start + 60, start + 4] {
        let mut bytes = fs::read(&path).unwrap();
        bytes[at] ^= 4;
        fs::write(&path, &bytes).unwrap();
        let error = reopen(folder.path()).unwrap_err();
        let LogError::Damaged { path: named, offset, .. } = &error else { panic!("{error}") };
        assert!(path.ends_with(named), "{named}");
        assert!((offset.abs_diff(at as u64)) <= 512, "{offset} for {at}");
        let verdict = verify(store.as_ref(), &key);
        assert_eq!(verdict.worst(), Some(FindingKind::Altered));
        assert_eq!(verdict.first_bad_index(), Some(u64::from(at > start)));
        bytes[at] ^= 4;
        fs::write(&path, &bytes).unwrap();
    }
    assert_eq!(reopen(folder.path()).unwrap().head().size, 2);
}

#[test]
fn a_missing_journal_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (store, log) = create(folder.path(), Kind::Raw);
    let key = log.verifying_key();
    (0..40).for_each(|n| assert!(append_raw(&log, &format!("r{n}"), 4) < 160));
    drop(log);
    let all = journals(folder.path());
    assert!(all.len() >= 3, "{all:?}");
    fs::remove_file(&all[1]).unwrap();
    assert!(matches!(reopen(folder.path()), Err(LogError::Damaged { .. })));
    let verdict = verify(store.as_ref(), &key);
    assert_eq!(verdict.worst(), Some(FindingKind::Missing), "{verdict:?}");
    assert!(verdict.first_bad_index() > Some(0));
}

#[test]
fn an_older_copy_is_refused_while_a_newer_checkpoint_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let backup = tempfile::tempdir().unwrap();
    let (_, log) = create(folder.path(), Kind::Raw);
    append_raw(&log, "old", 5);
    copy_folder(folder.path(), backup.path());
    append_raw(&log, "new", 5);
    let note = log.head().note.to_string();
    let key = log.verifying_key();
    drop(log);
    let known = KnownCheckpoint { note: note.clone(), origin: "the guard".into() };
    let guarded = Options { known: vec![known], ..options() };
    let open =
        |root: &Path| Log::open(DataDir::open(root).unwrap().store("prod").unwrap(), &guarded);
    assert_eq!(open(folder.path()).unwrap().head().size, 10);
    assert!(matches!(open(backup.path()), Err(LogError::RolledBack { size: 5, known: 10, .. })));
    let store = DataDir::open(backup.path()).unwrap().store("prod").unwrap();
    let verdict = verify_store(store.as_ref(), &key, Some(&note), &|_, _| {});
    assert_eq!((verdict.worst(), verdict.first_bad_index()), (Some(FindingKind::Missing), Some(5)));

    // The same key continuing from the old copy: another history.
    let forked = reopen(backup.path()).unwrap();
    append_raw(&forked, "forged", 6);
    drop(forked);
    assert!(matches!(open(backup.path()), Err(LogError::Forked { size: 10, .. })));
    let verdict = verify_store(store.as_ref(), &key, Some(&note), &|_, _| {});
    assert_eq!(verdict.worst(), Some(FindingKind::Altered));
}

#[test]
fn a_checkpoint_held_from_before_is_proved_a_prefix() {
    let folder = tempfile::tempdir().unwrap();
    let (store, log) = create(folder.path(), Kind::Raw);
    append_raw(&log, "a", 5);
    let early = log.head().note.to_string();
    append_raw(&log, "b", 300);
    let verdict = verify_store(store.as_ref(), &log.verifying_key(), Some(&early), &|_, _| {});
    assert_eq!((verdict.findings.len(), verdict.coverage.since), (0, Some(5)));
    let inside = sign(folder.path(), &log, 100);
    let verdict = verify_store(store.as_ref(), &log.verifying_key(), Some(&inside), &|_, _| {});
    assert_eq!((verdict.findings.len(), verdict.coverage.since), (0, Some(100)));
    let altered = early.replacen('A', "B", 1);
    let verdict = verify_store(store.as_ref(), &log.verifying_key(), Some(&altered), &|_, _| {});
    assert!(verdict.worst().is_some());
}

#[test]
fn another_key_verifies_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (store, log) = create(folder.path(), Kind::Events);
    log.append_event("t", &event("e", "a")).unwrap();
    let stranger = indelible_tlog::SigningKey::from_seed("test.example/prod", &[9; 32]).unwrap();
    let verdict = verify(store.as_ref(), stranger.verifying_key());
    assert!(
        verdict.findings.iter().any(|finding| finding.kind == FindingKind::Unverifiable),
        "{verdict:?}"
    );
}

#[test]
fn a_folder_without_a_log_is_named() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(DataDir::open(folder.path()), Err(LogError::NoLog(_))));
    let data = DataDir::open_or_create(folder.path(), None).unwrap();
    assert!(data.site().starts_with("indelible-"));
    assert!(matches!(data.store("nope"), Err(LogError::NoLog(_))));
    assert!(matches!(data.store("../nope"), Err(LogError::Invalid(_))));
    assert!(matches!(
        data.create_log("Bad Name", Kind::Raw, &options()),
        Err(LogError::Invalid(_))
    ));
    data.create_log("once", Kind::Raw, &options()).unwrap();
    let again = data.create_log("once", Kind::Raw, &options()).unwrap_err();
    assert!(matches!(again, LogError::Store(StoreError::AlreadyExists { .. })));
    assert_eq!(data.logs().unwrap(), ["once"]);
    assert!(matches!(
        DataDir::open_or_create(folder.path(), Some("other")),
        Err(LogError::Invalid(_))
    ));
}

#[test]
fn a_damaged_frame_of_zeros_is_not_torn() {
    let folder = tempfile::tempdir().unwrap();
    let (_, log) = create(folder.path(), Kind::Raw);
    append_raw(&log, "one", 1);
    let mut batch = indelible_log::Batch::new();
    batch.push_raw(&[0; 3000]).unwrap();
    log.append(batch).unwrap();
    drop(log);
    let (path, start, end) = last_frame(folder.path());
    let sound = fs::read(&path).unwrap();
    for at in (start..end).step_by(100) {
        let mut bytes = sound.clone();
        bytes[at] ^= 4;
        fs::write(&path, &bytes).unwrap();
        let refused = reopen(folder.path()).unwrap_err();
        assert!(matches!(refused, LogError::Damaged { .. }), "{at}: {refused}");
    }
    fs::write(&path, &sound).unwrap();
    assert_eq!(reopen(folder.path()).unwrap().head().size, 2);
}

/// Makes the checksum of a frame's first sector right.
fn sum_first_sector(bytes: &mut [u8], at: usize) {
    let crc = crc32c::crc32c(&bytes[at..at + 120]);
    let crc = crc32c::crc32c_append(crc, &bytes[at + 124..at + 512]);
    bytes[at + 120..at + 124].copy_from_slice(&crc.to_le_bytes());
}

#[test]
fn frames_are_one_row_and_the_last_is_signed() {
    let folder = tempfile::tempdir().unwrap();
    let (store, log) = create(folder.path(), Kind::Raw);
    let key = log.verifying_key();
    append_raw(&log, "one", 1);
    append_raw(&log, "two", 1);
    drop(log);
    let (path, start, end) = last_frame(folder.path());
    let sound = fs::read(&path).unwrap();
    let refused = |at: usize, change: &dyn Fn(&mut [u8])| {
        let mut bytes = sound.clone();
        change(&mut bytes);
        sum_first_sector(&mut bytes, at);
        fs::write(&path, &bytes).unwrap();
        let verdict = verify(store.as_ref(), &key);
        (reopen(folder.path()).unwrap_err().to_string(), verdict.worst())
    };
    // The time of the first commit, its number, the epoch of its writer.
    for field in [32, 16, 24] {
        let (said, worst) = refused(start - 512, &|bytes| bytes[start - 512 + field] ^= 1);
        assert!(worst == Some(FindingKind::Altered), "{field}: {said}");
    }
    for (field, problem) in [(16, "out of order"), (24, "earlier writer"), (56, "does not name")] {
        let (said, worst) = refused(start, &|bytes| bytes[start + field] ^= 1);
        assert!(said.contains(problem) && worst == Some(FindingKind::Altered), "{said}");
    }
    let (said, worst) = refused(start, &|bytes| bytes[start + 44] = 1);
    assert!(said.contains("does not know") && worst.is_some(), "{said}");
    // Nobody's frame: the records and the root are right, and no key signed.
    let (said, worst) = refused(start, &|bytes| {
        let records = u32::from_le_bytes(bytes[start + 48..start + 52].try_into().unwrap());
        bytes[start + 52..start + 56].fill(0);
        bytes[start + 124 + records as usize..end].fill(0);
    });
    assert!(said.contains("not signed"), "{said}");
    assert_eq!(worst, Some(FindingKind::Unverifiable));
    fs::write(&path, &sound).unwrap();
    assert_eq!(reopen(folder.path()).unwrap().head().size, 2);
}
