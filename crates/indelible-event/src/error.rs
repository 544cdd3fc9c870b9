//! Why bytes are not an event.

use crate::json::{JsonError, Value};

/// What is wrong with an event, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// The bytes are not JSON.
    #[error("not valid JSON: {problem}")]
    Json {
        /// What is wrong.
        problem: String,
        /// Offset in the event's bytes.
        offset: usize,
    },
    /// A member is missing, of the wrong type, or has a value that is not allowed.
    #[error("{member}: {problem}")]
    Member {
        /// Path of the member, such as `actor.type`; `event` for the whole.
        member: String,
        /// What was found and what is expected.
        problem: String,
    },
    /// No format of that name is known.
    #[error("unknown format {0:?}")]
    UnknownFormat(String),
}

impl EventError {
    /// A problem with one member.
    pub(crate) fn member(member: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Member { member: member.into(), problem: problem.into() }
    }

    /// Something that is not JSON.
    pub(crate) fn json(problem: &str, offset: usize) -> Self {
        Self::Json { problem: problem.to_owned(), offset }
    }

    /// Path of the member at fault, if it is one.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Member { member, .. } => Some(member),
            Self::Json { .. } | Self::UnknownFormat(_) => None,
        }
    }

    /// Offset in the event's bytes, where it is known.
    #[must_use]
    pub const fn offset(&self) -> Option<usize> {
        match self {
            Self::Json { offset, .. } => Some(*offset),
            Self::Member { .. } | Self::UnknownFormat(_) => None,
        }
    }
}

impl From<JsonError> for EventError {
    fn from(error: JsonError) -> Self {
        Self::Json { offset: error.at(), problem: error.problem }
    }
}

/// Reads `data`, keeping everything as it was written.
pub(crate) fn read(data: &str) -> Result<Value<'_>, EventError> {
    Ok(Value::parse(data)?)
}

/// Deserialises `data`; only when that fails, again with the path of the member at fault.
pub(crate) fn parse<'a, T: serde::Deserialize<'a>>(data: &'a str) -> Result<T, EventError> {
    serde_json::from_str(data).map_err(|error| explain::<T>(data, &error))
}

#[cold]
fn explain<'a, T: serde::Deserialize<'a>>(data: &'a str, error: &serde_json::Error) -> EventError {
    if !error.is_data() {
        return not_json(data, error);
    }
    let mut deserializer = serde_json::Deserializer::from_str(data);
    match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
        Ok(_) => not_json(data, error),
        Err(located) => {
            let path = located.path().to_string();
            let member = if path == "." { "event".to_owned() } else { path };
            let problem = without_place(&located.into_inner());
            EventError::Member { member, problem }
        }
    }
}

fn not_json(data: &str, error: &serde_json::Error) -> EventError {
    // Lines from 1; columns are bytes of the line up to what is wrong.
    let lines = data.split_inclusive('\n').take(error.line().saturating_sub(1));
    let before: usize = lines.map(str::len).sum();
    let mut offset = (before + error.column().saturating_sub(1)).min(data.len());
    if error.is_eof() {
        offset = data.len();
    }
    while !data.is_char_boundary(offset) {
        offset -= 1;
    }
    EventError::Json { problem: without_place(error), offset }
}

/// The position is within one event and only confuses in a batch.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or_default().to_owned()
}
