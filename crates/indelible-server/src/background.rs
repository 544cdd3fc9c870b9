//! Work beside the requests.

use crate::error::Result;
use tokio::runtime::{Handle, RuntimeFlavor};

/// Whether a thread may block for the time of a sync: the runtime has others, which take
/// its requests over meanwhile.
pub(crate) fn may_block() -> bool {
    Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread
}

/// Runs CPU work of some milliseconds where it does not hold up other requests.
pub(crate) async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
