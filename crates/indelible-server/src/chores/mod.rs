//! What runs for ever beside the requests. A chore that fails, or panics, is logged,
//! counted, and goes on with its next round.

pub(crate) mod clock;
pub(crate) mod life;
pub(crate) mod scrub;
pub(crate) mod watch;

use crate::{metrics::Metrics, reading::desk::Desk, tls::Tls};
use futures_util::FutureExt as _;
use life::Life;
use scrub::Scrub;
use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

/// How often counts of the trail are written.
const FLUSH: Duration = Duration::from_secs(10);
/// Every how many flushes the last uses of credentials are written down: hourly.
const LAST_USES: u32 = 360;

/// How often the server looks at its own parts.
const LOOK: Duration = Duration::from_secs(1);

/// All chores; ends never. `write_down` writes what is written now and then, and hourly
/// (`true`) also when credentials were last used.
pub(crate) async fn run<F: Future<Output = ()>>(
    metrics: &Metrics,
    desk: &Arc<Desk>,
    life: &Arc<Life>,
    scrub: &Arc<Scrub>,
    write_down: impl Fn(bool) -> F,
    tls: Option<Arc<Tls>>,
) {
    let trail = every(metrics, "trail", FLUSH, |round| write_down(round.is_multiple_of(LAST_USES)));
    let certificates = async {
        let Some(tls) = tls else { return };
        every(metrics, "certificates", crate::tls::RELOAD, |_| {
            let tls = Arc::clone(&tls);
            async move {
                finished(tokio::task::spawn_blocking(move || tls.reload())).await;
            }
        })
        .await;
    };
    // Apart from each other: a `_control` that does not answer must not keep the server
    // from seeing, and saying, what else fails.
    let look = every(metrics, "look", LOOK, |_| async {
        let (desk, life) = (Arc::clone(desk), Arc::clone(life));
        finished(tokio::task::spawn_blocking(move || life.look(&desk))).await;
    });
    let write = every(metrics, "life", LOOK, |_| life.write(desk));
    let scrub = every(metrics, "scrub", LOOK, |_| async {
        let (desk, life, scrub) = (Arc::clone(desk), Arc::clone(life), Arc::clone(scrub));
        finished(tokio::task::spawn_blocking(move || scrub.work(&desk, &life))).await;
    });
    tokio::join!(trail, certificates, look, write, scrub);
}

/// Waits for work beside the requests; its panic is the chore's.
async fn finished(work: tokio::task::JoinHandle<()>) {
    if let Err(panicked) = work.await.map_err(tokio::task::JoinError::try_into_panic)
        && let Ok(panic) = panicked
    {
        std::panic::resume_unwind(panic);
    }
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
