//! The one place where failures become answers.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use indelible_api::{Code, ErrorBody, ItemError};
use indelible_event::{EventError, Place};
use indelible_log::{AppendError, BatchError, LogError, StageError, chain};
use indelible_store::StoreError;

/// A request failed.
#[derive(Debug)]
pub(crate) struct ApiError {
    pub(crate) code: Code,
    pub(crate) message: String,
    pub(crate) position: Option<usize>,
    pub(crate) place: Option<Box<Place>>,
    pub(crate) member: Option<String>,
    /// For the server's log only: 5xx bodies never carry causes.
    cause: Option<String>,
    /// Seconds after which trying again makes sense.
    retry_after: Option<u64>,
}

/// Shorthand for results of handlers.
pub(crate) type Result<T> = std::result::Result<T, ApiError>;

impl ApiError {
    /// Why, for the server's own log: the cause if there is one.
    pub(crate) fn why(&self) -> &str {
        self.cause.as_deref().unwrap_or(&self.message)
    }

    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            position: None,
            place: None,
            member: None,
            cause: None,
            retry_after: None,
        }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidRequest, message)
    }

    pub(crate) fn internal(message: &str, cause: &dyn std::error::Error) -> Self {
        Self { cause: Some(chain(cause)), ..Self::new(Code::Internal, message) }
    }

    /// The same error, about the event at `position` of a batch.
    pub(crate) fn at(mut self, position: usize) -> Self {
        self.position = Some(position);
        self
    }

    /// The same error, about what stands at a place of the body.
    pub(crate) fn at_place(mut self, place: Place) -> Self {
        self.place = Some(Box::new(place));
        self
    }

    /// The same error, about one member of the request.
    pub(crate) fn member(mut self, member: impl Into<String>) -> Self {
        self.member = Some(member.into());
        self
    }

    /// The same error, with the time after which trying again makes sense.
    pub(crate) fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The error as an item of a partial batch.
    pub(crate) fn into_item(self) -> ItemError {
        ItemError {
            code: self.code.name().to_owned(),
            message: self.message,
            line: self.place.as_ref().map(|place| place.line),
            column: self.place.as_ref().map(|place| place.column),
            member: self.member,
        }
    }

    /// Whether the whole request fails with it, even in a partial batch.
    pub(crate) const fn is_fatal(&self) -> bool {
        self.code.status() >= 500 || matches!(self.code, Code::WrongKind)
    }
}

/// What the gate needs to know of an answer that is an error.
#[derive(Debug, Clone)]
pub(crate) struct Failed {
    pub(crate) code: Code,
    pub(crate) message: String,
}

/// The request id is not known where an error is made; a middleware puts it in.
pub(crate) const REQUEST_ID_PLACE: &str = "";

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if let Some(cause) = &self.cause {
            tracing::error!(code = self.code.name(), cause, "request failed");
        }
        let status =
            StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = ErrorBody {
            code: self.code.name().to_owned(),
            message: self.message,
            request_id: REQUEST_ID_PLACE.to_owned(),
            position: self.position,
            line: self.place.as_ref().map(|place| place.line),
            column: self.place.as_ref().map(|place| place.column),
            member: self.member,
        };
        let mut response = (status, Json(body.clone())).into_response();
        let temporary = [
            Code::Overloaded,
            Code::ShuttingDown,
            Code::StorageFull,
            Code::RateLimited,
            Code::IssuerUnavailable,
            Code::IndexBehind,
        ];
        if let Some(seconds) = self.retry_after.or(temporary.contains(&self.code).then_some(1)) {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        if self.code == Code::Unauthenticated {
            let challenge = HeaderValue::from_static("Bearer realm=\"indelible\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        let failed = Failed { code: self.code, message: body.message.clone() };
        response.extensions_mut().insert(failed);
        response.extensions_mut().insert(body);
        response
    }
}

impl From<EventError> for ApiError {
    fn from(error: EventError) -> Self {
        let code = match &error {
            EventError::Json { .. } => Code::InvalidJson,
            EventError::Member { .. } => Code::InvalidEvent,
            EventError::UnknownFormat(_) => Code::UnknownFormat,
        };
        let known = indelible_event::format_names().join(", ");
        let message = match &error {
            EventError::UnknownFormat(_) => format!("{error}; known are {known}"),
            _ => error.to_string(),
        };
        Self { member: error.path().map(str::to_owned), ..Self::new(code, message) }
    }
}

impl From<LogError> for ApiError {
    fn from(error: LogError) -> Self {
        match &error {
            LogError::NoRecord(what) => {
                Self::new(Code::RecordNotFound, format!("no record {what} in this log"))
            }
            LogError::NoCheckpoint { .. } => Self::new(Code::RecordNotFound, error.to_string()),
            LogError::Invalid(message) => Self::invalid(message.clone()),
            LogError::Store(StoreError::Io { .. }) if is_full(&error) => Self::new(
                Code::StorageFull,
                "no space left on the log's storage; nothing was written",
            ),
            _ => Self::internal(
                "the log's storage could not be read or written; the server's log says what is wrong",
                &error,
            ),
        }
    }
}

fn is_full(error: &LogError) -> bool {
    matches!(error, LogError::Store(source) if source.is_full())
}

impl From<AppendError> for ApiError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Conflict { position, ref id, .. } => {
                // Not at which index: whoever writes need not read.
                let message = format!(
                    "event {position}: id {id:?} was already used for other data; an id names one event for ever: send it with another id, or as a correction (`corrects`: {id:?})"
                );
                Self::new(Code::IdConflict, message).at(position)
            }
            AppendError::Full(_) => Self::new(
                Code::StorageFull,
                "no space left on the log's storage; nothing was appended, try again when there is room",
            ),
            AppendError::Signing(_) => Self {
                cause: Some(error.to_string()),
                ..Self::new(
                    Code::Overloaded,
                    "the log's signing key cannot be used now; nothing was appended, try again",
                )
            },
            AppendError::Overloaded | AppendError::SealingBehind => {
                Self::new(Code::Overloaded, format!("{error}; nothing was appended, try again"))
            }
            AppendError::Unreadable(_) => Self {
                cause: Some(error.to_string()),
                ..Self::new(
                    Code::Overloaded,
                    "a record that may have the same id cannot be read now; nothing was appended, the server's log says what is wrong",
                )
            },
            AppendError::Stopped(_) => Self {
                cause: Some(error.to_string()),
                ..Self::new(
                    Code::LogStopped,
                    "the log stopped after a storage error; what was in flight may or may not have been appended: once it is back, send it again with the same ids",
                )
            },
            AppendError::Closed => {
                Self::new(Code::ShuttingDown, "the server is shutting down; nothing was appended")
            }
        }
    }
}

impl From<StageError> for ApiError {
    fn from(error: StageError) -> Self {
        match error {
            StageError::Event(error) => error.into(),
            StageError::TooLarge(_) => Self::new(Code::TooLarge, error.to_string()),
            StageError::Batch(BatchError::Full) => {
                Self::new(Code::TooLarge, format!("{error}; split it"))
            }
            StageError::Batch(BatchError::Record(_)) => {
                Self::new(Code::TooLarge, error.to_string())
            }
            StageError::Raw => Self::new(Code::WrongKind, error.to_string()),
            StageError::Log(error) => error.into(),
            StageError::Append(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io, sync::Arc};

    #[test]
    fn storage_failures_have_their_own_answers() {
        let full = || StoreError::io("allocate", "j", io::ErrorKind::StorageFull.into());
        let check = |error: ApiError, code: Code, retry: bool| {
            assert_eq!(error.code, code);
            let response = error.into_response();
            assert_eq!(response.status().as_u16(), code.status());
            assert_eq!(response.headers().contains_key(header::RETRY_AFTER), retry, "{code:?}");
        };
        check(AppendError::Full(Arc::new(full())).into(), Code::StorageFull, true);
        check(LogError::Store(full()).into(), Code::StorageFull, true);
        check(
            AppendError::Stopped("sync failed on /secret/path".into()).into(),
            Code::LogStopped,
            false,
        );
        check(AppendError::Closed.into(), Code::ShuttingDown, true);
        check(AppendError::Overloaded.into(), Code::Overloaded, true);
        check(AppendError::SealingBehind.into(), Code::Overloaded, true);
        let rotten = AppendError::Unreadable("bundle on /secret/path".into());
        check(rotten.into(), Code::Overloaded, true);
        let none = LogError::NoCheckpoint { size: 5, nearest: "the nearest are of 4".into() };
        check(none.into(), Code::RecordNotFound, false);
        let broken = StoreError::io("read", "j", io::Error::other("broken"));
        check(LogError::Store(broken).into(), Code::Internal, false);
    }

    #[test]
    fn causes_never_reach_the_caller() {
        let error = ApiError::from(AppendError::Stopped("sync failed on /secret/path".into()));
        assert!(!error.message.contains("secret"));
        assert!(error.cause.is_some_and(|cause| cause.contains("/secret/path")));
    }
}
