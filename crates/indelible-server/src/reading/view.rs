//! An event as people see it.

use crate::{
    access::Scope,
    error::{ApiError, Result},
    reading::room::{PAGE_BYTES, Reading, Room, weight},
};
use indelible_api::{Code, EventView, RecordName};
use indelible_event::{Envelope, Event, Payload, Timestamp, format_named};
use indelible_log::{Kind, Log, LogError};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// Bytes of senders' data that are looked at for one page, whether shown or not.
const LOOKED_BYTES: usize = 64 << 20;

pub(crate) fn not_found(record: &RecordName) -> ApiError {
    let named = match record {
        RecordName::Index(index) => format!("no record {index} in this log"),
        RecordName::Id(id) => format!("no record with the id {id:?} in this log"),
    };
    ApiError::new(Code::RecordNotFound, named)
}

/// A record as a path names it.
pub(crate) fn named(record: &str) -> Result<RecordName> {
    record.parse().map_err(|e| ApiError::invalid(format!("{e}")).member("record"))
}

/// Index of a record, if the caller may see it: what is not in its scope does not exist
/// for it.
pub(crate) fn locate(room: &Room, log: &Log, record: &RecordName, scope: &Scope) -> Reading<u64> {
    let index = match record {
        RecordName::Index(index) if *index < log.head().size => *index,
        RecordName::Index(_) => return Err(not_found(record).into()),
        RecordName::Id(id) => log.find(id).map_err(|error| match error {
            LogError::NoRecord(_) => not_found(record),
            other => other.into(),
        })?,
    };
    match admits(room, log, &log.record(index)?, scope)? {
        true => Ok(index),
        false => Err(not_found(record).into()),
    }
}

/// Whether a record is in a scope. One that cannot be shown is in none but the whole.
fn admits(room: &Room, log: &Log, record: &[u8], scope: &Scope) -> Reading<bool> {
    if scope.filters.is_none() {
        return Ok(true);
    }
    let Ok(envelope) = Envelope::parse(record) else { return Ok(false) };
    room.look(data_len(record))?;
    let Ok(data) = log.data(&envelope) else { return Ok(false) };
    room.look(weight(&data))?;
    Ok(event(&envelope, &data).is_ok_and(|event| scope.admits(&event)))
}

fn event(envelope: &Envelope<'_>, data: &str) -> std::result::Result<Event, String> {
    let format = format_named(&envelope.format).map_err(|e| e.to_string())?;
    format.view(data).map_err(|e| e.to_string())
}

/// A record as people see it; `None` if it is not in the scope. What it shows is what
/// verification recomputes from an export, by the same function.
pub(crate) fn view(
    log: &Log,
    index: u64,
    record: &[u8],
    scope: &Scope,
    room: &Room,
) -> Reading<Option<EventView>> {
    let narrowed = scope.filters.is_some();
    let is_raw = log.manifest().kind == Kind::Raw;
    let data = match Envelope::parse(record) {
        Ok(envelope) if !is_raw => {
            room.look(data_len(record))?;
            let data = log.data(&envelope).ok();
            if let Some(data) = &data {
                room.look(weight(data))?;
            }
            let admits = |data| event(&envelope, data).is_ok_and(|event| scope.admits(&event));
            if narrowed && !data.as_deref().is_some_and(admits) {
                return Ok(None);
            }
            data
        }
        // What cannot be shown is in no scope but the whole.
        _ if narrowed => return Ok(None),
        _ => None,
    };
    Ok(Some(indelible_export::view(index, is_raw, record, data.as_deref())))
}

/// Bytes of a record with what its sender sent, attachment included, as its envelope
/// says; the attachment is not read.
fn data_len(record: &[u8]) -> usize {
    let attached = match Envelope::parse(record).as_ref().map(Envelope::payload) {
        Ok(Ok(Payload::Attachment(attachment))) => attachment.size,
        _ => 0,
    };
    record.len().saturating_add(usize::try_from(attached).unwrap_or(usize::MAX))
}

/// Asks for the room that it takes to read what is in a record.
pub(crate) fn look(room: &Room, log: &Log, record: &[u8]) -> Reading<()> {
    room.look(data_len(record))?;
    if let Ok(envelope) = Envelope::parse(record)
        && let Ok(data) = log.data(&envelope)
    {
        room.look(weight(&data))?;
    }
    Ok(())
}

/// When a record was received; 0 if it does not say.
pub(crate) fn received(record: &[u8]) -> Timestamp {
    let envelope = Envelope::parse(record).ok();
    let time = envelope.and_then(|envelope| envelope.received_at.parse().ok());
    time.unwrap_or(Timestamp::from_micros(0))
}

/// A view, written: what it takes is what it shows, however many values there are in it.
#[derive(Debug, Clone)]
pub(crate) struct Rendered {
    pub(crate) index: u64,
    json: Box<RawValue>,
}

impl Rendered {
    fn new(view: &EventView) -> Result<Self> {
        let json = serde_json::value::to_raw_value(view);
        let json = json.map_err(|e| ApiError::internal("an event could not be written", &e))?;
        Ok(Self { index: view.index, json })
    }

    /// It as JSON.
    pub(crate) fn json(&self) -> &str {
        self.json.get()
    }
}

impl Serialize for Rendered {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.json.serialize(serializer)
    }
}

/// The events of one answer, as many as were asked for and as there is room for.
#[derive(Debug)]
pub(crate) struct Gathered {
    pub(crate) items: Vec<Rendered>,
    limit: usize,
    budget: usize,
    shown: usize,
    looked: usize,
}

impl Gathered {
    pub(crate) fn new(limit: usize) -> Self {
        Self::within(limit, PAGE_BYTES)
    }

    /// At most `limit` events of together `budget` bytes; a larger one stands alone.
    pub(crate) const fn within(limit: usize, budget: usize) -> Self {
        Self { items: Vec::new(), limit, budget, shown: 0, looked: 0 }
    }

    /// Whether nothing more fits, or enough was looked at.
    pub(crate) fn is_full(&self) -> bool {
        self.items.len() >= self.limit || self.shown >= self.budget || self.looked >= LOOKED_BYTES
    }

    /// Adds a record, if it is in the scope; `false` if there is no room for it here, so
    /// that it is the first of the next.
    pub(crate) fn add(
        &mut self,
        room: &mut Room,
        log: &Log,
        index: u64,
        record: &[u8],
        scope: &Scope,
    ) -> Reading<bool> {
        let len = data_len(record);
        let fits = |len: usize| self.items.is_empty() || self.shown + len <= self.budget;
        if self.is_full() || !fits(len) {
            return Ok(false);
        }
        if let Some(view) = view(log, index, record, scope, room)? {
            let rendered = Rendered::new(&view)?;
            drop(view);
            let len = rendered.json().len();
            if !fits(len) {
                return Ok(false);
            }
            room.keep(len)?;
            self.shown += len;
            self.items.push(rendered);
        }
        self.looked = self.looked.saturating_add(len);
        Ok(true)
    }
}

/// One event alone.
pub(crate) fn one(
    room: &mut Room,
    log: &Log,
    record: &RecordName,
    scope: &Scope,
) -> Reading<Rendered> {
    let index = locate(room, log, record, scope)?;
    let mut gathered = Gathered::new(1);
    gathered.add(room, log, index, &log.record(index)?, scope)?;
    Ok(gathered.items.pop().ok_or_else(|| not_found(record))?)
}
