//! The verification of an export, offline: every record, every proof, and that what
//! people read in it is what was proven.

use crate::{
    commands::export::{hash, manifest_of},
    output::{self, count},
};
use anyhow::{Context as _, bail};
use indelible_api::{
    COLUMNS, EVIDENCE_COLUMNS, EnvelopeView, EventView, Evidence, ExportFormat, ExportLine,
    Manifest, csv_row, ocsf_line, row,
};
use indelible_event::{Attachment, Envelope, Payload, Timestamp, format_named};
use indelible_tlog::{Checkpoint, Hash, OfflineProof, VerifyingKey, leaf_hash};
use indelible_verify::FindingKind;
use parquet::{
    file::reader::{FileReader as _, SerializedFileReader},
    record::Field,
};
use serde::Deserialize as _;
use serde_json::Value;
use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::Path,
};

/// Whether a file is an export: its manifest stands beside it.
pub(crate) fn is_export(path: &Path) -> bool {
    manifest_of(path).is_file()
}

/// A row of Parquet: names and values.
type Columns = Vec<(String, Field)>;

/// A record as it stands in the file.
enum Shown {
    Line(EventView),
    Ocsf(Value),
    Row(Columns),
    /// A row of CSV without what proves it.
    Cells(Vec<String>),
}

/// Checks every record of an export: bytes, leaf hash, view, inclusion proof, checkpoint.
///
/// # Errors
/// What kind of trouble it is, and in words.
pub(crate) fn verify(path: &Path, key: &VerifyingKey) -> Result<String, (FindingKind, String)> {
    let missing = |error: anyhow::Error| (FindingKind::Missing, format!("{error:#}"));
    let unverifiable = |text: String| (FindingKind::Unverifiable, text);
    let altered = |text: String| (FindingKind::Altered, text);
    let manifest: Manifest = std::fs::read(manifest_of(path))
        .context("could not read its manifest")
        .and_then(|text| serde_json::from_slice(&text).context("its manifest cannot be read"))
        .map_err(missing)?;
    let checkpoint = Checkpoint::verify(manifest.checkpoint.as_bytes(), key)
        .map_err(|e| unverifiable(format!("its checkpoint does not hold under this key: {e}")))?;
    if (checkpoint.size, checkpoint.origin.as_str()) != (manifest.size, &manifest.origin) {
        return Err(altered("its manifest does not say what its checkpoint does".to_owned()));
    }
    let is_as_written = hash(path).map_err(missing)? == manifest.sha256;
    if !manifest.proofs {
        return Err(match is_as_written {
            true => unverifiable("it is the file that its manifest names, but was made without --proofs, so nothing proves its records".to_owned()),
            false => altered("it is not the file that its manifest names".to_owned()),
        });
    }
    if manifest.format == ExportFormat::Parquet && !is_as_written {
        // Lines can be read one by one; of what stands in this file nothing can be relied on.
        return Err(altered("it is not the file that its manifest names".to_owned()));
    }
    let mut wrong = None;
    let bar = output::progress(manifest.count, "records");
    let read = read(path, &manifest, |index, shown, evidence| {
        if let Err(problem) = check(index, &shown, &evidence, &manifest, &checkpoint) {
            wrong = wrong.take().or(Some(format!("record {index}: {problem:#}")));
        }
        bar.inc(1);
    });
    bar.finish_and_clear();
    match (wrong, read) {
        (Some(wrong), _) => Err(altered(wrong)),
        (None, Err(error)) => Err(missing(error)),
        (None, Ok(())) if !is_as_written => {
            Err(altered("it is not the file that its manifest names".to_owned()))
        }
        (None, Ok(())) => Ok(format!(
            "{} events of {}, found by {:?} at {} in {} records{}; every record, hash and proof checked",
            count(manifest.count),
            manifest.origin,
            manifest.q,
            manifest.made_at,
            count(manifest.size),
            if manifest.narrowed { " as far as its maker could see them" } else { "" },
        )),
    }
}

/// Visits the records of the file; fails unless they are those that the manifest counts.
fn read(
    path: &Path,
    manifest: &Manifest,
    mut visit: impl FnMut(u64, Shown, Evidence),
) -> anyhow::Result<()> {
    let (mut seen, mut first, mut last) = (0, None, None);
    let mut place = |index: u64| {
        if last.is_some_and(|last| index <= last) || index >= manifest.size {
            bail!("record {index} is out of place");
        }
        first = first.or(Some(index));
        last = Some(index);
        seen += 1;
        Ok(())
    };
    match manifest.format {
        ExportFormat::Parquet => {
            let file = SerializedFileReader::new(File::open(path)?)?;
            for row in file.get_row_iter(None)? {
                let (index, row, evidence) = parquet_row(row?.into_columns())?;
                place(index)?;
                visit(index, Shown::Row(row), evidence);
            }
        }
        ExportFormat::Csv => {
            let mut rows = csv::Reader::from_path(path)?;
            let columns = std::iter::once("index").chain(COLUMNS).chain(EVIDENCE_COLUMNS);
            if !rows.headers()?.iter().eq(columns) {
                bail!("its first line does not name the columns of such an export");
            }
            for (at, cells) in rows.records().enumerate() {
                let (index, shown, evidence) =
                    csv_cells(&cells?).with_context(|| format!("row {} cannot be read", at + 1))?;
                place(index)?;
                visit(index, shown, evidence);
            }
        }
        format @ (ExportFormat::Ndjson | ExportFormat::Ocsf) => {
            for (at, text) in BufReader::new(File::open(path)?).lines().enumerate() {
                let parsed = parse(format, &text?);
                let (index, shown, evidence) =
                    parsed.with_context(|| format!("line {} cannot be read", at + 1))?;
                place(index)?;
                visit(index, shown, evidence);
            }
        }
    }
    if (manifest.count, manifest.first, manifest.last) != (seen, first, last) {
        bail!("its manifest counts {} records, and it has {seen}", manifest.count);
    }
    Ok(())
}

fn parse(format: ExportFormat, text: &str) -> anyhow::Result<(u64, Shown, Evidence)> {
    match format {
        ExportFormat::Ndjson => {
            let ExportLine { view, evidence } = serde_json::from_str(text)?;
            Ok((view.index, Shown::Line(view), evidence))
        }
        ExportFormat::Ocsf => {
            let event: Value = serde_json::from_str(text)?;
            let place = event
                .pointer("/unmapped/indelible")
                .context("it does not say where in the log it is")?;
            let index = place.get("index").and_then(Value::as_u64).context("it has no index")?;
            let evidence = Evidence::deserialize(place)?;
            Ok((index, Shown::Ocsf(event), evidence))
        }
        ExportFormat::Csv | ExportFormat::Parquet => bail!("its rows are no lines of JSON"),
    }
}

fn csv_cells(cells: &csv::StringRecord) -> anyhow::Result<(u64, Shown, Evidence)> {
    let index = cells.get(0).and_then(|text| text.parse().ok()).context("it has no index")?;
    let mut proves = cells.iter().skip(1 + COLUMNS.len()).map(|text| match text {
        "" => None,
        text => Some(text.to_owned()),
    });
    let mut next = || proves.next().flatten();
    let evidence = Evidence { record: next(), attachment: next(), proof: next() };
    let shown = cells.iter().take(1 + COLUMNS.len()).map(str::to_owned).collect();
    Ok((index, Shown::Cells(shown), evidence))
}

fn parquet_row(columns: Columns) -> anyhow::Result<(u64, Columns, Evidence)> {
    let text = |name: &str| {
        columns.iter().find(|(own, _)| own == name).and_then(|(_, field)| match field {
            Field::Str(text) => Some(text.clone()),
            _ => None,
        })
    };
    let evidence =
        Evidence { record: text("record"), attachment: text("attachment"), proof: text("proof") };
    let index = columns.iter().find_map(|(name, field)| match field {
        Field::Long(index) if name == "index" => u64::try_from(*index).ok(),
        _ => None,
    });
    Ok((index.context("a row has no index")?, columns, evidence))
}

fn check(
    index: u64,
    shown: &Shown,
    evidence: &Evidence,
    manifest: &Manifest,
    checkpoint: &Checkpoint,
) -> anyhow::Result<()> {
    let (Some(record), Some(proof)) = (&evidence.record, &evidence.proof) else {
        bail!("it has no proof");
    };
    let proof = OfflineProof::parse(proof.as_bytes())?;
    if proof.index != index {
        bail!("its proof is of record {}", proof.index);
    }
    // The manifest's is verified, once for all.
    if proof.checkpoint != manifest.checkpoint {
        bail!("it is proven under another checkpoint than the manifest's");
    }
    let leaf = leaf_hash(record.as_bytes());
    proof.verify_under(&leaf, checkpoint)?;
    // What people read must be what was proven.
    let proven = view(index, &leaf, record, evidence)?;
    let is_same = match shown {
        Shown::Line(view) => EventView { note: None, ..view.clone() } == proven,
        Shown::Ocsf(event) => *event == ocsf_line(&manifest.log, &proven, evidence),
        Shown::Row(columns) => row_is(columns, &proven),
        Shown::Cells(cells) => cells.iter().cloned().eq(csv_row(&proven)),
    };
    if is_same { Ok(()) } else { bail!("what stands beside the record is not what it says") }
}

/// The view of a record that was proven.
fn view(index: u64, leaf: &Hash, record: &str, evidence: &Evidence) -> anyhow::Result<EventView> {
    let envelope = Envelope::parse(record.as_bytes())?;
    let data = match (envelope.payload()?, &evidence.attachment) {
        (Payload::Inline(data), _) => data,
        (Payload::Attachment(named), Some(data)) => {
            if Attachment::of(data.as_bytes()) != named {
                bail!("its attachment is not the one that the record names");
            }
            data
        }
        (Payload::Attachment(_), None) => bail!("its attachment is missing"),
    };
    let event = format_named(&envelope.format).and_then(|format| format.view(data));
    Ok(EventView {
        index,
        leaf_hash: leaf.to_string(),
        event: event.ok().map(serde_json::to_value).transpose()?.unwrap_or_default(),
        envelope: Some(EnvelopeView {
            v: envelope.v,
            id: envelope.id.into_owned(),
            received_at: envelope.received_at.into_owned(),
            recorded_by: envelope.recorded_by.into_owned(),
            format: envelope.format.into_owned(),
        }),
        note: None,
    })
}

/// Whether a row of Parquet is the row of a view.
fn row_is(columns: &[(String, Field)], view: &EventView) -> bool {
    let expected = row(view);
    let is_there = |wanted: &&str| columns.iter().any(|(name, _)| name == wanted);
    let is_whole = COLUMNS.iter().chain(&["event"]).all(is_there);
    is_whole
        && columns.iter().all(|(name, field)| {
            let text =
                COLUMNS.iter().position(|column| column == name).and_then(|at| expected.get(at));
            match (name.as_str(), text, field) {
                // Part of what was proven.
                ("index" | "record" | "attachment" | "proof", ..) => true,
                ("event", _, Field::Str(text)) => {
                    serde_json::from_str::<Value>(text).is_ok_and(|event| event == view.event)
                }
                ("event", _, Field::Null) => view.event.is_null(),
                ("time" | "received_at", Some(text), field) => {
                    let time = text.as_ref().and_then(|text| text.parse::<Timestamp>().ok());
                    match (time, field) {
                        (None, Field::Null) => true,
                        (Some(time), Field::TimestampMicros(shown)) => time.as_micros() == *shown,
                        _ => false,
                    }
                }
                (_, Some(None), Field::Null) => true,
                (_, Some(Some(text)), Field::Str(shown)) => text == shown,
                _ => false,
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_parquet_shows_all_of_a_record_and_nothing_else() {
        let event = serde_json::json!({ "action": "a.b", "actor": { "type": "user", "id": "ada" }, "time": "2026-03-01T12:00:00Z" });
        let view = EventView {
            index: 7,
            leaf_hash: "hash".to_owned(),
            envelope: None,
            event: event.clone(),
            note: None,
        };
        let fields = COLUMNS.iter().zip(row(&view)).map(|(name, text)| match (*name, text) {
            ("time", _) => ("time".to_owned(), Field::TimestampMicros(1_772_366_400_000_000)),
            (name, Some(text)) => (name.to_owned(), Field::Str(text)),
            (name, None) => (name.to_owned(), Field::Null),
        });
        let mut whole: Columns = fields.collect();
        whole.push(("index".to_owned(), Field::Long(7)));
        whole.push(("event".to_owned(), Field::Str(event.to_string())));
        assert!(row_is(&whole, &view));
        for at in (0..whole.len()).filter(|at| whole.get(*at).is_some_and(|of| of.0 != "index")) {
            let without: Columns = whole
                .iter()
                .enumerate()
                .filter(|(n, _)| *n != at)
                .map(|(_, of)| of.clone())
                .collect();
            assert!(!row_is(&without, &view), "{:?} is missing", whole.get(at));
            let mut other = whole.clone();
            other[at].1 = Field::Str("other".to_owned());
            assert!(!row_is(&other, &view), "{:?} is altered", whole.get(at));
        }
        whole.push(("more".to_owned(), Field::Str("x".to_owned())));
        assert!(!row_is(&whole, &view), "nothing proves more");
    }
}
