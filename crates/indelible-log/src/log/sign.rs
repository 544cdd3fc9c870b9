//! What a log signs besides checkpoints.

use super::Log;
use crate::error::{LogError, Result};

impl Log {
    /// Signs a text about this log that is no checkpoint, with every key that signs now:
    /// the signed note. The text's second line is the log's origin, where a checkpoint has
    /// a number, so that nothing signed here can be taken for one.
    ///
    /// # Errors
    /// [`LogError::Invalid`] for another text, and what the key store says.
    pub fn sign(&self, text: &str) -> Result<String> {
        if text.lines().nth(1) != Some(self.manifest.origin.as_str()) || !text.ends_with('\n') {
            return Err(LogError::Invalid("only texts about the log are signed".to_owned()));
        }
        self.keys.ring().sign_text(text, self.options.clock.now_us())
    }
}
