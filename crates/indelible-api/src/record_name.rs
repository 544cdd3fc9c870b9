//! How a record is named: by its index, or by its event's id; which of the two is never
//! guessed.

use std::{fmt, str::FromStr};

/// What stands before an id.
const ID: &str = "id:";

/// The name of a record of a log: digits are an index, an id says `id:` before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordName {
    /// Its position in the log.
    Index(u64),
    /// Its event's id.
    Id(String),
}

/// A text that names no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordNameError {
    /// Nothing stands there.
    #[error("a record is named by its index, such as 17, or by id:ID; here is nothing")]
    Empty,
    /// Digits, but not as an index is written.
    #[error(
        "{0:?} is not an index: an index has no zeros before it and is below 2^64; the record with this id is id:{0}"
    )]
    NotAnIndex(String),
    /// Neither digits nor `id:`.
    #[error("{0:?} is neither an index nor an id: the record with this id is id:{0}")]
    NoPrefix(String),
}

impl FromStr for RecordName {
    type Err = RecordNameError;

    fn from_str(text: &str) -> Result<Self, RecordNameError> {
        match text.strip_prefix(ID) {
            Some("") => return Err(RecordNameError::Empty),
            Some(id) => return Ok(Self::Id(id.to_owned())),
            None if text.is_empty() => return Err(RecordNameError::Empty),
            None => {}
        }
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(RecordNameError::NoPrefix(text.to_owned()));
        }
        let is_plain = text == "0" || !text.starts_with('0');
        let index = text.parse().ok().filter(|_| is_plain);
        index.map(Self::Index).ok_or_else(|| RecordNameError::NotAnIndex(text.to_owned()))
    }
}

impl fmt::Display for RecordName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(index) => write!(f, "{index}"),
            Self::Id(id) => write!(f, "{ID}{id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_an_index_and_an_id_says_so() {
        let named = |text: &str| text.parse::<RecordName>();
        assert_eq!(named("17"), Ok(RecordName::Index(17)));
        assert_eq!(named("0"), Ok(RecordName::Index(0)));
        assert_eq!(named("18446744073709551615"), Ok(RecordName::Index(u64::MAX)));
        for id in ["17", "+1", ".", "..", "id:1", "e 5", "\u{430}"] {
            let name = RecordName::Id(id.to_owned());
            assert_eq!(named(&name.to_string()), Ok(name));
        }
        for number in ["007", "00", "18446744073709551616"] {
            assert_eq!(named(number), Err(RecordNameError::NotAnIndex(number.to_owned())));
        }
        for other in ["+1", "-1", "e-5", "1.0", " 1", "ID:1", "\u{661}"] {
            assert_eq!(named(other), Err(RecordNameError::NoPrefix(other.to_owned())));
        }
        assert_eq!(named(""), Err(RecordNameError::Empty));
        assert_eq!(named("id:"), Err(RecordNameError::Empty));
    }
}
