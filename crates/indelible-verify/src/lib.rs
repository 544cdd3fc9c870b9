//! Everything that verifies, from stored bytes and pinned keys alone: a proof, a log's
//! folder, a data directory, a server, an export. Each gives a [`Verdict`].
//!
//! What this crate is *not*: it shares no state with a running log, takes no lock and
//! writes nothing.
//!
//! **Invariants**
//! - What is missing is a finding, never skipped; what was not proven is said.
//! - Nothing but the pinned key is trusted, and what it vouches for.
//! - Memory does not grow with the log but for its attachments' names and the roots of
//!   its segments.
#![warn(missing_docs)]
#![cfg_attr(
    test,
    expect(clippy::unwrap_used, reason = "tests state their expectations by failing")
)]

mod export;
mod keys;
mod log;
mod proof;
mod server;
mod site;
mod verdict;

pub use export::{ExportVerdict, manifest_of, verify_export};
pub use log::{LogCheck, Options, Piece, Progress, verify_store};
pub use proof::verify_proof;
pub use server::ServerCheck;
pub use site::{Held, exports, verify_directory, verify_log};
pub use verdict::{Coverage, Finding, FindingKind, Unproven, Verdict};
