//! What acts have outside the configuration: logs on disk and their keys.

use super::fold::LogEntry;
use indelible_log::{Kind, LogError};

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
