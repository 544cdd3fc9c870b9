//! The simulation's tests. `INDELIBLE_SIM_SEEDS` and `INDELIBLE_SIM_FIRST` choose the
//! seeds (`cargo xtask simulate`).

use indelible_sim::{
    Fault, Mode, SimDisk, check_restart, cut_for_good, run_seed, run_with_fault,
    show_only_what_is_durable,
};

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
