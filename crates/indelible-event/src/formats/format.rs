//! What a format is.

use crate::{error::EventError, event::Event, json::Value};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// One format: how its events are checked, identified and shown.
pub trait Format: Sync + std::fmt::Debug {
    /// Name as it stands in records, such as `aws.cloudtrail.v1`.
    fn name(&self) -> &'static str;

    /// Checks one event and tells the id its sender gave it, if any.
    ///
    /// # Errors
    /// [`EventError`] naming the member and what was expected.
    fn accept<'a>(&self, data: &'a str) -> Result<Option<Cow<'a, str>>, EventError>;

    /// The native view of one event.
    ///
    /// # Errors
    /// [`EventError`] when the data is not of this format.
    fn view(&self, data: &str) -> Result<Event, EventError>;

    /// The same as JSON, as it is shown and exported: what is of the sender stands in it
    /// as it was sent.
    ///
    /// # Errors
    /// [`EventError`] when the data is not of this format.
    fn show(&self, data: &str) -> Result<Value<'static>, EventError> {
        self.view(data)?.write()
    }

    /// The events of a document if it is a container of this format (or a single
    /// event of it); `None` if it is something else.
    fn unpack<'a>(&self, document: &Document<'a>) -> Option<Vec<&'a str>>;
}

/// The members by which a document's format is known.
#[derive(Debug, Deserialize)]
pub struct Document<'a> {
    #[serde(skip)]
    pub(super) text: &'a str,
    #[serde(borrow, default)]
    pub(super) kind: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) items: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default, rename = "Records")]
    pub(super) records: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default, rename = "auditID")]
    pub(super) audit_id: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "eventID")]
    pub(super) event_id: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "eventSource")]
    pub(super) event_source: Option<&'a RawValue>,
}
