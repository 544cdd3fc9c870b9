//! Tokens: issue, list, revoke.

use crate::subject::token_subject;
use crate::{
    access::{caller::Caller, token::Secret},
    app::App,
    control::{
        error::ControlError,
        new_id,
        token::{TokenIssued, TokenRevoked},
    },
    error::{ApiError, Result},
    http::answer::Answer,
    routes::acts::{asker, no_credential, status},
    trail::shown::Facts,
};
use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
};
use indelible_api::{CreateToken, CreatedToken, Done, ErrorBody, Page, TokenInfo};
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
    no_credential("name", name)?;
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
    let mut grants = BTreeMap::new();
    for (at, grant) in wanted.grants.iter().enumerate() {
        let wrong = |e| ApiError::invalid(format!("{e}")).member(format!("grants[{at}]"));
        grant.check().map_err(wrong)?;
        grants.insert(new_id("g")?, grant.clone());
    }
    let secret = Secret::generate().map_err(|_| ControlError::NoRandom)?;
    let act = TokenIssued {
        token: secret.id().to_owned(),
        name: name.to_owned(),
        sha256: secret.sha256(),
        expires_at,
        grants,
    };
    let written = app.control.act(asker(&caller, wanted.reason)?, act).await?;
    let status = status(&written, StatusCode::CREATED);
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
pub(crate) async fn list_tokens(State(app): State<Arc<App>>, caller: Caller) -> Result<Answer> {
    let principal = caller.principal()?;
    let (control, now) = (app.control.current(), app.control.now());
    let everything = principal.manages(&control, "*", now);
    let items = control
        .tokens
        .iter()
        .filter_map(|(id, entry)| {
            let subject = token_subject(id);
            // What else a token may do tells of logs that are not the caller's business.
            let grants: Vec<_> = control
                .grants_of(&subject)
                .map(|entry| &entry.grant)
                .filter(|grant| everything || principal.manages(&control, &grant.log, now))
                .cloned()
                .collect();
            if grants.is_empty() && !everything {
                return None;
            }
            let used =
                app.trail.last_used(&subject).or_else(|| control.used.get(&subject).copied());
            Some(TokenInfo {
                id: id.clone(),
                name: entry.name.clone(),
                grants,
                created_at: entry.created_at.to_string(),
                created_by: entry.created_by.clone(),
                expires_at: entry.expires_at.map(|end| end.to_string()),
                revoked_at: entry.revoked_at.map(|at| at.to_string()),
                last_used_at: used.map(|at| at.to_string()),
            })
        })
        .collect();
    let page = Page { items, next: None };
    Ok(Answer::json(&page, Facts::default().with("items", page.items.len())))
}

/// Revoke a token; it works no more from the moment of the answer.
#[utoipa::path(delete, path = "/v1/tokens/{id}", tag = "access", params(("id" = String, Path, description = "Id of the token")),
    responses((status = 200, body = Done), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(crate) async fn revoke_token(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Done>> {
    let act = TokenRevoked { token: id.clone() };
    let written = app.control.act(asker(&caller, None)?, act).await?;
    Ok(Json(written.done(id)))
}
