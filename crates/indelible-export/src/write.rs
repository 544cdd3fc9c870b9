//! The file of an export, in each format.

use indelible_api::{
    COLUMNS, EVIDENCE_COLUMNS, EventView, Evidence, ExportFormat, ExportLine, csv_row, ocsf_line,
    row,
};
use indelible_event::Timestamp;
use parquet::{
    basic::{Compression, ZstdLevel},
    data_type::{ByteArray, ByteArrayType, Int64Type},
    errors::ParquetError,
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    schema::parser::parse_message_type,
};
use std::{
    io::{self, Write},
    sync::Arc,
};

/// Bytes of the rows of one row group, about.
const ROW_GROUP: usize = 16 << 20;

/// Writes records in one format. The same records give the same bytes, with one version
/// of this crate.
pub struct Writer<W: Write + Send> {
    log: String,
    sink: Sink<W>,
}

impl<W: Write + Send> std::fmt::Debug for Writer<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("log", &self.log).finish_non_exhaustive()
    }
}

enum Sink<W: Write + Send> {
    Lines(ExportFormat, W),
    Csv { rows: csv::Writer<W>, proofs: bool },
    Parquet { file: SerializedFileWriter<W>, rows: Vec<Row>, bytes: usize, proofs: bool },
}

/// A row of a Parquet file; the texts are those of [`text_columns`].
struct Row {
    index: i64,
    texts: Vec<Option<String>>,
}

/// Columns of Parquet after `index`.
fn text_columns(proofs: bool) -> impl Iterator<Item = &'static str> {
    COLUMNS.iter().copied().chain(["event"]).chain(evidence_columns(proofs))
}

fn evidence_columns(proofs: bool) -> impl Iterator<Item = &'static str> {
    EVIDENCE_COLUMNS.into_iter().take(if proofs { EVIDENCE_COLUMNS.len() } else { 0 })
}

fn is_time(column: &str) -> bool {
    matches!(column, "time" | "received_at")
}

/// The schema of a Parquet file, as its format writes it.
#[must_use]
pub fn parquet_schema(proofs: bool) -> String {
    let mut text = String::from("message indelible { REQUIRED INT64 index; ");
    for column in text_columns(proofs) {
        let kind = match column {
            "event" => "BYTE_ARRAY event (JSON)".to_owned(),
            column if is_time(column) => format!("INT64 {column} (TIMESTAMP(MICROS,true))"),
            column => format!("BYTE_ARRAY {column} (STRING)"),
        };
        text.push_str(&format!("OPTIONAL {kind}; "));
    }
    text.push('}');
    text
}

impl<W: Write + Send> Writer<W> {
    /// Begins a file of a log's records, with or without what proves them.
    ///
    /// # Errors
    /// What the file says.
    pub fn new(log: &str, format: ExportFormat, proofs: bool, file: W) -> io::Result<Self> {
        let sink = match format {
            ExportFormat::Ndjson | ExportFormat::Ocsf => Sink::Lines(format, file),
            ExportFormat::Csv => {
                let mut rows = csv::Writer::from_writer(file);
                let columns = std::iter::once("index").chain(COLUMNS);
                rows.write_record(columns.chain(evidence_columns(proofs)))?;
                Sink::Csv { rows, proofs }
            }
            ExportFormat::Parquet => {
                let schema =
                    Arc::new(parse_message_type(&parquet_schema(proofs)).map_err(parquet_error)?);
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(ZstdLevel::default()))
                    .set_created_by(concat!("indelible ", env!("CARGO_PKG_VERSION")).to_owned())
                    .build();
                let file = SerializedFileWriter::new(file, schema, Arc::new(properties))
                    .map_err(parquet_error)?;
                Sink::Parquet { file, rows: Vec::new(), bytes: 0, proofs }
            }
        };
        Ok(Self { log: log.to_owned(), sink })
    }

    /// Writes a record.
    ///
    /// # Errors
    /// What the file says.
    pub fn write(&mut self, view: EventView, evidence: Evidence) -> io::Result<()> {
        match &mut self.sink {
            Sink::Lines(ExportFormat::Ocsf, file) => {
                line(file, &ocsf_line(&self.log, &view, &evidence))
            }
            Sink::Lines(_, file) => line(file, &ExportLine { view, evidence }),
            Sink::Csv { rows, proofs } => {
                let proves = [evidence.record, evidence.attachment, evidence.proof];
                let proves = proves.into_iter().take(if *proofs { 3 } else { 0 });
                rows.write_record(csv_row(&view).chain(proves.map(Option::unwrap_or_default)))?;
                Ok(())
            }
            Sink::Parquet { file, rows, bytes, proofs } => {
                let index = i64::try_from(view.index).map_err(io::Error::other)?;
                let mut texts = row(&view).to_vec();
                texts.push((!view.event.is_null()).then(|| view.event.to_string()));
                if *proofs {
                    texts.extend([evidence.record, evidence.attachment, evidence.proof]);
                }
                *bytes += texts.iter().flatten().map(|text| text.len() + 24).sum::<usize>();
                rows.push(Row { index, texts });
                if *bytes >= ROW_GROUP {
                    *bytes = 0;
                    write_rows(file, &std::mem::take(rows), *proofs).map_err(parquet_error)?;
                }
                Ok(())
            }
        }
    }

    /// Writes what is held back, as far as the format lets it: lines and rows of CSV.
    ///
    /// # Errors
    /// What the file says.
    pub fn flush(&mut self) -> io::Result<()> {
        match &mut self.sink {
            Sink::Lines(_, file) => file.flush(),
            Sink::Csv { rows, .. } => rows.flush(),
            Sink::Parquet { .. } => Ok(()),
        }
    }

    /// Ends the file and gives it back.
    ///
    /// # Errors
    /// What the file says.
    pub fn finish(self) -> io::Result<W> {
        match self.sink {
            Sink::Lines(_, file) => Ok(file),
            Sink::Csv { rows, .. } => rows.into_inner().map_err(csv::IntoInnerError::into_error),
            Sink::Parquet { mut file, rows, proofs, .. } => {
                if !rows.is_empty() {
                    write_rows(&mut file, &rows, proofs).map_err(parquet_error)?;
                }
                file.into_inner().map_err(parquet_error)
            }
        }
    }
}

fn line(file: &mut impl Write, value: &impl serde::Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *file, value)?;
    file.write_all(b"\n")
}

fn write_rows<W: Write + Send>(
    file: &mut SerializedFileWriter<W>,
    rows: &[Row],
    proofs: bool,
) -> Result<(), ParquetError> {
    let mut group = file.next_row_group()?;
    if let Some(mut column) = group.next_column()? {
        let values: Vec<i64> = rows.iter().map(|row| row.index).collect();
        column.typed::<Int64Type>().write_batch(&values, None, None)?;
        column.close()?;
    }
    for (at, name) in text_columns(proofs).enumerate() {
        let Some(mut column) = group.next_column()? else { break };
        let texts = || rows.iter().map(move |row| row.texts.get(at).and_then(Option::as_deref));
        if is_time(name) {
            let micros = |text: &str| text.parse::<Timestamp>().ok().map(Timestamp::as_micros);
            let times: Vec<Option<i64>> = texts().map(|text| text.and_then(micros)).collect();
            let levels: Vec<i16> = times.iter().map(|time| i16::from(time.is_some())).collect();
            let values: Vec<i64> = times.into_iter().flatten().collect();
            column.typed::<Int64Type>().write_batch(&values, Some(&levels), None)?;
        } else {
            let levels: Vec<i16> = texts().map(|text| i16::from(text.is_some())).collect();
            let values: Vec<ByteArray> = texts().flatten().map(ByteArray::from).collect();
            column.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None)?;
        }
        column.close()?;
    }
    group.close()?;
    Ok(())
}

/// The cause, if the file could not be written.
fn parquet_error(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(cause) => match cause.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(cause) => io::Error::other(cause),
        },
        error => io::Error::other(error),
    }
}
