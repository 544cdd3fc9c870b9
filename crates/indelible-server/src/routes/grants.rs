//! Grants: add, list, remove.

use crate::{
    access::{Permission, Principal, caller::Caller, manages, refused::forbidden},
    app::App,
    control::{event::Change, fold::Control, new_id},
    error::{ApiError, Result},
    routes::tokens::keep_an_operator,
};
use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
};
use indelible_api::{Act, AddGrant, Code, Done, ErrorBody, Grant, GrantInfo, Page, Role};
use indelible_event::Timestamp;
use std::sync::Arc;

/// Whether `principal` may give this grant.
pub(crate) fn check_grant(
    control: &Control,
    principal: &Principal,
    grant: &Grant,
    now: Timestamp,
) -> Result<()> {
    grant.check().map_err(|e| ApiError::invalid(e.to_string()))?;
    // The system's logs are the business of whoever manages everything.
    let pattern = if grant.log.starts_with('_') { "*" } else { &grant.log };
    if !manages(control, principal, pattern, now) {
        return Err(forbidden(principal, Permission::Manage, Some(&grant.log)));
    }
    if grant.role == Role::Operator {
        // Nobody gives away management for longer than they have it.
        let mine = principal
            .grants(control, now)
            .filter(|own| own.role == Role::Operator && own.covers(pattern));
        let until = |grant: &Grant| {
            grant.not_after.as_ref().map_or(i64::MAX, |text| {
                text.parse::<Timestamp>().map_or(i64::MIN, Timestamp::as_micros)
            })
        };
        let longest = mine.map(until).max().unwrap_or(i64::MIN);
        if until(grant) > longest {
            return Err(ApiError::new(
                Code::Forbidden,
                "your own role of operator ends before this one would: set not_after",
            ));
        }
    }
    Ok(())
}

/// Checks who a grant is for.
fn check_subject(control: &Control, subject: &str) -> Result<()> {
    let wrong = |text: &str| Err(ApiError::invalid(format!("subject: {text}")).member("subject"));
    let (kind, rest) = subject.split_once(':').unwrap_or_default();
    if rest.is_empty() || subject.len() > 512 || subject.chars().any(char::is_control) {
        return wrong("expected group:NAME, oidc:SUBJECT, cert:SUBJECT or token:ID");
    }
    match kind {
        "group" | "oidc" | "cert" => Ok(()),
        "token" => match control.tokens.get(rest) {
            Some(token) if token.revoked_at.is_none() => Ok(()),
            Some(_) => wrong("that token was revoked"),
            None => wrong("there is no token with that id"),
        },
        _ => wrong("expected group:NAME, oidc:SUBJECT, cert:SUBJECT or token:ID"),
    }
}

/// Grant a role to a group, a person, a certificate or a token.
#[utoipa::path(post, path = "/v1/grants", tag = "access", request_body = AddGrant,
    responses((status = 201, body = Done), (status = 202, body = Done), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody)))]
pub(crate) async fn add_grant(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Done>)> {
    let wanted: AddGrant = app.bodies.receive_json(caller.who(), &headers, body).await?;
    let author = caller.author(wanted.reason.clone())?;
    let principal = caller.principal()?;
    let id = new_id("g")?;
    let written = app
        .control
        .act(&author, |control, now| {
            check_subject(control, &wanted.subject)?;
            check_grant(control, principal, &wanted.grant, now)
                .map_err(|error| error.member("grant"))?;
            let acts = Act::of_granting(wanted.grant.role).into_iter().collect();
            let change = Change::GrantAdded {
                id: id.clone(),
                subject: wanted.subject.clone(),
                grant: wanted.grant.clone(),
            };
            Ok((change, acts))
        })
        .await?;
    let status = if written.pending.is_some() { StatusCode::ACCEPTED } else { StatusCode::CREATED };
    Ok((status, Json(written.done(id))))
}

/// List the grants in force on logs that the caller manages.
#[utoipa::path(get, path = "/v1/grants", tag = "access", responses((status = 200, body = Page<GrantInfo>), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody)))]
pub(crate) async fn list_grants(
    State(app): State<Arc<App>>,
    caller: Caller,
) -> Result<Json<Page<GrantInfo>>> {
    let principal = caller.principal()?;
    let (control, now) = (app.control.current(), app.control.now());
    let items = control
        .grants
        .iter()
        .filter(|(_, entry)| manages(&control, principal, &entry.grant.log, now))
        .map(|(id, entry)| GrantInfo {
            id: id.clone(),
            subject: entry.subject.clone(),
            grant: entry.grant.clone(),
            granted_at: entry.granted_at.clone(),
            granted_by: entry.granted_by.clone(),
            approved_by: entry.approved_by.clone(),
        })
        .collect();
    Ok(Json(Page { items, next: None }))
}

/// Remove a grant; it is gone from the moment of the answer.
#[utoipa::path(delete, path = "/v1/grants/{id}", tag = "access", params(("id" = String, Path, description = "Id of the grant")),
    responses((status = 200, body = Done), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(crate) async fn remove_grant(
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
                || ApiError::new(Code::EntryNotFound, format!("there is no grant {id:?}"));
            let entry = control.grants.get(&id).ok_or_else(unknown)?;
            if !manages(control, principal, &entry.grant.log, now) {
                return Err(unknown());
            }
            keep_an_operator(control, now, &|grant| grant == id)?;
            Ok((Change::GrantRemoved { id: id.clone() }, Vec::new()))
        })
        .await?;
    Ok(Json(written.done(id)))
}
