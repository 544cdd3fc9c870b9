//! The formats events arrive in. Adding one is a file here and a line in [`FORMATS`].

mod cloudtrail;
mod kubernetes;
mod native;

use crate::{Event, EventError, error::parse};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// One format: how its events are checked, identified and shown.
pub trait Format: Sync + std::fmt::Debug {
    /// Name as it stands in records, such as `aws.cloudtrail.v1`.
    fn name(&self) -> &'static str;

    /// Checks one event and tells the id its sender gave it, if any.
    ///
    /// # Errors
    /// [`EventError`] naming the member and what was expected.
    fn accept<'a>(&self, data: &'a str) -> Result<Option<Cow<'a, str>>, EventError>;

    /// The native view of one event.
    ///
    /// # Errors
    /// [`EventError`] when the data is not of this format.
    fn view(&self, data: &str) -> Result<Event, EventError>;

    /// The events of a document if it is a container of this format (or a single
    /// event of it); `None` if it is something else.
    fn unpack<'a>(&self, document: &Document<'a>) -> Option<Vec<&'a str>>;
}

static FORMATS: [&dyn Format; 3] =
    [&kubernetes::Kubernetes, &cloudtrail::CloudTrail, &native::Native];

/// Name of the native format.
pub const NATIVE: &str = native::NAME;

/// The format of that name.
///
/// # Errors
/// [`EventError::UnknownFormat`].
pub fn format_named(name: &str) -> Result<&'static dyn Format, EventError> {
    FORMATS
        .iter()
        .find(|format| format.name() == name)
        .copied()
        .ok_or_else(|| EventError::UnknownFormat(name.to_owned()))
}

/// Names of all known formats.
#[must_use]
pub fn format_names() -> Vec<&'static str> {
    FORMATS.iter().map(|format| format.name()).collect()
}

/// The members by which a document's format is known.
#[derive(Debug, Deserialize)]
pub struct Document<'a> {
    #[serde(skip)]
    text: &'a str,
    #[serde(borrow, default)]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    items: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default, rename = "Records")]
    records: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default, rename = "auditID")]
    audit_id: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "eventID")]
    event_id: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "eventSource")]
    event_source: Option<&'a RawValue>,
}

/// Tells the format of a JSON document (a native event, a CloudTrail file or
/// event, a Kubernetes event or list) and the bytes of each event in it.
///
/// # Errors
/// [`EventError`] when the document is not a JSON object or array of objects.
pub fn recognise(document: &str) -> Result<(&'static dyn Format, Vec<&str>), EventError> {
    let document = document.trim();
    if document.starts_with('[') {
        let items: Vec<&RawValue> = parse(document)?;
        let Some(first) = items.first() else {
            return Ok((&native::Native, Vec::new()));
        };
        let (format, _) = recognise(first.get())?;
        return Ok((format, items.into_iter().map(RawValue::get).collect()));
    }
    // A document whose members only resemble a known container is taken as native,
    // whose validation then says what is wrong with it.
    let mut known: Document<'_> = match parse(document) {
        Ok(known) => known,
        Err(EventError::Member { .. }) => return Ok((&native::Native, vec![document])),
        Err(error) => return Err(error),
    };
    known.text = document;
    Ok(FORMATS
        .iter()
        .find_map(|format| format.unpack(&known).map(|events| (*format, events)))
        .unwrap_or((&native::Native, vec![document])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_recognised() {
        let check = |document: &str, name: &str, events: &[&str]| {
            let (format, found) = recognise(document).unwrap();
            assert_eq!((format.name(), found.as_slice()), (name, events), "{document}");
        };
        check(r#"{"action":"a"}"#, NATIVE, &[r#"{"action":"a"}"#]);
        check(r#" [{"action": "a"}, {}] "#, NATIVE, &[r#"{"action": "a"}"#, "{}"]);
        check("[]", NATIVE, &[]);
        check(
            r#"{"Records":[{"eventID": 1},2]}"#,
            "aws.cloudtrail.v1",
            &[r#"{"eventID": 1}"#, "2"],
        );
        check(r#"{"Records":7}"#, NATIVE, &[r#"{"Records":7}"#]);
        check(
            r#"{"eventID":"x","eventSource":"s"}"#,
            "aws.cloudtrail.v1",
            &[r#"{"eventID":"x","eventSource":"s"}"#],
        );
        check(r#"{"kind":"EventList","items":[{"a":1}]}"#, "kubernetes.audit.v1", &[r#"{"a":1}"#]);
        check(
            r#"{"kind":"Event","auditID":"x"}"#,
            "kubernetes.audit.v1",
            &[r#"{"kind":"Event","auditID":"x"}"#],
        );
        assert!(recognise("").is_err() && recognise("{").is_err() && recognise("7").is_ok());
        assert!(recognise(&"[".repeat(1_000_000)).is_err());
        assert!(matches!(format_named("x"), Err(EventError::UnknownFormat(_))));
    }
}
