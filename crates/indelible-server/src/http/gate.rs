//! The gate before every route: reads what is asked and by whom, lets it in or not, and
//! writes the trail of the answer before the answer leaves. Nothing else writes it.

use super::{asked::Asked, cross_site};
use crate::{
    access::{
        Permission,
        admit::{Presented, Refused, Wanted},
        caller::Caller,
        peer::Peer,
    },
    app::App,
    error::{ApiError, Failed, Result},
    http::rule::{Rule, Trailed},
    origin::Origin,
    redact,
    trail::shown::{Facts, Shown, ShownOf},
    trail::{Access, Outcome},
};
use axum::{
    extract::{FromRequestParts, RawPathParams, Request, State},
    http::{HeaderMap, HeaderValue, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use indelible_api::Code;
use std::{sync::Arc, time::Instant};

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

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(|| ApiError::new(Code::Internal, "a route without a gate"))
    }
}

/// The layer of one route.
pub(crate) async fn gate(
    State((app, rule)): State<(Arc<App>, &'static Rule)>,
    params: RawPathParams,
    request: Request,
    next: Next,
) -> Response {
    let mut response = pass(&app, rule, &params, request, next).await;
    response.extensions_mut().insert(Served(rule));
    response
}

/// The rule of the route that answered, for the layers around.
#[derive(Debug, Clone, Copy)]
pub(super) struct Served(pub(super) &'static Rule);

async fn pass(
    app: &Arc<App>,
    rule: &'static Rule,
    params: &RawPathParams,
    mut request: Request,
    next: Next,
) -> Response {
    if rule.permission == Permission::Public {
        return next.run(request).await;
    }
    let asked = Asked::parse(rule, params);
    let rule = asked.rule;
    let peer = request.extensions().get::<Peer>().cloned().unwrap_or_default();
    let Some(origin) = request.extensions().get::<Arc<Origin>>().cloned() else {
        return ApiError::new(Code::Internal, "a request without an origin").into_response();
    };
    let query = request.uri().query().map(str::to_owned);
    match admit(app, &asked, &peer, &origin, request.headers()).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller.clone());
            request.extensions_mut().insert(asked.clone());
            let response = next.run(request).await;
            Answered { app, rule, asked, caller, query }.leave(response).await
        }
        Err(refused) => {
            let outcome = Outcome::Denied(refused.error.code, refused.reason);
            let mut access = Access {
                action: rule.action,
                principal: refused.principal,
                log: asked.log,
                target: asked.target,
                tenant: None,
                outcome,
                details: serde_json::Map::new(),
            };
            access.details.insert("route".to_owned(), rule.route().into());
            let recorded = if refused.is_counted {
                app.trail.count(&access, &origin).await
            } else {
                app.trail.record(&access, Some(&origin)).await
            };
            recorded.map_or_else(IntoResponse::into_response, |()| refused.error.into_response())
        }
    }
}

async fn admit(
    app: &App,
    asked: &Asked,
    peer: &Peer,
    origin: &Arc<Origin>,
    headers: &HeaderMap,
) -> std::result::Result<Caller, Refused> {
    let wanted = Wanted {
        permission: asked.rule.permission,
        log: asked.log.as_deref(),
        public: asked.rule.public,
    };
    let presented = presented(peer, headers, asked.rule);
    app.entrance().admit(wanted, presented, origin).await
}

/// The credential of a request: its header, else the connection's certificate.
fn presented<'a>(peer: &'a Peer, headers: &'a HeaderMap, rule: &Rule) -> Presented<'a> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => bearer(value).map_or(
            Presented::Unusable("an Authorization header that is not Bearer"),
            Presented::Bearer,
        ),
        (Some(_), Some(_)) => Presented::Unusable("two Authorization headers"),
        (None, _) => match peer.certificate.as_deref() {
            None => Presented::Nothing,
            // A browser sends its certificate with whatever a page makes it ask for.
            Some(_) if rule.method != "GET" && cross_site::is_cross_site(headers) => {
                Presented::Unusable("a certificate in a request that another site made")
            }
            Some(principal) => Presented::Certificate(principal),
        },
    }
}

fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// An answer on its way out.
struct Answered<'a> {
    app: &'a App,
    rule: &'static Rule,
    asked: Asked,
    caller: Caller,
    query: Option<String>,
}

impl Answered<'_> {
    /// Writes the trail of an answer; without it the answer does not leave.
    async fn leave(self, mut response: Response) -> Response {
        let shown = response.extensions_mut().remove::<Shown>();
        let failed = response.extensions().get::<Failed>().cloned();
        let recorded = match (failed, shown) {
            (Some(failed), shown) => self.failed(failed, shown).await,
            (None, Some(shown)) => self.succeeded(shown).await,
            // An act of control is in its own log.
            (None, None) if self.rule.trail == Trailed::Never => Ok(()),
            (None, None) => Err(ApiError::new(
                Code::Internal,
                "an answer that does not say what it shows does not leave",
            )),
        };
        recorded.map_or_else(IntoResponse::into_response, |()| response)
    }

    async fn failed(&self, failed: Failed, shown: Option<Shown>) -> Result<()> {
        let Failed { code, message } = failed;
        let is_denied = matches!(
            code,
            Code::Forbidden | Code::LogNotFound | Code::Unauthenticated | Code::IdConflict
        );
        // An append or an act that failed has changed nothing and shown nothing.
        let is_silent = self.rule.trail == Trailed::Never && !is_denied;
        if is_silent || self.caller.principal.is_none() {
            return Ok(());
        }
        let mut access = self.access();
        access.outcome =
            if is_denied { Outcome::Denied(code, message) } else { Outcome::Failure(code) };
        if let Some(Shown::ByLog(of)) = shown {
            // Of the logs that were asked for by name and not in the path.
            access.log = of.into_iter().next().map(|of| of.log);
        }
        self.app.trail.record(&access, Some(&self.caller.origin)).await
    }

    async fn succeeded(&self, shown: Shown) -> Result<()> {
        if self.caller.principal.is_none() {
            return Ok(());
        }
        let started = Instant::now();
        match (self.rule.trail, shown) {
            (_, Shown::ByLog(all)) => {
                let each = all.into_iter().map(|one| self.of_log(one));
                futures_util::future::try_join_all(each).await?;
            }
            (_, Shown::Refused(code, facts)) => {
                let mut access = self.access();
                access.outcome = Outcome::Denied(code, "a part of the batch".to_owned());
                access.details.extend(facts.0);
                self.app.trail.record(&access, Some(&self.caller.origin)).await?;
            }
            (Trailed::Never, _) => return Ok(()),
            (trailed, shown) => {
                let facts = match shown {
                    Shown::Here(facts) => facts,
                    _ => Facts::default(),
                };
                let mut access = self.access();
                if let Some(query) = &self.query {
                    access.details.insert("query".to_owned(), redact::asked(query));
                }
                access.details.extend(facts.0);
                if trailed == Trailed::Counted {
                    return self.app.trail.count(&access, &self.caller.origin).await;
                }
                self.app.trail.record(&access, Some(&self.caller.origin)).await?;
            }
        }
        self.app.metrics.trailed(started.elapsed());
        Ok(())
    }

    async fn of_log(&self, shown: ShownOf) -> Result<()> {
        let mut access = self.access();
        access.log = Some(shown.log);
        access.tenant = shown.tenant;
        access.details.extend(shown.facts.0);
        self.app.trail.record(&access, Some(&self.caller.origin)).await
    }

    fn access(&self) -> Access {
        let mut access = self.caller.access(self.rule.action, self.asked.log.clone());
        access.target.clone_from(&self.asked.target);
        access.details.insert("route".to_owned(), self.rule.route().into());
        access
    }
}
