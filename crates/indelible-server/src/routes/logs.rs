//! Logs: create, list, show, publish, replace the key.

use crate::{
    access::{
        Decision, Permission,
        caller::Caller,
        decide, manages,
        refused::{forbidden, no_such_log},
    },
    app::App,
    control::{
        event::Change,
        fold::{Control, LogEntry},
    },
    error::{ApiError, Result},
};
use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
};
use indelible_api::{
    Act, ChangeLog, Code, CreateLog, Done, ErrorBody, LogInfo, LogKey, Page, RotateKey,
};
use indelible_event::Timestamp;
use indelible_log::{Kind, Log};
use std::sync::Arc;

/// Longest overlap of two keys, in hours: ten years.
const MAX_OVERLAP_HOURS: u32 = 87_600;

fn info(name: &str, log: &Log, control: &Control) -> LogInfo {
    let head = log.head();
    let manifest = log.manifest();
    let entry = control.logs.get(name);
    let vkey = log.verifying_key().to_string();
    let keys = match entry {
        Some(LogEntry { keys, .. }) => keys
            .iter()
            .map(|(vkey, until)| LogKey { vkey: vkey.clone(), signs_until: until.clone() })
            .collect(),
        None => vec![LogKey { vkey: vkey.clone(), signs_until: None }],
    };
    LogInfo {
        name: name.to_owned(),
        origin: manifest.origin.clone(),
        vkey,
        size: head.size,
        root: head.root.to_string(),
        checkpoint_time: (head.size > 0).then(|| Timestamp::from_micros(head.time_us).to_string()),
        created_at: manifest.created_at.clone(),
        kind: match manifest.kind {
            Kind::Events => "events".to_owned(),
            Kind::Raw => "raw".to_owned(),
        },
        accepting: log.stopped().is_none(),
        public: entry.is_some_and(|entry| entry.public),
        keys,
    }
}

/// Create a log whose name the caller's role of operator covers.
#[utoipa::path(post, path = "/v1/logs", tag = "logs", request_body = CreateLog,
    responses((status = 201, body = LogInfo), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(crate) async fn create_log(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<LogInfo>)> {
    let wanted: CreateLog = app.bodies.receive_json(caller.who(), &headers, body).await?;
    let kind = if wanted.raw_add { Kind::Raw } else { Kind::Events };
    let author = caller.author(None)?;
    let principal = caller.principal()?;
    let allowed = |control: &Control, now| {
        if manages(control, principal, &wanted.name, now) {
            Ok(())
        } else {
            Err(forbidden(principal, Permission::Manage, Some(&wanted.name)))
        }
    };
    let log = app.create_log(&wanted.name, kind, &author, allowed).await?;
    Ok((StatusCode::CREATED, Json(info(&wanted.name, &log, &app.control.current()))))
}

/// List the logs that the caller may know of.
#[utoipa::path(get, path = "/v1/logs", tag = "logs", responses((status = 200, body = Page<LogInfo>), (status = 401, body = ErrorBody)))]
pub(crate) async fn list_logs(
    State(app): State<Arc<App>>,
    caller: Caller,
) -> Result<Json<Page<LogInfo>>> {
    let principal = caller.principal()?;
    let (control, now) = (app.control.current(), app.control.now());
    let visible = |name: &str| {
        let decision = decide(&control, principal, Permission::Describe, name, now);
        matches!(decision, Decision::Allowed(_))
    };
    let items = app
        .logs()
        .iter()
        .filter(|(name, _)| visible(name))
        .map(|(name, log)| info(name, log, &control))
        .collect();
    Ok(Json(Page { items, next: None }))
}

/// Show one log: its origin, keys, size and root.
#[utoipa::path(get, path = "/v1/logs/{log}", tag = "logs", params(("log" = String, Path, description = "Name of the log")),
    responses((status = 200, body = LogInfo), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn show_log(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Json<LogInfo>> {
    Ok(Json(info(&name, app.log(&name)?.as_ref(), &app.control.current())))
}

/// Show a log's checkpoints, consistency proofs and hash tiles to everybody, or no longer.
#[utoipa::path(patch, path = "/v1/logs/{log}", tag = "logs", params(("log" = String, Path, description = "Name of the log")), request_body = ChangeLog,
    responses((status = 200, body = Done), (status = 202, body = Done), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn change_log(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Done>)> {
    let wanted: ChangeLog = app.bodies.receive_json(caller.who(), &headers, body).await?;
    let author = caller.author(wanted.reason)?;
    let written = app
        .control
        .act(&author, |control, _| {
            if !control.logs.contains_key(&name) {
                return Err(no_such_log(&name));
            }
            let change = Change::LogPublished { log: name.clone(), public: wanted.public };
            Ok((change, wanted.public.then_some(Act::Publish).into_iter().collect()))
        })
        .await?;
    let status = if written.pending.is_some() { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok((status, Json(written.done(name))))
}

/// Replace the signing key of a log. The old key signs beside the new one for
/// `overlap_hours`, so that whoever holds its vkey has time to learn the new one.
#[utoipa::path(post, path = "/v1/logs/{log}/keys", tag = "logs", params(("log" = String, Path, description = "Name of the log")), request_body = RotateKey,
    responses((status = 201, body = Done), (status = 202, body = Done), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(crate) async fn rotate_key(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Done>)> {
    let wanted: RotateKey = app.bodies.receive_json(caller.who(), &headers, body).await?;
    let overlap = wanted.overlap_hours.unwrap_or(720);
    if overlap > MAX_OVERLAP_HOURS {
        return Err(ApiError::invalid(format!(
            "overlap_hours is {overlap}, expected at most {MAX_OVERLAP_HOURS}"
        ))
        .member("overlap_hours"));
    }
    let author = caller.author(wanted.reason)?;
    let log = app.log(&name)?;
    // If we crash here there is a key that nothing refers to.
    let staging = Arc::clone(&log);
    let vkey =
        crate::http::body::in_background(move || Ok(staging.stage_key()?)).await?.to_string();
    let mut planned = None;
    let written = app
        .control
        .act(&author, |control, now| {
            if !control.logs.contains_key(&name) {
                return Err(ApiError::new(
                    Code::Conflict,
                    format!("{name} is the system's; its key stays"),
                ));
            }
            let until = now.as_micros().saturating_add(i64::from(overlap) * 3_600_000_000);
            let change = Change::KeyReplaced {
                log: name.clone(),
                vkey: vkey.clone(),
                overlap_until: Timestamp::from_micros(until).to_string(),
            };
            planned = Some(change.clone());
            Ok((change, vec![Act::ReplaceKey]))
        })
        .await?;
    let status = if written.pending.is_some() { StatusCode::ACCEPTED } else { StatusCode::CREATED };
    if let (None, Some(change)) = (&written.pending, &planned) {
        app.take_effect(change).await?;
    }
    Ok((status, Json(written.done(vkey))))
}
