//! Request bodies: read in bounded memory and time, decompressed, told apart.

use crate::{
    app::App,
    error::{ApiError, Result},
};
use axum::{
    body::Body,
    http::{HeaderMap, header},
};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use indelible_api::{Code, MAX_BODY_BYTES, NDJSON};
use std::io::Read;
use tokio::sync::OwnedSemaphorePermit;

/// Bodies over this many bytes take one of a few permits.
const LARGE: usize = 1 << 20;

/// A body, and the permit that it holds memory with.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) bytes: Vec<u8>,
    pub(crate) permit: Option<OwnedSemaphorePermit>,
}

fn too_large(limit: usize) -> ApiError {
    ApiError::new(
        Code::TooLarge,
        format!(
            "the body is over the limit of {limit} bytes (after decompression); send smaller batches"
        ),
    )
}

/// Reads a body of at most `limit` bytes.
pub(crate) async fn receive(
    app: &App,
    headers: &HeaderMap,
    body: Body,
    limit: usize,
) -> Result<Received> {
    let announced: Option<usize> = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse().ok());
    if announced.is_some_and(|announced| announced > limit) {
        return Err(too_large(limit));
    }
    let mut permit = None;
    let mut bytes = Vec::with_capacity(announced.unwrap_or(0).min(LARGE));
    let mut body = body;
    loop {
        let frame = tokio::time::timeout(app.limits.idle, body.frame())
            .await
            .map_err(|_| ApiError::new(Code::Timeout, "the body stopped arriving"))?;
        let Some(frame) = frame else { break };
        let frame =
            frame.map_err(|e| ApiError::invalid(format!("the body could not be read: {e}")))?;
        let Ok(part) = frame.into_data() else { continue };
        if bytes.len() + part.len() > limit {
            return Err(too_large(limit));
        }
        if permit.is_none() && bytes.len() + part.len() > LARGE {
            permit = app.large_bodies.clone().acquire_owned().await.ok();
            bytes.reserve(announced.unwrap_or(0).saturating_sub(bytes.len()));
        }
        bytes.extend_from_slice(&part);
    }
    decompress(app, headers, Received { bytes, permit }, limit).await
}

/// Reads a small JSON body; an empty one is an empty object.
pub(crate) async fn receive_json<T: serde::de::DeserializeOwned>(
    app: &App,
    headers: &HeaderMap,
    body: Body,
) -> Result<T> {
    let received = receive(app, headers, body, 64 << 10).await?;
    let bytes = if received.bytes.is_empty() { b"{}" } else { received.bytes.as_slice() };
    serde_json::from_slice(bytes).map_err(|e| {
        let code = if e.is_data() { Code::InvalidRequest } else { Code::InvalidJson };
        ApiError::new(code, format!("the body is not what this route takes: {e}"))
    })
}

/// Undoes Content-Encoding, never past the limit.
async fn decompress(
    app: &App,
    headers: &HeaderMap,
    received: Received,
    limit: usize,
) -> Result<Received> {
    let encoding = headers
        .get(header::CONTENT_ENCODING)
        .map_or("identity", |value| value.to_str().unwrap_or("?"));
    let gzip = match encoding.trim().to_ascii_lowercase().as_str() {
        "identity" | "" => return Ok(received),
        "gzip" | "x-gzip" => true,
        "zstd" => false,
        other => {
            return Err(ApiError::new(
                Code::UnsupportedMediaType,
                format!("Content-Encoding {other:?} is not known; send gzip, zstd or none"),
            ));
        }
    };
    let permit = match received.permit {
        Some(permit) => Some(permit),
        None => app.large_bodies.clone().acquire_owned().await.ok(),
    };
    let inflate = move || -> Result<Vec<u8>> {
        let source = received.bytes.as_slice();
        let mut reader: Box<dyn Read> = if gzip {
            Box::new(flate2::read::MultiGzDecoder::new(source))
        } else {
            let decoder = zstd::Decoder::with_buffer(source)
                .map_err(|e| ApiError::invalid(format!("the body is not zstd: {e}")))?;
            Box::new(decoder)
        };
        let mut bytes = Vec::new();
        let read = reader.by_ref().take(limit as u64 + 1).read_to_end(&mut bytes);
        read.map_err(|e| ApiError::invalid(format!("the body does not decompress: {e}")))?;
        if bytes.len() > limit { Err(too_large(limit)) } else { Ok(bytes) }
    };
    let bytes = in_background(inflate).await?;
    Ok(Received { bytes, permit })
}

/// Runs CPU work of some milliseconds where it does not hold up other requests.
pub(crate) async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// How a body of events is to be split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// One JSON value: an event, an array of events, or a container of the format.
    Json,
    /// One event per line.
    Lines,
}

/// The layout the Content-Type announces.
pub(crate) fn layout(headers: &HeaderMap) -> Result<Layout> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(Layout::Json) };
    let text = value.to_str().unwrap_or("?");
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/json" => Ok(Layout::Json),
        NDJSON | "application/ndjson" | "application/jsonl" => Ok(Layout::Lines),
        _ => Err(ApiError::new(
            Code::UnsupportedMediaType,
            format!("Content-Type {text:?} is not known; send application/json or {NDJSON}"),
        )),
    }
}

/// A body as it is, without decompression: one raw entry.
pub(crate) async fn receive_entry(
    app: &App,
    headers: &HeaderMap,
    body: Body,
    limit: usize,
) -> Result<Bytes> {
    receive(app, headers, body, limit).await.map(|received| received.bytes.into())
}

const _: () = assert!(MAX_BODY_BYTES > LARGE);
