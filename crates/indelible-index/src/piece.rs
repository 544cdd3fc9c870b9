//! One piece of the index: a contiguous range of records, immutable.

use crate::{
    guarded::Guarded,
    schema::{Columns, Indexed, VERSION, tokenizers},
    seal::{Key, Seal, Sealed, sync},
    source::Source,
};
use indelible_log::{Log, chain};
use indelible_query::TimeRange;
use serde::{Deserialize, Serialize};
use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
    sync::OnceLock,
};
use tantivy::{
    Index, IndexSettings, ReloadPolicy, Searcher, SegmentReader,
    columnar::{Cardinality, Column},
    indexer::merge_indices,
    store::Compressor,
};

/// Memory for building one piece, in bytes.
const BUILD_BUDGET: usize = 16 << 20;

/// Records from which on a piece is made durable.
const DURABLE: u64 = 4096;

/// What a piece is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Facts {
    version: u32,
    origin: String,
    start: u64,
    end: u64,
    /// Root of the log of `end` records: a piece of another history is not used.
    root: String,
}

/// What pieces are of, and where.
#[derive(Clone, Copy)]
pub(crate) struct Of<'a> {
    pub(crate) log: &'a Log,
    pub(crate) columns: &'a Columns,
    pub(crate) key: &'a Key,
    pub(crate) parent: &'a Path,
}

/// A range of records that can be searched.
pub(crate) struct Piece {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) folder: PathBuf,
    files: Guarded,
    seal: Seal<Facts>,
    index: Index,
    searcher: Searcher,
    occurred: Times,
    received: Times,
}

/// What is known of one of a piece's columns of times, as far as it was asked for.
#[derive(Default)]
struct Times {
    /// Of all documents.
    bounds: OnceLock<Bounds>,
    /// Least and greatest time of each zone of documents; only of pieces that were asked
    /// for a time that begins or ends in them.
    zones: OnceLock<Vec<(i64, i64)>>,
}

/// Least and greatest time, and whether every document has one.
#[derive(Clone, Copy)]
struct Bounds {
    least: i64,
    greatest: i64,
    is_full: bool,
}

/// Where in a piece documents of some times can be.
pub(crate) struct During {
    /// None is outside.
    pub(crate) span: Range<u32>,
    /// What each inside must still be asked.
    checks: Vec<(Column<i64>, Range<i64>)>,
    /// The times that some documents of the piece have, and others not.
    divides: Vec<TimeRange>,
}

impl During {
    /// Whether no document can have the times.
    pub(crate) fn is_nothing(&self) -> bool {
        self.span.is_empty()
    }

    /// The times that the whole piece does not have.
    pub(crate) fn divides(&self) -> &[TimeRange] {
        &self.divides
    }

    /// Whether a document in the span has the times.
    pub(crate) fn holds(&self, doc: u32) -> bool {
        self.checks
            .iter()
            .all(|(values, range)| values.first(doc).is_some_and(|value| range.contains(&value)))
    }

    /// Whether all of `docs` documents have the times.
    pub(crate) fn is_all(&self, docs: u32) -> bool {
        self.checks.is_empty() && self.span == (0..docs)
    }
}

/// Zones of a piece, at most.
const ZONES: u32 = 256;

impl std::fmt::Debug for Piece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Piece({}..{})", self.start, self.end)
    }
}

fn name(range: &Range<u64>) -> String {
    format!("{:012}-{:012}", range.start, range.end)
}

/// The range in a piece's name.
pub(crate) fn range_of(name: &str) -> Option<Range<u64>> {
    let (start, end) = name.split_once('-')?;
    let range = start.parse().ok()?..end.parse().ok()?;
    (range.start < range.end && self::name(&range) == name).then_some(range)
}

type Result<T> = std::result::Result<T, tantivy::TantivyError>;

impl Piece {
    /// Its files, and what they were when they were written.
    pub(crate) fn sealed_files(&self) -> impl Iterator<Item = (&String, &Sealed)> {
        self.seal.files.iter()
    }

    /// Whether the seal on the disk is the one it was opened with.
    pub(crate) fn is_sealed(&self, of: &Of<'_>) -> std::io::Result<()> {
        let found: Seal<Facts> = Seal::read(&self.folder, of.key)?;
        match found.files == self.seal.files {
            true => Ok(()),
            false => Err(std::io::Error::other("its seal is another")),
        }
    }

    /// Builds a piece from the log's records, newest first.
    pub(crate) fn build(of: &Of<'_>, range: Range<u64>) -> Result<Self> {
        let Of { log, columns, .. } = *of;
        let temporary = fresh(of.parent, &range)?;
        let mut writer = Index::builder()
            .schema(columns.schema.clone())
            .settings(settings())
            .tokenizers(tokenizers())
            .single_segment_index_writer(
                tantivy::directory::MmapDirectory::open(&temporary)?,
                BUILD_BUDGET,
            )?;
        let (mut end, mut used) = (range.end, Indexed::default());
        while end > range.start {
            // Bundle by bundle, backwards.
            let start = ((end - 1) / 256 * 256).max(range.start);
            let records = records(log, start..end);
            for (record, index) in records.iter().rev().zip((start..end).rev()) {
                let source = match record {
                    Some(record) => Source::of(log, index, record).map_err(other)?,
                    None => Source::unreadable(index),
                };
                used = columns.document(&source.read(), index + 1 == range.end, used);
                writer.add_document(used.clone())?;
            }
            end = start;
        }
        writer.finalize()?;
        finish(of, &temporary, range)
    }

    /// Merges neighbours, given oldest first, into one piece.
    pub(crate) fn merge(of: &Of<'_>, pieces: &[std::sync::Arc<Self>]) -> Result<Self> {
        let range = match (pieces.first(), pieces.last()) {
            (Some(first), Some(last)) => first.start..last.end,
            _ => return Err(other("nothing to merge")),
        };
        let temporary = fresh(of.parent, &range)?;
        // Documents stand in the order of the segments given: newest first.
        let newest_first: Vec<Index> =
            pieces.iter().rev().map(|piece| piece.index.clone()).collect();
        merge_indices(&newest_first, tantivy::directory::MmapDirectory::open(&temporary)?)?;
        finish(of, &temporary, range)
    }

    /// Opens a piece, if it is one of this log, whole, and as it was written.
    pub(crate) fn open(of: &Of<'_>, folder: &Path, range: Range<u64>) -> Result<Self> {
        let seal = Seal::<Facts>::read(folder, of.key)?;
        if seal.facts != expected(of.log, &range)? {
            return Err(other("a piece of another log, history or version"));
        }
        let files = Guarded::open(folder, &seal.files)?;
        let mut index = Index::open(files.clone())?;
        index.set_tokenizers(tokenizers());
        if index.schema() != of.columns.schema {
            return Err(other("a piece with other columns"));
        }
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
        let searcher: Searcher = reader.searcher();
        let piece = Self {
            start: range.start,
            end: range.end,
            folder: folder.to_owned(),
            files,
            seal,
            index,
            searcher,
            occurred: Times::default(),
            received: Times::default(),
        };
        let docs = piece.segment().map(SegmentReader::max_doc);
        if docs.map(u64::from) == Some(range.end - range.start) {
            Ok(piece)
        } else {
            Err(other("a piece that does not have its records"))
        }
    }

    /// The same, newly mapped: what was read of it is not held in memory any longer, and
    /// all is checked again.
    pub(crate) fn reopened(&self, of: &Of<'_>) -> Result<Self> {
        Self::open(of, &self.folder, self.start..self.end)
    }

    /// Whether something that was read of it is not what was written.
    pub(crate) fn is_altered(&self) -> bool {
        self.files.is_altered()
    }

    /// Whether nobody wrote to its files since it was opened.
    pub(crate) fn is_untouched(&self) -> bool {
        self.files.is_untouched()
    }

    /// A file beside the index of the piece, as it was kept.
    pub(crate) fn kept(&self, name: &str) -> Option<Vec<u8>> {
        let sealed = self.seal.files.get(name)?;
        match fs::read(self.folder.join(name)) {
            Ok(bytes) if sealed.is(&bytes) => Some(bytes),
            _ => {
                self.files.set_altered();
                None
            }
        }
    }

    /// Keeps a file beside the index of the piece, from when it is next opened.
    pub(crate) fn keep(&self, key: &Key, name: &str, bytes: &[u8]) -> Result<()> {
        fs::write(self.folder.join(name), bytes)?;
        fs::File::open(self.folder.join(name))?.sync_all()?;
        let mut seal = self.seal.clone();
        seal.files.insert(name.to_owned(), Sealed::of(bytes));
        // If we crash before this the file is of nobody, and not read.
        Ok(seal.write(&self.folder, key, true)?)
    }

    /// Its only segment.
    pub(crate) fn segment(&self) -> Option<&SegmentReader> {
        match self.searcher.segment_readers() {
            [segment] => Some(segment),
            _ => None,
        }
    }

    pub(crate) fn searcher(&self) -> &Searcher {
        &self.searcher
    }

    /// What these times mean in this piece.
    pub(crate) fn during(&self, times: &[TimeRange]) -> Result<During> {
        let nothing = During { span: 0..0, checks: Vec::new(), divides: Vec::new() };
        let Some(segment) = self.segment() else { return Ok(nothing) };
        let docs = segment.max_doc();
        let mut during = During { span: 0..docs, checks: Vec::new(), divides: Vec::new() };
        for range in times.iter().copied() {
            let TimeRange { received, from, to } = range;
            let (known, column) =
                if received { (&self.received, "received") } else { (&self.occurred, "time") };
            let Bounds { least, greatest, is_full } = known.bounds(segment, column)?;
            if greatest < from || least >= to {
                return Ok(nothing);
            }
            if least >= from && greatest < to && is_full {
                continue;
            }
            let values = segment.fast_fields().i64(column)?;
            let zones = known.zones.get_or_init(|| zones_of(&values, docs));
            let touches = |(least, greatest): &(i64, i64)| *greatest >= from && *least < to;
            let first = zones.iter().position(touches);
            let last = zones.iter().rposition(touches);
            let (Some(first), Some(last)) = (first, last) else { return Ok(nothing) };
            let (first, end) =
                (first as u32 * zone_size(docs), (last as u32 + 1) * zone_size(docs));
            during.span = during.span.start.max(first)..during.span.end.min(end);
            during.checks.push((values, from..to));
            during.divides.push(range);
        }
        Ok(during)
    }

    /// Index of a document.
    pub(crate) fn index_of(&self, doc: u32) -> u64 {
        self.end - 1 - u64::from(doc)
    }

    /// The first document at or below an index.
    pub(crate) fn doc_at(&self, index: u64) -> u32 {
        (self.end - 1).saturating_sub(index) as u32
    }
}

impl Times {
    /// Kept, because finding a column costs more than what a piece outside is worth.
    fn bounds(&self, segment: &SegmentReader, column: &str) -> Result<Bounds> {
        if let Some(known) = self.bounds.get() {
            return Ok(*known);
        }
        let values = segment.fast_fields().i64(column)?;
        let bounds = Bounds {
            least: values.min_value(),
            greatest: values.max_value(),
            is_full: values.get_cardinality() == Cardinality::Full,
        };
        Ok(*self.bounds.get_or_init(|| bounds))
    }
}

fn zone_size(docs: u32) -> u32 {
    docs.div_ceil(ZONES).max(1)
}

fn zones_of(values: &Column<i64>, docs: u32) -> Vec<(i64, i64)> {
    let zone = |first: u32| {
        (first..docs.min(first + zone_size(docs)))
            .filter_map(|doc| values.first(doc))
            .fold((i64::MAX, i64::MIN), |(least, greatest), value| {
                (least.min(value), greatest.max(value))
            })
    };
    (0..docs).step_by(zone_size(docs) as usize).map(zone).collect()
}

pub(crate) fn other(error: impl std::fmt::Display) -> tantivy::TantivyError {
    tantivy::TantivyError::InternalError(error.to_string())
}

fn settings() -> IndexSettings {
    IndexSettings { docstore_compression: Compressor::None, ..IndexSettings::default() }
}

fn expected(log: &Log, range: &Range<u64>) -> Result<Facts> {
    Ok(Facts {
        version: VERSION,
        origin: log.manifest().origin.clone(),
        start: range.start,
        end: range.end,
        root: log.root(range.end).map_err(other)?.to_string(),
    })
}

/// An empty folder to build in.
fn fresh(parent: &Path, range: &Range<u64>) -> Result<PathBuf> {
    let temporary = parent.join(format!("{}.tmp", name(range)));
    match fs::remove_dir_all(&temporary) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(other(error)),
        _ => {}
    }
    fs::create_dir_all(&temporary).map_err(other)?;
    Ok(temporary)
}

/// Seals the piece and gives it its name; only then does it exist.
fn finish(of: &Of<'_>, temporary: &Path, range: Range<u64>) -> Result<Piece> {
    // Small ones are soon merged, and soon built again.
    let is_durable = range.end - range.start >= DURABLE;
    let facts = expected(of.log, &range)?;
    Seal::make(temporary, facts, is_durable)?.write(temporary, of.key, is_durable)?;
    let folder = of.parent.join(name(&range));
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(other(error)),
        _ => {}
    }
    fs::rename(temporary, &folder).map_err(other)?;
    if is_durable {
        sync(of.parent)?;
    }
    Piece::open(of, &folder, range)
}

/// The records of a range; `None` for one that cannot be read, which costs no other.
fn records(log: &Log, range: Range<u64>) -> Vec<Option<Vec<u8>>> {
    if let Ok(records) = log.records(range.clone(), usize::MAX)
        && records.len() as u64 == range.end - range.start
    {
        return records.into_iter().map(Some).collect();
    }
    let one = |index| {
        let record = log.record(index);
        if let Err(error) = &record {
            tracing::warn!(index, error = chain(error), "a record cannot be read, nor found");
        }
        record.ok()
    };
    range.map(one).collect()
}
