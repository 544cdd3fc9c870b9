//! What a file of an export claims of each record, in each format. Nothing here is
//! believed: it is proven, and the file is written again from it.

use indelible_api::{COLUMNS, EVIDENCE_COLUMNS, Evidence, ExportFormat};
use indelible_export::parquet_schema;
use parquet::{
    file::reader::{FileReader as _, SerializedFileReader},
    record::Field,
    schema::parser::parse_message_type,
};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _},
    path::Path,
};

/// Longest line that is read: a record, its attachment, and both as they are shown.
const MAX_LINE: u64 = 1 << 30;

/// What is claimed of a record.
#[derive(Debug, Default)]
pub(super) struct Shown {
    pub(super) index: u64,
    pub(super) evidence: Evidence,
}

type Claimed = Result<Shown, String>;

/// The file is none of its format; everything else is what the system says.
fn malformed(problem: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

/// Visits what the file claims, in its order, with the place for people.
pub(super) fn read(
    path: &Path,
    format: ExportFormat,
    visit: impl FnMut(String, Claimed),
) -> io::Result<()> {
    match format {
        ExportFormat::Ndjson | ExportFormat::Ocsf => lines(path, format, visit),
        ExportFormat::Csv => rows(path, visit),
        ExportFormat::Parquet => parquet(path, visit),
    }
}

#[derive(Deserialize)]
struct Line {
    index: u64,
    #[serde(flatten)]
    evidence: Evidence,
}

#[derive(Deserialize)]
struct Ocsf {
    unmapped: Unmapped,
}

#[derive(Deserialize)]
struct Unmapped {
    indelible: Line,
}

fn lines(
    path: &Path,
    format: ExportFormat,
    mut visit: impl FnMut(String, Claimed),
) -> io::Result<()> {
    let mut file = BufReader::new(File::open(path)?);
    let mut line = Vec::new();
    for number in 1u64.. {
        line.clear();
        if file.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let parsed = match format {
            ExportFormat::Ocsf => {
                serde_json::from_slice::<Ocsf>(&line).map(|line| line.unmapped.indelible)
            }
            _ => serde_json::from_slice::<Line>(&line),
        };
        let shown = parsed
            .map(|line| Shown { index: line.index, evidence: line.evidence })
            .map_err(|error| format!("cannot be read: {error}"));
        visit(format!("line {number}"), shown);
    }
    Ok(())
}

fn rows(path: &Path, mut visit: impl FnMut(String, Claimed)) -> io::Result<()> {
    let mut rows = csv::ReaderBuilder::new().flexible(true).from_path(path)?;
    let columns = 1 + COLUMNS.len() + EVIDENCE_COLUMNS.len();
    for (row, number) in rows.records().zip(1u64..) {
        let cells = row.map_err(malformed)?;
        let mut proves = cells.iter().skip(1 + COLUMNS.len()).map(|text| match text {
            "" => None,
            text => Some(text.to_owned()),
        });
        let mut next = || proves.next().flatten();
        let evidence = Evidence { record: next(), attachment: next(), proof: next() };
        let index = cells.get(0).and_then(|text| text.parse().ok());
        let shown = index
            .filter(|_| cells.len() == columns)
            .map(|index| Shown { index, evidence })
            .ok_or_else(|| "is no row of such an export".to_owned());
        visit(format!("row {number}"), shown);
    }
    Ok(())
}

fn parquet(path: &Path, mut visit: impl FnMut(String, Claimed)) -> io::Result<()> {
    let file = SerializedFileReader::new(File::open(path)?).map_err(malformed)?;
    let expected = parse_message_type(&parquet_schema(true)).map_err(malformed)?;
    // The same columns in the same order: none is read for another.
    if *file.metadata().file_metadata().schema() != expected {
        return Err(malformed("its columns are not those of such an export"));
    }
    for (row, number) in file.get_row_iter(None).map_err(malformed)?.zip(1u64..) {
        let columns = row.map_err(malformed)?.into_columns();
        let text = |name: &str| {
            columns.iter().find(|(own, _)| own == name).and_then(|(_, field)| match field {
                Field::Str(text) => Some(text.clone()),
                _ => None,
            })
        };
        let index = match columns.first() {
            Some((_, Field::Long(index))) => u64::try_from(*index).ok(),
            _ => None,
        };
        let [record, attachment, proof] = EVIDENCE_COLUMNS.map(text);
        let evidence = Evidence { record, attachment, proof };
        let shown = index.map(|index| Shown { index, evidence });
        visit(format!("row {number}"), shown.ok_or_else(|| "has no index".to_owned()));
    }
    Ok(())
}

/// Length and SHA-256 of a file, hex.
pub(super) fn hash(path: &Path) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    let mut part = vec![0; 64 << 10];
    loop {
        let read = file.read(&mut part)?;
        if read == 0 {
            break;
        }
        bytes += read as u64;
        hash.update(part.get(..read).unwrap_or_default());
    }
    let hex = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((bytes, hex))
}
