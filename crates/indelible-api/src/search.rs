//! Search: counts, facets, histograms.

use crate::EventView;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a search waits for: the index is about a second behind its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReadConsistency {
    /// Until everything is searched that was in the log when the question came; for some
    /// seconds at most, and not at all where the index cannot go on. `searched` says how far
    /// it came.
    #[default]
    Head,
    /// Nothing.
    Now,
}

/// How much of the logs an answer rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Searched {
    /// Whether all was searched that was in the logs when the question came. If not, there
    /// may be more than the answer says.
    pub whole: bool,
    /// The logs.
    pub logs: Vec<SearchedLog>,
}

/// A page of what a query found.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SearchPage {
    /// The events.
    pub items: Vec<EventView>,
    /// Cursor of the next page; null at the end.
    pub next: Option<String>,
    /// What was searched.
    pub searched: Searched,
}

/// A page of what a query found in several logs.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LogsPage {
    /// The events, in the order of their receipt.
    pub items: Vec<LogEvent>,
    /// Cursor of the next page; null at the end.
    pub next: Option<String>,
    /// What was searched.
    pub searched: Searched,
}

/// An event, and whose.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LogEvent {
    /// Name of the log.
    pub log: String,
    /// The event.
    #[serde(flatten)]
    pub view: EventView,
}

/// A log that was searched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SearchedLog {
    /// Its name.
    pub log: String,
    /// Records of it that were searched.
    pub indexed: u64,
    /// Records of it when the question came; of a later page, newest first, those that it
    /// can be about.
    pub size: u64,
    /// Why its index does not go on, if that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// How many records a query finds.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CountRequest {
    /// The query; all records, if empty.
    #[serde(default)]
    pub q: String,
    /// What is waited for.
    #[serde(default)]
    pub consistency: ReadConsistency,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Count {
    /// Records found.
    pub count: u64,
    /// What was searched.
    pub searched: Searched,
}

/// The values of fields in what a query finds.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FacetsRequest {
    /// The query; all records, if empty.
    #[serde(default)]
    pub q: String,
    /// What is waited for.
    #[serde(default)]
    pub consistency: ReadConsistency,
    /// Fields: action, actor, actor.type, by, category, format, ip, outcome,
    /// target.type, tenant.
    pub fields: Vec<String>,
    /// Values of each, 1 to 1000.
    #[serde(default = "ten")]
    pub limit: usize,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Facets {
    /// One for each field, in order.
    pub facets: Vec<FacetValues>,
    /// What was searched.
    pub searched: Searched,
}

/// The values of one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FacetValues {
    /// The field.
    pub field: String,
    /// Most frequent first.
    pub values: Vec<ValueCount>,
    /// How many different values there are.
    pub distinct: u64,
}

/// A value and how often it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ValueCount {
    /// The value (its first 200 bytes).
    pub value: String,
    /// Records.
    pub count: u64,
}

/// What a query finds, by time of occurrence.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HistogramRequest {
    /// The query; all records, if empty.
    #[serde(default)]
    pub q: String,
    /// What is waited for.
    #[serde(default)]
    pub consistency: ReadConsistency,
    /// Length of a bucket: a number and s, m, h, d or w.
    pub interval: String,
    /// Count the values of this field in each bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Values of each bucket, 1 to 100.
    #[serde(default = "ten")]
    pub limit: usize,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HistogramBuckets {
    /// Buckets that are not empty, oldest first.
    pub buckets: Vec<Bucket>,
    /// What was searched.
    pub searched: Searched,
}

/// One bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Bucket {
    /// Its beginning.
    pub start: String,
    /// Records.
    pub count: u64,
    /// The most frequent values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<ValueCount>,
}

/// Saves a query under a name.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SaveView {
    /// The query.
    pub q: String,
    /// What it is for, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// A saved query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct View {
    /// Its name, unique in its log.
    pub name: String,
    /// The query.
    pub q: String,
    /// What it is for.
    pub description: Option<String>,
    /// Who saved it.
    pub saved_by: String,
    /// When.
    pub saved_at: String,
}

const fn ten() -> usize {
    10
}
