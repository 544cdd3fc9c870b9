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
use sha2::{Digest as _, Sha256};
use std::{
    fs::File,
    io::{self, BufWriter, Write},
    sync::Arc,
};

/// Bytes of the rows of one row group, about.
const ROW_GROUP: usize = 16 << 20;

/// A file that is written once, and its hash.
#[derive(Debug)]
pub(super) struct Hashed {
    file: BufWriter<File>,
    hash: Sha256,
    bytes: u64,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(bytes.get(..written).unwrap_or_default());
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Writes records in one format.
pub(super) struct Writer {
    log: String,
    sink: Sink,
}

enum Sink {
    Lines(ExportFormat, Hashed),
    Csv { rows: csv::Writer<Hashed>, proofs: bool },
    Parquet { file: SerializedFileWriter<Hashed>, rows: Vec<Row>, bytes: usize, proofs: bool },
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

fn schema(proofs: bool) -> String {
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

impl Writer {
    pub(super) fn new(
        log: &str,
        format: ExportFormat,
        proofs: bool,
        file: File,
    ) -> io::Result<Self> {
        let file = Hashed { file: BufWriter::new(file), hash: Sha256::new(), bytes: 0 };
        let sink = match format {
            ExportFormat::Ndjson | ExportFormat::Ocsf => Sink::Lines(format, file),
            ExportFormat::Csv => {
                let mut rows = csv::Writer::from_writer(file);
                let columns = std::iter::once("index").chain(COLUMNS);
                rows.write_record(columns.chain(evidence_columns(proofs)))?;
                Sink::Csv { rows, proofs }
            }
            ExportFormat::Parquet => {
                let schema = Arc::new(parse_message_type(&schema(proofs)).map_err(parquet_error)?);
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

    pub(super) fn write(&mut self, view: EventView, evidence: Evidence) -> io::Result<()> {
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

    /// Ends the file durably; returns its length and its SHA-256.
    pub(super) fn finish(self) -> io::Result<(u64, [u8; 32])> {
        let file = match self.sink {
            Sink::Lines(_, file) => file,
            Sink::Csv { rows, .. } => rows.into_inner().map_err(csv::IntoInnerError::into_error)?,
            Sink::Parquet { mut file, rows, proofs, .. } => {
                if !rows.is_empty() {
                    write_rows(&mut file, &rows, proofs).map_err(parquet_error)?;
                }
                file.into_inner().map_err(parquet_error)?
            }
        };
        let Hashed { file, hash, bytes } = file;
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        Ok((bytes, hash.finalize().into()))
    }
}

fn line(file: &mut Hashed, value: &impl serde::Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *file, value)?;
    file.write_all(b"\n")
}

fn write_rows(
    file: &mut SerializedFileWriter<Hashed>,
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
