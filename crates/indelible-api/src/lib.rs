//! The wire: types of the HTTP API, error codes, and what both ends compute alike.
//! `indelible-server` derives the OpenAPI document from these types.
#![warn(missing_docs)]

mod access;
mod code;
mod export;
mod record_name;
mod search;
mod types;

pub use access::*;
pub use code::Code;
pub use export::*;
pub use record_name::{RecordName, RecordNameError};
pub use search::*;
pub use types::*;

/// Media type of newline-delimited JSON.
pub const NDJSON: &str = "application/x-ndjson";
/// Most bytes of a request body, after decompression.
pub const MAX_BODY_BYTES: usize = 64 << 20;
/// Most events in one request.
pub const MAX_EVENTS: usize = 100_000;
/// Most items of one page of a list.
pub const MAX_PAGE: usize = 1000;
