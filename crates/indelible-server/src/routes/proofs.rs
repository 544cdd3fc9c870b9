//! Receipts, consistency proofs, checkpoints.

use crate::{
    access::caller::Caller,
    app::App,
    background::in_background,
    error::{ApiError, Result},
    http::answer::Answer,
    http::params::Params,
    reading::{
        reader::Reader,
        room::{Reading, Room},
        view::{locate, named},
    },
    trail::shown::Facts,
};
use axum::{
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use indelible_api::{Consistency, ErrorBody, ReceiptView};
use indelible_tlog::{Hash, OfflineProof};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::IntoParams;

/// Under which checkpoint.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SizeParams {
    /// Size of the tree; default the latest.
    size: Option<u64>,
}

/// Between which sizes.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct RangeParams {
    /// Size of the older tree.
    from: u64,
    /// Size of the newer tree; default the latest.
    #[serde(default)]
    to: Option<u64>,
}

pub(crate) fn text(body: String) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

fn texts(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(ToString::to_string).collect()
}

/// The receipt of a record: a C2SP tlog-proof file, or JSON on
/// `Accept: application/json`.
#[utoipa::path(get, path = "/v1/logs/{log}/receipts/{record}", tag = "proofs",
    params(("log" = String, Path, description = "Name of the log"), ("record" = String, Path, description = "Index, or id:ID"), SizeParams),
    responses((status = 200, content((String = "text/plain"), (ReceiptView = "application/json"))), (status = 404, body = ErrorBody)))]
pub(crate) async fn show_receipt(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((name, record)): Path<(String, String)>,
    Params(params): Params<SizeParams>,
    headers: HeaderMap,
) -> Result<Answer> {
    let log = app.log(&name)?;
    let accept =
        headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let json = accept.contains("application/json");
    let record = named(&record)?;
    let scope = Arc::clone(&caller.scope);
    let reader = Reader::of_proofs(&app.desk, caller, &name);
    let read = move |room: &mut Room| -> Reading<(OfflineProof, String)> {
        let index = locate(room, &log, &record, &scope)?;
        Ok((log.prove(index, params.size)?, log.leaf_hash(index)?.to_string()))
    };
    let ((proof, leaf_hash), _) = reader.read(read).await?;
    let facts = Facts::of_record(proof.index).with_some("size", params.size);
    if !json {
        return Ok(Answer::here(text(proof.to_string()), facts));
    }
    let view = ReceiptView {
        index: proof.index,
        leaf_hash,
        inclusion_proof: texts(&proof.hashes),
        checkpoint: proof.checkpoint,
    };
    Ok(Answer::json(&view, facts))
}

/// Proof that the log of `from` records is a prefix of the log of `to` records.
#[utoipa::path(get, path = "/v1/logs/{log}/consistency", tag = "proofs",
    params(("log" = String, Path, description = "Name of the log"), RangeParams),
    responses((status = 200, body = Consistency), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn show_consistency(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    Params(params): Params<RangeParams>,
) -> Result<Answer> {
    let log = app.log(&name)?;
    in_background(move || {
        let (from, to) = (params.from, params.to.unwrap_or_else(|| log.head().size));
        if from > to {
            return Err(ApiError::invalid(format!("from={from} is larger than to={to}")));
        }
        let proof = log.consistency_proof(from, to)?;
        let (from_root, to_root) = (log.root(from)?.to_string(), log.root(to)?.to_string());
        let view = Consistency { from, to, from_root, to_root, proof: texts(&proof) };
        Ok(Answer::json(&view, Facts::default().with("from", from).with("to", to)))
    })
    .await
}

/// The signed checkpoint, the latest or of `size` records (C2SP tlog-checkpoint).
#[utoipa::path(get, path = "/v1/logs/{log}/checkpoint", tag = "proofs",
    params(("log" = String, Path, description = "Name of the log"), SizeParams),
    responses((status = 200, body = String, content_type = "text/plain"), (status = 404, body = ErrorBody)))]
pub(crate) async fn show_checkpoint(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    Params(params): Params<SizeParams>,
) -> Result<Answer> {
    let log = app.log(&name)?;
    let (size, note) = match params.size {
        None => {
            let head = log.head();
            (head.size, head.note.to_string())
        }
        Some(size) => in_background(move || Ok((size, log.checkpoint(size)?.to_string()))).await?,
    };
    Ok(Answer::here(text(note), Facts::default().with("size", size)))
}
