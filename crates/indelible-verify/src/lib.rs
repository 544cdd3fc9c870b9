//! Everything that verifies, from stored bytes and pinned keys alone.
//!
//! What this crate is *not*: it shares no state with a running log, takes no lock and
//! writes nothing.
#![warn(missing_docs)]

mod directory;

pub use directory::{Coverage, Finding, FindingKind, Progress, Verdict, verify_store};
