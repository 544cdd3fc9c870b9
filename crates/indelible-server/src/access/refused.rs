//! The refusals, worded once.

use super::{Permission, Principal};
use crate::error::ApiError;
use indelible_api::{Code, Role};

/// The refusal of a caller without a credential that works.
pub(crate) fn unauthenticated() -> ApiError {
    ApiError::new(
        Code::Unauthenticated,
        "this needs a credential: send `Authorization: Bearer …` with a token that is known, not expired and not revoked (`indelible login`)",
    )
}

/// The same answer whether a log does not exist or is not the caller's business.
pub(crate) fn no_such_log(name: &str) -> ApiError {
    let help = if name.starts_with('_') {
        "that this credential may see: a grant of auditor on it is needed (`indelible whoami`)"
    } else {
        "; create it with POST /v1/logs or `indelible log create`"
    };
    let gap = if help.starts_with(';') { "" } else { " " };
    ApiError::new(Code::LogNotFound, format!("there is no log {name:?}{gap}{help}"))
}

/// The refusal of a caller that is over a limit.
pub(super) fn rate_limited(what: &str, wait_s: u64) -> ApiError {
    ApiError::new(Code::RateLimited, format!("too many requests {what}; try again in {wait_s} s"))
        .retry_after(wait_s)
}

/// The refusal of a caller that is known.
pub(crate) fn forbidden(
    principal: &Principal,
    permission: Permission,
    log: Option<&str>,
) -> ApiError {
    let roles: Vec<_> =
        Role::ALL.into_iter().filter(|role| permission.is_in(*role)).map(Role::name).collect();
    let log = log.map_or_else(String::new, |log| format!(" on log {log:?}"));
    ApiError::new(
        Code::Forbidden,
        format!("{} may not do this{log}: it takes the role {}", principal.id, roles.join(" or ")),
    )
}
