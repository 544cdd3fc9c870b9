//! The HTTP server: doors in, reads and proofs out, over the logs of a data directory.
//!
//! What this crate is *not*: it does not decide what is durable or in which order
//! records stand; that is `indelible-log`.
//!
//! **Invariants**
//! - An answer with receipts leaves only after the log acknowledged the batch.
//! - Nothing is allowed that no grant allows; routes exist in one table only.
//! - An answer that shows something leaves only after its record in `_access` is durable.
//! - The configuration is the fold of `_control`, and stored nowhere else.
//! - No request holds more than a bounded amount of memory ([`Limits`]).
#![warn(missing_docs)]

mod access;
mod app;
mod background;
mod chores;
mod control;
mod disk;
mod error;
mod http;
mod intake;
mod jobs;
mod metrics;
mod origin;
mod pkcs11;
mod program;
mod random;
mod reading;
mod redact;
mod routes;
mod serve;
mod settings;
mod site;
mod subject;
mod table;
mod tls;
mod trail;
mod troubles;

pub use access::{Permission, bootstrap::BootstrapError, measure::access_cost};
pub use app::{App, StartError};
pub use control::{DecodeError, FoldError};
pub use http::rule::{Rule, Trailed};
pub use indelible_index::IndexOptions;
pub use pkcs11::{Pkcs11, Pkcs11Error};
pub use serve::Server;
pub use settings::{AccessConfig, Config, Limits, OidcConfig, Rates, ScrubOptions};
pub use table::{ROUTES, Route, openapi_json, permissions_markdown};
pub use tls::{TlsConfig, TlsError};
