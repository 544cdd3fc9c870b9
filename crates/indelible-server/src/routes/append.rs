//! Appending events: the body is read, its events are checked and hashed, appended, and
//! answered with receipts.

use crate::{
    access::{Permission, caller::Caller},
    app::App,
    background::{in_background, may_block},
    error::Result,
    http::{
        answer::Answer,
        body::{Received, layout},
        params::Params,
    },
    intake::{Answered, Door, Staged, stage},
    trail::shown::{Facts, Shown},
};
use axum::{
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, header},
    response::IntoResponse as _,
};
use indelible_api::{Appended, ErrorBody, MAX_BODY_BYTES};
use indelible_event::{NATIVE, format_named};
use indelible_log::{Batch, Committed, Log};
use serde::Deserialize;
use std::{sync::Arc, time::Instant};
use utoipa::IntoParams;

/// Bodies up to this many bytes are parsed where they arrive.
const INLINE: usize = 16 << 10;

/// How to take the events.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AppendParams {
    /// Add an inclusion proof to each receipt.
    proof: bool,
    /// Append what is good and answer each refused event with its error.
    partial: bool,
    /// Format of the events: `indelible.v1` (default), `aws.cloudtrail.v1`,
    /// `kubernetes.audit.v1`.
    format: Option<String>,
}

/// Append events: one JSON object, an array, or NDJSON.
///
/// A batch is all or nothing unless `partial`. The answer leaves once the records
/// are durable and under a signed checkpoint.
#[utoipa::path(post, path = "/v1/logs/{log}/events", tag = "events",
    params(("log" = String, Path, description = "Name of the log"), AppendParams),
    request_body(content = String, content_type = "application/json", description = "Events; also application/x-ndjson. Content-Encoding gzip and zstd are taken."),
    responses((status = 200, body = Appended), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody),
        (status = 413, body = ErrorBody), (status = 415, body = ErrorBody), (status = 503, body = ErrorBody), (status = 507, body = ErrorBody)))]
pub(crate) async fn append_events(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(name): Path<String>,
    Params(params): Params<AppendParams>,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer> {
    let result = append(&app, &caller, &name, &params, &headers, body).await;
    if result.is_err() {
        app.metrics.refused();
    }
    result
}

async fn append(
    app: &App,
    caller: &Caller,
    name: &str,
    params: &AppendParams,
    headers: &HeaderMap,
    body: Body,
) -> Result<Answer> {
    let log = app.log(name)?;
    let format = format_named(params.format.as_deref().unwrap_or(NATIVE))?;
    let layout = layout(headers)?;
    let received = app.bodies.receive(caller.who(), headers, body, MAX_BODY_BYTES).await?;
    let recorded_by = caller.principal()?.id.clone();
    let (scope, partial) = (Arc::clone(&caller.scope), params.partial);
    let door = Door { log: Arc::clone(&log), recorded_by, scope, format, partial };
    // Held until the records are committed: they are as large as the body.
    let Received { bytes, hold } = received;
    let large = bytes.len() > INLINE;
    let stage = move || {
        let staged = stage(&door, layout, &bytes)?;
        Ok((door, staged))
    };
    let (door, staged) = if large { in_background(stage).await? } else { stage()? };
    // What was true at the request's head need not be true behind its body.
    caller.still_may(&app.control, Permission::Append, name)?;
    let started = Instant::now();
    let Staged { batch, received_at, refused, count } = staged;
    let committed = commit(&log, batch, large).await?;
    drop(hold);
    app.metrics.appended(committed.placed.len(), started.elapsed());
    let proof = params.proof;
    let answer = move || Answered::of(&door, &committed, refused, count, received_at, proof);
    let Answered { body, refused } = if large { in_background(answer).await? } else { answer()? };
    let mut response = body.into_response();
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(Answer::new(
        response,
        match refused {
            Some((code, count)) => Shown::Refused(code, Facts::default().with("refused", count)),
            None => Shown::Nothing,
        },
    ))
}

/// A lone small append pays one sync and no hand-over to another thread.
async fn commit(log: &Log, batch: Batch, large: bool) -> Result<Committed> {
    if !large
        && may_block()
        && let Some(lead) = log.lead()
    {
        return Ok(tokio::task::block_in_place(|| lead.commit(batch))?);
    }
    Ok(log.submit(batch).await?)
}
