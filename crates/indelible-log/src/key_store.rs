//! Where secret keys live, if not in their log's folder.

use indelible_tlog::Signer;
use std::{fmt::Debug, sync::Arc};

/// Keeps secret keys outside the log's folder, such as in a hardware module. The folder
/// then holds a *reference*: one line that begins with a scheme of `a-z0-9` and a colon.
pub trait KeyStore: Send + Sync + Debug {
    /// Makes a key for the log of this origin, and says how to find it again.
    ///
    /// # Errors
    /// Why there is none, for people.
    fn create(&self, origin: &str) -> std::result::Result<(String, Arc<dyn Signer>), String>;

    /// Finds the key of a reference.
    ///
    /// # Errors
    /// Why it cannot be used, for people.
    fn open(&self, origin: &str, reference: &str) -> std::result::Result<Arc<dyn Signer>, String>;
}
