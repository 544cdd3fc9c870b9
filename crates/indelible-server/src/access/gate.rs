//! The gate before every route: who calls, may it, and the trail of the answer.

use super::{
    Decision, Permission, Principal, Scope, decide, may_anywhere, oidc, origin::Origin, token,
};
use crate::{
    app::App,
    control::{event::Author, fold::Control},
    error::{ApiError, Result},
    http::answer::Shown,
    listen::Peer,
    routes::{Trailed, table::Route},
    trail::{Access, Outcome, SIGN_IN},
};
use axum::{
    extract::{FromRequestParts, RawPathParams, Request, State},
    http::{HeaderMap, HeaderValue, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use indelible_api::{Code, Role};
use indelible_event::Timestamp;
use serde_json::Map;
use std::{sync::Arc, time::Instant};

/// Id of the request, put into it by the outermost layer.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(pub(crate) String);

/// Who calls, and what of the log it may touch. Every handler behind the gate can ask.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) principal: Option<Arc<Principal>>,
    pub(crate) scope: Arc<Scope>,
    pub(crate) origin: Arc<Origin>,
}

impl Caller {
    /// The principal, where the route asks for one.
    pub(crate) fn known(&self) -> Result<&Principal> {
        self.principal.as_deref().ok_or_else(unauthenticated)
    }

    /// Refuses a caller that is narrowed to a part of the log.
    pub(crate) fn whole(&self, what: &str) -> Result<()> {
        if self.scope.filters.is_none() {
            return Ok(());
        }
        Err(ApiError::new(
            Code::Forbidden,
            format!("this credential is narrowed to a part of the log, and {what} would show more"),
        ))
    }

    /// The caller as the author of a change.
    pub(crate) fn author(&self, reason: Option<String>) -> Result<Author> {
        let principal = self.known()?;
        Ok(Author {
            principal: principal.id.clone(),
            name: principal.name.clone(),
            context: self.origin.context(),
            reason: reason.map(|reason| token::redact(&reason)),
        })
    }
}

impl Caller {
    /// Refuses a caller whose credential or grants do not allow any more what it was let
    /// in for: to be asked after every wait.
    pub(crate) fn still_may(&self, app: &App, permission: Permission, log: &str) -> Result<()> {
        self.still_may_in(app, permission, log, &self.scope)
    }

    /// The same, in the scope that was decided for this log.
    pub(crate) fn still_may_in(
        &self,
        app: &App,
        permission: Permission,
        log: &str,
        scope: &Scope,
    ) -> Result<()> {
        let (control, now) = (app.control.current(), app.control.now());
        let principal = self.known()?;
        let is_live = match principal.id.strip_prefix("token:") {
            Some(id) => control.tokens.get(id).is_some_and(|token| Control::is_live(token, now)),
            None => principal.expires_at.is_none_or(|end| now < end),
        };
        if !is_live {
            return Err(unauthenticated());
        }
        match decide(&control, principal, permission, log, now) {
            Decision::Allowed(now) if now == *scope => Ok(()),
            Decision::Invisible => Err(no_such_log(log)),
            // What it may see is another part now.
            Decision::Allowed(_) | Decision::Forbidden => {
                Err(forbidden(principal, permission, Some(log)))
            }
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(|| ApiError::new(Code::Internal, "a route without a gate"))
    }
}

/// Why a request does not pass.
struct Refused {
    error: ApiError,
    /// For the trail; never the credential.
    reason: String,
    /// The principal, if its credential was good once.
    principal: Option<(String, Option<String>)>,
    /// Whether it is one of many and only counted.
    counted: bool,
}

fn unauthenticated() -> ApiError {
    ApiError::new(
        Code::Unauthenticated,
        "this needs a credential: send `Authorization: Bearer …` with a token that is known, not expired and not revoked (`indelible login`)",
    )
}

/// The same answer whether a log does not exist or is not the caller's business.
pub(crate) fn no_such_log(name: &str) -> ApiError {
    ApiError::new(
        Code::LogNotFound,
        format!("there is no log {name:?}; create it with POST /v1/logs or `indelible log create`"),
    )
}

fn rate_limited(what: &str, wait: u64) -> ApiError {
    ApiError::new(Code::RateLimited, format!("too many requests {what}; try again in {wait} s"))
        .retry_after(wait)
}

/// The layer of one route.
pub(crate) async fn gate(
    State((app, route)): State<(Arc<App>, &'static Route)>,
    params: RawPathParams,
    mut request: Request,
    next: Next,
) -> Response {
    if route.permission == Permission::Public {
        return next.run(request).await;
    }
    let (log, target) = named(&params);
    let request_id =
        request.extensions().get::<RequestId>().map_or_else(String::new, |id| id.0.clone());
    let peer = request.extensions().get::<Peer>().cloned().unwrap_or_default();
    let origin =
        Arc::new(Origin::of(peer.address, request.headers(), &app.trusted_proxies, request_id));
    let admitted = admit(&app, route, log.as_deref(), &peer, &origin, request.headers()).await;
    let query = request.uri().query().map(str::to_owned);
    let mut access = Access {
        action: route.action,
        principal: None,
        log,
        target,
        tenant: None,
        outcome: Outcome::Success,
        details: Map::new(),
    };
    access.details.insert("route".to_owned(), format!("{} {}", route.method, route.path).into());
    match admitted {
        Ok(caller) => {
            request.extensions_mut().insert(caller.clone());
            let response = next.run(request).await;
            let principal = caller.principal.as_ref();
            access.principal = principal.map(|known| (known.id.clone(), known.name.clone()));
            access.tenant = caller.scope.tenant().map(str::to_owned);
            answered(&app, route, access, &origin, query, response).await
        }
        Err(refused) => {
            access.outcome = Outcome::Denied(refused.error.code.name(), refused.reason);
            access.principal = refused.principal;
            let recorded = if refused.counted {
                app.trail.count(access, &origin).await
            } else {
                app.trail.record(&access, Some(&origin)).await
            };
            match recorded {
                Ok(()) => refused.error.into_response(),
                Err(error) => error.into_response(),
            }
        }
    }
}

/// The log and the thing in it that a path names.
fn named(params: &RawPathParams) -> (Option<String>, Option<(&'static str, String)>) {
    let (mut log, mut target) = (None, None);
    for (name, value) in params {
        let value: String = value.chars().take(128).collect();
        match name {
            "log" => log = Some(value),
            "record" => target = Some(("record", value)),
            "sha256" => target = Some(("attachment", value)),
            "export" => target = Some(("export", value)),
            "path" => target = Some(("tile", value)),
            "id" => target = Some(("entry", value)),
            _ => {}
        }
    }
    (log, target)
}

/// Writes the trail of an answer; without it the answer does not leave.
async fn answered(
    app: &App,
    route: &Route,
    mut access: Access,
    origin: &Origin,
    query: Option<String>,
    mut response: Response,
) -> Response {
    let status = response.status();
    let shown = response.extensions_mut().remove::<Shown>().unwrap_or(Shown::Nothing);
    let denied = response.extensions().get::<indelible_api::ErrorBody>().filter(|body| {
        [Code::Forbidden, Code::LogNotFound].iter().any(|code| code.name() == body.code)
    });
    if let Some(body) = denied {
        let code =
            if body.code == Code::Forbidden.name() { Code::Forbidden } else { Code::LogNotFound };
        access.outcome = Outcome::Denied(code.name(), token::redact(&body.message));
    } else if !status.is_success() {
        access.outcome = Outcome::Failure(status.as_u16().to_string());
    }
    let is_denied = matches!(access.outcome, Outcome::Denied(..));
    if access.principal.is_none() || (route.trail == Trailed::Never && !is_denied) {
        return response;
    }
    if let Some(query) = query.filter(|_| status.is_success()) {
        access.details.insert("query".to_owned(), token::asked(&query));
    }
    let of_each = match shown {
        Shown::ByLog(each) => each
            .into_iter()
            .map(|of| {
                let mut own = Access { log: Some(of.log), tenant: of.tenant, ..access.clone() };
                own.details.extend(of.facts.0);
                own
            })
            .collect(),
        Shown::Nothing if route.trail == Trailed::ByLog && !is_denied => return response,
        Shown::Nothing => vec![access],
        Shown::Here(facts) => {
            access.details.extend(facts.0);
            vec![access]
        }
    };
    let started = Instant::now();
    let is_counted = route.trail == Trailed::Counted && status.is_success();
    let written = of_each.into_iter().map(async |access| match is_counted {
        true => app.trail.count(access, origin).await,
        false => app.trail.record(&access, Some(origin)).await,
    });
    let recorded = futures_util::future::try_join_all(written).await;
    if route.trail == Trailed::Each {
        app.metrics.trailed(started.elapsed());
    }
    match recorded {
        Ok(_) => response,
        Err(error) => error.into_response(),
    }
}

/// Authentication, limits, authorisation.
async fn admit(
    app: &App,
    route: &Route,
    log: Option<&str>,
    peer: &Peer,
    origin: &Arc<Origin>,
    headers: &HeaderMap,
) -> std::result::Result<Caller, Refused> {
    app.limiter.address(origin.client).map_err(|wait| Refused {
        error: rate_limited("from this address", wait),
        reason: "rate limit of the address".to_owned(),
        principal: None,
        counted: true,
    })?;
    let control = app.control.current();
    let now = app.control.now();
    let principal = match authenticate(app, &control, peer, headers, now).await {
        Ok(principal) => principal,
        Err(refused) => return Err(limited(app, origin, refused)),
    };
    let is_public = || {
        route.public && log.and_then(|log| control.logs.get(log)).is_some_and(|entry| entry.public)
    };
    let Some(principal) = principal else {
        if is_public() {
            let (scope, origin) = (Arc::new(Scope::ALL), Arc::clone(origin));
            return Ok(Caller { principal: None, scope, origin });
        }
        let refused = Refused {
            error: unauthenticated(),
            reason: "no credential".to_owned(),
            principal: None,
            counted: false,
        };
        return Err(limited(app, origin, refused));
    };
    let identity = || Some((principal.id.clone(), principal.name.clone()));
    app.limiter.credential(&principal.id).map_err(|wait| Refused {
        error: rate_limited("with this credential", wait),
        reason: "rate limit of the credential".to_owned(),
        principal: identity(),
        counted: true,
    })?;
    if app.trail.is_sign_in(&principal.id, origin) {
        sign_in(app, &principal, origin).await.map_err(|error| Refused {
            error,
            reason: "the sign-in could not be recorded".to_owned(),
            principal: identity(),
            counted: false,
        })?;
    }
    let scope = match authorise(&control, &principal, route, log, now) {
        Ok(scope) => scope,
        Err(_) if is_public() => Scope::ALL,
        Err(error) => {
            return Err(Refused {
                reason: format!("needs the permission {}", route.permission.name()),
                error,
                principal: identity(),
                counted: false,
            });
        }
    };
    Ok(Caller {
        principal: Some(Arc::new(principal)),
        scope: Arc::new(scope),
        origin: Arc::clone(origin),
    })
}

/// A refusal of somebody unknown, or that there were too many from there.
fn limited(app: &App, origin: &Origin, refused: Refused) -> Refused {
    match app.limiter.refused(origin.client) {
        Ok(()) => refused,
        Err(wait) => Refused {
            error: rate_limited("without a credential that works, from this address", wait),
            reason: format!("{}, again and again", refused.reason),
            principal: None,
            counted: true,
        },
    }
}

async fn sign_in(app: &App, principal: &Principal, origin: &Origin) -> Result<()> {
    let access = Access {
        action: SIGN_IN,
        principal: Some((principal.id.clone(), principal.name.clone())),
        log: None,
        target: None,
        tenant: None,
        outcome: Outcome::Success,
        details: Map::new(),
    };
    app.trail.record(&access, Some(origin)).await?;
    app.trail.signed_in(&principal.id, origin);
    Ok(())
}

async fn authenticate(
    app: &App,
    control: &Control,
    peer: &Peer,
    headers: &HeaderMap,
    now: Timestamp,
) -> std::result::Result<Option<Principal>, Refused> {
    let refused = |reason: String, principal: Option<String>| Refused {
        error: unauthenticated(),
        reason,
        principal: principal.map(|id| (id, None)),
        counted: false,
    };
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Ok(peer.certificate.as_deref().cloned()),
        (Some(value), None) => value,
        (Some(_), Some(_)) => return Err(refused("two Authorization headers".to_owned(), None)),
    };
    let Some(text) = bearer(value) else {
        return Err(refused("an Authorization header that is not Bearer".to_owned(), None));
    };
    match &app.oidc {
        Some(oidc) if !text.starts_with(token::PREFIX) => {
            oidc.authenticate(text, now).await.map(Some).map_err(|refusal| match refusal {
                oidc::Refusal::Token(reason) => refused(reason, None),
                oidc::Refusal::Unavailable => Refused {
                    error: ApiError::new(
                        Code::IssuerUnavailable,
                        "the identity provider's keys cannot be fetched now; try again, or use a token",
                    ),
                    ..refused("keys of the issuer unavailable".to_owned(), None)
                },
            })
        }
        _ => token::authenticate(control, text, now)
            .map(Some)
            .map_err(|(refusal, id)| refused(refusal.reason().to_owned(), id)),
    }
}

fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whether the route's permission is among the principal's.
fn authorise(
    control: &Control,
    principal: &Principal,
    route: &Route,
    log: Option<&str>,
    now: Timestamp,
) -> Result<Scope> {
    let may = match (route.permission, log) {
        (Permission::Public | Permission::Known, _) => return Ok(Scope::ALL),
        (permission, Some(log)) => decide(control, principal, permission, log, now),
        (permission, None) if may_anywhere(control, principal, permission, now) => {
            return Ok(Scope::ALL);
        }
        (_, None) => Decision::Forbidden,
    };
    match (may, log) {
        (Decision::Allowed(scope), _) => Ok(scope),
        (Decision::Invisible, Some(log)) => Err(no_such_log(log)),
        _ => Err(forbidden(principal, route.permission, log)),
    }
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
