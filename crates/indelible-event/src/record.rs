//! The record: one JSON object, the envelope the server attests around the bytes
//! the sender sent. docs/formats.md §1.

use crate::{EventError, Timestamp, error::parse};
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::borrow::Cow;

/// Longest record in bytes: the limit of a C2SP entry bundle.
pub const MAX_RECORD_LEN: usize = 65_535;
/// Longest event id in bytes.
pub const MAX_ID_LEN: usize = 128;

/// Where the sender's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload<'a> {
    /// In the record, verbatim.
    Inline(&'a str),
    /// Beside it, because they are too long for a record.
    Attachment(Attachment),
}

/// A blob outside the record, addressed by its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attachment {
    /// SHA-256 of the bytes.
    pub sha256: [u8; 32],
    /// Number of bytes.
    pub size: u64,
}

impl Attachment {
    /// The attachment that these bytes are.
    #[must_use]
    pub fn of(data: &[u8]) -> Self {
        Self { sha256: Sha256::digest(data).into(), size: data.len() as u64 }
    }

    /// The attachment with this SHA-256 in hex, its size not known (0).
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        from_hex(text).map(|sha256| Self { sha256, size: 0 })
    }

    /// The SHA-256 as 64 lower-case hex digits, as it stands in the record.
    #[must_use]
    pub fn hex(&self) -> String {
        self.sha256
            .iter()
            .flat_map(|byte| [byte >> 4, byte & 15])
            .filter_map(|n| char::from_digit(n.into(), 16))
            .collect()
    }
}

/// The part of the envelope that all records of one request share.
#[derive(Debug, Clone)]
pub struct RecordHeader {
    received_at: Timestamp,
    middle: String,
}

impl RecordHeader {
    /// What the server attests: when it received the event, by which credential it
    /// was written, and in which format its bytes are.
    #[must_use]
    pub fn new(received_at: Timestamp, recorded_by: &str, format: &str) -> Self {
        Self {
            received_at,
            middle: format!(
                ",\"received_at\":\"{received_at}\",\"recorded_by\":{},\"format\":{},",
                json_string(recorded_by),
                json_string(format)
            ),
        }
    }

    /// When the event was received.
    #[must_use]
    pub const fn received_at(&self) -> Timestamp {
        self.received_at
    }

    /// Appends the record of one event to `out` and returns its length. Given the
    /// same header, id and payload it always appends the same bytes, so whoever sent
    /// an event can compute the record, and its leaf hash, from the receipt.
    pub fn encode(&self, id: &str, payload: Payload<'_>, out: &mut Vec<u8>) -> usize {
        let start = out.len();
        out.extend_from_slice(b"{\"v\":1,\"id\":");
        if id.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'"' && b != b'\\') {
            out.push(b'"');
            out.extend_from_slice(id.as_bytes());
            out.push(b'"');
        } else {
            out.extend_from_slice(json_string(id).as_bytes());
        }
        out.extend_from_slice(self.middle.as_bytes());
        match payload {
            Payload::Inline(data) => {
                out.extend_from_slice(b"\"data\":");
                out.extend_from_slice(data.as_bytes());
            }
            Payload::Attachment(attachment) => out.extend_from_slice(
                format!(
                    "\"attachment\":{{\"sha256\":\"{}\",\"size\":{}}}",
                    attachment.hex(),
                    attachment.size
                )
                .as_bytes(),
            ),
        }
        out.push(b'}');
        out.len() - start
    }
}

/// Writes another time of receipt into a record that [`RecordHeader::encode`] made; all
/// else stays as it is. Returns whether it did: not where the bytes are no such record, or
/// the time is not as long as the one that is there.
pub fn set_received_at(record: &mut [u8], received_at: Timestamp) -> bool {
    const BEFORE_ID: &[u8] = b"{\"v\":1,\"id\":\"";
    const BEFORE_TIME: &[u8] = b"\",\"received_at\":\"";
    let text = received_at.to_string();
    let Some(id) = record.strip_prefix(BEFORE_ID) else { return false };
    let mut escaped = false;
    let end = id.iter().position(|byte| {
        let is_end = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        is_end
    });
    let Some(end) = end else { return false };
    let time_at = BEFORE_ID.len() + end + BEFORE_TIME.len();
    let is_there = record.get(BEFORE_ID.len() + end..).is_some_and(|rest| {
        rest.starts_with(BEFORE_TIME) && rest.get(BEFORE_TIME.len() + text.len()) == Some(&b'"')
    });
    match record.get_mut(time_at..time_at + text.len()) {
        Some(time) if is_there => {
            time.copy_from_slice(text.as_bytes());
            true
        }
        _ => false,
    }
}

fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The envelope of a record. Members it does not know are ignored, so later
/// versions can add some.
#[derive(Debug, Clone, Deserialize)]
pub struct Envelope<'a> {
    /// Version of the envelope: 1.
    pub v: u64,
    /// The event's id: the sender's, or a UUIDv7 made by the server.
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    /// When the server received it, RFC 3339 UTC with microseconds.
    #[serde(borrow)]
    pub received_at: Cow<'a, str>,
    /// The credential that wrote it.
    #[serde(borrow)]
    pub recorded_by: Cow<'a, str>,
    /// Name of the format of `data`.
    #[serde(borrow)]
    pub format: Cow<'a, str>,
    /// The sender's bytes, if they are in the record.
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(default)]
    attachment: Option<AttachmentText>,
}

#[derive(Debug, Clone, Deserialize)]
struct AttachmentText {
    sha256: String,
    size: u64,
}

impl<'a> Envelope<'a> {
    /// Parses a record.
    ///
    /// # Errors
    /// [`EventError`] when the bytes are not a record.
    pub fn parse(record: &'a [u8]) -> Result<Self, EventError> {
        let text = std::str::from_utf8(record).map_err(|e| EventError::Json(e.to_string()))?;
        let envelope: Self = parse(text)?;
        if envelope.v != 1 {
            return Err(EventError::member(
                "v",
                format!("record version {} is not known", envelope.v),
            ));
        }
        envelope.payload()?;
        Ok(envelope)
    }

    /// Where the sender's bytes are.
    ///
    /// # Errors
    /// [`EventError`] when the record names neither data nor an attachment, or both.
    pub fn payload(&self) -> Result<Payload<'a>, EventError> {
        match (self.data, &self.attachment) {
            (Some(data), None) => Ok(Payload::Inline(data.get())),
            (None, Some(text)) => {
                let sha256 = from_hex(&text.sha256).ok_or_else(|| {
                    EventError::member("attachment.sha256", "expected 64 lower-case hex digits")
                })?;
                Ok(Payload::Attachment(Attachment { sha256, size: text.size }))
            }
            _ => Err(EventError::member("data", "a record has either data or an attachment")),
        }
    }
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes: Option<Vec<u8>> =
        pairs.iter().map(|[h, l]| Some(digit(*h)? << 4 | digit(*l)?)).collect();
    if rest.is_empty() { bytes?.try_into().ok() } else { None }
}

/// Id of a record without parsing the rest: records made by
/// [`RecordHeader::encode`] have it first.
#[must_use]
pub fn record_id(record: &[u8]) -> Option<Cow<'_, str>> {
    let rest = record.strip_prefix(b"{\"v\":1,\"id\":\"")?;
    let end = rest.iter().position(|b| matches!(b, b'"' | b'\\'))?;
    if rest.get(end) == Some(&b'"') {
        return std::str::from_utf8(rest.get(..end)?).ok().map(Cow::Borrowed);
    }
    Envelope::parse(record).ok().map(|envelope| Cow::Owned(envelope.id.into_owned()))
}

/// Checks an id that a sender chose.
///
/// # Errors
/// [`EventError::Member`] when it is empty, too long, or has control characters.
pub fn check_id(id: &str) -> Result<(), EventError> {
    if id.is_empty() || id.len() > MAX_ID_LEN {
        return Err(EventError::member(
            "id",
            format!("has {} bytes, expected 1 to {MAX_ID_LEN}", id.len()),
        ));
    }
    if id.chars().any(char::is_control) {
        return Err(EventError::member("id", "holds a control character"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header() -> RecordHeader {
        RecordHeader::new(Timestamp::from_micros(1_772_366_400_000_001), "local", "indelible.v1")
    }

    #[test]
    fn golden_record() {
        let mut out = Vec::new();
        let len = header().encode("a-1", Payload::Inline("{ \"x\": 1 }"), &mut out);
        assert_eq!(len, out.len());
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"v":1,"id":"a-1","received_at":"2026-03-01T12:00:00.000001Z","recorded_by":"local","format":"indelible.v1","data":{ "x": 1 }}"#
        );
    }

    #[test]
    fn attachment_round_trip() {
        let attachment = Attachment { sha256: [0xab; 32], size: 70_000 };
        let mut out = Vec::new();
        header().encode("big", Payload::Attachment(attachment), &mut out);
        assert_eq!(Envelope::parse(&out).unwrap().payload(), Ok(Payload::Attachment(attachment)));
    }

    #[test]
    fn refused_records() {
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"v":2,"id":"a","received_at":"","recorded_by":"","format":"","data":1}"#,
            r#"{"v":1,"id":"a","received_at":"","recorded_by":"","format":""}"#,
            r#"{"v":1,"id":"a","received_at":"","recorded_by":"","format":"","attachment":{"sha256":"AB","size":1}}"#,
        ] {
            assert!(Envelope::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(
            check_id("").is_err()
                && check_id("a\n").is_err()
                && check_id(&"x".repeat(129)).is_err()
        );
        assert!(check_id("ünïcode ✓").is_ok());
    }

    proptest! {
        #[test]
        fn any_id_round_trips(id: String, by: String) {
            let mut out = Vec::new();
            RecordHeader::new(Timestamp::from_micros(0), &by, "f").encode(&id, Payload::Inline("[1, 2]"), &mut out);
            let envelope = Envelope::parse(&out).unwrap();
            prop_assert_eq!(&envelope.id, &id);
            prop_assert_eq!(&envelope.recorded_by, &by);
            prop_assert_eq!(envelope.payload(), Ok(Payload::Inline("[1, 2]")));
            prop_assert_eq!(record_id(&out).unwrap(), id);
        }

        #[test]
        fn another_time_of_receipt_changes_nothing_else(id: String, by: String, micros in 0_i64..4_000_000_000_000_000) {
            let encode = |at: Timestamp| {
                let mut out = Vec::new();
                RecordHeader::new(at, &by, "f").encode(&id, Payload::Inline("[1, 2]"), &mut out);
                out
            };
            let at = Timestamp::from_micros(micros);
            let mut record = encode(Timestamp::from_micros(0));
            prop_assert!(set_received_at(&mut record, at));
            prop_assert_eq!(record, encode(at));
        }

        #[test]
        fn any_bytes_are_refused_or_parsed(bytes: Vec<u8>) {
            prop_assert!(Envelope::parse(&bytes).is_err());
            prop_assert!(record_id(&bytes).is_none());
            let mut same = bytes.clone();
            prop_assert!(!set_received_at(&mut same, Timestamp::from_micros(0)));
            prop_assert_eq!(same, bytes);
        }
    }
}
