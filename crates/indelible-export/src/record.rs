//! A record in a text file, and what it shows.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use indelible_api::{EnvelopeView, EventView};
use indelible_event::{Envelope, Value, format_named};
use indelible_tlog::leaf_hash;
use std::borrow::Cow;

/// How a record begins that is no text of its own.
const BINARY: &str = "base64:";

/// The bytes of a record as a text: they themselves if they are one, else base64.
#[must_use]
pub fn write_record(record: &[u8]) -> String {
    match std::str::from_utf8(record) {
        // An empty cell of CSV is none.
        Ok(text) if !text.is_empty() && !text.starts_with(BINARY) => text.to_owned(),
        _ => format!("{BINARY}{}", STANDARD.encode(record)),
    }
}

/// The bytes of a record that stands in a file; `None` if this is no such text.
#[must_use]
pub fn read_record(text: &str) -> Option<Cow<'_, [u8]>> {
    let Some(base64) = text.strip_prefix(BINARY) else {
        return Some(Cow::Borrowed(text.as_bytes()));
    };
    let record = STANDARD.decode(base64).ok()?;
    (write_record(&record) == text).then_some(Cow::Owned(record))
}

/// What a record shows. `data` is what its sender sent, if it can be read.
#[must_use]
pub fn view(index: u64, raw: bool, record: &[u8], data: Option<&str>) -> EventView {
    let mut view = EventView {
        index,
        leaf_hash: leaf_hash(record).to_string(),
        envelope: None,
        event: Value::Null,
        note: None,
    };
    if raw {
        view.note = Some("a raw log: entries have no envelope".to_owned());
        return view;
    }
    let envelope = match Envelope::parse(record) {
        Ok(envelope) => envelope,
        Err(error) => {
            view.note = Some(error.to_string());
            return view;
        }
    };
    let event =
        data.ok_or_else(|| "its data is missing or cannot be read".to_owned()).and_then(|data| {
            let format = format_named(&envelope.format).map_err(|e| e.to_string())?;
            format.show(data).map_err(|e| e.to_string())
        });
    match event {
        Ok(event) => view.event = event,
        Err(note) => view.note = Some(note),
    }
    view.envelope = Some(EnvelopeView {
        v: envelope.v,
        id: envelope.id.into_owned(),
        received_at: envelope.received_at.into_owned(),
        recorded_by: envelope.recorded_by.into_owned(),
        format: envelope.format.into_owned(),
    });
    view
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_is_read_as_it_was_written() {
        for record in
            [b"{}".as_slice(), b"", b"base64:", b"base64:AAAA", &[0xff, 0, 1], "ä".as_bytes()]
        {
            let text = write_record(record);
            assert_eq!(read_record(&text).unwrap(), record, "{text}");
        }
        for text in ["base64:!", "base64:e30=", "base64:AA"] {
            assert_eq!(read_record(text), None, "{text} is not how it is written");
        }
    }
}
