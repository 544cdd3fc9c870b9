//! Simulation of crashes and storage faults, reproducible by seed.
//!
//! [`SimDisk`] is a store whose unsynced writes a power cut may keep or lose sector
//! by sector, and whose calls fail on command, having done nothing, all, or part of
//! their work. [`run_seed`] drives the real commit, seal and recovery procedures of
//! `indelible-log` over it and checks, after every restart, that nothing
//! acknowledged was lost or changed and that everything verifies.
#![warn(missing_docs)]

mod disk;
mod fault;
mod file;
mod random;
mod run;

pub use disk::SimDisk;
pub use fault::{Fault, Mode};
pub use random::Random;
pub use run::{
    Outcome, check_restart, cut_for_good, run_seed, run_with_fault, show_only_what_is_durable,
};
