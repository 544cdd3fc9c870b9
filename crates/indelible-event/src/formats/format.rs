//! What a format is.

use crate::{error::EventError, event::Event, json::Value};
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

    /// Whether it is another system's, with containers of its own.
    fn is_mapped(&self) -> bool {
        true
    }
}
