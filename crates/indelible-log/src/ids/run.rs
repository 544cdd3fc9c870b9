//! One run as a file: pages of sorted entries and of a filter, a table of the pages'
//! hashes, and a note that the log's key signs over what it is of and the hash of the
//! table. So whoever can write files and does not have the key cannot make the log forget
//! an id: each page is checked whenever something is looked for in it. docs/formats.md §5.

use super::{
    filter::{BLOCK_LEN, Block, block_of, blocks_for, has, insert},
    hash::{HASH_BITS, IdHash, OFFSET_BITS},
};
use crate::{
    error::{LogError, Result, damaged},
    keys::KeyRing,
    segment::{self, SEGMENT_RECORDS},
};
use indelible_store::{Blob, BlobWriter, Store, StoreError};
use indelible_tlog::{Hash, KeyLine, Note};
use sha2::{Digest, Sha256};
use std::{
    io::{self, BufWriter, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

const VERSION: &str = "indelible-ids/v3";
const MAGIC: [u8; 8] = *b"INDIDS3\n";
/// Length of the note, and the magic.
const TRAILER_LEN: u64 = 16;
const MAX_NOTE_LEN: u64 = 64 << 10;
const PAGE_LEN: usize = 4096;
/// Entries of a page.
const ENTRIES: u64 = PAGE_LEN as u64 / 8;
/// Blocks of the filter in a page.
const BLOCKS: u64 = (PAGE_LEN / BLOCK_LEN) as u64;
/// Hashes of a page of the table.
const HASHES: u64 = PAGE_LEN as u64 / 32;
/// Segments of the largest run whose filter is kept in memory. Of larger ones, which are
/// few, one page is read for each lookup: memory does not grow with the log.
const MAX_KEPT: u64 = 16;
/// Bytes written at a time.
const BUFFER: usize = 1 << 20;

/// A sorted run over consecutive segments.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) first_segment: u64,
    pub(crate) segments: u64,
    /// Root of the tree over its segments.
    root: Hash,
    pub(super) path: String,
    pub(super) entries: u64,
    pub(super) blocks: u64,
    /// Hashes of the pages of the table.
    top: Vec<[u8; 32]>,
    /// The blocks of the filter, of a small run.
    pub(super) kept: Option<Vec<u8>>,
    pub(super) blob: Arc<dyn Blob>,
    /// A page was not what was written, or could not be read.
    bad: AtomicBool,
}

pub(super) fn path(first_segment: u64, segments: u64) -> String {
    format!("ids/{first_segment:010}-{segments:04}.ids")
}

pub(crate) fn coverage(path: &str) -> Option<(u64, u64)> {
    let (first, segments) = path.strip_prefix("ids/")?.strip_suffix(".ids")?.split_once('-')?;
    let (first, segments) = (first.parse().ok()?, segments.parse().ok()?);
    (self::path(first, segments) == path).then_some((first, segments))
}

/// What is signed.
fn text(origin: &str, of: (u64, u64), root: Hash, size: (u64, u64), table: &[u8; 32]) -> String {
    let table = Hash::from_slice(table).unwrap_or_default();
    format!(
        "{VERSION}\n{origin}\nsegments {} {}\nroot {root}\nentries {}\nblocks {}\nhash {table}\n",
        of.0, of.1, size.0, size.1
    )
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Writes pages and keeps their hashes.
struct Pages {
    writer: BufWriter<Box<dyn BlobWriter>>,
    page: Vec<u8>,
    hashes: Vec<[u8; 32]>,
}

impl Pages {
    /// Adds bytes of which a page holds a whole number.
    fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.page.extend_from_slice(bytes);
        if self.page.len() < PAGE_LEN { Ok(()) } else { self.end_page() }
    }

    /// Fills the page up with zeros, if it has begun.
    fn end_page(&mut self) -> io::Result<()> {
        if self.page.is_empty() {
            return Ok(());
        }
        self.page.resize(PAGE_LEN, 0);
        self.hashes.push(sha256(&self.page));
        self.writer.write_all(&self.page)?;
        self.page.clear();
        Ok(())
    }
}

impl Run {
    /// Opens a run of segments with this root, which a key of `line` signed.
    pub(super) fn open(
        store: &dyn Store,
        line: &KeyLine,
        root: Hash,
        (first_segment, segments): (u64, u64),
    ) -> Result<Self> {
        let path = path(first_segment, segments);
        let blob = store.open(&path)?;
        let malformed =
            |at| move || damaged(&self::path(first_segment, segments), at, "malformed id run");
        let size = blob.size();
        let trailer_at = size.checked_sub(TRAILER_LEN).ok_or_else(malformed(0))?;
        let trailer = blob.read_vec(trailer_at, TRAILER_LEN as usize)?;
        let (len, magic) = trailer.split_first_chunk().ok_or_else(malformed(trailer_at))?;
        let note_len = u64::from_le_bytes(*len);
        let note_at = trailer_at
            .checked_sub(note_len)
            .filter(|_| note_len <= MAX_NOTE_LEN && magic == MAGIC)
            .ok_or_else(malformed(trailer_at))?;
        let bytes = blob.read_vec(note_at, note_len as usize)?;
        let end = first_segment.saturating_add(segments).saturating_mul(SEGMENT_RECORDS);
        let note = signed(&path, &bytes, line, end)?;
        let number = |name: &str| {
            let line = note.text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.parse::<u64>().ok()).ok_or_else(malformed(note_at))
        };
        let (entries, blocks) = (number("entries ")?, number("blocks ")?);
        let most = segments.saturating_mul(SEGMENT_RECORDS);
        if entries > most || blocks != blocks_for(entries) {
            return Err(malformed(note_at)());
        }
        let mut run = Self {
            first_segment,
            segments,
            root,
            path,
            entries,
            blocks,
            top: Vec::new(),
            kept: None,
            blob,
            bad: AtomicBool::new(false),
        };
        let tables = run.pages().div_ceil(HASHES);
        let top_at = (run.pages() + tables) * PAGE_LEN as u64;
        if top_at + 32 * tables != note_at {
            return Err(malformed(note_at)());
        }
        let top = run.blob.read_vec(top_at, 32 * tables as usize)?;
        run.top = top.as_chunks().0.to_vec();
        let expected = text(
            line.first().name(),
            (first_segment, segments),
            root,
            (entries, blocks),
            &sha256(&top),
        );
        if note.text != expected {
            return Err(damaged(&run.path, note_at, "the run is not of these segments"));
        }
        if segments <= MAX_KEPT {
            let mut kept = Vec::with_capacity(run.pages() as usize * PAGE_LEN);
            for page in run.entry_pages()..run.pages() {
                kept.extend_from_slice(&run.read_page(page)?);
            }
            run.kept = Some(kept);
        }
        Ok(run)
    }

    /// Writes a run of `count` entries, which come in ascending order, as often as they
    /// are asked for.
    pub(super) fn write<I: Iterator<Item = Result<u64>>>(
        store: &dyn Store,
        keys: &KeyRing,
        root: Hash,
        of: (u64, u64),
        count: u64,
        entries: impl Fn() -> I,
    ) -> Result<Self> {
        let path = path(of.0, of.1);
        let io = |e| StoreError::io("write", &path, e);
        let blocks = blocks_for(count);
        let writer = match store.writer(&path) {
            // Left by an attempt that failed late, or bad. A run is derived: it is made anew.
            Err(StoreError::AlreadyExists { .. }) => {
                store.delete(&path)?;
                store.writer(&path)?
            }
            other => other?,
        };
        let writer = BufWriter::with_capacity(BUFFER, writer);
        let mut pages = Pages { writer, page: Vec::with_capacity(PAGE_LEN), hashes: Vec::new() };
        for entry in entries() {
            pages.push(&entry?.to_le_bytes()).map_err(io)?;
        }
        pages.end_page().map_err(io)?;
        // Hashes ascend, and with them the blocks they are in: one is filled at a time.
        let (mut block, mut at): (Block, u64) = ([0; BLOCK_LEN], 0);
        for entry in entries() {
            let short = entry? >> OFFSET_BITS;
            while at < block_of(short, blocks) {
                pages.push(&std::mem::replace(&mut block, [0; BLOCK_LEN])).map_err(io)?;
                at += 1;
            }
            insert(&mut block, short);
        }
        while at < blocks {
            pages.push(&std::mem::replace(&mut block, [0; BLOCK_LEN])).map_err(io)?;
            at += 1;
        }
        pages.end_page().map_err(io)?;
        for hash in std::mem::take(&mut pages.hashes) {
            pages.push(&hash).map_err(io)?;
        }
        pages.end_page().map_err(io)?;
        let top = pages.hashes.as_flattened();
        let note =
            keys.sign_newest(&text(keys.origin(), of, root, (count, blocks), &sha256(top)))?;
        let mut end = note.as_bytes().to_vec();
        end.extend_from_slice(&(note.len() as u64).to_le_bytes());
        end.extend_from_slice(&MAGIC);
        let mut writer = pages.writer;
        writer.write_all(top).and_then(|()| writer.write_all(&end)).map_err(io)?;
        writer.into_inner().map_err(|e| io(e.into_error()))?.finish()?;
        Self::open(store, keys.line(), root, of)
    }

    /// One run over the same segments as `parts`, which are as many as a power of two.
    pub(super) fn merge(store: &dyn Store, keys: &KeyRing, parts: &[Arc<Self>]) -> Result<Self> {
        let first_segment = parts.first().map_or(0, |run| run.first_segment);
        let segments = parts.iter().map(|run| run.segments).sum();
        let count = parts.iter().map(|run| run.entries).sum();
        let roots: Vec<Hash> = parts.iter().map(|run| run.root).collect();
        let merged = || {
            let mut cursors: Vec<Cursor<'_>> = parts
                .iter()
                .map(|run| Cursor::new(run, (run.first_segment - first_segment) * SEGMENT_RECORDS))
                .collect();
            // Sixteen cursors: a scan for the least is as fast as a heap, and plainer.
            std::iter::from_fn(move || {
                let mut least: Option<(u64, usize)> = None;
                for (n, cursor) in cursors.iter_mut().enumerate() {
                    match cursor.peek() {
                        Ok(Some(entry)) if least.is_none_or(|(known, _)| entry < known) => {
                            least = Some((entry, n))
                        }
                        Ok(_) => {}
                        Err(error) => return Some(Err(error)),
                    }
                }
                let (entry, n) = least?;
                cursors.get_mut(n)?.advance();
                Some(Ok(entry))
            })
        };
        Self::write(store, keys, segment::fold(&roots), (first_segment, segments), count, merged)
    }

    /// Pages of entries.
    pub(super) const fn entry_pages(&self) -> u64 {
        self.entries.div_ceil(ENTRIES)
    }

    /// Pages of entries and of the filter.
    const fn pages(&self) -> u64 {
        self.entry_pages() + self.blocks.div_ceil(BLOCKS)
    }

    /// A page, if it is the one that was written. From then on whoever asks is told that
    /// the run is bad.
    fn read_page(&self, page: u64) -> Result<Vec<u8>> {
        let read = || {
            let at = page * PAGE_LEN as u64;
            let bytes = self.blob.read_vec(at, PAGE_LEN)?;
            let table_at = (self.pages() + page / HASHES) * PAGE_LEN as u64;
            let table = self.blob.read_vec(table_at, PAGE_LEN)?;
            let known = table.as_chunks::<32>().0.get((page % HASHES) as usize);
            if self.top.get((page / HASHES) as usize) != Some(&sha256(&table)) {
                return Err(damaged(&self.path, table_at, "table does not match its hash"));
            }
            if known != Some(&sha256(&bytes)) {
                return Err(damaged(&self.path, at, "page does not match its hash"));
            }
            Ok(bytes)
        };
        read().inspect_err(|_| self.bad.store(true, Ordering::Relaxed))
    }

    /// Whether a page was found not to be what was written.
    pub(super) fn is_bad(&self) -> bool {
        self.bad.load(Ordering::Relaxed)
    }

    /// A block of the filter as it is stored.
    pub(super) fn block(&self, block: u64) -> Result<Block> {
        let page = self.read_page(self.entry_pages() + block / BLOCKS)?;
        let blocks = page.as_chunks().0;
        let found = blocks.get((block % BLOCKS) as usize).copied();
        found.ok_or_else(|| damaged(&self.path, 0, "no such block"))
    }

    /// Whether the run may have a hash.
    fn may_have(&self, short: u64) -> Result<bool> {
        let block = block_of(short, self.blocks);
        let Some(kept) = &self.kept else { return Ok(has(&self.block(block)?, short)) };
        // Checked when the run was opened.
        Ok(kept.as_chunks().0.get(block as usize).is_some_and(|block| has(block, short)))
    }

    /// Index of its first record.
    pub(super) const fn first_index(&self) -> u64 {
        self.first_segment * SEGMENT_RECORDS
    }

    /// Indexes of records that may have the id.
    pub(super) fn search(&self, hash: IdHash) -> Result<Vec<u64>> {
        let short = hash.short();
        let mut found = Vec::new();
        if !self.may_have(short)? {
            return Ok(found);
        }
        // Hashes are uniform: the place of one is near its share of the entries.
        let guess = ((u128::from(short) * u128::from(self.entries)) >> HASH_BITS) as u64;
        let mut page = guess / ENTRIES;
        let mut entries = self.page(page)?;
        while page > 0 && entries.first().is_none_or(|entry| entry >> OFFSET_BITS >= short) {
            page -= 1;
            entries = self.page(page)?;
        }
        loop {
            let matching = entries.iter().filter(|entry| *entry >> OFFSET_BITS == short);
            found.extend(
                matching.map(|entry| self.first_index() + (entry & ((1 << OFFSET_BITS) - 1))),
            );
            if entries.last().is_none_or(|entry| entry >> OFFSET_BITS > short) {
                return Ok(found);
            }
            page += 1;
            entries = self.page(page)?;
        }
    }

    /// Entries `[page · 512, …)`; empty past the end.
    pub(super) fn page(&self, page: u64) -> Result<Vec<u64>> {
        if page >= self.entry_pages() {
            return Ok(Vec::new());
        }
        let bytes = self.read_page(page)?;
        let (entries, _) = bytes.as_chunks();
        let count = ENTRIES.min(self.entries - page * ENTRIES) as usize;
        Ok(entries.iter().take(count).map(|entry| u64::from_le_bytes(*entry)).collect())
    }
}

/// A note with one signature, by a key that counts for the records up to `end`.
fn signed(path: &str, bytes: &[u8], line: &KeyLine, end: u64) -> Result<Note> {
    let note = Note::parse(bytes).map_err(|e| damaged(path, 0, e.to_string()))?;
    line.verifies(&note, end)
        .map_err(|e| LogError::Checkpoint { path: path.to_owned(), source: e.into() })?;
    if note.signatures.len() == 1 && note.to_string().as_bytes() == bytes {
        Ok(note)
    } else {
        Err(damaged(path, 0, "signed by others than the log's newest key"))
    }
}

/// Reads a run in order, moving offsets by `shift`.
pub(super) struct Cursor<'a> {
    pub(super) run: &'a Run,
    shift: u64,
    page: u64,
    entries: std::vec::IntoIter<u64>,
    next: Option<u64>,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(run: &'a Run, shift: u64) -> Self {
        Self { run, shift, page: 0, entries: Vec::new().into_iter(), next: None }
    }

    pub(super) fn peek(&mut self) -> Result<Option<u64>> {
        if self.next.is_none() {
            if self.entries.len() == 0 {
                self.entries = self.run.page(self.page)?.into_iter();
                self.page += 1;
            }
            self.next = self.entries.next();
        }
        Ok(self.next.map(|entry| entry + self.shift))
    }

    pub(super) const fn advance(&mut self) {
        self.next = None;
    }
}
