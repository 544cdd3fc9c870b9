use crate::{append_raw, assert_holds, create, event, recovery::copy_folder, reopen, verify};
use indelible_event::format_named;
use indelible_log::{
    Batch, Kind, Log, LogError,
    verify::{FindingKind, verify_store},
};
use indelible_tlog::TilePath;
use std::{
    fs,
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
            log.prove(index, Some((index + 1).max(1000))).unwrap();
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
        let note = log.checkpoint(held).unwrap();
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

#[test]
fn a_crash_between_seal_and_clean_up_is_finished_at_the_next_start() {
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
    let log = reopen(with_journals.path()).unwrap();
    assert_eq!(log.head().size, 65_550);
    assert_eq!(log.record(65_549).unwrap(), b"b/19");
    let store = indelible_log::DataDir::open(with_journals.path()).unwrap().store("prod").unwrap();
    assert_holds(store.as_ref(), &log);
}
