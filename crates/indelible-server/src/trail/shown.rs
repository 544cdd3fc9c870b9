//! What an answer shows of the log: what its record in the trail says.

use indelible_api::Code;
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
