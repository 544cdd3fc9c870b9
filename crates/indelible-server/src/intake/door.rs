//! Where events go that are taken in.

use crate::{
    access::Scope,
    error::{ApiError, Result},
};
use indelible_event::Format;
use indelible_log::Log;
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
    pub(super) fn check_tenant(&self, format: &dyn Format, data: &str) -> Result<()> {
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
