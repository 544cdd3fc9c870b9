//! The query language: what people type, as a tree that says exactly which records it is
//! about. [`Query::matches`] is the meaning, on a record that was read ([`Doc`]); an
//! index only finds candidates faster.
//!
//! What this crate is *not*: it reads no log, knows no index and no permissions, and does
//! no I/O. Alert rules, gateways and clients can use it without either.
#![warn(missing_docs)]

mod address;
mod decimal;
mod doc;
mod field;
mod leaf;
mod parse;
mod query;
mod reference;
mod text;
mod time;
mod typed;

pub use address::address;
pub use decimal::Decimal;
pub use doc::{Doc, TIMES};
pub use field::{FIELD_NAMES, Field};
pub use parse::{QueryError, fields_help, parse};
pub use query::{DataValue, Leaf, Node, Part, Query, TimeRange, Value};
pub use reference::{EXAMPLES, reference_markdown};
pub use text::{MAX_TOKEN, Word, cut, lower, next_term, words};
pub use time::length_us;
