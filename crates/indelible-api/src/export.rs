//! Exports: what is asked for, how far it is, the manifest, and how a record stands in
//! each format. Server and verifier compute lines and rows alike.

use crate::EventView;
use indelible_event::{Event, OcsfFacts, ocsf};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// Format of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExportFormat {
    /// A line of JSON for each record: an [`ExportLine`].
    #[default]
    Ndjson,
    /// A row for each record, with a heading.
    Csv,
    /// Apache Parquet: the rows of CSV, and the event as JSON.
    Parquet,
    /// A line of JSON for each record: an event of the Open Cybersecurity Schema
    /// Framework.
    Ocsf,
}

impl ExportFormat {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Ndjson, Self::Csv, Self::Parquet, Self::Ocsf];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
            Self::Ocsf => "ocsf",
        }
    }
}

/// What to export.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExportRequest {
    /// Only what this query finds; everything, if empty.
    pub q: String,
    /// Format of the file.
    pub format: ExportFormat,
    /// With each record its bytes and an offline proof.
    pub proofs: bool,
}

/// How far an export is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExportState {
    /// It is being written.
    Running,
    /// It can be downloaded.
    Done,
    /// It cannot be finished; `error` tells why.
    Failed,
}

/// An export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Export {
    /// Its id.
    pub id: String,
    /// How far it is.
    pub state: ExportState,
    /// Name of the log.
    pub log: String,
    /// The query.
    pub q: String,
    /// Format of the file.
    pub format: ExportFormat,
    /// Whether each record has its bytes and a proof.
    pub proofs: bool,
    /// Who asked for it; nobody else can see it.
    pub made_by: String,
    /// When it was asked for.
    pub made_at: String,
    /// Records of the log that it is from.
    pub size: u64,
    /// Records of those that were looked through.
    pub at: u64,
    /// Records found so far.
    pub count: u64,
    /// When it is removed, if it is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What it is, if it is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Manifest>,
    /// The manifest as the log signed it, a signed note: kept beside the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<String>,
}

/// What an export is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Manifest {
    /// Version of the manifest: 2.
    pub v: u64,
    /// What wrote the file, and its version.
    pub written_by: String,
    /// Name of the log.
    pub log: String,
    /// Its origin.
    pub origin: String,
    /// Whether its records are any bytes, without envelope.
    pub raw: bool,
    /// The query.
    pub q: String,
    /// Format of the file.
    pub format: ExportFormat,
    /// Whether each record has its bytes and a proof.
    pub proofs: bool,
    /// Who asked for it.
    pub made_by: String,
    /// When it was asked for; relative times in the query count from here.
    pub made_at: String,
    /// Whether it is narrowed to the part of the log that its maker may see.
    pub narrowed: bool,
    /// Records of the log that it is from.
    pub size: u64,
    /// Signed checkpoint of so many records.
    pub checkpoint: String,
    /// Records in the file.
    pub count: u64,
    /// Index of the first.
    pub first: Option<u64>,
    /// Index of the last.
    pub last: Option<u64>,
    /// Length of the file in bytes.
    pub bytes: u64,
    /// SHA-256 of the file, hex.
    pub sha256: String,
}

/// One record of an export, as NDJSON has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExportLine {
    /// The event.
    #[serde(flatten)]
    pub view: EventView,
    /// What proves it.
    #[serde(flatten)]
    pub evidence: Evidence,
}

/// What proves a record; present in exports with proofs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Evidence {
    /// The bytes of the record, exactly as they were hashed; after `base64:` in base64
    /// where they are no text, or none that can stand so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// The bytes of the attachment that the record refers to, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attachment: Option<String>,
    /// The offline proof (C2SP tlog-proof).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
}

/// The columns of CSV and Parquet, `index` before them.
pub const COLUMNS: [&str; 21] = [
    "leaf_hash",
    "id",
    "time",
    "received_at",
    "recorded_by",
    "format",
    "action",
    "category",
    "actor_type",
    "actor",
    "actor_name",
    "outcome",
    "code",
    "reason",
    "targets",
    "ip",
    "user_agent",
    "request_id",
    "session_id",
    "trace_id",
    "tenant",
];

/// A record as a row: a value for each of [`COLUMNS`].
#[must_use]
pub fn row(view: &EventView) -> [Option<String>; COLUMNS.len()] {
    let text = |pointer: &str| view.event.pointer(pointer)?.as_str().map(str::to_owned);
    let envelope = view.envelope.as_ref();
    [
        Some(view.leaf_hash.clone()),
        envelope.map(|envelope| envelope.id.clone()),
        text("/time"),
        envelope.map(|envelope| envelope.received_at.clone()),
        envelope.map(|envelope| envelope.recorded_by.clone()),
        envelope.map(|envelope| envelope.format.clone()),
        text("/action"),
        text("/category"),
        text("/actor/type"),
        text("/actor/id"),
        text("/actor/name"),
        text("/outcome/result"),
        text("/outcome/code"),
        text("/outcome/reason"),
        targets(&view.event),
        text("/context/ip"),
        text("/context/user_agent"),
        text("/context/request_id"),
        text("/actor/session_id").or_else(|| text("/context/session_id")),
        text("/context/trace_id"),
        text("/tenant"),
    ]
}

/// The columns of CSV and Parquet that prove a row, in exports with proofs.
pub const EVIDENCE_COLUMNS: [&str; 3] = ["record", "attachment", "proof"];

/// A record as a row of CSV: its index, then a text for each of [`COLUMNS`].
pub fn csv_row(view: &EventView) -> impl Iterator<Item = String> {
    std::iter::once(view.index.to_string()).chain(row(view).map(csv_cell))
}

/// How a value stands in a cell of CSV. A spreadsheet must not take what somebody sent
/// for a formula, so what might be one begins with `'`. So does what begins with `'`
/// itself, and an empty text is `'` alone: two values never give one cell.
fn csv_cell(value: Option<String>) -> String {
    match value {
        None => String::new(),
        Some(text) if text.is_empty() || text.starts_with(is_formula) => format!("'{text}"),
        Some(text) => text,
    }
}

/// Whether some spreadsheet takes what begins so for a formula, or drops the character
/// and then takes the rest for one: Excel reads full-width signs like the others.
const fn is_formula(c: char) -> bool {
    matches!(c, '=' | '+' | '-' | '@' | '\'' | '\t' | '\r' | '\n' | '＝' | '＋' | '－' | '＠')
}

/// `type:id` of each target.
fn targets(event: &Value) -> Option<String> {
    let targets = event.get("targets")?.as_array().filter(|targets| !targets.is_empty())?;
    let each = targets.iter().map(|target| {
        let part = |name: &str| target.get(name).and_then(Value::as_str).unwrap_or_default();
        format!("{}:{}", part("type"), part("id"))
    });
    Some(each.collect::<Vec<_>>().join(" "))
}

/// A record as an event of the Open Cybersecurity Schema Framework; where in the log it
/// is, and what proves it, stand under `unmapped.indelible`.
#[must_use]
pub fn ocsf_line(log: &str, view: &EventView, evidence: &Evidence) -> Value {
    let event = serde_json::from_value::<Event>(view.event.clone()).ok();
    let envelope = view.envelope.as_ref();
    let facts = OcsfFacts {
        log,
        id: envelope.map_or("", |envelope| envelope.id.as_str()),
        received_at: envelope.map_or("", |envelope| envelope.received_at.as_str()),
    };
    let mut line = ocsf(event.as_ref(), &facts);
    let place = serde_json::json!({
        "index": view.index,
        "leaf_hash": view.leaf_hash,
        "recorded_by": envelope.map(|envelope| &envelope.recorded_by),
        "format": envelope.map(|envelope| &envelope.format),
    });
    if let Some(unmapped) = line.get_mut("unmapped").and_then(Value::as_object_mut) {
        unmapped.insert("indelible".to_owned(), place);
        let proves = serde_json::to_value(evidence).unwrap_or_default();
        if let (Some(Value::Object(place)), Value::Object(proves)) =
            (unmapped.get_mut("indelible"), proves)
        {
            place.extend(proves);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn no_cell_is_a_formula_and_each_is_of_one_value() {
        let signs = "=+-@'\t\r\n\u{ff1d}\u{ff0b}\u{ff0d}\u{ff20}ab ";
        let one = || signs.chars().map(String::from).chain([String::new()]);
        let three = one().flat_map(|a| one().map(move |b| a.clone() + &b));
        let three = three.flat_map(|ab| one().map(move |c| ab.clone() + &c));
        let mut values: BTreeMap<String, Option<String>> = BTreeMap::new();
        for value in three.map(Some).chain([None]) {
            let cell = csv_cell(value.clone());
            assert!(!cell.starts_with(|c| c != '\'' && is_formula(c)), "{value:?} is {cell:?}");
            let other = values.insert(cell, value.clone());
            assert!(other.is_none_or(|other| other == value), "{value:?}");
        }
    }

    #[test]
    fn what_might_be_a_formula_begins_with_a_quote() {
        let cell = |text: &str| csv_cell(Some(text.to_owned()));
        assert_eq!(
            ["=cmd()", "'=cmd()", "\n=1", "\u{ff1d}1", "a=1", ""].map(cell),
            ["'=cmd()", "''=cmd()", "'\n=1", "'\u{ff1d}1", "a=1", "'"]
        );
        assert_eq!(csv_cell(None), "");
    }
}
