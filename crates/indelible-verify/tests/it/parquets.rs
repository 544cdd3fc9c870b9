//! Parquet has many places where a reader may be told something else than another reader.

use crate::exports::Exported;
use indelible_api::ExportFormat;
use indelible_export::parquet_schema;
use parquet::{
    basic::Compression,
    data_type::{ByteArray, ByteArrayType, Int64Type},
    file::{
        properties::WriterProperties,
        reader::{FileReader as _, SerializedFileReader},
        writer::SerializedFileWriter,
    },
    record::Field,
    schema::parser::parse_message_type,
};
use std::{fs, sync::Arc};

const FORMAT: ExportFormat = ExportFormat::Parquet;

/// The rows of the export written again with this schema; `more` stands before the others,
/// after the index.
fn again(exported: &Exported, schema: &str, more: Option<&str>) -> Vec<u8> {
    let file = fs::File::open(exported.file(FORMAT)).unwrap();
    let reader = SerializedFileReader::new(file).unwrap();
    let rows: Vec<Vec<Field>> = reader
        .get_row_iter(None)
        .unwrap()
        .map(|row| row.unwrap().into_columns().into_iter().map(|(_, field)| field).collect())
        .collect();
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = WriterProperties::builder().set_compression(Compression::UNCOMPRESSED).build();
    let mut file = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties)).unwrap();
    let mut group = file.next_row_group().unwrap();
    let mut columns = (0..rows[0].len()).map(Some).collect::<Vec<_>>();
    if more.is_some() {
        columns.insert(1, None);
    }
    for at in columns {
        let mut column = group.next_column().unwrap().unwrap();
        let fields: Vec<Field> = rows
            .iter()
            .map(|row| {
                at.map_or_else(|| Field::Str(more.unwrap().to_owned()), |at| row[at].clone())
            })
            .collect();
        let levels: Vec<i16> =
            fields.iter().map(|field| i16::from(*field != Field::Null)).collect();
        let levels = (at != Some(0)).then_some(levels.as_slice());
        let numbers: Vec<i64> = fields
            .iter()
            .filter_map(|field| match field {
                Field::Long(n) | Field::TimestampMicros(n) => Some(*n),
                _ => None,
            })
            .collect();
        let texts: Vec<ByteArray> = fields
            .iter()
            .filter_map(|field| match field {
                Field::Str(text) => Some(ByteArray::from(text.as_str())),
                _ => None,
            })
            .collect();
        if numbers.is_empty() {
            column.typed::<ByteArrayType>().write_batch(&texts, levels, None).unwrap();
        } else {
            column.typed::<Int64Type>().write_batch(&numbers, levels, None).unwrap();
        }
        column.close().unwrap();
    }
    group.close().unwrap();
    file.into_inner().unwrap()
}

/// Of two columns of one name some readers show the first.
#[test]
fn a_column_before_another_of_its_name_is_found() {
    let exported = Exported::small();
    let mut manifest = exported.write(FORMAT, "actor:ada", &[0, 2, 4]);
    let genuine = parquet_schema(true);
    let same = again(&exported, &genuine, None);
    for column in ["actor", "action", "outcome", "event", "record", "VERDICT"] {
        exported.write(FORMAT, "actor:ada", &[0, 2, 4]);
        let first = genuine.find("OPTIONAL").unwrap();
        let schema = format!(
            "{}OPTIONAL BYTE_ARRAY {column} (STRING); {}",
            &genuine[..first],
            &genuine[first..]
        );
        let altered = again(&exported, &schema, Some("mallory"));
        assert_ne!(altered, same);
        exported.sign(&mut manifest, &altered);
        exported.assert_altered(FORMAT, column);
    }
}

/// The same rows in the same columns, and engines prune by statistics that lie.
#[test]
fn statistics_that_hide_rows_are_found() {
    let exported = Exported::small();
    let mut manifest = exported.write(FORMAT, "", &[0, 1, 2, 3]);
    let sound = fs::read(exported.file(FORMAT)).unwrap();
    let mut changed = 0;
    // Page headers and the footer have them as they are: the largest actor of all rows.
    for (at, _) in sound.windows(3).enumerate().filter(|(_, bytes)| *bytes == b"ben") {
        let mut altered = sound.clone();
        altered[at..at + 3].copy_from_slice(b"ada");
        exported.sign(&mut manifest, &altered);
        exported.assert_altered(FORMAT, &format!("statistics at {at}"));
        changed += 1;
    }
    assert!(changed > 0, "there are no statistics");
}

/// A file that says the same otherwise is not the one that these records give.
#[test]
fn the_same_rows_written_by_another_program_are_found() {
    let exported = Exported::small();
    let mut manifest = exported.write(FORMAT, "", &[0, 1]);
    let altered = again(&exported, &parquet_schema(true), None);
    exported.sign(&mut manifest, &altered);
    exported.assert_altered(FORMAT, "another writer");
}
