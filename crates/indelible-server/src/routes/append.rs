//! Appending events: split, check, hash (in parallel with other requests), append,
//! answer with receipts.

use crate::{
    access::gate::Caller,
    app::App,
    body::{Layout, in_background, layout, receive},
    error::{ApiError, Result},
    params::Params,
};
use axum::{
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use indelible_api::{Appended, Code, ErrorBody, ItemError, MAX_BODY_BYTES, MAX_EVENTS};
use indelible_event::{Format, NATIVE, Timestamp, format_named, recognise, record_id};
use indelible_log::{Batch, Committed, Log, Placed};
use indelible_tlog::Hash;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{io::Write as _, sync::Arc, time::Instant};
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

/// A batch ready for the log.
struct Staged {
    batch: Batch,
    received_at: Timestamp,
    /// In a partial batch: events that were refused before the log saw them.
    refused: Vec<(usize, ItemError)>,
    /// Events in the request.
    count: usize,
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
) -> Result<Response> {
    let result = append(&app, caller, &name, &params, &headers, body).await;
    if result.is_err() {
        app.metrics.refused();
    }
    result
}

async fn append(
    app: &Arc<App>,
    caller: Caller,
    name: &str,
    params: &AppendParams,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response> {
    let log = app.log(name)?;
    let format = format_named(params.format.as_deref().unwrap_or(NATIVE))?;
    let layout = layout(headers)?;
    let received = receive(app, headers, body, MAX_BODY_BYTES).await?;
    let partial = params.partial;
    let large = received.bytes.len() > INLINE;
    let door = Door { log: Arc::clone(&log), caller, format, partial };
    let (door, staged) = if large {
        // The permit is held until the records are hashed and the body is dropped.
        in_background(move || {
            let _permit = received.permit;
            let staged = stage(&door, layout, &received.bytes)?;
            Ok((door, staged))
        })
        .await?
    } else {
        let staged = stage(&door, layout, &received.bytes)?;
        (door, staged)
    };
    let started = Instant::now();
    let Staged { batch, received_at, refused, count } = staged;
    let committed = log.submit(batch).await?;
    app.metrics.appended(committed.placed.len(), started.elapsed());
    let proof = params.proof;
    let format_answer = move || answer(&door, &committed, refused, count, received_at, proof);
    let body = if large { in_background(format_answer).await? } else { format_answer()? };
    let mut response = body.into_response();
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// Where the events of a request go, and for whom.
struct Door {
    log: Arc<Log>,
    caller: Caller,
    format: &'static dyn Format,
    partial: bool,
}

impl Door {
    fn recorded_by(&self) -> Result<&str> {
        Ok(&self.caller.known()?.id)
    }

    /// A writer narrowed to a tenant writes that tenant's events only.
    fn check_tenant(&self, data: &str) -> Result<()> {
        if self.caller.scope.filters.is_none() {
            return Ok(());
        }
        let event = self.format.view(data)?;
        if self.caller.scope.admits(&event) {
            return Ok(());
        }
        let error = ApiError::new(
            Code::Forbidden,
            "this credential writes for one tenant only, and the event's tenant is another or missing",
        );
        Err(error.member("tenant"))
    }
}

/// Splits a body into events, checks each and encodes its record.
fn stage(door: &Door, layout: Layout, bytes: &[u8]) -> Result<Staged> {
    let Door { log, format, partial, .. } = door;
    let (format, partial) = (*format, *partial);
    let text = std::str::from_utf8(bytes)
        .map_err(|e| ApiError::new(Code::InvalidJson, format!("the body is not UTF-8: {e}")))?;
    let (received_at, header) = log.header(door.recorded_by()?, format.name());
    let mut batch = Batch::new();
    batch.partial = partial;
    // Envelopes add about a third to an ordinary event.
    batch.reserve(text.len() + text.len() / 3 + 256);
    let mut refused = Vec::new();
    let mut count = 0;
    let mut take = |data: &str| -> Result<()> {
        let position = count;
        if position == MAX_EVENTS {
            return Err(ApiError::new(
                Code::TooLarge,
                format!("more than {MAX_EVENTS} events in one request; split it"),
            ));
        }
        count += 1;
        let staged = door
            .check_tenant(data)
            .and_then(|()| Ok(log.stage(&mut batch, &header, received_at, format, data)?));
        match staged {
            Ok(()) => Ok(()),
            Err(error) if partial && !error.is_fatal() => {
                refused.push((position, error.into_item()));
                Ok(())
            }
            Err(error) => Err(error.at(position)),
        }
    };
    match layout {
        Layout::Lines => {
            text.lines().map(str::trim).filter(|line| !line.is_empty()).try_for_each(&mut take)?
        }
        Layout::Json => for_each_event(format, text.trim(), &mut take)?,
    }
    if count == 0 {
        return Err(ApiError::invalid("the body holds no events"));
    }
    Ok(Staged { batch, received_at, refused, count })
}

/// Visits the events of a JSON document without holding more than one apart: an
/// array of ten million is refused at the limit, not parsed to its end.
fn for_each_event(
    format: &'static dyn Format,
    text: &str,
    take: &mut impl FnMut(&str) -> Result<()>,
) -> Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    if text.starts_with('[') {
        return for_each_element(text, take);
    }
    // A container (a CloudTrail file, an EventList) of the format that was asked for.
    if format.name() != NATIVE
        && let Ok((found, events)) = recognise(text)
        && found.name() == format.name()
    {
        return events.into_iter().try_for_each(take);
    }
    take(text)
}

fn for_each_element(text: &str, take: &mut impl FnMut(&str) -> Result<()>) -> Result<()> {
    struct Elements<'a, F>(&'a mut F, &'a mut Option<ApiError>);
    impl<'de, F: FnMut(&str) -> Result<()>> serde::de::Visitor<'de> for Elements<'_, F> {
        type Value = ();

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an array of events")
        }

        fn visit_seq<A: serde::de::SeqAccess<'de>>(
            self,
            mut elements: A,
        ) -> std::result::Result<(), A::Error> {
            while let Some(element) = elements.next_element::<&RawValue>()? {
                if let Err(error) = (self.0)(element.get()) {
                    *self.1 = Some(error);
                    return Err(serde::de::Error::custom("stopped"));
                }
            }
            Ok(())
        }
    }
    let mut refused = None;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let parsed =
        serde::Deserializer::deserialize_seq(&mut deserializer, Elements(take, &mut refused))
            .and_then(|()| deserializer.end());
    match (parsed, refused) {
        (_, Some(error)) => Err(error),
        (Err(error), None) => {
            Err(ApiError::new(Code::InvalidJson, format!("not valid JSON: {error}")))
        }
        (Ok(()), None) => Ok(()),
    }
}

/// The answer, written straight to bytes: at full load this is a tenth of the work.
fn answer(
    door: &Door,
    committed: &Committed,
    refused: Vec<(usize, ItemError)>,
    count: usize,
    received_at: Timestamp,
    proof: bool,
) -> Result<Vec<u8>> {
    let log = &door.log;
    let mut out = Vec::with_capacity(256 + count * 150);
    out.extend_from_slice(b"{\"receipts\":[");
    let mut refused = refused.into_iter().peekable();
    let mut placed = committed.placed.iter().enumerate();
    for position in 0..count {
        if position > 0 {
            out.push(b',');
        }
        if let Some((_, error)) = refused.next_if(|(at, _)| *at == position) {
            write_refused(&mut out, &error);
            continue;
        }
        let Some((entry, place)) = placed.next() else { continue };
        match place {
            Placed::Created(index) => {
                let leaf = committed.batch.leaf(entry).unwrap_or_default();
                write_receipt(&mut out, log, committed, entry, *index, &leaf, "created", proof)?;
            }
            Placed::Duplicate { index, leaf } => {
                write_receipt(&mut out, log, committed, entry, *index, leaf, "duplicate", proof)?;
            }
            Placed::Refused(error) => {
                write_refused(&mut out, &ApiError::from(error.clone()).into_item())
            }
        }
    }
    out.extend_from_slice(b"],\"checkpoint\":");
    write_json(&mut out, &*committed.head.note);
    write!(out, ",\"received_at\":\"{received_at}\",\"recorded_by\":").unwrap_or_default();
    write_json(&mut out, door.recorded_by()?);
    out.push(b'}');
    Ok(out)
}

#[expect(clippy::too_many_arguments, reason = "one receipt has this many parts")]
fn write_receipt(
    out: &mut Vec<u8>,
    log: &Log,
    committed: &Committed,
    entry: usize,
    index: u64,
    leaf: &Hash,
    status: &str,
    proof: bool,
) -> Result<()> {
    // Writing to memory does not fail.
    write!(out, "{{\"index\":{index},\"id\":").unwrap_or_default();
    let id = record_id(committed.batch.record(entry)).unwrap_or_default();
    if id.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'"' && b != b'\\') {
        out.push(b'"');
        out.extend_from_slice(id.as_bytes());
        out.push(b'"');
    } else {
        write_json(out, id.as_ref());
    }
    write!(out, ",\"leaf_hash\":\"{leaf}\",\"status\":\"{status}\"").unwrap_or_default();
    if proof {
        let hashes = log.inclusion_proof(index, committed.head.size)?;
        out.extend_from_slice(b",\"inclusion_proof\":[");
        for (n, hash) in hashes.iter().enumerate() {
            write!(out, "{}\"{hash}\"", if n > 0 { "," } else { "" }).unwrap_or_default();
        }
        out.push(b']');
    }
    out.push(b'}');
    Ok(())
}

fn write_refused(out: &mut Vec<u8>, error: &ItemError) {
    out.extend_from_slice(b"{\"error\":");
    write_json(out, error);
    out.push(b'}');
}

fn write_json<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    // Plain strings and structs of them serialise without error.
    serde_json::to_writer(out, value).unwrap_or_default();
}
