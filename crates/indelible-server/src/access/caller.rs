//! Who calls, and what of the log it may touch, for as long as its request lasts.

use super::{
    Decision, Permission, Principal, Scope, decide,
    refused::{forbidden, no_such_log, unauthenticated},
};
use crate::{
    control::{Controller, event::Author},
    error::{ApiError, Result},
    origin::Origin,
    redact::redact,
    trail::{Access, Outcome},
};
use indelible_api::Code;
use serde_json::Map;
use std::sync::Arc;

/// A caller that was let in. Authority is asked again after every wait
/// ([`Caller::still_may`]): what was true at the head of a request need not be at its end.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// None: anybody, at a public log.
    pub(crate) principal: Option<Arc<Principal>>,
    /// What it may see of the log in the path.
    pub(crate) scope: Arc<Scope>,
    pub(crate) origin: Arc<Origin>,
}

impl Caller {
    /// The principal, where the route asks for one.
    pub(crate) fn principal(&self) -> Result<&Principal> {
        self.principal.as_deref().ok_or_else(unauthenticated)
    }

    /// Whose share of memory and turns a request takes.
    pub(crate) fn who(&self) -> &str {
        self.principal.as_ref().map_or("anonymous", |known| &known.id)
    }

    /// Refuses a caller whose credential works no more, or whose grants no longer give
    /// what they gave when it was let in.
    pub(crate) fn still_may(
        &self,
        control: &Controller,
        permission: Permission,
        log: &str,
    ) -> Result<()> {
        self.still_may_in(control, permission, log, &self.scope)
    }

    /// The same, in the scope that was decided for this log.
    pub(crate) fn still_may_in(
        &self,
        control: &Controller,
        permission: Permission,
        log: &str,
        scope: &Scope,
    ) -> Result<()> {
        let (control, now) = (control.current(), control.now());
        let Some(principal) = &self.principal else {
            let is_public = control.logs.get(log).is_some_and(|entry| entry.public);
            return if is_public { Ok(()) } else { Err(unauthenticated()) };
        };
        if !principal.is_live(&control, now) {
            return Err(unauthenticated());
        }
        match decide(&control, principal, permission, log, now) {
            Decision::Allowed(found) if found == *scope => Ok(()),
            Decision::Allowed(_) | Decision::Forbidden => {
                Err(forbidden(principal, permission, Some(log)))
            }
            Decision::Invisible => Err(no_such_log(log)),
        }
    }

    /// Refuses a caller that is narrowed to a part of the log.
    pub(crate) fn require_whole(&self, what: &str) -> Result<()> {
        if self.scope.is_whole() {
            return Ok(());
        }
        Err(ApiError::new(
            Code::Forbidden,
            format!("this credential is narrowed to a part of the log, and {what} would show more"),
        ))
    }

    /// The caller as the author of a change.
    pub(crate) fn author(&self, reason: Option<String>) -> Result<Author> {
        let principal = self.principal()?;
        Ok(Author {
            principal: principal.id.clone(),
            name: principal.name.clone(),
            context: self.origin.context(),
            reason: reason.map(|reason| redact(&reason)),
        })
    }

    /// An access by this caller, answered.
    pub(crate) fn access(&self, action: &'static str, log: Option<String>) -> Access {
        Access {
            action,
            principal: self.principal.as_ref().map(|known| (known.id.clone(), known.name.clone())),
            log,
            target: None,
            tenant: self.scope.tenant().map(str::to_owned),
            outcome: Outcome::Success,
            details: Map::new(),
        }
    }
}
