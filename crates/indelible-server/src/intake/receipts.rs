//! The receipts of an append, as JSON.

use super::door::Door;
use crate::error::{ApiError, Result};
use indelible_api::{Code, ItemError};
use indelible_event::{Place, Timestamp, record_id};
use indelible_log::{Committed, Log, Placed};
use indelible_tlog::Hash;
use std::io::Write as _;

/// What is left of what was staged when its batch is committed.
#[derive(Debug)]
pub(crate) struct Answering {
    pub(crate) received_at: Timestamp,
    /// What was refused before the log saw it.
    pub(crate) refused: Vec<(usize, ItemError)>,
    /// Where each event of the batch stands in the body.
    pub(crate) places: Vec<Place>,
    /// Events in the request.
    pub(crate) count: usize,
}

/// The answer to an append.
#[derive(Debug)]
pub(crate) struct Answered {
    /// The answer, JSON.
    pub(crate) body: Vec<u8>,
    /// Of a partial batch: why the first event that was none of the writer's business,
    /// or whose id was taken, was refused, and how many were.
    pub(crate) refused: Option<(Code, usize)>,
}

impl Answered {
    /// Writes the answer straight to bytes: at full load this is a tenth of the work.
    ///
    /// # Errors
    /// What should be told of a record is not there.
    pub(crate) fn of(
        door: &Door,
        committed: &Committed,
        staged: Answering,
        proof: bool,
    ) -> Result<Self> {
        let log = &door.log;
        let Answering { received_at, refused, places, count } = staged;
        let mut out = Vec::with_capacity(256 + count * 150);
        out.extend_from_slice(b"{\"receipts\":[");
        let mut refused = refused.into_iter().peekable();
        let mut placed = committed.placed.iter().enumerate();
        let mut withheld = Withheld::default();
        for position in 0..count {
            if position > 0 {
                out.push(b',');
            }
            if let Some((_, error)) = refused.next_if(|(at, _)| *at == position) {
                withheld.see(&error);
                write_refused(&mut out, &error);
                continue;
            }
            let (entry, place) = placed.next().ok_or_else(no_receipt)?;
            let (index, leaf, status) = match place {
                Placed::Created(index) => {
                    let leaf = committed.batch.leaf(entry).ok_or_else(no_receipt)?;
                    (*index, leaf, "created")
                }
                Placed::Duplicate { index, leaf } => (*index, *leaf, "duplicate"),
                Placed::Refused(error) => {
                    let error = ApiError::from(error.clone());
                    let error = match places.get(entry) {
                        Some(place) => error.at_place(*place),
                        None => error,
                    };
                    let error = error.into_item();
                    withheld.see(&error);
                    write_refused(&mut out, &error);
                    continue;
                }
            };
            write_receipt(&mut out, log, committed, entry, index, &leaf, status, proof)?;
        }
        out.extend_from_slice(b"],\"checkpoint\":");
        write_json(&mut out, &*committed.head.note);
        // What the records say: the log may have had to move it on.
        let received_at = committed.batch.received_at().unwrap_or(received_at);
        write!(out, ",\"received_at\":\"{received_at}\",\"recorded_by\":").unwrap_or_default();
        write_json(&mut out, &door.recorded_by);
        out.push(b'}');
        Ok(Self { body: out, refused: withheld.0 })
    }
}

/// What a partial batch was refused that the trail should know of.
#[derive(Debug, Default)]
struct Withheld(Option<(Code, usize)>);

impl Withheld {
    fn see(&mut self, error: &ItemError) {
        let telling = [Code::Forbidden, Code::IdConflict];
        if let Some(code) = telling.into_iter().find(|code| code.name() == error.code) {
            let (first, count) = self.0.unwrap_or((code, 0));
            self.0 = Some((first, count.saturating_add(1)));
        }
    }
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
    let id = record_id(committed.batch.record(entry)).ok_or_else(no_receipt)?;
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

/// The records are in the log, but what should be told of them is not there: a false
/// receipt would be worse than none.
fn no_receipt() -> ApiError {
    ApiError::new(
        Code::Internal,
        "the events were appended, but their receipts could not be made; send them again with the same ids",
    )
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
