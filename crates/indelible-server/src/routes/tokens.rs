//! Tokens: issue, list, revoke.

use crate::{
    access::{Permission, caller::Caller, manages, refused::forbidden, token::Secret},
    app::App,
    control::{
        event::Change,
        fold::{Control, token_subject},
        new_id, no_random,
    },
    error::{ApiError, Result},
    routes::grants::check_grant,
};
use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
};
use indelible_api::{Act, Code, CreateToken, CreatedToken, Done, ErrorBody, Page, TokenInfo};
use indelible_event::Timestamp;
use std::{collections::BTreeMap, sync::Arc};

/// Most grants of one token.
const MAX_GRANTS: usize = 100;
const MAX_NAME: usize = 128;

/// Issue a token. Its secret is in this answer and nowhere else. Where two persons
/// are needed (202) it works once somebody else has approved.
#[utoipa::path(post, path = "/v1/tokens", tag = "access", request_body = CreateToken,
    responses((status = 201, body = CreatedToken), (status = 202, body = CreatedToken), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody)))]
pub(crate) async fn create_token(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<CreatedToken>)> {
    let wanted: CreateToken = app.bodies.receive_json(caller.who(), &headers, body).await?;
    let name = wanted.name.trim();
    if name.is_empty() || name.chars().count() > MAX_NAME || name.chars().any(char::is_control) {
        return Err(ApiError::invalid("name: expected 1 to 128 characters").member("name"));
    }
    if wanted.grants.is_empty() || wanted.grants.len() > MAX_GRANTS {
        return Err(ApiError::invalid(format!(
            "grants: has {}, expected 1 to {MAX_GRANTS}",
            wanted.grants.len()
        ))
        .member("grants"));
    }
    let expires_at: Option<Timestamp> = match &wanted.expires_at {
        None => None,
        Some(text) => Some(
            text.parse()
                .map_err(|e| ApiError::invalid(format!("expires_at: {e}")).member("expires_at"))?,
        ),
    };
    let author = caller.author(wanted.reason.clone())?;
    let principal = caller.principal()?;
    let secret = Secret::generate().map_err(|_| no_random())?;
    let mut grants = BTreeMap::new();
    for grant in &wanted.grants {
        grants.insert(new_id("g")?, grant.clone());
    }
    let written = app
        .control
        .act(&author, |control, now| {
            if expires_at.is_some_and(|end| end <= now) {
                return Err(ApiError::invalid("expires_at is in the past").member("expires_at"));
            }
            for (at, grant) in wanted.grants.iter().enumerate() {
                check_grant(control, principal, grant, now)
                    .map_err(|error| error.member(format!("grants[{at}]")))?;
            }
            if control.tokens.contains_key(secret.id()) {
                return Err(no_random());
            }
            let change = Change::TokenIssued {
                token: secret.id().to_owned(),
                name: name.to_owned(),
                sha256: secret.sha256(),
                expires_at: expires_at.map(|end| end.to_string()),
                grants,
            };
            let acts = wanted.grants.iter().filter_map(|grant| Act::of_granting(grant.role));
            Ok((change, acts.collect()))
        })
        .await?;
    let status = if written.pending.is_some() { StatusCode::ACCEPTED } else { StatusCode::CREATED };
    let created = CreatedToken {
        id: secret.id().to_owned(),
        token: secret.reveal().to_owned(),
        name: name.to_owned(),
        grants: wanted.grants,
        expires_at: expires_at.map(|end| end.to_string()),
        pending: written.pending,
    };
    Ok((status, Json(created)))
}

/// List the tokens with grants that the caller manages, and those grants; whoever
/// manages everything sees all tokens, revoked ones included.
#[utoipa::path(get, path = "/v1/tokens", tag = "access", responses((status = 200, body = Page<TokenInfo>), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody)))]
pub(crate) async fn list_tokens(
    State(app): State<Arc<App>>,
    caller: Caller,
) -> Result<Json<Page<TokenInfo>>> {
    let principal = caller.principal()?;
    let (control, now) = (app.control.current(), app.control.now());
    let everything = manages(&control, principal, "*", now);
    let items = control
        .tokens
        .iter()
        .filter_map(|(id, entry)| {
            let subject = token_subject(id);
            // What else a token may do tells of logs that are not the caller's business.
            let grants: Vec<_> = control
                .grants_of(&subject)
                .map(|entry| &entry.grant)
                .filter(|grant| everything || manages(&control, principal, &grant.log, now))
                .cloned()
                .collect();
            if grants.is_empty() && !everything {
                return None;
            }
            let used = app.trail.last_used(&subject).map(|at| at.to_string());
            Some(TokenInfo {
                id: id.clone(),
                name: entry.name.clone(),
                grants,
                created_at: entry.created_at.clone(),
                created_by: entry.created_by.clone(),
                expires_at: entry.expires_at.map(|end| end.to_string()),
                revoked_at: entry.revoked_at.clone(),
                last_used_at: used.or_else(|| control.used.get(&subject).cloned()),
            })
        })
        .collect();
    Ok(Json(Page { items, next: None }))
}

/// Revoke a token; it works no more from the moment of the answer.
#[utoipa::path(delete, path = "/v1/tokens/{id}", tag = "access", params(("id" = String, Path, description = "Id of the token")),
    responses((status = 200, body = Done), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(crate) async fn revoke_token(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Done>> {
    let author = caller.author(None)?;
    let principal = caller.principal()?;
    let written = app
        .control
        .act(&author, |control, now| {
            let unknown =
                || ApiError::new(Code::EntryNotFound, format!("there is no token {id:?}"));
            let entry = control.tokens.get(&id).ok_or_else(unknown)?;
            let subject = token_subject(&id);
            // A token without grants is the business of whoever manages everything.
            let mut grants = control.grants_of(&subject).peekable();
            let may = match grants.peek() {
                None => manages(control, principal, "*", now),
                Some(_) => grants.all(|entry| manages(control, principal, &entry.grant.log, now)),
            };
            if !may {
                return Err(forbidden(principal, Permission::Manage, None));
            }
            if entry.revoked_at.is_some() {
                return Err(ApiError::new(
                    Code::Conflict,
                    format!("token {id} was revoked already"),
                ));
            }
            keep_an_operator(control, now, &|grant| {
                control.grants.get(grant).is_some_and(|entry| entry.subject == subject)
            })?;
            Ok((Change::TokenRevoked { token: id.clone() }, Vec::new()))
        })
        .await?;
    Ok(Json(written.done(id)))
}

/// Nobody locks everybody out: somebody must remain who manages everything.
pub(crate) fn keep_an_operator(
    control: &Control,
    now: Timestamp,
    without: &dyn Fn(&str) -> bool,
) -> Result<()> {
    let before = control.operators(now, &|_| false).len();
    if before > 0 && control.operators(now, without).is_empty() {
        return Err(ApiError::new(
            Code::Conflict,
            "this is the last operator of everything: make another first",
        ));
    }
    Ok(())
}
