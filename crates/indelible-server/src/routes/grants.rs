//! Grants: add, list, remove.

use crate::{
    access::caller::Caller,
    app::App,
    control::{
        grant::{GrantAdded, GrantRemoved},
        new_id,
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
use indelible_api::{AddGrant, Done, ErrorBody, GrantInfo, Page};
use std::sync::Arc;

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
    wanted.grant.check().map_err(|e| ApiError::invalid(e.to_string()).member("grant"))?;
    no_credential("subject", &wanted.subject)?;
    let id = new_id("g")?;
    let act = GrantAdded { id: id.clone(), subject: wanted.subject, grant: wanted.grant };
    let written = app.control.act(asker(&caller, wanted.reason)?, act).await?;
    Ok((status(&written, StatusCode::CREATED), Json(written.done(id))))
}

/// List the grants in force on logs that the caller manages.
#[utoipa::path(get, path = "/v1/grants", tag = "access", responses((status = 200, body = Page<GrantInfo>), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody)))]
pub(crate) async fn list_grants(State(app): State<Arc<App>>, caller: Caller) -> Result<Answer> {
    let principal = caller.principal()?;
    let (control, now) = (app.control.current(), app.control.now());
    let items = control
        .grants
        .iter()
        .filter(|(_, entry)| principal.manages(&control, &entry.grant.log, now))
        .map(|(id, entry)| GrantInfo {
            id: id.clone(),
            subject: entry.subject.clone(),
            grant: entry.grant.clone(),
            granted_at: entry.granted_at.to_string(),
            granted_by: entry.granted_by.clone(),
            approved_by: entry.approved_by.clone(),
        })
        .collect();
    let page = Page { items, next: None };
    Ok(Answer::json(&page, Facts::default().with("items", page.items.len())))
}

/// Remove a grant; it is gone from the moment of the answer.
#[utoipa::path(delete, path = "/v1/grants/{id}", tag = "access", params(("id" = String, Path, description = "Id of the grant")),
    responses((status = 200, body = Done), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(crate) async fn remove_grant(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Done>> {
    let act = GrantRemoved { id: id.clone() };
    let written = app.control.act(asker(&caller, None)?, act).await?;
    Ok(Json(written.done(id)))
}
