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
mod body;
mod control;
mod error;
mod guard;
mod http;
mod jobs;
mod listen;
mod measure;
mod metrics;
mod openapi;
mod params;
mod pkcs11;
mod reading;
mod routes;
mod site;
mod tls;
mod trail;

pub use access::{Permission, limits::Rates, oidc::OidcConfig};
pub use app::{AccessConfig, App, Config, Limits, StartError};
pub use control::FoldError;
pub use indelible_index::IndexOptions;
pub use listen::Server;
pub use measure::access_cost;
pub use openapi::openapi_json;
pub use pkcs11::{Pkcs11, Pkcs11Error};
pub use routes::{
    Trailed,
    table::{ROUTES, Route, permissions_markdown},
};
pub use tls::{TlsConfig, TlsError};
