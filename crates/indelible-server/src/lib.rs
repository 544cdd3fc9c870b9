//! The HTTP server: doors in, reads and proofs out, over the logs of a data directory.
//!
//! What this crate is *not*: it does not decide what is durable or in which order
//! records stand; that is `indelible-log`.
//!
//! **Invariants**
//! - An answer with receipts leaves only after the log acknowledged the batch.
//! - Until there is access control the server listens on loopback addresses only.
//! - No request holds more than a bounded amount of memory ([`Limits`]).
#![warn(missing_docs)]

mod app;
mod body;
mod error;
mod guard;
mod listen;
mod metrics;
mod openapi;
mod params;
mod routes;

pub use app::{App, Config, Limits, StartError};
pub use listen::Server;
pub use openapi::openapi_json;
