//! Request bodies: read in bounded memory and time, decompressed, told apart.
//!
//! **Memory.** What a body takes beyond its first 64 KiB is taken from a pool, and given
//! back when the records are committed or the body is dropped. Nobody has more than a
//! quarter of the pool. **Time.** A body keeps arriving, and at a least rate. Work on
//! bodies, decompression, begins when they are complete: a body that dribbles holds
//! nothing but its own memory.

use crate::{
    background::in_background,
    error::{ApiError, Result},
    site::{
        bodies::Bodies,
        memory::{Held, Memory, ROOM_WAIT},
    },
};
use axum::{
    body::Body,
    http::{HeaderMap, header},
};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use indelible_api::{Code, MAX_BODY_BYTES, NDJSON};
use indelible_event::{Kind, Utf16};
use std::{io::Read, time::Duration};
use tokio::time::Instant;

/// Bytes of a body that are nobody's business: so much for each connection at most.
const SMALL: usize = 64 << 10;
/// Bytes that a body is inflated to before memory is taken for it.
const INFLATED: usize = 1 << 20;
/// Memory is taken in parts of this many bytes.
const PART: usize = 4 << 20;
/// Bytes in a second that a body must arrive with, after a while.
const RATE: u64 = 16 << 10;
const GRACE: Duration = Duration::from_secs(10);
/// Bytes that reading to the end wants free behind the last.
const PROBE: usize = 64 << 10;
/// Largest body of a route that takes JSON.
const MAX_JSON: usize = 64 << 10;

/// A body, and the memory that it holds.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) bytes: Vec<u8>,
    pub(crate) hold: Hold,
}

/// Memory held in parts, as a body grows.
#[derive(Debug)]
pub(crate) struct Hold {
    memory: Memory,
    who: String,
    parts: Vec<Held>,
    bytes: usize,
}

impl Hold {
    fn new(memory: &Memory, who: &str) -> Self {
        Self { memory: memory.clone(), who: who.to_owned(), parts: Vec::new(), bytes: 0 }
    }

    /// Holds `bytes` in all.
    async fn grow(&mut self, bytes: usize) -> Result<()> {
        let more = bytes.saturating_sub(self.bytes);
        if more > 0 {
            self.parts.push(self.memory.hold(&self.who, more, ROOM_WAIT).await?);
            self.bytes = bytes;
        }
        Ok(())
    }
}

fn too_large(limit: usize) -> ApiError {
    ApiError::new(
        Code::TooLarge,
        format!(
            "the body is over the limit of {limit} bytes (after decompression); send smaller batches"
        ),
    )
}

impl Bodies {
    /// Reads a body of at most `limit` bytes for somebody.
    pub(crate) async fn receive(
        &self,
        who: &str,
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
        let encoding = encoding(headers)?;
        let hold = Hold::new(&self.memory, who);
        let bytes = Vec::with_capacity(announced.unwrap_or(0).min(SMALL));
        let received = self.read(body, Received { bytes, hold }, announced, limit).await?;
        match encoding {
            Encoding::Identity => Ok(received),
            _ => self.decompress(encoding, received, limit).await,
        }
    }

    async fn read(
        &self,
        mut body: Body,
        mut received: Received,
        announced: Option<usize>,
        limit: usize,
    ) -> Result<Received> {
        let started = Instant::now();
        let stopped = || ApiError::new(Code::Timeout, "the body stopped arriving");
        loop {
            let bytes = &mut received.bytes;
            // By when the next part must be here: the silence, and the rate so far.
            let by_rate = GRACE + Duration::from_secs(bytes.len() as u64 / RATE);
            let deadline = (Instant::now() + self.idle).min(started + by_rate);
            let frame = tokio::time::timeout_at(deadline, body.frame());
            let Some(frame) = frame.await.map_err(|_| stopped())? else { break };
            let frame =
                frame.map_err(|e| ApiError::invalid(format!("the body could not be read: {e}")))?;
            let Ok(part) = frame.into_data() else { continue };
            let length = bytes.len().saturating_add(part.len());
            if length > limit {
                return Err(too_large(limit));
            }
            if length > SMALL && length > received.hold.bytes {
                let wanted = announced.unwrap_or(length).min(length.saturating_add(PART));
                received.hold.grow(wanted.max(length)).await?;
                bytes.reserve(wanted.saturating_sub(bytes.len()));
            }
            bytes.extend_from_slice(&part);
        }
        Ok(received)
    }

    /// Undoes Content-Encoding, never past the limit. What inflates to little takes
    /// nothing from the pool.
    async fn decompress(
        &self,
        encoding: Encoding,
        received: Received,
        limit: usize,
    ) -> Result<Received> {
        let _turn = self.work.acquire().await;
        let Received { bytes, mut hold } = received;
        let (bytes, small) = in_background(move || {
            let small = inflate(encoding, &bytes, INFLATED.min(limit))?;
            Ok((bytes, small))
        })
        .await?;
        if let Some(small) = small {
            return Ok(Received { bytes: small, hold });
        }
        if limit <= INFLATED {
            return Err(too_large(limit));
        }
        hold.grow(limit).await?;
        let large = in_background(move || inflate(encoding, &bytes, limit)).await?;
        let bytes = large.ok_or_else(|| too_large(limit))?;
        Ok(Received { bytes, hold })
    }

    /// Reads a body of events, and makes UTF-8 of it, whatever it turns out to be.
    pub(crate) async fn receive_events(
        &self,
        who: &str,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Received> {
        let limit = MAX_BODY_BYTES;
        let mut received = self.receive(who, headers, body, limit).await?;
        // A compressed file that is compressed once more on its way is two.
        for _ in 0..2 {
            let encoding =
                match Kind::of(received.bytes.get(..Kind::LOOK).unwrap_or(&received.bytes)) {
                    Kind::Text => return Ok(received),
                    Kind::Gzip => Encoding::Gzip,
                    Kind::Zstd => Encoding::Zstd,
                    kind @ (Kind::Utf16Little | Kind::Utf16Big) => {
                        return to_utf8(received, kind == Kind::Utf16Big, limit).await;
                    }
                    Kind::Other(what) => {
                        return Err(ApiError::new(
                            Code::UnsupportedMediaType,
                            format!("the body is {what}"),
                        ));
                    }
                };
            received = self.decompress(encoding, received, limit).await?;
        }
        Ok(received)
    }

    /// Reads a small JSON body; an empty one is an empty object.
    pub(crate) async fn receive_json<T: serde::de::DeserializeOwned>(
        &self,
        who: &str,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<T> {
        if !matches!(essence(headers).as_deref(), None | Some("application/json")) {
            return Err(ApiError::new(
                Code::UnsupportedMediaType,
                "this route takes application/json",
            ));
        }
        let received = self.receive(who, headers, body, MAX_JSON).await?;
        let bytes = if received.bytes.is_empty() { b"{}" } else { received.bytes.as_slice() };
        serde_json::from_slice(bytes).map_err(|e| {
            let code = if e.is_data() { Code::InvalidRequest } else { Code::InvalidJson };
            ApiError::new(code, format!("the body is not what this route takes: {e}"))
        })
    }

    /// A body as it is: one raw entry.
    pub(crate) async fn receive_entry(
        &self,
        who: &str,
        headers: &HeaderMap,
        body: Body,
        limit: usize,
    ) -> Result<Bytes> {
        self.receive(who, headers, body, limit).await.map(|received| received.bytes.into())
    }
}

/// UTF-8 of UTF-16, which is at most half as long again.
async fn to_utf8(received: Received, big: bool, limit: usize) -> Result<Received> {
    let Received { bytes, mut hold } = received;
    if bytes.len() > SMALL {
        hold.grow(hold.bytes.max(bytes.len()).saturating_mul(3)).await?;
    }
    let bytes = in_background(move || {
        let mut text = Vec::with_capacity(bytes.len());
        let mut decoder = Utf16::new(big);
        decoder.decode(&bytes, &mut text);
        decoder.end(&mut text);
        Ok(text)
    })
    .await?;
    if bytes.len() > limit { Err(too_large(limit)) } else { Ok(Received { bytes, hold }) }
}

/// How a body is encoded on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

fn encoding(headers: &HeaderMap) -> Result<Encoding> {
    let encoding = headers
        .get(header::CONTENT_ENCODING)
        .map_or("identity", |value| value.to_str().unwrap_or("?"));
    match encoding.trim().to_ascii_lowercase().as_str() {
        "identity" | "" => Ok(Encoding::Identity),
        "gzip" | "x-gzip" => Ok(Encoding::Gzip),
        "zstd" => Ok(Encoding::Zstd),
        other => Err(ApiError::new(
            Code::UnsupportedMediaType,
            format!("Content-Encoding {other:?} is not known; send gzip, zstd or none"),
        )),
    }
}

/// The bytes inflated; `None` if they are more than `limit`.
fn inflate(encoding: Encoding, source: &[u8], limit: usize) -> Result<Option<Vec<u8>>> {
    let mut reader: Box<dyn Read + '_> = match encoding {
        Encoding::Identity => Box::new(source),
        Encoding::Gzip => Box::new(flate2::read::MultiGzDecoder::new(source)),
        Encoding::Zstd => {
            let decoder = zstd::Decoder::with_buffer(source)
                .map_err(|e| ApiError::invalid(format!("the body is not zstd: {e}")))?;
            Box::new(decoder)
        }
    };
    // All at once: growing by doubling holds three times what is held for it, and pages
    // that are not written to cost nothing.
    let mut bytes = Vec::new();
    bytes.reserve_exact(limit.saturating_add(PROBE));
    let read = reader.by_ref().take(limit as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|e| ApiError::invalid(format!("the body does not decompress: {e}")))?;
    Ok((bytes.len() <= limit).then_some(bytes))
}

/// The media type without its parameters, in lower case.
fn essence(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::CONTENT_TYPE)?.to_str().unwrap_or("?");
    Some(text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// Whether events may be in a body of this Content-Type. What they are is told by the
/// content; a type of something else is a mistake that is told early. The type that
/// curl sends by itself is one of those that a page of another site can make a browser
/// send: no credential goes with that by itself but a client certificate, and such
/// requests are refused by the gate (`cross_site`).
pub(crate) fn check_type(headers: &HeaderMap) -> Result<()> {
    const TAKEN: [&str; 9] = [
        "text/plain",
        "text/x-log",
        "application/octet-stream",
        "application/x-www-form-urlencoded",
        "application/gzip",
        "application/x-gzip",
        "application/zstd",
        "application/x-zstd",
        "binary/octet-stream",
    ];
    match essence(headers) {
        None => Ok(()),
        // application/json, application/x-ndjson, text/json, application/jsonlines, …+json
        Some(kind) if kind.contains("json") || TAKEN.contains(&kind.as_str()) => Ok(()),
        Some(other) => Err(ApiError::new(
            Code::UnsupportedMediaType,
            format!(
                "events are not read from Content-Type {other:?}; send application/json or {NDJSON}"
            ),
        )),
    }
}

const _: () = assert!(MAX_BODY_BYTES > INFLATED && INFLATED > SMALL);

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests state their expectations by failing")]
mod tests {
    use super::*;
    use std::convert::Infallible;

    /// A body of `parts` parts of `size` bytes, one a second.
    fn dribble(parts: usize, size: usize) -> Body {
        Body::from_stream(futures_util::stream::unfold(0, move |n| async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            (n < parts).then(|| (Ok::<_, Infallible>(vec![b' '; size]), n + 1))
        }))
    }

    fn bodies() -> Bodies {
        Bodies::new(Duration::from_secs(30), 256 << 20, 2)
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_dribbles_is_let_go_and_a_slow_one_is_not() {
        let started = Instant::now();
        let error = bodies()
            .receive("a", &HeaderMap::new(), dribble(10_000, 1), MAX_BODY_BYTES)
            .await
            .unwrap_err();
        assert_eq!(error.code, Code::Timeout);
        assert!(started.elapsed() < Duration::from_secs(15));
        let slow = bodies()
            .receive("a", &HeaderMap::new(), dribble(200, 32 << 10), MAX_BODY_BYTES)
            .await
            .unwrap();
        assert_eq!(slow.bytes.len(), 200 * (32 << 10));
        assert!(slow.hold.bytes >= slow.bytes.len());
    }

    /// Many large bodies of one caller leave room for another's, and for small ones.
    #[tokio::test(start_paused = true)]
    async fn one_caller_does_not_hold_up_others() {
        let bodies = bodies();
        let mut held = Vec::new();
        for _ in 0..4 {
            let body = Body::from(vec![b' '; 16 << 20]);
            held.push(bodies.receive("a", &HeaderMap::new(), body, MAX_BODY_BYTES).await.unwrap());
        }
        let large = || Body::from(vec![b' '; 16 << 20]);
        let refused =
            bodies.receive("a", &HeaderMap::new(), large(), MAX_BODY_BYTES).await.unwrap_err();
        assert_eq!(refused.code, Code::Overloaded);
        assert!(bodies.receive("b", &HeaderMap::new(), large(), MAX_BODY_BYTES).await.is_ok());
        let small = Body::from("{}");
        assert!(bodies.receive("a", &HeaderMap::new(), small, MAX_BODY_BYTES).await.is_ok());
    }

    #[tokio::test]
    async fn a_bomb_takes_its_share_and_no_more() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, "zstd".parse().unwrap());
        let bomb = zstd::encode_all(std::io::repeat(b' ').take(200 << 20), 3).unwrap();
        let error =
            bodies().receive("a", &headers, Body::from(bomb), MAX_BODY_BYTES).await.unwrap_err();
        assert_eq!(error.code, Code::TooLarge);
        let small = zstd::encode_all(&b"{}"[..], 3).unwrap();
        let small =
            bodies().receive("a", &headers, Body::from(small), MAX_BODY_BYTES).await.unwrap();
        assert_eq!((small.bytes.as_slice(), small.hold.bytes), (&b"{}"[..], 0));
    }
}
