//! What a record is and how to read it: the envelope around the sender's bytes, the
//! native event, and the formats of other systems mapped to the native view.
//!
//! Evidence and interpretation are kept apart. A *record* holds the sender's bytes
//! verbatim and never changes; the *event* that people see is a pure function of
//! the record ([`Format::view`]) and may get better with later versions.
//!
//! What this crate is *not*: it does no I/O and knows no clock and no randomness.
//! Every parser is total: hostile bytes give an error, never a panic, and nesting
//! is bounded (128 levels).
#![warn(missing_docs)]
#![cfg_attr(
    test,
    expect(clippy::unwrap_used, reason = "tests state their expectations by failing")
)]

mod checked;
mod error;
mod event;
mod event_json;
mod formats;
mod json;
mod ocsf;
mod record;
mod time;

pub use error::EventError;
pub use event::{
    Actor, ActorType, Category, Change, Context, Event, EventSource, Outcome, OutcomeResult, Target,
};
pub use formats::{Format, NATIVE, format_named, format_names, recognise};
pub use json::{JsonError, Map, Value};
pub use ocsf::{OcsfFacts, ocsf};
pub use record::{
    Attachment, Envelope, MAX_ID_LEN, MAX_RECORD_LEN, Payload, RecordHeader, check_id, record_id,
    set_received_at,
};
pub use time::{Timestamp, TimestampError, nanos, utc};
