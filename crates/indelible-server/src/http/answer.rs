//! What a handler answers: the response, and what of the log it shows. The gate writes
//! the second into the trail before it lets the first go; an answer that does not say
//! what it shows does not leave.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use indelible_api::Code;
use serde::Serialize;
use serde_json::{Map, Value};

/// Facts of an answer for its record in the trail: numbers of records, the query.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Facts(pub(crate) Map<String, Value>);

impl Facts {
    /// The same facts and one more.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// The same facts and one more, if there is one.
    pub(crate) fn with_some(self, name: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// These facts and those.
    pub(crate) fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// How many records are shown, and the lowest and highest index of them.
    pub(crate) fn of_records(indexes: impl IntoIterator<Item = u64>) -> Self {
        let mut indexes = indexes.into_iter();
        let Some(first) = indexes.next() else { return Self::default().with("records", 0) };
        let start = (1_u64, first, first);
        let (count, first, last) = indexes.fold(start, |(count, first, last), index| {
            (count.saturating_add(1), first.min(index), last.max(index))
        });
        Self::default().with("records", count).with("first", first).with("last", last)
    }

    /// One record, by its index.
    pub(crate) fn of_record(index: u64) -> Self {
        Self::default().with("records", 1).with("first", index).with("last", index)
    }
}

/// What an answer shows of one log, where it shows several.
#[derive(Debug, Clone)]
pub(crate) struct ShownOf {
    pub(crate) log: String,
    /// The tenant that the caller is narrowed to in this log.
    pub(crate) tenant: Option<String>,
    pub(crate) facts: Facts,
}

/// What an answer shows.
#[derive(Debug, Clone)]
pub(crate) enum Shown {
    /// Nothing of a log.
    Nothing,
    /// Something of the log that the path names, or of the configuration.
    Here(Facts),
    /// It was answered, and yet something of it was refused.
    Refused(Code, Facts),
    /// Something of each of these logs: a record in the trail for each.
    ByLog(Vec<ShownOf>),
}

/// A response, and what it shows.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) response: Response,
    pub(crate) shown: Shown,
}

impl Answer {
    pub(crate) fn new(response: impl IntoResponse, shown: Shown) -> Self {
        Self { response: response.into_response(), shown }
    }

    /// A response that shows these facts of the log in the path.
    pub(crate) fn here(response: impl IntoResponse, facts: Facts) -> Self {
        Self::new(response, Shown::Here(facts))
    }

    /// A response that shows nothing of a log.
    pub(crate) fn nothing(response: impl IntoResponse) -> Self {
        Self::new(response, Shown::Nothing)
    }

    /// JSON that shows these facts of the log in the path.
    pub(crate) fn json(body: &impl Serialize, facts: Facts) -> Self {
        Self::here(Json(body), facts)
    }
}

impl IntoResponse for Answer {
    /// What is shown travels beside the response; the gate takes it out.
    fn into_response(self) -> Response {
        let mut response = self.response;
        response.extensions_mut().insert(self.shown);
        response
    }
}
