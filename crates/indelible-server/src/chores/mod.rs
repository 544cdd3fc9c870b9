//! What runs for ever beside the requests. A chore that fails, or panics, is logged,
//! counted, and goes on with its next round.

use crate::{metrics::Metrics, tls::Tls};
use futures_util::FutureExt as _;
use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

/// How often counts of the trail are written.
const FLUSH: Duration = Duration::from_secs(10);
/// Every how many flushes the last uses of credentials are written down: hourly.
const LAST_USES: u32 = 360;

/// All chores; ends never. `write_down` writes what is written now and then, and hourly
/// (`true`) also when credentials were last used.
pub(crate) async fn run<F: Future<Output = ()>>(
    metrics: &Metrics,
    write_down: impl Fn(bool) -> F,
    tls: Option<Arc<Tls>>,
) {
    let trail = every(metrics, "trail", FLUSH, |round| write_down(round.is_multiple_of(LAST_USES)));
    let certificates = async {
        let Some(tls) = tls else { return };
        every(metrics, "certificates", crate::tls::RELOAD, |_| {
            let tls = Arc::clone(&tls);
            async move {
                let reloaded = tokio::task::spawn_blocking(move || tls.reload()).await;
                if let Err(panicked) = reloaded.map_err(tokio::task::JoinError::try_into_panic)
                    && let Ok(panic) = panicked
                {
                    std::panic::resume_unwind(panic);
                }
            }
        })
        .await;
    };
    tokio::join!(trail, certificates);
}

/// Does a chore again and again, whatever becomes of one round.
async fn every<F: Future<Output = ()>>(
    metrics: &Metrics,
    name: &'static str,
    pause: Duration,
    round: impl Fn(u32) -> F,
) {
    for number in 1_u32.. {
        tokio::time::sleep(pause).await;
        if AssertUnwindSafe(round(number)).catch_unwind().await.is_err() {
            tracing::error!(chore = name, "a chore of the server panicked; it goes on");
            metrics.chore_failed(name);
        }
    }
}
