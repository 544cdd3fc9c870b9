//! The sealed segment: 65,536 records as 256 compressed bundles, with the roots of
//! the tree above them. Written once, whole, and read-only. docs/formats.md §4.

use crate::{
    bytes::Fields,
    error::{LogError, Result, damaged},
    frame::Link,
    statement::Statement,
};
use indelible_store::{Blob, Store};
use indelible_tlog::{BundleEntries, Hash, KeyLine, Note, NoteError, leaf_hash, node_hash};
use std::{io::Write as _, sync::Arc};

/// Records in a bundle.
pub const BUNDLE_RECORDS: u64 = 256;
/// Bundles in a segment.
pub(crate) const SEGMENT_BUNDLES: usize = 256;
/// Records in a segment.
pub const SEGMENT_RECORDS: u64 = 65_536;
/// Level of the tree at which a segment is one node.
pub(crate) const SEGMENT_LEVEL: u8 = 16;
/// Level of the tree at which a bundle is one node.
pub(crate) const BUNDLE_LEVEL: u8 = 8;

const MAGIC: [u8; 8] = *b"INDSEG2\n";
const HEADER_LEN: usize = 16;
const TRAILER_LEN: usize = 104;
/// Flags of a trailer: the codec in the low byte, 1 being zstd; nothing is encrypted.
const FLAGS: u32 = 1;
const BUNDLE_ENTRY_LEN: usize = 20;
/// Most raw bytes of a bundle: 256 records of 65,535 bytes and their lengths.
const MAX_BUNDLE_LEN: u32 = 256 * 65_537;
const MAX_NOTE_LEN: usize = 1 << 20;
/// zstd level: on audit events 3 packs a tenth tighter than 1 for half the speed again.
const COMPRESSION_LEVEL: i32 = 3;

/// Path of a segment in its log's store.
pub(crate) fn path(number: u64) -> String {
    format!("segments/{number:010}.segment")
}

/// Number of the segment at `path`, if it is one.
pub(crate) fn number(path: &str) -> Option<u64> {
    let digits = path.strip_prefix("segments/")?.strip_suffix(".segment")?;
    digits.parse().ok().filter(|n| self::path(*n) == path)
}

/// What is known of a segment without reading its footer.
#[derive(Debug, Clone)]
pub(crate) struct Trailer {
    pub(crate) root: Hash,
    /// Commit times of its first and last record.
    pub(crate) time_us: (i64, i64),
    /// Bytes of its records before compression.
    pub(crate) record_bytes: u64,
    flags: u32,
    key_id: u64,
    footer_at: u64,
    footer_len: u32,
    footer_crc: u32,
}

/// What a segment gets from the log it is of.
pub(crate) struct Seal<'a> {
    pub(crate) origin: &'a str,
    /// The signed checkpoint of at least its records, and the commit that made it.
    pub(crate) note: &'a str,
    pub(crate) link: Link,
    /// Signs a text with the log's key.
    pub(crate) sign: &'a dyn Fn(&str) -> Result<String>,
}

/// Where a bundle is and what it hashes to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BundleEntry {
    offset: u64,
    len: u32,
    raw_len: u32,
    crc: u32,
}

/// The footer: all bundles, and the checkpoint that vouched for them.
#[derive(Debug)]
pub(crate) struct Footer {
    bundles: Vec<BundleEntry>,
    pub(crate) roots: Vec<Hash>,
    /// A signed checkpoint of at least the segment's end.
    pub(crate) note: Vec<u8>,
    /// What is said of the segment, signed.
    statement: Vec<u8>,
    /// The commit whose checkpoint it is.
    pub(crate) link: Link,
}

/// An open segment.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) number: u64,
    pub(crate) trailer: Trailer,
    path: String,
    blob: Arc<dyn Blob>,
}

/// Writes a segment from its bundles, in order, and makes it durable.
/// `next_bundle` yields each of the 256 bundles as raw entry-bundle bytes.
pub(crate) fn write(
    store: &dyn Store,
    number: u64,
    time_us: (i64, i64),
    seal: &Seal<'_>,
    mut next_bundle: impl FnMut(usize) -> Result<(Vec<u8>, Hash)>,
) -> Result<()> {
    let path = path(number);
    let io = |e| LogError::Store(indelible_store::StoreError::io("write", &path, e));
    let mut writer = store.writer(&path)?;
    let mut header = MAGIC.to_vec();
    header.extend_from_slice(&number.to_le_bytes());
    writer.write_all(&header).map_err(io)?;
    let mut at = header.len() as u64;
    let mut compressor = zstd::bulk::Compressor::new(COMPRESSION_LEVEL).map_err(io)?;
    let mut table = Vec::with_capacity(SEGMENT_BUNDLES * BUNDLE_ENTRY_LEN);
    let mut roots = Vec::with_capacity(SEGMENT_BUNDLES);
    let mut record_bytes = 0u64;
    for bundle in 0..SEGMENT_BUNDLES {
        let (raw, root) = next_bundle(bundle)?;
        let packed = compressor.compress(&raw).map_err(io)?;
        writer.write_all(&packed).map_err(io)?;
        table.extend_from_slice(&at.to_le_bytes());
        table.extend_from_slice(&(packed.len() as u32).to_le_bytes());
        table.extend_from_slice(&(raw.len() as u32).to_le_bytes());
        table.extend_from_slice(&crc32c::crc32c(&packed).to_le_bytes());
        at += packed.len() as u64;
        record_bytes += raw.len() as u64 - 2 * BUNDLE_RECORDS;
        roots.push(root);
    }
    let mut footer = table;
    roots.iter().for_each(|root| footer.extend_from_slice(root.as_ref()));
    let root = fold(&roots);
    let statement = Statement {
        origin: seal.origin.to_owned(),
        number,
        root,
        time_us,
        record_bytes,
        link: seal.link,
    };
    for note in [seal.note, &(seal.sign)(&statement.to_string())?] {
        footer.extend_from_slice(&(note.len() as u32).to_le_bytes());
        footer.extend_from_slice(note.as_bytes());
    }
    let mut trailer = Vec::with_capacity(TRAILER_LEN);
    trailer.extend_from_slice(&number.to_le_bytes());
    trailer.extend_from_slice(root.as_ref());
    trailer.extend_from_slice(&time_us.0.to_le_bytes());
    trailer.extend_from_slice(&time_us.1.to_le_bytes());
    trailer.extend_from_slice(&record_bytes.to_le_bytes());
    trailer.extend_from_slice(&at.to_le_bytes());
    trailer.extend_from_slice(&(footer.len() as u32).to_le_bytes());
    trailer.extend_from_slice(&crc32c::crc32c(&footer).to_le_bytes());
    trailer.extend_from_slice(&FLAGS.to_le_bytes());
    trailer.extend_from_slice(&[0; 8]);
    let crc = crc32c::crc32c(&trailer);
    trailer.extend_from_slice(&crc.to_le_bytes());
    trailer.extend_from_slice(&MAGIC);
    writer.write_all(&footer).and_then(|()| writer.write_all(&trailer)).map_err(io)?;
    // If we crash here the segment does not exist and is written again from the journal.
    writer.finish()?;
    Ok(())
}

thread_local! {
    /// Making a decompressor costs as much as decompressing a bundle.
    static DECOMPRESSOR: std::cell::RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { std::cell::RefCell::new(None) };
}

/// Whether these bytes are one frame of data: with others, which decompress to nothing,
/// somebody could keep what no hash covers.
fn is_one_frame(packed: &[u8]) -> bool {
    const MAGIC: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();
    packed.starts_with(&MAGIC)
        && zstd::zstd_safe::find_frame_compressed_size(packed) == Ok(packed.len())
}

fn decompress(packed: &[u8], raw_len: usize) -> Option<Vec<u8>> {
    if !is_one_frame(packed) {
        return None;
    }
    DECOMPRESSOR.with_borrow_mut(|kept| {
        if kept.is_none() {
            *kept = zstd::bulk::Decompressor::new().ok();
        }
        kept.as_mut()?.decompress(packed, raw_len).ok()
    })
}

/// Root over a power-of-two row of nodes.
pub(crate) fn fold(row: &[Hash]) -> Hash {
    let mut row = row.to_vec();
    while row.len() > 1 {
        // In place: the parent at n is written after its children at 2n and 2n + 1 are read.
        for n in 0..row.len() / 2 {
            row[n] = node_hash(&row[2 * n], &row[2 * n + 1]);
        }
        row.truncate(row.len() / 2);
    }
    row.first().copied().unwrap_or_default()
}

/// Leaf hashes of the entries of a bundle.
pub(crate) fn leaf_hashes(bundle: &[u8]) -> Option<Vec<Hash>> {
    BundleEntries::new(bundle).map(|entry| entry.ok().map(leaf_hash)).collect()
}

impl Segment {
    /// Opens a segment and checks its header and trailer.
    pub(crate) fn open(store: &dyn Store, number: u64) -> Result<Self> {
        let path = path(number);
        let blob = store.open(&path)?;
        let size = blob.size();
        let Some(trailer_at) =
            size.checked_sub(TRAILER_LEN as u64).filter(|at| *at >= HEADER_LEN as u64)
        else {
            return Err(damaged(&path, 0, "too short for a segment"));
        };
        let mut header = MAGIC.to_vec();
        header.extend_from_slice(&number.to_le_bytes());
        if blob.read_vec(0, HEADER_LEN)? != header {
            return Err(damaged(&path, 0, "not the header of this segment"));
        }
        let trailer = decode_trailer(&blob.read_vec(trailer_at, TRAILER_LEN)?, number)
            .filter(|trailer| {
                trailer.footer_at.checked_add(trailer.footer_len.into()) == Some(trailer_at)
            })
            .ok_or_else(|| damaged(&path, trailer_at, "trailer does not match its checksum"))?;
        if trailer.flags != FLAGS || trailer.key_id != 0 {
            let problem = format!(
                "segment is of a kind ({:#x}, key {}) that this version does not know: use a newer one",
                trailer.flags, trailer.key_id
            );
            return Err(damaged(&path, trailer_at, problem));
        }
        Ok(Self { number, trailer, path, blob })
    }

    /// Reads the footer and checks that it leads to the root in the trailer, and that what
    /// is said of the segment is what the trailer says. Whether it is signed is for
    /// [`Footer::signed`].
    pub(crate) fn footer(&self) -> Result<Footer> {
        let trailer = &self.trailer;
        let at = trailer.footer_at;
        let bytes = self.blob.read_vec(at, trailer.footer_len as usize)?;
        if crc32c::crc32c(&bytes) != trailer.footer_crc {
            return Err(damaged(&self.path, at, "footer does not match its checksum"));
        }
        let footer = self
            .decode_footer(&bytes)
            .filter(|footer| self.bundles_are_contiguous(footer))
            .ok_or_else(|| damaged(&self.path, at, "malformed footer"))?;
        if fold(&footer.roots) == trailer.root {
            Ok(footer)
        } else {
            Err(damaged(&self.path, at, "bundle roots do not lead to the segment root"))
        }
    }

    fn decode_footer(&self, bytes: &[u8]) -> Option<Footer> {
        let mut fields = Fields::new(bytes);
        let bundles = (0..SEGMENT_BUNDLES)
            .map(|_| {
                Some(BundleEntry {
                    offset: fields.u64()?,
                    len: fields.u32()?,
                    raw_len: fields.u32()?,
                    crc: fields.u32()?,
                })
            })
            .collect::<Option<_>>()?;
        let roots =
            (0..SEGMENT_BUNDLES).map(|_| fields.array().map(Hash)).collect::<Option<_>>()?;
        let mut note = || {
            let len = fields.u32()? as usize;
            Some(fields.bytes(len)?.to_vec())
        };
        let (note, statement) = (note()?, note()?);
        let said = Note::parse(&statement).ok()?;
        let parsed = Statement::parse(&said.text)?;
        let Trailer { root, time_us, record_bytes, .. } = self.trailer;
        let trailer = Statement { number: self.number, root, time_us, record_bytes, ..parsed };
        // Written in the one way, so no byte of it is without meaning.
        let same = trailer.to_string() == said.text && said.to_string().as_bytes() == statement;
        (fields.is_empty() && same).then_some(Footer {
            bundles,
            roots,
            note,
            statement,
            link: trailer.link,
        })
    }

    fn bundles_are_contiguous(&self, footer: &Footer) -> bool {
        let end = footer.bundles.iter().try_fold(HEADER_LEN as u64, |at, bundle| {
            (bundle.offset == at && bundle.raw_len <= MAX_BUNDLE_LEN)
                .then(|| at + u64::from(bundle.len))
        });
        end == Some(self.trailer.footer_at)
    }

    /// Reads one bundle, 0 to 255, as raw entry-bundle bytes. The records in it are
    /// not hashed here.
    pub(crate) fn bundle(&self, footer: &Footer, bundle: usize) -> Result<Vec<u8>> {
        let entry =
            footer.bundles.get(bundle).ok_or_else(|| damaged(&self.path, 0, "no such bundle"))?;
        let packed = self.blob.read_vec(entry.offset, entry.len as usize)?;
        let first = self.number * SEGMENT_RECORDS + bundle as u64 * BUNDLE_RECORDS;
        let records = format!("records {first} to {}", first + BUNDLE_RECORDS - 1);
        if crc32c::crc32c(&packed) != entry.crc {
            return Err(damaged(
                &self.path,
                entry.offset,
                format!("bundle of {records} does not match its checksum"),
            ));
        }
        let raw = decompress(&packed, entry.raw_len as usize)
            .filter(|raw| raw.len() == entry.raw_len as usize);
        raw.ok_or_else(|| {
            damaged(&self.path, entry.offset, format!("bundle of {records} does not decompress"))
        })
    }

    /// Lets what is read next come from the disk.
    pub(crate) fn evict(&self) {
        self.blob.evict();
    }

    /// Path of the segment, for errors.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Offset of a bundle, for errors.
    pub(crate) fn bundle_offset(&self, footer: &Footer, bundle: usize) -> u64 {
        footer.bundles.get(bundle).map_or(0, |entry| entry.offset)
    }

    /// Size of the file in bytes.
    pub(crate) fn file_size(&self) -> u64 {
        self.blob.size()
    }
}

impl Footer {
    /// Checks that what is said of a segment is signed by a key of its log that counts for
    /// its records.
    pub(crate) fn signed(&self, segment: &Segment, line: &KeyLine) -> Result<()> {
        let refused = |source: NoteError| LogError::Checkpoint {
            path: segment.path.clone(),
            source: source.into(),
        };
        let note = Note::parse(&self.statement).map_err(refused)?;
        line.verifies(&note, (segment.number + 1) * SEGMENT_RECORDS).map_err(refused)?;
        match Statement::parse(&note.text) {
            Some(statement) if statement.origin == line.first().name() => Ok(()),
            _ => Err(damaged(&segment.path, 0, "it is of another log")),
        }
    }
}

fn decode_trailer(bytes: &[u8], number: u64) -> Option<Trailer> {
    let mut fields = Fields::new(bytes);
    let found = fields.u64()?;
    let trailer = Trailer {
        root: Hash(fields.array()?),
        time_us: (fields.i64()?, fields.i64()?),
        record_bytes: fields.u64()?,
        footer_at: fields.u64()?,
        footer_len: fields.u32()?,
        footer_crc: fields.u32()?,
        flags: fields.u32()?,
        key_id: fields.u64()?,
    };
    let crc = fields.u32()?;
    let magic: [u8; 8] = fields.array()?;
    let whole = found == number
        && magic == MAGIC
        && crc == crc32c::crc32c(bytes.get(..TRAILER_LEN - 12)?)
        && (trailer.footer_len as usize)
            <= SEGMENT_BUNDLES * (BUNDLE_ENTRY_LEN + 32) + 2 * (4 + MAX_NOTE_LEN);
    whole.then_some(trailer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use indelible_store::MemoryStore;
    use indelible_tlog::{SigningKey, push_entry};

    fn key_of(seed: u8) -> SigningKey {
        SigningKey::from_seed("test/log", &[seed; 32]).unwrap()
    }

    /// Writes a trailer's checksum anew.
    fn reseal(bytes: &mut [u8]) {
        let at = bytes.len() - TRAILER_LEN;
        let crc = crc32c::crc32c(&bytes[at..at + TRAILER_LEN - 12]);
        bytes[at + TRAILER_LEN - 12..at + TRAILER_LEN - 8].copy_from_slice(&crc.to_le_bytes());
    }

    #[test]
    fn a_segment_reads_back_and_names_what_is_damaged() {
        let store = MemoryStore::default();
        let bundle = |n: usize| {
            let mut raw = Vec::new();
            for record in 0..BUNDLE_RECORDS {
                push_entry(&mut raw, format!("record {n}/{record}").as_bytes()).unwrap();
            }
            let root = fold(&leaf_hashes(&raw).unwrap());
            (raw, root)
        };
        let link = Link { number: 4, epoch: 1, end: 262_144, header: Hash::default() };
        let key = key_of(1);
        let sign = |text: &str| Ok(format!("{text}\n{}", key.sign(text)));
        let seal = Seal { origin: "test/log", note: "note", link, sign: &sign };
        write(&store, 3, (1, 2), &seal, |n| Ok(bundle(n))).unwrap();
        let segment = Segment::open(&store, 3).unwrap();
        let footer = segment.footer().unwrap();
        assert_eq!(segment.trailer.time_us, (1, 2));
        assert_eq!((footer.note.as_slice(), footer.link), (b"note".as_slice(), link));
        let line = |seed| KeyLine::new(key_of(seed).verifying_key().clone());
        footer.signed(&segment, &line(1)).unwrap();
        assert!(footer.signed(&segment, &line(2)).is_err());
        assert_eq!(segment.bundle(&footer, 255).unwrap(), bundle(255).0);
        assert!(Segment::open(&store, 4).is_err());

        // A byte in the middle of the bundles: the first index at fault is named.
        let mut bytes = store.read(&path(3)).unwrap();
        let at = segment.bundle_offset(&footer, 7) as usize + 5;
        bytes[at] ^= 1;
        let altered = MemoryStore::default();
        altered.create(&path(3), &bytes).unwrap();
        let segment = Segment::open(&altered, 3).unwrap();
        let error = segment.bundle(&segment.footer().unwrap(), 7).unwrap_err().to_string();
        assert!(error.contains("records 198400 to 198655"), "{error}");

        // A trailer with another time, bytes, kind or key, its checksum made right.
        let sound = store.read(&path(3)).unwrap();
        for (field, known) in [(40, true), (48, true), (56, true), (80, false), (84, false)] {
            let mut bytes = sound.clone();
            let at = bytes.len() - TRAILER_LEN + field;
            bytes[at] ^= 2;
            reseal(&mut bytes);
            let altered = MemoryStore::default();
            altered.create(&path(3), &bytes).unwrap();
            match Segment::open(&altered, 3) {
                Ok(segment) => assert!(known && segment.footer().is_err(), "{field}"),
                Err(error) => assert!(!known && error.to_string().contains("newer"), "{error}"),
            }
        }
    }

    #[test]
    fn paths() {
        assert_eq!(path(7), "segments/0000000007.segment");
        assert_eq!(number("segments/0000000007.segment"), Some(7));
        assert_eq!(number("segments/7.segment"), None);
    }
}
