//! Logs: create, list, show, publish, replace the key.

use crate::{
    access::{Decision, Permission, caller::Caller, decide},
    app::App,
    control::{
        event::Change,
        fold::{Control, LogEntry},
        key::KeyReplaced,
        log::{LogCreated, LogPublished},
    },
    error::{ApiError, Result},
    http::answer::Answer,
    routes::acts::{asker, status},
    trail::shown::Facts,
};
use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
};
use indelible_api::{ChangeLog, CreateLog, Done, ErrorBody, LogInfo, LogKey, Page, RotateKey};
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
    let announcements = log.announcements();
    let announced = std::iter::once(None).chain(announcements.iter().map(Some));
    let keys = match entry {
        Some(LogEntry { keys, .. }) => keys
            .iter()
            .zip(announced.chain(std::iter::repeat(None)))
            .map(|((vkey, until), announcement)| LogKey {
                vkey: vkey.clone(),
                signs_until: until.map(|at| at.to_string()),
                announcement: announcement.map(ToString::to_string),
            })
            .collect(),
        None => vec![LogKey { vkey: vkey.clone(), signs_until: None, announcement: None }],
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
    let act = LogCreated::new(wanted.name.clone(), kind);
    app.control.act(asker(&caller, None)?, act).await?;
    let log = app.log(&wanted.name)?;
    Ok((StatusCode::CREATED, Json(info(&wanted.name, &log, &app.control.current()))))
}

/// List the logs that the caller may know of.
#[utoipa::path(get, path = "/v1/logs", tag = "logs", responses((status = 200, body = Page<LogInfo>), (status = 401, body = ErrorBody)))]
pub(crate) async fn list_logs(State(app): State<Arc<App>>, caller: Caller) -> Result<Answer> {
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
    let page = Page { items, next: None };
    Ok(Answer::json(&page, Facts::default().with("items", page.items.len())))
}

/// Show one log: its origin, keys, size and root.
#[utoipa::path(get, path = "/v1/logs/{log}", tag = "logs", params(("log" = String, Path, description = "Name of the log")),
    responses((status = 200, body = LogInfo), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn show_log(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Answer> {
    let info = info(&name, app.log(&name)?.as_ref(), &app.control.current());
    Ok(Answer::json(&info, Facts::default()))
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
    let act = LogPublished { log: name.clone(), public: wanted.public };
    let written = app.control.act(asker(&caller, wanted.reason)?, act).await?;
    Ok((status(&written, StatusCode::OK), Json(written.done(name))))
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
    let until = app.control.now().as_micros().saturating_add(i64::from(overlap) * 3_600_000_000);
    let act = KeyReplaced::new(name, Timestamp::from_micros(until));
    let written = app.control.act(asker(&caller, wanted.reason)?, act).await?;
    let vkey = match &written.change {
        Change::KeyReplaced(made) => made.vkey.clone(),
        _ => String::new(),
    };
    Ok((status(&written, StatusCode::CREATED), Json(written.done(vkey))))
}
