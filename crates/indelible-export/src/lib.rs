//! How records stand in the file of an export, what its manifest says, and what a log
//! signs of it. Server and verifier compute all of it alike. docs/formats.md §7.
//!
//! What this crate is *not*: it finds no records and checks no proofs.
#![warn(missing_docs)]
#![cfg_attr(
    test,
    expect(clippy::unwrap_used, reason = "tests state their expectations by failing")
)]

mod manifest;
mod record;
mod write;

pub use manifest::{VERSION, manifest_text, parse_manifest};
pub use record::{read_record, view, write_record};
pub use write::{Writer, parquet_schema};
