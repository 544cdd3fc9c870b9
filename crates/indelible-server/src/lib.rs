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
mod bootstrap;
mod chores;
mod control;
mod error;
mod http;
mod intake;
mod jobs;
mod measure;
mod metrics;
mod origin;
mod pkcs11;
mod random;
mod reading;
mod redact;
mod routes;
mod serve;
mod settings;
mod site;
mod table;
mod tls;
mod trail;

pub use access::{Permission, limits::Rates, oidc::OidcConfig};
pub use app::{App, StartError};
pub use bootstrap::BootstrapError;
pub use control::{DecodeError, FoldError};
pub use http::rule::{Rule, Trailed};
pub use indelible_index::IndexOptions;
pub use measure::access_cost;
pub use pkcs11::{Pkcs11, Pkcs11Error};
pub use serve::Server;
pub use settings::{AccessConfig, Config, Limits};
pub use table::{ROUTES, Route, openapi_json, permissions_markdown};
pub use tls::{TlsConfig, TlsError};
