//! The order of an entrance: who calls, limits of the credential,
//! sign-in into the trail, may it. Knows no HTTP: every door that takes a credential can
//! ask here.

use super::{
    Decision, Permission, Principal, Scope,
    caller::Caller,
    decide,
    limits::Limiter,
    may_anywhere,
    oidc::{self, Oidc},
    refused::{forbidden, no_such_log, rate_limited, unauthenticated},
    token,
};
use crate::{
    control::{Controller, fold::Control},
    error::{ApiError, Result},
    origin::Origin,
    redact::TOKEN_PREFIX,
    trail::{Access, Outcome, SIGN_IN, Trail},
};
use indelible_api::Code;
use indelible_event::Timestamp;
use serde_json::Map;
use std::sync::Arc;

/// What decides at the entrance.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entrance<'a> {
    pub(crate) control: &'a Controller,
    pub(crate) limiter: &'a Limiter,
    pub(crate) oidc: Option<&'a Oidc>,
    pub(crate) trail: &'a Trail,
}

/// The credential that somebody shows.
#[derive(Debug, Clone)]
pub(crate) enum Presented<'a> {
    /// None.
    Nothing,
    /// A bearer token.
    Bearer(&'a str),
    /// Something that is no credential; the reason is for the trail.
    Unusable(&'static str),
    /// A client certificate, whose chain TLS has verified.
    Certificate(&'a Principal),
}

/// What is asked of a caller.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) permission: Permission,
    /// On which log, if on one.
    pub(crate) log: Option<&'a str>,
    /// Whether anybody may, where that log is public.
    pub(crate) public: bool,
}

/// Why a request does not pass.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) error: ApiError,
    /// For the trail; never the credential, nor anything else that the caller chose.
    pub(crate) reason: String,
    /// The principal, if its credential was good once.
    pub(crate) principal: Option<(String, Option<String>)>,
    /// Whether it is one of many and only counted.
    pub(crate) is_counted: bool,
}

impl Refused {
    /// A refusal of somebody whose credential is not good: one of many.
    fn stranger(reason: impl Into<String>, principal: Option<String>) -> Self {
        Self {
            error: unauthenticated(),
            reason: reason.into(),
            principal: principal.map(|id| (id, None)),
            is_counted: true,
        }
    }

    fn known(error: ApiError, reason: impl Into<String>, principal: &Principal) -> Self {
        let is_counted = error.code == Code::RateLimited;
        let principal = Some((principal.id.clone(), principal.name.clone()));
        Self { error, reason: reason.into(), principal, is_counted }
    }
}

impl Entrance<'_> {
    /// Why nothing from this address is looked at now, if so; asked first of all, for
    /// every request.
    pub(crate) fn turns_away(&self, origin: &Origin) -> Option<Refused> {
        self.limiter.address(origin.client).err().map(|wait| Refused {
            error: rate_limited("from this address", wait),
            ..Refused::stranger("rate limit of the address", None)
        })
    }

    /// Lets a caller in, or says why not.
    pub(crate) async fn admit(
        &self,
        wanted: Wanted<'_>,
        presented: Presented<'_>,
        origin: &Arc<Origin>,
    ) -> std::result::Result<Caller, Refused> {
        let (control, now) = (self.control.current(), self.control.now());
        let principal = self
            .authenticate(&control, presented, now)
            .await
            .map_err(|refused| self.limited(origin, refused))?;
        let is_public = wanted.public
            && wanted.log.and_then(|log| control.logs.get(log)).is_some_and(|entry| entry.public);
        let Some(principal) = principal else {
            if is_public {
                let (scope, origin) = (Arc::new(Scope::ALL), Arc::clone(origin));
                return Ok(Caller { principal: None, scope, origin });
            }
            return Err(self.limited(origin, Refused::stranger("no credential", None)));
        };
        self.limiter.credential(&principal.id).map_err(|wait| {
            let error = rate_limited("with this credential", wait);
            Refused::known(error, "rate limit of the credential", &principal)
        })?;
        if self.trail.is_sign_in(&principal.id, origin) {
            self.sign_in(&principal, origin).await.map_err(|error| {
                Refused::known(error, "the sign-in could not be recorded", &principal)
            })?;
        }
        let scope = match authorise(&control, &principal, wanted, now) {
            Ok(scope) => scope,
            Err(_) if is_public => Scope::ALL,
            Err(error) => {
                let reason = format!("needs the permission {}", wanted.permission.name());
                return Err(Refused::known(error, reason, &principal));
            }
        };
        Ok(Caller {
            principal: Some(Arc::new(principal)),
            scope: Arc::new(scope),
            origin: Arc::clone(origin),
        })
    }

    /// A refusal of somebody unknown, or that there were too many from there.
    fn limited(&self, origin: &Origin, refused: Refused) -> Refused {
        match self.limiter.refused(origin.client) {
            Ok(()) => refused,
            Err(wait) => Refused {
                error: rate_limited("without a credential that works, from this address", wait),
                ..refused
            },
        }
    }

    async fn sign_in(&self, principal: &Principal, origin: &Origin) -> Result<()> {
        let access = Access {
            action: SIGN_IN,
            principal: Some((principal.id.clone(), principal.name.clone())),
            log: None,
            target: None,
            tenant: None,
            outcome: Outcome::Success,
            details: Map::new(),
        };
        self.trail.record(&access, Some(origin)).await?;
        self.trail.signed_in(&principal.id, origin);
        Ok(())
    }

    async fn authenticate(
        &self,
        control: &Control,
        presented: Presented<'_>,
        now: Timestamp,
    ) -> std::result::Result<Option<Principal>, Refused> {
        let text = match presented {
            Presented::Nothing => return Ok(None),
            Presented::Unusable(reason) => return Err(Refused::stranger(reason, None)),
            Presented::Certificate(principal) => {
                // TLS looked at the handshake; a connection lives longer.
                return match principal.expires_at {
                    Some(end) if end <= now => {
                        Err(Refused::stranger("expired certificate", Some(principal.id.clone())))
                    }
                    _ => Ok(Some(principal.clone())),
                };
            }
            Presented::Bearer(text) => text,
        };
        match self.oidc {
            Some(oidc) if !text.starts_with(TOKEN_PREFIX) => {
                oidc.authenticate(text, now).await.map(Some).map_err(|refusal| match refusal {
                    oidc::Refusal::Token(reason) => Refused::stranger(reason, None),
                    oidc::Refusal::Unavailable => Refused {
                        error: ApiError::new(
                            Code::IssuerUnavailable,
                            "the identity provider's keys cannot be fetched now; try again, or use a token",
                        ),
                        ..Refused::stranger("keys of the issuer unavailable", None)
                    },
                })
            }
            _ => token::authenticate(control, text, now)
                .map(Some)
                .map_err(|(refusal, id)| Refused::stranger(refusal.reason(), id)),
        }
    }
}

/// Whether what is asked is among what the principal's grants give.
fn authorise(
    control: &Control,
    principal: &Principal,
    wanted: Wanted<'_>,
    now: Timestamp,
) -> Result<Scope> {
    let Wanted { permission, log, .. } = wanted;
    let decision = match log {
        _ if matches!(permission, Permission::Public | Permission::Known) => {
            return Ok(Scope::ALL);
        }
        Some(log) => decide(control, principal, permission, log, now),
        None if may_anywhere(control, principal, permission, now) => return Ok(Scope::ALL),
        None => Decision::Forbidden,
    };
    match (decision, log) {
        (Decision::Allowed(scope), _) => Ok(scope),
        (Decision::Invisible, Some(log)) => Err(no_such_log(log)),
        _ => Err(forbidden(principal, permission, log)),
    }
}
