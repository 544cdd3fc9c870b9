//! Taking events in: split, check, hash (in parallel with other requests); the receipts
//! of what was appended. Knows no HTTP.

mod receipts;
mod split;

pub(crate) use receipts::{Answered, Answering};

use crate::{
    access::Scope,
    error::{ApiError, Result},
};
use indelible_event::Format;
use indelible_log::{Batch, Log};
use split::Staging;
use std::sync::Arc;

/// Where the events of a request go, and for whom.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) log: Arc<Log>,
    /// The principal that is written into the records.
    pub(crate) recorded_by: String,
    /// What it may write.
    pub(crate) scope: Arc<Scope>,
    /// The format of everything, if the sender says so; else it is recognised.
    pub(crate) format: Option<&'static dyn Format>,
    /// Take what is good, and answer each refused event with its error.
    pub(crate) partial: bool,
}

impl Door {
    /// A writer narrowed to a tenant writes that tenant's events only.
    fn check_tenant(&self, format: &dyn Format, data: &str) -> Result<()> {
        if self.scope.is_whole() || self.scope.admits(&format.view(data)?) {
            return Ok(());
        }
        let error = ApiError::new(
            indelible_api::Code::Forbidden,
            "this credential writes for one tenant only, and the event's tenant is another or missing",
        );
        Err(error.member("tenant"))
    }
}

/// A batch ready for the log.
#[derive(Debug)]
pub(crate) struct Staged {
    pub(crate) batch: Batch,
    /// What its answer needs besides.
    pub(crate) answering: Answering,
}

/// Finds the events of a body, checks each and encodes its record.
pub(crate) fn stage(door: &Door, bytes: &[u8]) -> Result<Staged> {
    let mut staging = Staging::new(door, bytes)?;
    staging.run()?;
    let Staging { batch, received_at, refused, places, count, nothing, .. } = staging;
    match nothing {
        None if count == 0 && bytes.iter().all(u8::is_ascii_whitespace) => {
            return Err(ApiError::invalid("the body is empty: it holds no events"));
        }
        Some(why) if count == 0 && why.contains("digest") => {
            return Err(ApiError::invalid(format!("the body is {why}")));
        }
        _ => {}
    }
    Ok(Staged { batch, answering: Answering { received_at, refused, places, count } })
}
