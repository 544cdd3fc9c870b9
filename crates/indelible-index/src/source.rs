//! Records as the log has them, for the query language to read.

use indelible_event::Envelope;
use indelible_log::{Log, LogError, chain};
use indelible_query::Doc;
use std::borrow::Cow;

/// A record as it was written: its envelope, and its sender's bytes.
#[derive(Debug)]
pub struct Source<'a> {
    index: u64,
    envelope: Option<Envelope<'a>>,
    /// `None` if they cannot be read.
    data: Option<Cow<'a, str>>,
}

impl<'a> Source<'a> {
    /// Takes a record of a log; its data is fetched if it is an attachment. What cannot be
    /// read costs that record only: it is then what its envelope says.
    ///
    /// # Errors
    /// None so far; readers of records have others.
    pub fn of(log: &Log, index: u64, record: &'a [u8]) -> Result<Self, LogError> {
        let Ok(envelope) = Envelope::parse(record) else {
            return Ok(Self { index, envelope: None, data: Some(Cow::Borrowed("")) });
        };
        let data = log.data(&envelope).map_err(|error| {
            tracing::warn!(
                index,
                error = chain(&error),
                "what the sender sent cannot be read; the record is found by its envelope"
            );
        });
        Ok(Self { index, envelope: Some(envelope), data: data.ok() })
    }

    /// A record that cannot be read at all.
    pub(crate) const fn unreadable(index: u64) -> Self {
        Self { index, envelope: None, data: None }
    }

    /// Reads it. What is no event is a document without fields.
    #[must_use]
    pub fn read(&self) -> Doc<'_> {
        let data = self.data.as_deref().unwrap_or_default();
        let mut doc = Doc::read(self.index, self.envelope.as_ref(), data);
        doc.is_whole = self.data.is_some();
        doc
    }
}
