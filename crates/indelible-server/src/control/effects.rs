//! What acts have outside the configuration: logs on disk and their keys.

use super::{error::ControlError, fold::LogEntry};
use indelible_log::{AppendError, Kind, LogError};
use std::sync::Arc;

/// Makes the world agree with the configuration. All methods block.
pub(crate) trait Effects: Send + Sync + std::fmt::Debug {
    /// Makes a log with its first key, and returns the key; nothing refers to it yet. What
    /// an attempt that was cut off left under that name is discarded, but never a log that
    /// has records.
    ///
    /// # Errors
    /// When there is such a log, or it cannot be made.
    fn new_log(&self, log: &str, kind: Kind) -> Result<String, LogError>;

    /// Makes a key that a log can sign with; nothing refers to it yet.
    ///
    /// # Errors
    /// When there is no such log, or the key cannot be made.
    fn new_key(&self, log: &str) -> Result<String, LogError>;

    /// Brings a log to what the configuration says: open, and signing with the newest of
    /// its keys. Doing it again changes nothing. It runs after an act has changed the
    /// log's entry, and at start for every log.
    ///
    /// # Errors
    /// What the log says; it is tried again.
    fn agree(&self, log: &str, entry: &LogEntry) -> Result<(), LogError>;
}

/// Where an act makes what its event must name.
#[derive(Debug)]
pub(crate) struct Workshop {
    effects: Arc<dyn Effects>,
    unsure: Option<Arc<str>>,
}

impl Workshop {
    /// `unsure`: why nobody knows whether the last event is durable, if that is so.
    pub(super) fn new(effects: Arc<dyn Effects>, unsure: Option<Arc<str>>) -> Self {
        Self { effects, unsure }
    }

    /// What makes logs and keys. While nobody knows whether an event is durable, nothing
    /// does: that could replace the key of a log that the event refers to.
    ///
    /// # Errors
    /// [`ControlError::Append`]: only a restart tells.
    pub(super) fn effects(&self) -> Result<&dyn Effects, ControlError> {
        match &self.unsure {
            Some(reason) => Err(AppendError::Stopped(Arc::clone(reason)).into()),
            None => Ok(self.effects.as_ref()),
        }
    }
}
