//! Why bytes are not an event.

use crate::json::{JsonError, Value};

/// What is wrong with an event, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// The bytes are not JSON.
    #[error("not valid JSON: {0}")]
    Json(String),
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

    /// Path of the member at fault, if it is one.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Member { member, .. } => Some(member),
            Self::Json(_) | Self::UnknownFormat(_) => None,
        }
    }
}

impl From<JsonError> for EventError {
    fn from(error: JsonError) -> Self {
        Self::Json(error.to_string())
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
        return EventError::Json(error.to_string());
    }
    let mut deserializer = serde_json::Deserializer::from_str(data);
    match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
        Ok(_) => EventError::Json(error.to_string()),
        Err(located) => {
            let path = located.path().to_string();
            let member = if path == "." { "event".to_owned() } else { path };
            let text = located.into_inner().to_string();
            // The position is within one event and only confuses in a batch.
            let problem = text.split(" at line ").next().unwrap_or_default().to_owned();
            EventError::Member { member, problem }
        }
    }
}
