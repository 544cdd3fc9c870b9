//! Records as the log has them, for the query language to read.

use indelible_event::Envelope;
use indelible_log::{Log, LogError};
use indelible_query::Doc;
use std::borrow::Cow;

/// A record as it was written: its envelope, and its sender's bytes.
#[derive(Debug)]
pub struct Source<'a> {
    index: u64,
    envelope: Option<Envelope<'a>>,
    data: Cow<'a, str>,
}

impl<'a> Source<'a> {
    /// Takes a record of a log; its data is fetched if it is an attachment.
    ///
    /// # Errors
    /// When stored bytes cannot be read.
    pub fn of(log: &Log, index: u64, record: &'a [u8]) -> Result<Self, LogError> {
        let envelope = Envelope::parse(record).ok();
        let data = envelope.as_ref().map(|envelope| log.data(envelope)).transpose()?;
        Ok(Self { index, envelope, data: data.unwrap_or_default() })
    }

    /// Reads it. What is no event is a document without fields.
    #[must_use]
    pub fn read(&self) -> Doc<'_> {
        Doc::read(self.index, self.envelope.as_ref(), &self.data)
    }
}
