use crate::{
    append_raw, assert_holds, create, event, options, recovery::copy_folder, reopen, sign, verify,
};
use indelible_event::format_named;
use indelible_log::{AppendError, Batch, DataDir, Kind, KnownCheckpoint, Log, LogError, Options};
use indelible_tlog::TilePath;
use indelible_verify::{FindingKind, verify_store};
use std::{
    fs,
    os::unix::fs::{FileExt as _, PermissionsExt as _},
    path::Path,
    time::{Duration, Instant},
};

/// Waits until `segments` are sealed: sealing goes on in the background.
fn wait_for_segments(log: &Log, segments: u64) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while log.stats().segments < segments {
        assert!(Instant::now() < deadline, "sealing takes too long");
        std::thread::yield_now();
    }
}

fn segment(root: &Path, number: u64) -> std::path::PathBuf {
    root.join(format!("logs/prod/segments/{number:010}.segment"))
}

fn overwrite(path: &Path, bytes: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_sealed_log_reads_proves_reopens_and_verifies() {
    let folder = tempfile::tempdir().unwrap();
    let (store, log) = create(folder.path(), Kind::Raw);
    let early = {
        append_raw(&log, "early", 700);
        log.head().note.to_string()
    };
    for part in 0..20 {
        append_raw(&log, &format!("p{part}"), 7000);
    }
    let size = log.head().size;
    wait_for_segments(&log, size / 65_536);
    let root = log.head().root;
    let check = |log: &Log| {
        assert_eq!(log.head().size, size);
        assert_eq!(log.record(699).unwrap(), b"early/699");
        assert_eq!(log.record(700).unwrap(), b"p0/0");
        assert_eq!(log.record(size - 1).unwrap(), b"p19/6999");
        for index in [0, 255, 256, 65_535, 65_536, 131_071, 131_072, size - 1] {
            log.prove(index, None)
                .unwrap()
                .verify(&log.record(index).unwrap(), &log.verifying_key())
                .unwrap();
            log.inclusion_proof(index, (index + 1).max(1000)).unwrap();
        }
        for from in [1, 700, 65_536, 65_537, 131_072, size] {
            let proof = log.consistency_proof(from, size).unwrap();
            let from_root = log.root(from).unwrap();
            indelible_tlog::verify_consistency(
                from,
                size,
                &proof,
                from_root.as_ref(),
                root.as_ref(),
            )
            .unwrap();
        }
        for tile in [
            "tile/0/000",
            "tile/0/x001/x000/000",
            "tile/1/000",
            "tile/1/001",
            "tile/2/000.p/2",
            "tile/entries/511",
            "tile/0/511",
        ] {
            let found = tile.parse::<TilePath>().map(|path| log.tile(&path).unwrap());
            assert_eq!(found.is_ok_and(|tile| tile.is_some()), !tile.contains("x000"), "{tile}");
        }
        assert_eq!(log.records(65_530..65_540, usize::MAX).unwrap().len(), 6);
        let verdict = assert_holds(store.as_ref(), log);
        assert_eq!(verdict.coverage.segments, 2);
    };
    check(&log);
    drop(log);
    let log = reopen(folder.path()).unwrap();
    check(&log);
    // A checkpoint held from before may end anywhere: inside and between bundles and segments.
    for held in [0, 1, 255, 256, 700, 2560, 65_535, 65_536, 65_537, 65_792, 131_072, size - 1, size]
    {
        let note = sign(folder.path(), &log, held);
        let verdict = verify_store(store.as_ref(), &log.verifying_key(), Some(&note), &|_, _| {});
        assert_eq!((verdict.findings, verdict.coverage.since), (vec![], Some(held)));
    }
    let verdict = verify_store(store.as_ref(), &log.verifying_key(), Some(&early), &|_, _| {});
    assert_eq!((verdict.findings.len(), verdict.coverage.since), (0, Some(700)));
    // The journals of sealed records are gone.
    let journal_bytes: u64 = fs::read_dir(folder.path().join("logs/prod/journal"))
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!(journal_bytes < 4 << 20, "{journal_bytes}");
}

#[test]
fn a_log_that_ends_with_a_segment_reopens() {
    let folder = tempfile::tempdir().unwrap();
    let (store, log) = create(folder.path(), Kind::Raw);
    append_raw(&log, "a", 65_536);
    wait_for_segments(&log, 1);
    let head = log.head();
    drop(log);
    for _ in 0..2 {
        let log = reopen(folder.path()).unwrap();
        assert_eq!(
            (log.head().size, log.head().root, &log.head().note),
            (head.size, head.root, &head.note)
        );
        assert_holds(store.as_ref(), &log);
    }
    let log = reopen(folder.path()).unwrap();
    assert_eq!(append_raw(&log, "b", 1), 65_536);
    assert_holds(store.as_ref(), &log);
}

#[test]
fn damage_to_a_segment_is_refused_or_found() {
    let folder = tempfile::tempdir().unwrap();
    let (store, log) = create(folder.path(), Kind::Raw);
    (0..20).for_each(|part| assert!(append_raw(&log, &format!("a{part}"), 6600) < 132_000));
    wait_for_segments(&log, 2);
    let key = log.verifying_key();
    drop(log);
    let path = segment(folder.path(), 0);
    let whole = fs::read(&path).unwrap();
    // A bundle: the log opens (it does not read bundles to do so), the record is refused.
    let mut bytes = whole.clone();
    bytes[whole.len() / 2 - 20_000] ^= 1;
    overwrite(&path, &bytes);
    let verdict = verify(store.as_ref(), &key);
    assert_eq!(verdict.worst(), Some(FindingKind::Altered));
    let bad = verdict.first_bad_index().unwrap();
    let log = reopen(folder.path()).unwrap();
    let error = log.record(bad).unwrap_err().to_string();
    assert!(error.contains(".segment is damaged at offset"), "{error}");
    assert!(matches!(log.prove(bad, None), Err(LogError::Damaged { .. })));
    drop(log);
    // Header, footer, trailer: refused at once.
    for at in [3, 12, whole.len() - 5000, whole.len() - 50, whole.len() - 1] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        overwrite(&path, &bytes);
        assert!(matches!(reopen(folder.path()), Err(LogError::Damaged { .. })), "{at}");
        assert_eq!(verify(store.as_ref(), &key).worst(), Some(FindingKind::Altered), "{at}");
    }
    // Cut short, and gone.
    overwrite(&path, &whole[..whole.len() - 7]);
    assert!(matches!(reopen(folder.path()), Err(LogError::Damaged { .. })));
    fs::remove_file(&path).unwrap();
    assert!(reopen(folder.path()).is_err());
    let verdict = verify(store.as_ref(), &key);
    assert_eq!((verdict.worst(), verdict.first_bad_index()), (Some(FindingKind::Missing), Some(0)));
}

#[test]
fn ids_are_found_in_segments_and_the_id_index_may_be_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let (store, log) = create(folder.path(), Kind::Events);
    let format = format_named("indelible.v1").unwrap();
    let append = |log: &Log, ids: std::ops::Range<usize>| {
        let (now, header) = log.header("tester", format.name());
        let mut batch = Batch::new();
        for id in ids {
            log.stage(&mut batch, &header, now, format, &event(&format!("id-{id}"), "a")).unwrap();
        }
        log.append(batch).unwrap()
    };
    (0..7).for_each(|part| drop(append(&log, part * 10_000..(part + 1) * 10_000)));
    wait_for_segments(&log, 1);
    let check = |log: &Log| {
        for id in [0, 65_535, 65_536, 69_999] {
            assert_eq!(log.find(&format!("id-{id}")).unwrap(), id);
        }
        let again = append(log, 65_500..65_600);
        assert_eq!(again.head.size, 70_000);
        assert!(log.append_event("t", &event("id-3", "other")).is_err());
    };
    check(&log);
    drop(log);
    fs::remove_dir_all(folder.path().join("logs/prod/ids")).unwrap();
    let log = reopen(folder.path()).unwrap();
    check(&log);
    assert_holds(store.as_ref(), &log);
}

/// A log of 70,000 records with ids, one segment of which is sealed.
fn with_ids(folder: &Path) -> (std::sync::Arc<dyn indelible_store::Store>, Log) {
    let (store, log) = create(folder, Kind::Events);
    let format = format_named("indelible.v1").unwrap();
    for part in 0..7 {
        let (now, header) = log.header("tester", format.name());
        let mut batch = Batch::new();
        for id in part * 10_000..(part + 1) * 10_000 {
            log.stage(&mut batch, &header, now, format, &event(&format!("id-{id}"), "a")).unwrap();
        }
        log.append(batch).unwrap();
    }
    wait_for_segments(&log, 1);
    (store, log)
}

#[test]
fn pages_of_ids_that_go_bad_are_answered_from_the_segment_and_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (store, log) = with_ids(folder.path());
    let path = folder.path().join("logs/prod/ids/0000000000-0001.ids");
    let whole = fs::read(&path).unwrap();
    // Every page of entries, in the file that the log has open.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    for page in 0..128 {
        file.write_at(&[0; 64], page * 4096 + 512).unwrap();
    }
    assert!(log.append_event("t", &event("id-3", "other")).is_err(), "other data");
    assert!(!log.append_event("t", &event("id-65535", "a")).unwrap().created, "the same again");
    assert_eq!(log.find("id-40000").unwrap(), 40_000);
    // The next commit wakes the sealer, and the run is what it was.
    let started = Instant::now();
    while fs::read(&path).ok().as_ref() != Some(&whole) {
        assert!(started.elapsed() < Duration::from_secs(60), "the run is not made anew");
        log.append_event("t", &event("more", "a")).unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_holds(store.as_ref(), &log);
}

#[test]
fn a_run_that_another_key_signed_makes_the_log_forget_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (store, log) = with_ids(folder.path());
    drop(log);
    let path = folder.path().join("logs/prod/ids/0000000000-0001.ids");
    let whole = fs::read(&path).unwrap();
    // A run of the same log in which no id is, as whoever can write files could make it:
    // right in itself, and not signed by the log.
    let other = tempfile::tempdir().unwrap();
    let (_, raw) = create(other.path(), Kind::Raw);
    append_raw(&raw, "x", 65_536);
    wait_for_segments(&raw, 1);
    drop(raw);
    overwrite(&path, &fs::read(other.path().join("logs/prod/ids/0000000000-0001.ids")).unwrap());
    assert_eq!(
        verify(store.as_ref(), &key(folder.path())).worst(),
        Some(FindingKind::Unverifiable)
    );
    let log = reopen(folder.path()).unwrap();
    assert!(log.append_event("t", &event("id-6", "other")).is_err());
    assert!(!log.append_event("t", &event("id-5", "a")).unwrap().created);
    assert_eq!(fs::read(&path).unwrap(), whole);
    assert_holds(store.as_ref(), &log);
}

fn key(root: &Path) -> indelible_tlog::VerifyingKey {
    DataDir::open(root).unwrap().verifying_key("prod", &options()).unwrap()
}

#[test]
fn verification_works_beside_a_running_writer() {
    let folder = tempfile::tempdir().unwrap();
    let (store, log) = create(folder.path(), Kind::Raw);
    append_raw(&log, "first", 10);
    let key = log.verifying_key();
    std::thread::scope(|scope| {
        let writer = scope
            .spawn(|| (0..60).for_each(|n| assert!(append_raw(&log, &format!("w{n}"), 3000) > 0)));
        let mut last = 0;
        while !writer.is_finished() {
            let verdict = verify(store.as_ref(), &key);
            assert_eq!(verdict.findings, []);
            assert!(verdict.coverage.records >= last.max(10));
            last = verdict.coverage.records;
        }
    });
    assert_holds(store.as_ref(), &log);
}

/// A log whose first segment was sealed and whose journals are still there, as a crash
/// before their deletion leaves it.
fn sealed_with_journals() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let before = tempfile::tempdir().unwrap();
    let (_, log) = create(folder.path(), Kind::Raw);
    // The journals of a log about to seal, then its segment put beside them.
    append_raw(&log, "a", 65_530);
    copy_folder(folder.path(), before.path());
    drop(log);
    let log = reopen(before.path()).unwrap();
    append_raw(&log, "b", 20);
    wait_for_segments(&log, 1);
    drop(log);
    let with_journals = tempfile::tempdir().unwrap();
    copy_folder(before.path(), with_journals.path());
    for entry in fs::read_dir(folder.path().join("logs/prod/journal")).unwrap().map(Result::unwrap)
    {
        let target = with_journals.path().join("logs/prod/journal").join(entry.file_name());
        if !target.exists() {
            fs::copy(entry.path(), target).unwrap();
        }
    }
    with_journals
}

fn journals(root: &Path) -> Vec<(std::ffi::OsString, Vec<u8>)> {
    let entries = fs::read_dir(root.join("logs/prod/journal")).unwrap().map(Result::unwrap);
    let mut found: Vec<_> =
        entries.map(|entry| (entry.file_name(), fs::read(entry.path()).unwrap())).collect();
    found.sort();
    found
}

#[test]
fn a_segment_is_read_back_before_its_journals_are_deleted() {
    let folder = sealed_with_journals();
    let path = segment(folder.path(), 0);
    let sound = fs::read(&path).unwrap();
    // In a bundle, in the footer, in the trailer, and cut short.
    let mut altered: Vec<Vec<u8>> = [20_000, sound.len() - 2000, sound.len() - 50]
        .map(|at| {
            let mut bytes = sound.clone();
            bytes[at] ^= 1;
            bytes
        })
        .into();
    altered.push(sound[..sound.len() / 2].to_vec());
    for bytes in altered {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(folder.path(), copy.path());
        overwrite(&segment(copy.path(), 0), &bytes);
        let log = reopen(copy.path()).unwrap();
        assert_eq!(log.head().size, 65_550);
        wait_for_segments(&log, 1);
        assert_eq!(log.record(20_000).unwrap(), b"a/20000");
        let store = indelible_log::DataDir::open(copy.path()).unwrap().store("prod").unwrap();
        assert_holds(store.as_ref(), &log);
        let aside = copy.path().join("logs/prod/set-aside/0000000000.1");
        assert_eq!(fs::read(aside).unwrap(), bytes);
        drop(log);
        assert_eq!(reopen(copy.path()).unwrap().stats().segments, 1);
    }
}

#[test]
fn a_start_that_is_refused_deletes_nothing() {
    let folder = sealed_with_journals();
    let guard = tempfile::tempdir().unwrap();
    copy_folder(folder.path(), guard.path());
    let log = reopen(guard.path()).unwrap();
    append_raw(&log, "later", 1);
    let known = KnownCheckpoint { note: log.head().note.to_string(), origin: "guard".into() };
    let before = journals(folder.path());
    let options = Options { known: vec![known], ..options() };
    let store = indelible_log::DataDir::open(folder.path()).unwrap().store("prod").unwrap();
    assert!(matches!(Log::open(store, &options), Err(LogError::RolledBack { .. })));
    assert_eq!(journals(folder.path()), before);
}

#[test]
fn a_crash_between_seal_and_clean_up_is_finished_at_the_next_start() {
    let with_journals = sealed_with_journals();
    let log = reopen(with_journals.path()).unwrap();
    assert_eq!(log.head().size, 65_550);
    assert_eq!(log.record(65_549).unwrap(), b"b/19");
    let store = indelible_log::DataDir::open(with_journals.path()).unwrap().store("prod").unwrap();
    assert_holds(store.as_ref(), &log);
}

/// A log that has a segment to seal and cannot, and what keeps it from doing so.
fn behind(root: &Path) -> (Log, std::path::PathBuf) {
    let (store, log) = create(root, Kind::Raw);
    drop(log);
    let options = Options {
        max_unsealed_segments: 1,
        max_sealing_wait: Duration::from_millis(1),
        sealing_retry: Duration::from_millis(1),
        ..options()
    };
    let log = Log::open(store, &options).unwrap();
    // A file where the folder of segments should be.
    let blocked = root.join("logs/prod/segments");
    fs::write(&blocked, b"").unwrap();
    append_raw(&log, "a", 65_536);
    for _ in 0..3 {
        assert!(matches!(log.append(one()), Err(AppendError::SealingBehind)));
    }
    (log, blocked)
}

fn one() -> Batch {
    let mut batch = Batch::new();
    batch.push_raw(b"one more").unwrap();
    batch
}

fn wait_until(log: &Log, reached: impl Fn(&indelible_log::Stats) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !reached(&log.stats()) {
        assert!(Instant::now() < deadline, "{:?}", log.stats());
        std::thread::yield_now();
    }
}

#[test]
fn sealing_that_fails_refuses_appends_and_goes_on_once_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let (log, blocked) = behind(folder.path());
    wait_until(&log, |stats| stats.sealing_error.is_some());
    assert_eq!((log.stats().unsealed_segments, log.stats().segments), (1, 0));
    fs::remove_file(&blocked).unwrap();
    wait_until(&log, |stats| stats.segments == 1 && stats.sealing_error.is_none());
    assert_eq!(log.stats().unsealed_segments, 0);
    assert_eq!(append_raw(&log, "after", 3), 65_536);
    let store = indelible_log::DataDir::open(folder.path()).unwrap().store("prod").unwrap();
    assert_holds(store.as_ref(), &log);
}

#[test]
fn a_log_whose_sealing_fails_closes() {
    let folder = tempfile::tempdir().unwrap();
    let (log, blocked) = behind(folder.path());
    log.close();
    assert!(matches!(log.append(one()), Err(AppendError::Closed)));
    drop(log);
    fs::remove_file(&blocked).unwrap();
    let log = reopen(folder.path()).unwrap();
    assert_eq!(log.head().size, 65_536);
    wait_for_segments(&log, 1);
}

#[test]
fn only_sizes_that_were_heads_have_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    let (_, log) = create(folder.path(), Kind::Raw);
    assert!(log.checkpoint(0).is_ok(), "an empty log's head");
    append_raw(&log, "a", 10);
    let ten = log.head();
    append_raw(&log, "b", 20);
    let check = |log: &Log| {
        assert_eq!(log.checkpoint(10).unwrap(), ten.note);
        assert_eq!(log.checkpoint(30).unwrap(), log.head().note);
        for size in [0, 1, 9, 11, 29] {
            assert!(matches!(log.checkpoint(size), Err(LogError::NoCheckpoint { .. })), "{size}");
        }
        let error = log.checkpoint(11).unwrap_err().to_string();
        assert!(error.ends_with("the nearest are of 10 and 30"), "{error}");
        assert!(matches!(log.checkpoint(31), Err(LogError::NoRecord(_))));
        assert!(log.prove(3, Some(10)).is_ok());
        assert!(matches!(log.prove(3, Some(11)), Err(LogError::NoCheckpoint { .. })));
    };
    check(&log);
    drop(log);
    // What the journals tell is known after a restart too.
    let log = reopen(folder.path()).unwrap();
    check(&log);
    append_raw(&log, "c", 65_536);
    wait_for_segments(&log, 1);
    append_raw(&log, "d", 1);
    let sealed = 65_566;
    assert!(log.checkpoint(sealed).is_ok());
    drop(log);
    let log = reopen(folder.path()).unwrap();
    assert!(log.checkpoint(sealed).is_ok(), "it is in the footer");
    assert!(matches!(log.checkpoint(65_536), Err(LogError::NoCheckpoint { .. })));
}
