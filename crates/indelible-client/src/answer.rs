//! How much of an answer is read. Whoever is asked may be the one that is under
//! suspicion, and could send without end; each kind of answer has its bound, and what is
//! longer is no answer.

use crate::error::{ClientError, Result};
use bytes::Bytes;
use indelible_api::{ErrorBody, MAX_BODY_BYTES};
use indelible_event::MAX_RECORD_LEN;
use indelible_tlog::{MAX_ENTRY_LEN, TILE_WIDTH};
use reqwest::Response;

/// A signed checkpoint, however many cosign it.
pub(crate) const CHECKPOINT: usize = 1 << 20;
/// An offline proof: a checkpoint, and hashes.
pub(crate) const PROOF: usize = CHECKPOINT + (16 << 10);
/// A full tile of hashes.
pub(crate) const TILE: usize = 32 * TILE_WIDTH as usize;
/// A full bundle of the longest entries, each after its length.
pub(crate) const BUNDLE: usize = (MAX_ENTRY_LEN + 2) * TILE_WIDTH as usize;
/// A record.
pub(crate) const RECORD: usize = MAX_RECORD_LEN;
/// An attachment whose length is not known.
pub(crate) const ATTACHMENT: usize = MAX_BODY_BYTES;
/// A page of JSON. A page ends after 4 MiB of events, but the last of them can be as long
/// as a request, and twice that where every character is escaped.
pub(crate) const JSON: usize = 2 * MAX_BODY_BYTES + (16 << 20);
/// One receipt with its proof.
pub(crate) const RECEIPT: usize = 8 << 10;
/// The error of a refused request.
const REFUSAL: usize = 256 << 10;

/// Reads an answer of at most `most` bytes.
pub(crate) async fn read(
    mut answer: Response,
    most: usize,
    broken: impl FnOnce(reqwest::Error) -> ClientError,
) -> Result<Bytes> {
    let told = answer.content_length().unwrap_or(0);
    if usize::try_from(told).map_or(true, |told| told > most) {
        return Err(ClientError::TooLong { most });
    }
    let mut body = Vec::with_capacity(usize::try_from(told).unwrap_or(0).min(1 << 20));
    loop {
        match answer.chunk().await {
            Ok(Some(part)) if part.len() > most - body.len() => {
                return Err(ClientError::TooLong { most });
            }
            Ok(Some(part)) => body.extend_from_slice(&part),
            Ok(None) => return Ok(body.into()),
            Err(error) => return Err(broken(error)),
        }
    }
}

/// The error in the answer to a refused request.
pub(crate) async fn refusal(answer: Response) -> ClientError {
    let status = answer.status().as_u16();
    let body = read(answer, REFUSAL, |_| ClientError::Answer("it broke off".into())).await;
    match serde_json::from_slice::<ErrorBody>(&body.unwrap_or_default()) {
        Ok(body) => ClientError::Api { status, body: Box::new(body) },
        Err(_) => ClientError::Status(status),
    }
}
