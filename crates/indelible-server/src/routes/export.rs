//! Export: everything a query finds, as one stream with a beginning that says what it
//! is and an end that says it is whole. In the trail before its first byte.

use crate::{
    access::gate::Caller,
    app::App,
    body::in_background,
    error::{ApiError, Result},
    params::Params,
    routes::{
        events::view,
        search::{index_of, query, reach_head},
    },
};
use axum::{
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use indelible_api::{Code, ErrorBody, EventView, ExportEnd, ExportLine, ExportStart, NDJSON};
use indelible_event::Timestamp;
use indelible_index::{LogIndex, Order as SearchOrder, Query};
use indelible_log::{Kind, Log};
use serde::Deserialize;
use serde_json::Value;
use std::{io, sync::Arc, time::Duration};
use tokio::sync::mpsc;
use utoipa::IntoParams;

/// Records in one part of the stream.
const PART: usize = 500;
/// Parts that wait for a slow reader, and how long before it is cut off.
const QUEUE: usize = 4;
const PATIENCE: Duration = Duration::from_secs(60);

/// What to export, and how.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ExportParams {
    /// Only what this query finds; everything, if empty.
    q: String,
    /// `ndjson` (default) or `csv`.
    format: Format,
    /// With `ndjson`: the record's bytes and an offline proof with each event.
    proofs: bool,
    /// Go on after this index, in the tree of `size` records: for a download that broke.
    after: Option<u64>,
    /// Records of the log to export from; default all that there are now.
    size: Option<u64>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Ndjson,
    Csv,
}

/// One export on its way.
struct Export {
    app: Arc<App>,
    name: String,
    log: Arc<Log>,
    index: Arc<LogIndex>,
    caller: Caller,
    query: Query,
    params: ExportParams,
    size: u64,
}

/// Export what a query finds, oldest first, without a limit. NDJSON begins with a line
/// `{"export":…}` (query, time, checkpoint), has a line for each event, and ends with
/// `{"end":…}` (count, first and last index): without that line it is not whole. CSV has
/// a heading and a row for each event.
#[utoipa::path(get, path = "/v1/logs/{log}/export", tag = "search", params(("log" = String, Path, description = "Name of the log"), ExportParams),
    responses((status = 200, body = String, content_type = "application/x-ndjson"), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(crate) async fn export(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(name): Path<String>,
    Params(params): Params<ExportParams>,
) -> Result<Response> {
    let log = app.log(&name)?;
    if log.manifest().kind == Kind::Raw {
        return Err(ApiError::new(
            Code::WrongKind,
            format!("log {name:?} takes raw entries; there are no events to export"),
        ));
    }
    let index = index_of(&app, &name)?;
    let now = app.control.now();
    let query = query(&caller, &params.q, now.as_micros())?;
    let head = log.head().size;
    let size = params.size.unwrap_or(head);
    if size > head {
        return Err(ApiError::invalid(format!("size is {size}, the log has {head} records")));
    }
    reach_head(&index, &log).await?;
    let start = ExportStart {
        log: name.clone(),
        origin: log.manifest().origin.clone(),
        q: params.q.clone(),
        made_at: Timestamp::to_string(&now),
        made_by: caller.known()?.id.clone(),
        size,
        checkpoint: log.checkpoint(size)?.to_string(),
        proofs: params.proofs,
    };
    let (kind, first) = match params.format {
        Format::Ndjson => (NDJSON, line(&serde_json::json!({ "export": start }))),
        Format::Csv if params.proofs => {
            return Err(ApiError::invalid("proofs go with format=ndjson"));
        }
        Format::Csv => ("text/csv; charset=utf-8", csv_rows(&[HEADING.map(str::to_owned)])?),
    };
    let (sender, mut receiver) = mpsc::channel::<io::Result<Bytes>>(QUEUE);
    let export = Export { app, name: name.clone(), log, index, caller, query, params, size };
    tokio::spawn(async move {
        if let Err(error) = export.run(first, &sender).await {
            tracing::warn!(
                log = name,
                code = error.code.name(),
                error = error.message,
                "an export was cut off"
            );
            // The reader sees a broken stream, never one that looks whole.
            drop(sender.send(Err(io::Error::other("the export was cut off"))).await);
        }
    });
    let stream = futures_util::stream::poll_fn(move |context| receiver.poll_recv(context));
    let mut response = Body::from_stream(stream).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(response)
}

impl Export {
    async fn run(self, first: Vec<u8>, sender: &mpsc::Sender<io::Result<Bytes>>) -> Result<()> {
        let this = Arc::new(self);
        if !send(sender, first).await {
            return Ok(());
        }
        let mut after = this.params.after;
        let mut end = ExportEnd { count: 0, first: None, last: None };
        loop {
            if !this.caller.still_may_read(&this.app, &this.name) {
                return Err(ApiError::new(
                    Code::Forbidden,
                    "the credential lost its leave on the way",
                ));
            }
            let part = Arc::clone(&this);
            let (bytes, shown, next) = in_background(move || part.part(after)).await?;
            end.count += shown.len() as u64;
            end.first = end.first.or(shown.first().copied());
            end.last = shown.last().copied().or(end.last);
            if !bytes.is_empty() && !send(sender, bytes).await {
                return Ok(());
            }
            match next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        if this.params.format == Format::Ndjson {
            send(sender, line(&serde_json::json!({ "end": end }))).await;
        }
        Ok(())
    }

    /// The next records: their bytes in the stream, their indexes, and where to go on.
    fn part(&self, after: Option<u64>) -> Result<(Vec<u8>, Vec<u64>, Option<u64>)> {
        let hits = self.index.search(&self.query, SearchOrder::OldestFirst, after, PART)?;
        let (mut bytes, mut shown, mut rows) = (Vec::new(), Vec::new(), Vec::new());
        for index in hits.indexes.iter().copied().filter(|index| *index < self.size) {
            let record = self.log.record(index)?;
            let Some(view) = view(&self.log, index, &record, &self.caller.scope) else { continue };
            shown.push(index);
            match self.params.format {
                Format::Csv => rows.push(row(&view)),
                Format::Ndjson => {
                    let (text, proof) = if self.params.proofs {
                        let proof = self.log.prove(index, Some(self.size))?.to_string();
                        (Some(String::from_utf8_lossy(&record).into_owned()), Some(proof))
                    } else {
                        (None, None)
                    };
                    bytes.extend(line(&ExportLine { view, record: text, proof }));
                }
            }
        }
        if !rows.is_empty() {
            bytes = csv_rows(&rows)?;
        }
        let past = hits.indexes.last().is_some_and(|last| *last >= self.size);
        Ok((bytes, shown, hits.next.filter(|next| !past && *next + 1 < self.size)))
    }
}

async fn send(sender: &mpsc::Sender<io::Result<Bytes>>, bytes: Vec<u8>) -> bool {
    let sent = tokio::time::timeout(PATIENCE, sender.send(Ok(bytes.into()))).await;
    matches!(sent, Ok(Ok(())))
}

fn line(value: &impl serde::Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(value).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

const HEADING: [&str; 14] = [
    "index",
    "leaf_hash",
    "id",
    "time",
    "received_at",
    "recorded_by",
    "action",
    "actor_type",
    "actor",
    "outcome",
    "targets",
    "ip",
    "tenant",
    "format",
];

fn row(view: &EventView) -> [String; 14] {
    let text = |pointer: &str| {
        let value = view.event.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        // A spreadsheet must not take what somebody sent for a formula.
        match value.starts_with(['=', '+', '-', '@', '\t', '\r']) {
            true => format!("'{value}"),
            false => value.to_owned(),
        }
    };
    let targets: Vec<String> = view
        .event
        .get("targets")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|target| {
            let part = |name: &str| target.get(name).and_then(Value::as_str).unwrap_or_default();
            format!("{}:{}", part("type"), part("id"))
        })
        .collect();
    let envelope = view.envelope.as_ref();
    let attested = |value: Option<&String>| value.cloned().unwrap_or_default();
    let targets = match targets.join(" ") {
        joined if joined.starts_with(['=', '+', '-', '@']) => format!("'{joined}"),
        joined => joined,
    };
    [
        view.index.to_string(),
        view.leaf_hash.clone(),
        attested(envelope.map(|envelope| &envelope.id)),
        text("/time"),
        attested(envelope.map(|envelope| &envelope.received_at)),
        attested(envelope.map(|envelope| &envelope.recorded_by)),
        text("/action"),
        text("/actor/type"),
        text("/actor/id"),
        text("/outcome/result"),
        targets,
        text("/context/ip"),
        text("/tenant"),
        attested(envelope.map(|envelope| &envelope.format)),
    ]
}

fn csv_rows(rows: &[[String; 14]]) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let failed = |_| ApiError::new(Code::Internal, "a row could not be written");
    for row in rows {
        writer.write_record(row).map_err(failed)?;
    }
    writer.into_inner().map_err(|_| ApiError::new(Code::Internal, "a row could not be written"))
}
