//! A client of the HTTP API that verifies what it is told.
//!
//! With a log's key pinned ([`Client::log`]) every receipt is checked before it is
//! returned: the checkpoint's signature, that the checkpoint never goes back, that
//! the leaf hash is that of the record made of the bytes that were sent, and the
//! inclusion proof where one was asked for. What does not hold is an error, never a
//! warning.
//!
//! What this crate is *not*: it keeps nothing on disk, and it does not send an
//! append again whose fate is unknown (give events ids and send them again yourself:
//! the same id with the same bytes gets the first receipt).
#![warn(missing_docs)]

mod admin;
mod answer;
mod client;
mod error;
mod log;
mod stream;

pub use client::{Client, Credentials};
pub use error::ClientError;
pub use log::{AppendOptions, LogClient, VerifiedReceipt};
