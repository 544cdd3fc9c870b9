//! The formats events arrive in. Adding one is a file here and a line in [`FORMATS`].

mod cloudtrail;
mod find;
mod format;
mod json;
mod kubernetes;
mod native;
mod when;

pub(crate) use find::{Found, Of, find};
pub use format::Format;

use crate::EventError;

static FORMATS: [&dyn Format; 4] =
    [&native::Native, &cloudtrail::CloudTrail, &kubernetes::Kubernetes, &json::Json];

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_have_names() {
        assert_eq!(format_names(), [NATIVE, "aws.cloudtrail.v1", "kubernetes.audit.v1", "json"]);
        for name in format_names() {
            assert_eq!(format_named(name).unwrap().name(), name);
        }
        assert!(matches!(format_named("x"), Err(EventError::UnknownFormat(_))));
    }
}
