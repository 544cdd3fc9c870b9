//! The formats events arrive in. Adding one is a file here and a line in [`FORMATS`].

mod cloudtrail;
mod format;
mod kubernetes;
mod native;

pub use format::Format;

use crate::{EventError, error::parse};
use format::Document;
use serde_json::value::RawValue;

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
