//! Times in a log go up, whatever the clock does.

use crate::{TestClock, assert_holds, event, options};
use indelible_event::{Envelope, NATIVE, Timestamp, format_named};
use indelible_log::{Batch, DataDir, Kind, Log, Options};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

const HOUR_US: i64 = 3_600_000_000;

fn with(clock: &Arc<TestClock>) -> Options {
    Options { clock: Arc::<TestClock>::clone(clock), ..options() }
}

fn open(folder: &Path, clock: &Arc<TestClock>) -> Log {
    Log::open(DataDir::open(folder).unwrap().store("prod").unwrap(), &with(clock)).unwrap()
}

fn received(log: &Log, index: u64) -> i64 {
    let record = log.record(index).unwrap();
    let at: Timestamp = Envelope::parse(&record).unwrap().received_at.parse().unwrap();
    at.as_micros()
}

#[test]
fn a_clock_that_is_set_back_holds_the_times_of_the_log_where_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(TestClock(AtomicI64::new(10 * HOUR_US)));
    let data = DataDir::open_or_create(folder.path(), Some("test.example")).unwrap();
    data.create_log("prod", Kind::Events, &with(&clock)).unwrap();
    let log = open(folder.path(), &clock);
    log.append_event("me", &event("a", "a.b")).unwrap();
    assert_eq!(log.stats().ahead_us, 0);
    clock.0.store(8 * HOUR_US, Ordering::Relaxed);
    let receipt = log.append_event("me", &event("b", "a.b")).unwrap();
    assert_eq!(log.stats().ahead_us, 2 * HOUR_US as u64);
    // The receipt is of the record as it is in the log.
    assert_eq!(receipt.leaf_hash, log.leaf_hash(1).unwrap());
    log.close();
    drop(log);
    // The same after a start: not below the last record's.
    clock.0.store(HOUR_US, Ordering::Relaxed);
    let log = open(folder.path(), &clock);
    log.append_event("me", &event("c", "a.b")).unwrap();
    clock.0.store(11 * HOUR_US, Ordering::Relaxed);
    log.append_event("me", &event("d", "a.b")).unwrap();
    let times: Vec<i64> = (0..4).map(|index| received(&log, index) / HOUR_US).collect();
    assert_eq!(times, [10, 10, 10, 11]);
    assert_eq!(log.head().time_us, 11 * HOUR_US);
    let store = DataDir::open(folder.path()).unwrap().store("prod").unwrap();
    assert_holds(store.as_ref(), &log);
}

#[test]
fn what_was_prepared_first_and_comes_last_gets_the_time_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(TestClock(AtomicI64::new(10 * HOUR_US)));
    let data = DataDir::open_or_create(folder.path(), Some("test.example")).unwrap();
    data.create_log("prod", Kind::Events, &with(&clock)).unwrap();
    let log = open(folder.path(), &clock);
    let stage = |batch: &mut Batch, id: &str| {
        let (now, header) = log.header("me", NATIVE);
        log.stage(batch, &header, now, format_named(NATIVE).unwrap(), &event(id, "a.b")).unwrap();
    };
    // A slow sender, whose events come over an hour; one of them twice.
    let mut slow = Batch::new();
    stage(&mut slow, "slow-1");
    stage(&mut slow, "slow-1");
    clock.0.store(12 * HOUR_US, Ordering::Relaxed);
    stage(&mut slow, "slow-2 ü");
    let mut fast = Batch::new();
    clock.0.store(11 * HOUR_US, Ordering::Relaxed);
    stage(&mut fast, "fast");
    clock.0.store(12 * HOUR_US, Ordering::Relaxed);
    log.append(fast).unwrap();
    let committed = log.append(slow).unwrap();
    let times: Vec<i64> = (0..3).map(|index| received(&log, index) / HOUR_US).collect();
    assert_eq!(times, [11, 12, 12]);
    assert_eq!(committed.batch.received_at().map(Timestamp::as_micros), Some(12 * HOUR_US));
    let leaves: Vec<_> = [0, 2].map(|entry| committed.batch.leaf(entry)).into();
    assert_eq!(leaves, [1, 2].map(|index| Some(log.leaf_hash(index).unwrap())));
    let store = DataDir::open(folder.path()).unwrap().store("prod").unwrap();
    assert_holds(store.as_ref(), &log);
}

/// Many at once, by the system's clock: the order of the log is the order of its times.
#[test]
fn times_go_up_however_many_append_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (store, log) = crate::create(folder.path(), Kind::Events);
    std::thread::scope(|scope| {
        for task in 0..8 {
            let log = &log;
            scope.spawn(move || {
                for n in 0..50 {
                    let receipt =
                        log.append_event("me", &event(&format!("{task}-{n}"), "a.b")).unwrap();
                    assert_eq!(receipt.leaf_hash, log.leaf_hash(receipt.index).unwrap());
                }
            });
        }
    });
    let times: Vec<i64> = (0..400).map(|index| received(&log, index)).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert!(log.head().time_us >= times[399]);
    assert_holds(store.as_ref(), &log);
}
