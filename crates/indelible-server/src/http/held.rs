//! Bodies that hold memory until they have left.

use crate::{
    background::in_background,
    error::{ApiError, Result},
    site::memory::Held,
};
use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::Response,
};
use bytes::Bytes;
use futures_util::stream;
use serde::Serialize;
use std::convert::Infallible;

/// Bytes that are handed to the connection at a time.
const PART: usize = 64 << 10;

/// A body's bytes, and the memory they are held in.
struct Owned {
    bytes: Vec<u8>,
    _held: Held,
}

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// JSON, written where it does not hold up others if it is large.
pub(crate) async fn json(
    value: impl Serialize + Send + 'static,
    held: Option<Held>,
) -> Result<Response> {
    let write = move || {
        let bytes = serde_json::to_vec(&value);
        bytes.map_err(|e| ApiError::internal("the answer could not be written", &e))
    };
    let bytes = if held.is_some() { in_background(write).await? } else { write()? };
    Ok(response("application/json", bytes, held))
}

/// Bytes as they are. What is held is given back when the last of them has left, so that
/// a peer that does not read holds what is its own.
pub(crate) fn response(kind: &'static str, bytes: Vec<u8>, held: Option<Held>) -> Response {
    let length = bytes.len();
    let body = match held {
        None => Body::from(bytes),
        Some(mut held) => {
            held.shrink(length);
            let mut rest = Bytes::from_owner(Owned { bytes, _held: held });
            Body::from_stream(stream::iter(std::iter::from_fn(move || {
                let part = rest.split_to(PART.min(rest.len()));
                (!part.is_empty()).then_some(Ok::<_, Infallible>(part))
            })))
        }
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    response
}
