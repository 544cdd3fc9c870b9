//! Standard base64 (RFC 4648 §4, padded, canonical), as all C2SP formats use it.

use ::base64::{Engine, engine::general_purpose::STANDARD};

pub(crate) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Refuses non-canonical forms (wrong padding, non-zero trailing bits), so one
/// value has one text and a changed character is always a changed value.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}
