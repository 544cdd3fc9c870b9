//! Who calls, and what it may do. Authentication (`token`, `oidc`, `certificate`) finds
//! the principal; its grants, folded from `_control`, decide; `admit` is the order of
//! both. No HTTP here: what was sent is read by whoever calls.

pub(crate) mod admit;
pub(crate) mod bootstrap;
pub(crate) mod caller;
pub(crate) mod certificate;
pub(crate) mod limits;
pub(crate) mod measure;
pub(crate) mod oidc;
pub(crate) mod peer;
pub(crate) mod refused;
pub(crate) mod token;

pub(crate) use crate::control::principal::Principal;

use crate::control::fold::Control;
use indelible_api::{Grant, Role};
use indelible_event::Timestamp;
use indelible_index::{Part, Query};
use serde::{Deserialize, Serialize};

/// What a route asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Permission {
    /// Nothing: anybody may.
    Public,
    /// A credential that is known, whatever its grants.
    Known,
    /// Append events.
    Append,
    /// See a log's name, size, keys, checkpoints and consistency proofs.
    Describe,
    /// See receipts and hash tiles.
    Prove,
    /// See events.
    Read,
    /// Manage logs, tokens, grants and policies.
    Manage,
    /// See the server's metrics.
    Observe,
}

impl Permission {
    /// As it stands in the docs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Known => "known",
            Self::Append => "append",
            Self::Describe => "describe",
            Self::Prove => "prove",
            Self::Read => "read",
            Self::Manage => "manage",
            Self::Observe => "observe",
        }
    }

    /// Whether a role includes it. Nobody can delete: there is no such permission.
    #[must_use]
    pub const fn is_in(self, role: Role) -> bool {
        match self {
            Self::Public | Self::Known => true,
            Self::Append => matches!(role, Role::Writer),
            Self::Describe => true,
            Self::Prove => matches!(role, Role::Reader | Role::Auditor | Role::Verifier),
            Self::Read => matches!(role, Role::Reader | Role::Auditor),
            Self::Manage => matches!(role, Role::Operator),
            Self::Observe => matches!(role, Role::Operator | Role::Verifier),
        }
    }
}

/// Which records of a log a caller may see or write.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Scope {
    /// A record must pass one of these; `None`: all records.
    pub(crate) filters: Option<Vec<Filter>>,
}

/// One narrowing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Filter {
    /// Only events of this tenant.
    pub(crate) tenant: Option<String>,
    /// In the trail: only accesses to logs of this grant's pattern.
    pub(crate) logs: Option<Grant>,
}

impl Scope {
    /// Everything.
    pub(crate) const ALL: Self = Self { filters: None };

    /// Whether it takes in every record.
    pub(crate) const fn is_whole(&self) -> bool {
        self.filters.is_none()
    }

    /// Whether an event passes.
    pub(crate) fn admits(&self, event: &indelible_event::Event) -> bool {
        let Some(filters) = &self.filters else { return true };
        filters.iter().any(|filter| {
            filter.tenant.as_ref().is_none_or(|tenant| event.tenant.as_ref() == Some(tenant))
                && filter.logs.as_ref().is_none_or(|grant| {
                    let mut logs = event.targets.iter().filter(|target| target.kind == "log");
                    logs.any(|target| grant.matches(&target.id))
                })
        })
    }

    /// The query, in this scope only.
    pub(crate) fn narrow(&self, query: Query) -> Query {
        match &self.filters {
            None => query,
            Some(filters) => {
                let part = |filter: &Filter| Part {
                    tenant: filter.tenant.clone(),
                    log: filter.logs.as_ref().map(|grant| grant.log.clone()),
                };
                query.within(&filters.iter().map(part).collect::<Vec<_>>())
            }
        }
    }

    /// The tenant it is narrowed to, for the trail.
    pub(crate) fn tenant(&self) -> Option<&str> {
        match self.filters.as_deref() {
            Some([filter]) => filter.tenant.as_deref(),
            _ => None,
        }
    }

    fn of(filters: Vec<Filter>) -> Self {
        let open = filters.iter().any(|filter| filter.tenant.is_none() && filter.logs.is_none());
        Self { filters: (!open).then_some(filters) }
    }
}

/// The answer to "may it".
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    Allowed(Scope),
    /// It may know of the log, but not do this.
    Forbidden,
    /// The log's existence is not its business.
    Invisible,
}

/// Whether a principal may do something with a log.
pub(crate) fn decide(
    control: &Control,
    principal: &Principal,
    permission: Permission,
    log: &str,
    now: Timestamp,
) -> Decision {
    let mut visible = false;
    let mut filters = Vec::new();
    for grant in principal.grants(control, now) {
        if grant.matches(log) {
            visible = true;
            if permission.is_in(grant.role) {
                filters.push(Filter { tenant: grant.tenant.clone(), logs: None });
            }
        } else if log == crate::subject::ACCESS
            && grant.role == Role::Auditor
            && matches!(permission, Permission::Read | Permission::Describe)
        {
            // An auditor of some logs sees who looked into those.
            visible = true;
            filters.push(Filter { tenant: grant.tenant.clone(), logs: Some(grant.clone()) });
        }
    }
    match (filters.is_empty(), visible) {
        (false, _) => Decision::Allowed(Scope::of(filters)),
        (true, true) => Decision::Forbidden,
        (true, false) => Decision::Invisible,
    }
}

/// Whether a principal may do something anywhere at all.
pub(crate) fn may_anywhere(
    control: &Control,
    principal: &Principal,
    permission: Permission,
    now: Timestamp,
) -> bool {
    principal.grants(control, now).any(|grant| permission.is_in(grant.role))
}
