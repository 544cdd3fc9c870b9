//! The simulation's tests. `INDELIBLE_SIM_SEEDS` and `INDELIBLE_SIM_FIRST` choose the
//! seeds (`cargo xtask simulate`).

#![expect(clippy::unwrap_used, reason = "tests state their expectations by failing")]

use indelible_log::{Batch, Kind, Log, LogError, Options, Stepper};
use indelible_sim::{
    Fault, Mode, SimDisk, check_restart, cut_for_good, run_seed, run_with_fault,
    show_only_what_is_durable,
};
use indelible_verify::verify_store;
use std::sync::Arc;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Before any result is believed: a seed does the same thing every time.
#[test]
fn meta_a_seed_replays_identically() {
    for seed in [0, 1, 2, 3] {
        let first = run_seed(seed);
        assert_eq!(first, run_seed(seed), "seed {seed}");
        assert!(first.acknowledged > 0 && first.restarts > 0, "seed {seed}: {first:?}");
    }
    assert_ne!(run_seed(1).trace, run_seed(2).trace);
}

#[test]
fn seeds_keep_every_promise() {
    let (first, count) = (number("INDELIBLE_SIM_FIRST", 0), number("INDELIBLE_SIM_SEEDS", 300));
    let mut sealed = 0;
    for seed in first..first + count {
        let outcome = std::panic::catch_unwind(|| run_seed(seed));
        match outcome {
            Ok(outcome) => sealed += outcome.sealed,
            Err(_) => {
                panic!("seed {seed} failed: reproduce it with `cargo xtask simulate 1 {seed}`")
            }
        }
    }
    assert!(sealed > 0 || count < 16, "no seed sealed a segment");
}

/// Every write of the commit path × every way it can go wrong.
#[test]
fn fault_table_of_commits() {
    let calls = run_with_fault(None, false);
    assert!(calls > 10, "{calls}");
    for at in 0..calls {
        for mode in Mode::ALL {
            let row = std::panic::catch_unwind(|| run_with_fault(Some(Fault { at, mode }), false));
            assert!(row.is_ok(), "call {at}, {mode:?}");
        }
    }
}

/// Every write of the seal path × every way it can go wrong.
#[test]
fn fault_table_of_seals() {
    let calls = run_with_fault(None, true);
    let commits = run_with_fault(None, false);
    assert!(calls > commits, "{calls}");
    for at in commits.saturating_sub(2)..calls {
        for mode in Mode::ALL {
            let row = std::panic::catch_unwind(|| run_with_fault(Some(Fault { at, mode }), true));
            assert!(row.is_ok(), "call {at}, {mode:?}");
        }
    }
}

/// After a failed sync what was not written may stay readable: recovery shows it only
/// once it is durable.
#[test]
fn what_recovery_shows_outlives_a_power_cut() {
    for seed in 0..100 {
        let outcome = std::panic::catch_unwind(|| show_only_what_is_durable(seed));
        assert!(outcome.is_ok(), "seed {seed}");
    }
}

/// What a start cuts off is gone for good, or cut off again, whatever that start met.
#[test]
fn what_was_cut_does_not_come_back() {
    let mut failed = 0;
    for (seed, at) in (0..40).flat_map(|seed| (0..5).map(move |at| (seed, at))) {
        match std::panic::catch_unwind(|| cut_for_good(seed, at)) {
            Ok(start_failed) => failed += u64::from(start_failed),
            Err(_) => panic!("seed {seed}, call {at}"),
        }
    }
    assert!(failed >= 40, "{failed} starts failed");
}

#[test]
fn a_clean_restart() {
    check_restart();
}

#[test]
fn the_simulated_disk_conforms() {
    indelible_store::conformance::check(&SimDisk::new(1));
}

fn append(log: &Log, record: &str) -> bool {
    let mut batch = Batch::new();
    batch.push_raw(record.as_bytes()).is_ok() && log.append(batch).is_ok()
}

/// Replaces a key while the `at`-th call from then on goes wrong, then goes on, starts
/// again, and replaces it again. Whatever came of it, the log opens, and all of its keys
/// verify it. Returns whether the log had stopped when the key was replaced.
fn replace_with_fault(at: u64, mode: Mode, commit_first: bool) -> bool {
    let disk = SimDisk::new(at * 31 + mode as u64);
    let options = Options { journal_capacity: (64 << 10, 64 << 10), ..Options::default() };
    Stepper::create(&disk, "sim.example/log", Kind::Raw, &options, &[42; 32]).unwrap();
    let open = || Log::open(Arc::new(disk.clone()), &options).unwrap();
    let log = open();
    let first = log.verifying_key();
    assert!(append(&log, "one"));
    let second = log.stage_key().unwrap();
    // The thread that makes journals ready has made one, and changes nothing more.
    let mut calls = 0;
    while calls != disk.calls() {
        calls = disk.calls();
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    disk.plan(Some(Fault { at: calls + at, mode }));
    if commit_first {
        append(&log, "perhaps");
    }
    let stopped = log.stopped().is_some();
    let past = "2026-01-01T00:00:00Z".parse().unwrap();
    let replaced = log.replace_key(&second, past);
    // A commit may be there that only the old key signed.
    assert!(!stopped || matches!(replaced, Err(LogError::Invalid(_))), "{replaced:?}");
    append(&log, "two");
    drop(log.replace_key(&second, past));
    append(&log, "three");
    log.close();
    drop(log);
    disk.plan(None);
    disk.restart();
    for record in ["four", "five"] {
        let log = open();
        log.replace_key(&second, past).unwrap();
        assert!(append(&log, record));
        let size = log.head().size;
        log.close();
        drop(log);
        disk.restart();
        for key in [&first, &second] {
            let verdict = verify_store(&disk, key, None, &|_, _| {});
            assert_eq!(verdict.findings, [], "{at} {mode:?}");
            assert_eq!(verdict.coverage.records, size);
        }
    }
    stopped
}

#[test]
fn fault_table_of_replaced_keys() {
    for mode in Mode::ALL {
        for at in 0..8 {
            replace_with_fault(at, mode, false);
        }
    }
}

#[test]
fn a_log_that_has_stopped_takes_no_new_key() {
    let stopped = (0..3).filter(|at| replace_with_fault(*at, Mode::NotPersisted, true)).count();
    assert!(stopped > 0, "no commit failed");
}
