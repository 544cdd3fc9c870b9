use crate::{TestClock, append_raw, assert_holds, create, event, options, reopen};
use indelible_event::{Envelope, format_named};
use indelible_log::{
    AppendError, Batch, BatchError, DataDir, Kind, Log, LogError, Options, Placed, StageError,
};
use indelible_tlog::{TilePath, leaf_hash, verify_consistency, verify_inclusion};
use std::sync::{Arc, atomic::Ordering};

#[test]
fn every_record_is_provable_at_every_size() {
    let folder = tempfile::tempdir().unwrap();
    let (store, log) = create(folder.path(), Kind::Events);
    for n in 0..40 {
        let receipt = log.append_event("tester", &event(&format!("e{n}"), "a.b")).unwrap();
        assert_eq!(
            (receipt.index, receipt.id.as_str(), receipt.created),
            (n, format!("e{n}").as_str(), true)
        );
        assert_eq!(receipt.head.size, n + 1);
    }
    for size in 1..=40 {
        let root = log.root(size).unwrap();
        for index in 0..size {
            let proof = log.prove(index, Some(size)).unwrap();
            let checkpoint =
                proof.verify(&log.record(index).unwrap(), &log.verifying_key()).unwrap();
            assert_eq!((checkpoint.size, checkpoint.root), (size, root));
        }
        for from in 1..size {
            let proof = log.consistency_proof(from, size).unwrap();
            let from_root = log.root(from).unwrap();
            assert_eq!(
                verify_consistency(from, size, &proof, from_root.as_ref(), root.as_ref()),
                Ok(())
            );
        }
    }
    assert!(matches!(log.prove(40, None), Err(LogError::NoRecord(_))));
    assert!(matches!(log.consistency_proof(41, 41), Err(LogError::NoRecord(_))));
    assert!(matches!(log.record(40), Err(LogError::NoRecord(_))));
    let verdict = assert_holds(store.as_ref(), &log);
    assert_eq!(verdict.coverage.commits, 40);
    assert!(verdict.coverage.key_checked);
}

#[test]
fn the_same_event_again_gets_the_first_receipt_and_other_data_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (store, log) = create(folder.path(), Kind::Events);
    let first = log.append_event("tester", &event("same", "a")).unwrap();
    let again = log.append_event("other", &event("same", "a")).unwrap();
    assert_eq!(
        (again.index, again.leaf_hash, again.created),
        (first.index, first.leaf_hash, false)
    );
    let refused = log.append_event("tester", &event("same", "b")).unwrap_err();
    assert!(
        matches!(refused, StageError::Append(AppendError::Conflict { index: 0, position: 0, .. })),
        "{refused}"
    );
    assert_eq!(log.head().size, 1);

    // Across a restart, and for an id with characters that JSON escapes.
    let odd = event("quo\\\"te", "a");
    log.append_event("tester", &odd).unwrap();
    drop(log);
    let log = reopen(folder.path()).unwrap();
    assert!(!log.append_event("tester", &odd).unwrap().created);
    assert!(!log.append_event("tester", &event("same", "a")).unwrap().created);
    assert_eq!(log.find("quo\"te").unwrap(), 1);
    assert!(matches!(log.find("nobody"), Err(LogError::NoRecord(_))));
    assert_holds(store.as_ref(), &log);
}

fn stage(log: &Log, batch: &mut Batch, data: &str) -> Result<(), StageError> {
    let (now, header) = log.header("tester", "indelible.v1");
    log.stage(batch, &header, now, format_named("indelible.v1").unwrap(), data)
}

#[test]
fn a_batch_is_all_or_nothing_unless_partial() {
    let folder = tempfile::tempdir().unwrap();
    let (store, log) = create(folder.path(), Kind::Events);
    log.append_event("tester", &event("taken", "a")).unwrap();
    let staged = |partial| {
        let mut batch = Batch::new();
        batch.partial = partial;
        for (id, action) in [("n1", "a"), ("n1", "a"), ("taken", "other"), ("n2", "a")] {
            stage(&log, &mut batch, &event(id, action)).unwrap();
        }
        batch
    };
    let refused = log.append(staged(false)).unwrap_err();
    assert!(
        matches!(&refused, AppendError::Conflict { position: 2, id, index: 0 } if id == "taken")
    );
    assert_eq!(log.head().size, 1);
    let placed = log.append(staged(true)).unwrap().placed;
    assert!(
        matches!(
            placed.as_slice(),
            [
                Placed::Created(1),
                Placed::Duplicate { index: 1, .. },
                Placed::Refused(_),
                Placed::Created(2)
            ]
        ),
        "{placed:?}"
    );
    // A refused batch left nothing behind: its ids are free.
    assert!(log.append_event("tester", &event("n3", "z")).unwrap().created);
    let verdict = assert_holds(store.as_ref(), &log);
    assert_eq!(verdict.coverage.commits, 3);
}

#[test]
fn large_events_become_attachments() {
    let folder = tempfile::tempdir().unwrap();
    let (store, log) = create(folder.path(), Kind::Events);
    let large = event("large", &"x".repeat(70_000));
    let receipt = log.append_event("tester", &large).unwrap();
    let record = log.record(receipt.index).unwrap();
    assert!(record.len() < 400);
    let envelope = Envelope::parse(&record).unwrap();
    assert_eq!(log.data(&envelope).unwrap(), large);
    assert!(!log.append_event("tester", &large).unwrap().created);
    let other = event("large", &"y".repeat(70_000));
    assert!(matches!(
        log.append_event("tester", &other),
        Err(StageError::Append(AppendError::Conflict { .. }))
    ));
    // The refused event's attachment stays, whole and unnamed.
    let verdict = assert_holds(store.as_ref(), &log);
    assert_eq!(verdict.coverage.attachments, 1);
    assert_eq!(store.list("attachments").unwrap().len(), 2);
    // The largest event that still fits a record.
    let mut fits = 65_000;
    while log.append_event("tester", &event(&format!("fit{fits}"), &"x".repeat(fits))).is_ok()
        && fits < 65_700
    {
        fits += 50;
    }
    assert_holds(store.as_ref(), &log);
}

#[test]
fn limits_are_refused_with_their_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let (_, log) = create(folder.path(), Kind::Raw);
    let mut batch = Batch::new();
    assert!(matches!(batch.push_raw(&vec![0; 65_536]), Err(BatchError::Record(_))));
    let record = vec![7; 65_535];
    while batch.push_raw(&record).is_ok() {}
    assert_eq!(batch.push_raw(&record), Err(BatchError::Full));
    assert!(matches!(stage(&log, &mut batch, &event("e", "a")), Err(StageError::Raw)));
    let count = batch.len() as u64;
    assert_eq!(log.append(batch).unwrap().head.size, count);
    assert_eq!(log.record(count - 1).unwrap(), record);
    assert_eq!(log.append(Batch::new()).unwrap().placed.len(), 0);
    let large = event("e", &"x".repeat(17 << 20));
    let folder = tempfile::tempdir().unwrap();
    let (_, log) = create(folder.path(), Kind::Events);
    assert!(matches!(log.append_event("t", &large), Err(StageError::TooLarge(_))));
}

#[test]
fn tiles_are_the_tree() {
    let folder = tempfile::tempdir().unwrap();
    let (_, log) = create(folder.path(), Kind::Raw);
    append_raw(&log, "r", 300);
    let tile = |text: &str| log.tile(&text.parse::<TilePath>().unwrap()).unwrap();
    let full = tile("tile/0/000").unwrap();
    assert_eq!(full.len(), 8192);
    assert_eq!(full[..32], leaf_hash(b"r/0").0);
    assert_eq!(tile("tile/0/001.p/44").unwrap().len(), 44 * 32);
    assert_eq!(tile("tile/0/001.p/7").unwrap().len(), 7 * 32);
    assert_eq!(tile("tile/0/001.p/45"), None);
    assert_eq!(tile("tile/0/001"), None);
    assert_eq!(tile("tile/1/000.p/1").unwrap(), log.root(256).unwrap().0);
    assert_eq!(tile("tile/2/000.p/1"), None);
    assert_eq!(&tile("tile/entries/001.p/1").unwrap()[2..], b"r/256");
    let proof = log.inclusion_proof(299, 300).unwrap();
    verify_inclusion(leaf_hash(b"r/299").as_ref(), 299, 300, &proof, log.head().root.as_ref())
        .unwrap();
}

#[test]
fn a_clock_that_jumps_moves_times_on_and_changes_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(TestClock::default());
    let options = Options { clock: Arc::clone(&clock) as _, ..options() };
    let data = DataDir::open_or_create(folder.path(), None).unwrap();
    data.create_log("prod", Kind::Events, &options).unwrap();
    let store = data.store("prod").unwrap();
    let log = Log::open(Arc::clone(&store), &options).unwrap();
    let times = [
        1_700_000_000_000_000,
        4_102_444_800_000_000,
        0,
        i64::MIN,
        i64::MAX,
        1_700_000_000_000_001,
    ];
    for (n, time) in times.into_iter().enumerate() {
        clock.0.store(time, Ordering::Relaxed);
        let plain = event("", "a").replace("\"id\":\"\",", "");
        let receipt = log.append_event("tester", &plain).unwrap();
        assert_eq!(receipt.index, n as u64);
    }
    let received: Vec<String> = (0..3)
        .map(|n| Envelope::parse(&log.record(n).unwrap()).unwrap().received_at.into_owned())
        .collect();
    assert_eq!(
        received,
        [
            "2023-11-14T22:13:20.000000Z",
            "2100-01-01T00:00:00.000000Z",
            "2100-01-01T00:00:00.000000Z"
        ]
    );
    assert_holds(store.as_ref(), &log);
    drop(log);
    let log = Log::open(Arc::clone(&store), &options).unwrap();
    assert_eq!(log.head().size, 6);
}

#[tokio::test]
async fn many_tasks_append_at_once_and_the_head_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let (store, log) = create(folder.path(), Kind::Raw);
    let log = Arc::new(log);
    let mut heads = log.follow();
    let tasks: Vec<_> = (0..64)
        .map(|task| {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                for n in 0..20 {
                    let mut batch = Batch::new();
                    batch.push_raw(format!("{task}/{n}").as_bytes()).unwrap();
                    let committed = log.submit(batch).await.unwrap();
                    let Some(Placed::Created(index)) = committed.placed.first() else {
                        panic!("not created")
                    };
                    assert_eq!(log.record(*index).unwrap(), format!("{task}/{n}").as_bytes());
                }
            })
        })
        .collect();
    heads.wait_for(|head| head.size >= 64 * 20).await.unwrap();
    for task in tasks {
        task.await.unwrap();
    }
    let verdict = assert_holds(store.as_ref(), &log);
    assert!(verdict.coverage.commits < 64 * 20, "load makes batches: {}", verdict.coverage.commits);
    log.close();
    assert!(matches!(log.submit(Batch::new()).await, Err(AppendError::Closed)));
}

#[test]
fn the_same_data_inline_and_attached_is_the_same_event() {
    let folder = tempfile::tempdir().unwrap();
    let (store, log) = create(folder.path(), Kind::Events);
    let pad = |len: usize| event("edge", &"a".repeat(len));
    // As long as fits a record when its sender's name is short.
    let room = 65_300 - pad(0).len();
    let data = pad(room);
    let first = log.append_event("t", &data).unwrap();
    let long = "t".repeat(300);
    let again = log.append_event(&long, &data).unwrap();
    assert_eq!((again.created, again.index, again.leaf_hash), (false, 0, first.leaf_hash));
    let other = pad(room - 1).replace("success", "failure");
    assert!(log.append_event(&long, &other).is_err());
    // And the other way round.
    let data = data.replace("edge", "edgf");
    assert!(log.append_event(&long, &data).unwrap().created);
    assert!(!log.append_event("t", &data).unwrap().created);
    assert_holds(store.as_ref(), &log);
}

#[test]
fn a_record_that_cannot_be_trusted_refuses_a_batch_and_not_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let (_, log) = create(folder.path(), Kind::Events);
    log.append_event("t", &event("kept", "a.b")).unwrap();
    log.append_event("t", &event("rotten", "a.b")).unwrap();
    let journals = folder.path().join("logs/prod/journal");
    let mut altered = 0;
    for path in std::fs::read_dir(&journals).unwrap().map(|entry| entry.unwrap().path()) {
        let mut bytes = std::fs::read(&path).unwrap();
        // Another value, then no envelope at all: what is read is not what was hashed.
        let at = bytes.windows(6).position(|w| w == b"rotten");
        if let Some(at) = at {
            let member = at + bytes[at..].windows(3).position(|w| w == b"a.b").unwrap();
            bytes[member] = b'x';
            let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
            std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 0).unwrap();
            altered += 1;
        }
    }
    assert_eq!(altered, 1);
    for _ in 0..2 {
        let refused = log.append_event("t", &event("rotten", "a.b")).unwrap_err();
        assert!(matches!(refused, StageError::Append(AppendError::Unreadable(_))), "{refused}");
    }
    assert_eq!(log.stopped(), None);
    assert!(log.append_event("t", &event("next", "a.b")).unwrap().created);
    assert!(!log.append_event("t", &event("kept", "a.b")).unwrap().created);
    assert_eq!(log.head().size, 3);
}

/// Whoever is alone commits in its own thread, beside the one that commits what is queued:
/// whichever of them does, there is one history, and none after the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_commits_itself_and_who_queues_make_one_history() {
    let folder = tempfile::tempdir().unwrap();
    let (store, log) = create(folder.path(), Kind::Events);
    let log = Arc::new(log);
    let batch = |log: &Log, id: &str| {
        let mut batch = Batch::new();
        stage(log, &mut batch, &event(id, "a.b")).unwrap();
        batch
    };
    log.append(batch(&log, "first")).unwrap();
    // Alone, and only one at a time.
    let lead = log.lead().expect("nobody else is there");
    assert!(log.lead().is_none());
    let queued = tokio::spawn({
        let (log, batch) = (Arc::clone(&log), batch(&log, "queued"));
        async move { log.submit(batch).await }
    });
    let led = lead.commit(batch(&log, "led")).unwrap();
    assert!(matches!(led.placed[..], [Placed::Created(_)]));
    queued.await.unwrap().unwrap();
    // Both at once, each of them the same events too.
    let led = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let tasks = (0..8).map(|task| {
        let (log, led) = (Arc::clone(&log), Arc::clone(&led));
        tokio::spawn(async move {
            for n in 0..200 {
                let batch = batch(&log, &format!("e{}", (n * 7 + task) % 300));
                if let Some(lead) = log.lead() {
                    led.fetch_add(1, Ordering::Relaxed);
                    lead.commit(batch).unwrap();
                    continue;
                }
                log.submit(batch).await.unwrap();
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(log.head().size, 3 + 300, "{led:?} were led");
    log.close();
    assert!(log.lead().is_none());
    assert!(matches!(log.append(batch(&log, "late")), Err(AppendError::Closed)));
    assert_holds(store.as_ref(), &log);
}
