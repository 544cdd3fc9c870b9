//! Taking events in: split, check, hash (in parallel with other requests); the receipts
//! of what was appended. Knows no HTTP.

mod door;
mod receipts;
mod split;

pub(crate) use door::Door;
pub(crate) use receipts::{Answered, Answering};

use crate::{
    background::may_block,
    error::{ApiError, Result},
    troubles::{Part, Troubles},
};
use indelible_log::{AppendError, Batch, Committed, Log, chain};
use split::Staging;

/// A batch ready for the log.
#[derive(Debug)]
pub(crate) struct Staged {
    pub(crate) batch: Batch,
    /// What its answer needs besides.
    pub(crate) answering: Answering,
}

/// Appends a batch, and tells what of the server's own parts refused it, if one did.
pub(crate) async fn submit(
    log: &Log,
    name: &str,
    batch: Batch,
    large: bool,
    troubles: &Troubles,
) -> Result<Committed> {
    let committed = commit(log, batch, large).await;
    let part = match &committed {
        Ok(_) => {
            troubles.pass(&[Part::Disk, Part::Key, Part::Sealing], name);
            None
        }
        Err(AppendError::Full(_)) => Some(Part::Disk),
        Err(AppendError::Signing(_)) => Some(Part::Key),
        Err(AppendError::SealingBehind) => Some(Part::Sealing),
        Err(AppendError::Stopped(_)) => Some(Part::Log),
        Err(AppendError::Unreadable(_)) => Some(Part::Storage),
        Err(_) => None,
    };
    if let (Some(part), Err(error)) = (part, &committed) {
        troubles.meet(part, name, chain(error));
    }
    Ok(committed?)
}

/// A lone small append pays one sync and no hand-over to another thread.
async fn commit(
    log: &Log,
    batch: Batch,
    large: bool,
) -> std::result::Result<Committed, AppendError> {
    if !large
        && may_block()
        && let Some(lead) = log.lead()
    {
        return tokio::task::block_in_place(|| lead.commit(batch));
    }
    log.submit(batch).await
}

/// Finds the events of a body, checks each and encodes its record.
pub(crate) fn stage(door: &Door, bytes: &[u8]) -> Result<Staged> {
    let mut staging = Staging::new(door, bytes)?;
    staging.run()?;
    let Staging { batch, received_at, refused, places, count, nothing, .. } = staging;
    match nothing {
        None if count == 0 && is_blank(bytes) => {
            return Err(ApiError::invalid("the body is empty: it holds no events"));
        }
        Some(why) if count == 0 && why.contains("digest") => {
            return Err(ApiError::invalid(format!("the body is {why}")));
        }
        _ => {}
    }
    Ok(Staged { batch, answering: Answering { received_at, refused, places, count } })
}

/// Whether there is nothing but white space, a byte order mark aside.
fn is_blank(bytes: &[u8]) -> bool {
    let text = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    text.iter().all(u8::is_ascii_whitespace)
}
