//! Acts that wait for a second person, and the policy that says which do.

use crate::{
    access::{Permission, Principal, caller::Caller, manages, refused::forbidden},
    app::App,
    control::{
        event::Change,
        fold::{Control, Waiting},
    },
    error::{ApiError, Result},
};
use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
};
use indelible_api::{Act, Code, Done, ErrorBody, Page, PendingAct, Policy, Verdict};
use indelible_event::Timestamp;
use std::sync::Arc;

/// Whether `principal` manages what an act is about.
fn concerns(control: &Control, principal: &Principal, change: &Change, now: Timestamp) -> bool {
    let covers = |pattern: &str| {
        let pattern = if pattern.starts_with('_') { "*" } else { pattern };
        manages(control, principal, pattern, now)
    };
    match change {
        Change::LogPublished { log, .. } | Change::KeyReplaced { log, .. } => covers(log),
        Change::GrantAdded { grant, .. } => covers(&grant.log),
        Change::TokenIssued { grants, .. } => grants.values().all(|grant| covers(&grant.log)),
        _ => covers("*"),
    }
}

fn view(id: &str, waiting: &Waiting) -> PendingAct {
    PendingAct {
        id: id.to_owned(),
        act: waiting.act,
        summary: waiting.change.summary(),
        proposed_by: waiting.proposed_by.clone(),
        proposed_at: waiting.proposed_at.clone(),
        expires_at: waiting.expires_at.clone(),
        reason: waiting.reason.clone(),
    }
}

/// List the acts that wait for a second person, lapsed ones left out.
#[utoipa::path(get, path = "/v1/pending", tag = "access", responses((status = 200, body = Page<PendingAct>), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody)))]
pub(crate) async fn list_pending(
    State(app): State<Arc<App>>,
    caller: Caller,
) -> Result<Json<Page<PendingAct>>> {
    let principal = caller.principal()?;
    let (control, now) = (app.control.current(), app.control.now());
    let items = control
        .waiting
        .iter()
        .filter(|(_, waiting)| {
            waiting.expires_at.parse::<Timestamp>().is_ok_and(|end| now < end)
                && concerns(&control, principal, &waiting.change, now)
        })
        .map(|(id, waiting)| view(id, waiting))
        .collect();
    Ok(Json(Page { items, next: None }))
}

/// Approve an act that somebody else asked for; it is done with the answer.
#[utoipa::path(post, path = "/v1/pending/{id}/approve", tag = "access", params(("id" = String, Path, description = "Id of the act")), request_body = Verdict,
    responses((status = 200, body = Done), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(crate) async fn approve(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Done>> {
    settle(&app, &caller, id, true, &headers, body).await
}

/// Reject an act that waits; whoever asked for it may take it back so.
#[utoipa::path(post, path = "/v1/pending/{id}/reject", tag = "access", params(("id" = String, Path, description = "Id of the act")), request_body = Verdict,
    responses((status = 200, body = Done), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn reject(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Done>> {
    settle(&app, &caller, id, false, &headers, body).await
}

async fn settle(
    app: &Arc<App>,
    caller: &Caller,
    id: String,
    approve: bool,
    headers: &HeaderMap,
    body: Body,
) -> Result<Json<Done>> {
    let verdict: Verdict = app.bodies.receive_json(caller.who(), headers, body).await?;
    let author = caller.author(verdict.reason)?;
    let principal = caller.principal()?;
    let (written, change) = app
        .control
        .settle(&author, &id, approve, |control, waiting, now| {
            if concerns(control, principal, &waiting.change, now) {
                Ok(())
            } else {
                Err(forbidden(principal, Permission::Manage, None))
            }
        })
        .await?;
    if approve {
        app.take_effect(&change).await?;
    }
    Ok(Json(written.done(id)))
}

/// Show which acts need two persons.
#[utoipa::path(get, path = "/v1/policy", tag = "access", responses((status = 200, body = Policy), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody)))]
pub(crate) async fn show_policy(State(app): State<Arc<App>>) -> Json<Policy> {
    Json(app.control.current().policy.clone())
}

/// Change which acts need two persons.
#[utoipa::path(put, path = "/v1/policy", tag = "access", request_body = Policy,
    responses((status = 200, body = Done), (status = 202, body = Done), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(crate) async fn change_policy(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Done>)> {
    let mut policy: Policy = app.bodies.receive_json(caller.who(), &headers, body).await?;
    policy.two_person.sort_unstable();
    policy.two_person.dedup();
    if !(1..=720).contains(&policy.pending_hours) {
        return Err(ApiError::invalid(format!(
            "pending_hours is {}, expected 1 to 720",
            policy.pending_hours
        ))
        .member("pending_hours"));
    }
    let author = caller.author(None)?;
    let principal = caller.principal()?;
    let written = app
        .control
        .act(&author, |control, now| {
            if !manages(control, principal, "*", now) {
                return Err(forbidden(principal, Permission::Manage, Some("*")));
            }
            let old = &control.policy;
            let relaxed = old.two_person.iter().any(|act| !policy.two_person.contains(act))
                || (!old.two_person.is_empty() && policy.pending_hours > old.pending_hours);
            let operators = control.operators(now, &|_| false);
            if !policy.two_person.is_empty() && operators.len() < 2 {
                return Err(ApiError::new(
                    Code::Conflict,
                    "there is one operator only, so nobody could approve: make another first",
                ));
            }
            let change = Change::PolicyChanged { policy: policy.clone() };
            Ok((change, relaxed.then_some(Act::RelaxPolicy).into_iter().collect()))
        })
        .await?;
    let status = if written.pending.is_some() { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok((status, Json(written.done("two-person"))))
}
