//! The fetching of a log that is verified over HTTP. What a server sends is bounded by
//! kind, and the check says what of it holds.

use super::report::About;
use crate::{connect::connect_to, global::Global, output};
use indelible_client::{ClientError, LogClient};
use indelible_log::chain;
use indelible_tlog::{Checkpoint, CheckpointError, NoteError, VerifyingKey};
use indelible_verify::{FindingKind, ServerCheck, Verdict};

/// Requests in flight; the server answers them in parallel.
const IN_FLIGHT: u64 = 8;

/// Fetches and checks a whole log.
pub(super) async fn verify(
    global: &Global,
    url: &str,
    log: &str,
    key: &VerifyingKey,
    since: Option<Checkpoint>,
) -> anyhow::Result<(Verdict, About)> {
    let log = connect_to(global, url)?.log(log, Some(key.clone())).await?;
    let bar = output::progress(0, "records");
    let verdict = fetch(&log, since.as_ref(), |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    })
    .await;
    bar.finish_and_clear();
    match verdict {
        Ok(verdict) => Ok((verdict, About::Server)),
        Err(error) => match meaning(&error) {
            Some(kind) => {
                let message = match &error {
                    ClientError::Api { body, .. } => {
                        format!("{} (request {})", body.message, body.request_id)
                    }
                    other => chain(other),
                };
                Ok((Verdict::finding(kind, message), About::Server))
            }
            None => Err(error.into()),
        },
    }
}

/// What an error says of the log; `None` if only that it could not be asked.
const fn meaning(error: &ClientError) -> Option<FindingKind> {
    match error {
        ClientError::Api { status: 404, .. } | ClientError::WentBack { .. } => {
            Some(FindingKind::Missing)
        }
        ClientError::Api { status: 500, .. } => Some(FindingKind::Unreadable),
        ClientError::Checkpoint(
            CheckpointError::Note(NoteError::Unsigned) | CheckpointError::Origin { .. },
        ) => Some(FindingKind::Unverifiable),
        ClientError::TooLong { .. } => Some(FindingKind::Altered),
        error if error.is_evidence() => Some(FindingKind::Altered),
        _ => None,
    }
}

async fn fetch(
    log: &LogClient,
    since: Option<&Checkpoint>,
    progress: impl Fn(u64, u64),
) -> Result<Verdict, ClientError> {
    let (checkpoint, _) = log.advance(since).await?;
    let size = checkpoint.size;
    let mut check = ServerCheck::new(checkpoint, since.map(|since| since.size));
    let mut next = 0;
    while next < check.bundles() && !check.is_over() {
        let end = (next + IN_FLIGHT).min(check.bundles());
        let fetches: Vec<_> = (next..end)
            .map(|index| {
                let (log, (bundle, tile)) = (log.clone(), check.paths(index));
                tokio::spawn(async move { Ok((log.tile(&bundle).await?, log.tile(&tile).await?)) })
            })
            .collect();
        for (index, fetch) in (next..end).zip(fetches) {
            let fetched: Result<_, ClientError> =
                fetch.await.map_err(|e| ClientError::Answer(e.to_string()))?;
            let (bundle, tile) = fetched?;
            if check.is_over() {
                break;
            }
            for (index, named) in check.bundle(index, &bundle, &tile) {
                match log.attachment(&named).await {
                    Ok(data) => check.attachment(index, &named, Some(&data)),
                    Err(ClientError::Api { status: 404, .. }) => {
                        check.attachment(index, &named, None);
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        next = end;
        progress(check.records(), size);
    }
    loop {
        let paths = check.upper();
        if paths.is_empty() {
            return Ok(check.finish());
        }
        let mut tiles = Vec::with_capacity(paths.len());
        for path in &paths {
            tiles.push(log.tile(path).await?);
        }
        check.upper_tiles(&tiles);
    }
}
