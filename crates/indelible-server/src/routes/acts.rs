//! Acts that wait for a second person, and the policy that says which do.

use crate::{
    access::{Principal, caller::Caller},
    app::App,
    control::{
        Written,
        act::{ActApproved, ActRejected},
        event::Change,
        fold::{Control, Waiting},
        policy::PolicyChanged,
        principal::{Asker, Concern},
    },
    error::{ApiError, Result},
    http::answer::Answer,
    redact,
    trail::shown::Facts,
};
use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
};
use indelible_api::{Done, ErrorBody, Page, PendingAct, Policy, Verdict};
use indelible_event::Timestamp;
use std::sync::Arc;

/// The caller as who asks for an act.
pub(crate) fn asker(caller: &Caller, reason: Option<String>) -> Result<Asker> {
    Ok(Asker { principal: caller.principal()?.clone(), author: caller.author(reason)? })
}

/// The status of an act that was done, or waits for a second person.
pub(crate) const fn status(written: &Written, done: StatusCode) -> StatusCode {
    if written.pending.is_some() { StatusCode::ACCEPTED } else { done }
}

/// Refuses text that holds a credential: what is in `_control` stays there for ever.
pub(crate) fn no_credential(member: &str, text: &str) -> Result<()> {
    if redact::holds_credential(text) {
        let problem = "holds a credential, which would be kept for ever: leave it out";
        return Err(ApiError::invalid(format!("{member}: {problem}")).member(member));
    }
    Ok(())
}

/// Whether an act that waits is the business of `principal`.
fn concerns(control: &Control, principal: &Principal, change: &Change, now: Timestamp) -> bool {
    let concern = change.concern(control).unwrap_or_else(|_| Concern::Manage(vec!["*"]));
    principal.check(control, concern, now).is_ok()
}

fn view(id: &str, waiting: &Waiting) -> PendingAct {
    PendingAct {
        id: id.to_owned(),
        act: waiting.act,
        summary: waiting.change.summary(),
        proposed_by: waiting.proposed_by.clone(),
        proposed_at: waiting.proposed_at.to_string(),
        expires_at: waiting.expires_at.to_string(),
        reason: waiting.reason.clone(),
    }
}

/// List the acts that wait for a second person, lapsed ones left out.
#[utoipa::path(get, path = "/v1/pending", tag = "access", responses((status = 200, body = Page<PendingAct>), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody)))]
pub(crate) async fn list_pending(State(app): State<Arc<App>>, caller: Caller) -> Result<Answer> {
    let principal = caller.principal()?;
    let (control, now) = (app.control.current(), app.control.now());
    let items = control
        .waiting
        .iter()
        .filter(|(_, waiting)| {
            !waiting.has_lapsed(now) && concerns(&control, principal, &waiting.change, now)
        })
        .map(|(id, waiting)| view(id, waiting))
        .collect();
    let page = Page { items, next: None };
    Ok(Answer::json(&page, Facts::default().with("items", page.items.len())))
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
    let verdict: Verdict = app.bodies.receive_json(caller.who(), &headers, body).await?;
    let act = ActApproved { id: id.clone() };
    let written = app.control.act(asker(&caller, verdict.reason)?, act).await?;
    Ok(Json(written.done(id)))
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
    let verdict: Verdict = app.bodies.receive_json(caller.who(), &headers, body).await?;
    let act = ActRejected { id: id.clone() };
    let written = app.control.act(asker(&caller, verdict.reason)?, act).await?;
    Ok(Json(written.done(id)))
}

/// Show which acts need two persons.
#[utoipa::path(get, path = "/v1/policy", tag = "access", responses((status = 200, body = Policy), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody)))]
pub(crate) async fn show_policy(State(app): State<Arc<App>>) -> Answer {
    Answer::json(&app.control.current().policy, Facts::default())
}

/// Change which acts need two persons. A policy that names any implies two persons to
/// grant operator and to relax the policy itself.
#[utoipa::path(put, path = "/v1/policy", tag = "access", request_body = Policy,
    responses((status = 200, body = Done), (status = 202, body = Done), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(crate) async fn change_policy(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Done>)> {
    let policy: Policy = app.bodies.receive_json(caller.who(), &headers, body).await?;
    if !(1..=720).contains(&policy.pending_hours) {
        return Err(ApiError::invalid(format!(
            "pending_hours is {}, expected 1 to 720",
            policy.pending_hours
        ))
        .member("pending_hours"));
    }
    let written = app.control.act(asker(&caller, None)?, PolicyChanged::new(policy)).await?;
    Ok((status(&written, StatusCode::OK), Json(written.done("two-person"))))
}
