//! Taking events in: split, check, hash (in parallel with other requests); the receipts
//! of what was appended. Knows no HTTP.

mod receipts;
mod split;

pub(crate) use receipts::Answered;

use crate::{
    access::Scope,
    background::may_block,
    error::{ApiError, Result},
    troubles::{Part, Troubles},
};
use indelible_api::{Code, ItemError, MAX_EVENTS};
use indelible_event::{Format, Timestamp};
use indelible_log::{AppendError, Batch, Committed, Log, chain};
use split::for_each_event;
use std::sync::Arc;

/// How a body of events is to be split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// One JSON value: an event, an array of events, or a container of the format.
    Json,
    /// One event per line.
    Lines,
}

/// Where the events of a request go, and for whom.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) log: Arc<Log>,
    /// The principal that is written into the records.
    pub(crate) recorded_by: String,
    /// What it may write.
    pub(crate) scope: Arc<Scope>,
    pub(crate) format: &'static dyn Format,
    /// Take what is good, and answer each refused event with its error.
    pub(crate) partial: bool,
}

impl Door {
    /// A writer narrowed to a tenant writes that tenant's events only.
    fn check_tenant(&self, data: &str) -> Result<()> {
        if self.scope.is_whole() || self.scope.admits(&self.format.view(data)?) {
            return Ok(());
        }
        let error = ApiError::new(
            Code::Forbidden,
            "this credential writes for one tenant only, and the event's tenant is another or missing",
        );
        Err(error.member("tenant"))
    }
}

/// A batch ready for the log.
#[derive(Debug)]
pub(crate) struct Staged {
    pub(crate) batch: Batch,
    pub(crate) received_at: Timestamp,
    /// In a partial batch: events that were refused before the log saw them.
    pub(crate) refused: Vec<(usize, ItemError)>,
    /// Events in the request.
    pub(crate) count: usize,
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

/// Splits a body into events, checks each and encodes its record.
pub(crate) fn stage(door: &Door, layout: Layout, bytes: &[u8]) -> Result<Staged> {
    let Door { log, format, partial, .. } = door;
    let (format, partial) = (*format, *partial);
    let text = std::str::from_utf8(bytes)
        .map_err(|e| ApiError::new(Code::InvalidJson, format!("the body is not UTF-8: {e}")))?;
    let (received_at, header) = log.header(&door.recorded_by, format.name());
    let mut batch = Batch::new();
    batch.partial = partial;
    // Envelopes add about a third to an ordinary event.
    batch.reserve(text.len() + text.len() / 3 + 256);
    let mut refused = Vec::new();
    let mut count = 0;
    let mut take = |data: &str| -> Result<()> {
        let position = count;
        if position == MAX_EVENTS {
            return Err(ApiError::new(
                Code::TooLarge,
                format!("more than {MAX_EVENTS} events in one request; split it"),
            ));
        }
        count += 1;
        let staged = door
            .check_tenant(data)
            .and_then(|()| Ok(log.stage(&mut batch, &header, received_at, format, data)?));
        match staged {
            Ok(()) => Ok(()),
            Err(error) if partial && !error.is_fatal() => {
                refused.push((position, error.into_item()));
                Ok(())
            }
            Err(error) => Err(error.at(position)),
        }
    };
    match layout {
        Layout::Lines => {
            text.lines().map(str::trim).filter(|line| !line.is_empty()).try_for_each(&mut take)?
        }
        Layout::Json => for_each_event(format, text.trim(), &mut take)?,
    }
    if count == 0 {
        return Err(ApiError::invalid("the body holds no events"));
    }
    Ok(Staged { batch, received_at, refused, count })
}
