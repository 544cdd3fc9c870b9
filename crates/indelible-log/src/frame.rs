//! The journal frame: one commit, made durable by one write and one sync.
//! docs/formats.md §3.
//!
//! A frame starts at a multiple of 512 in a file that was all zeros. So a sector of
//! an acknowledged frame is never written again, and a sector that a crash kept
//! from being written is still zero. Every sector has a checksum of its own: one that
//! is zero and should not be is missing, whatever the records hold, and one that is
//! neither what was written nor zero is damaged.

use crate::bytes::Fields;
use indelible_store::{Blob, StoreError};
use indelible_tlog::Hash;
use sha2::{Digest as _, Sha256};

const MAGIC: [u8; 8] = *b"INDFRM2\n";
/// Unit in which a disk writes wholly or not at all.
pub(crate) const SECTOR: usize = 512;
/// Length of the fields, which the next frame names by their hash.
const FIELDS_LEN: usize = 120;
/// Where the checksums of the sectors begin: behind the fields and the first sector's own.
const TABLE_AT: usize = FIELDS_LEN + 4;
/// Checksums that have room in the first sector.
const FIRST_ENTRIES: usize = (SECTOR - TABLE_AT) / 4;
/// Checksums in a further sector of the table, which ends in its own.
const ENTRIES: usize = SECTOR / 4 - 1;
/// Longest part of a frame that is believed; one commit is bounded far below.
const MAX_PART: u32 = 1 << 30;

/// A frame's place in the row of frames: what the next one must name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Link {
    /// Number of the commit, from 0.
    pub(crate) number: u64,
    /// Epoch of its writer; never goes down.
    pub(crate) epoch: u64,
    /// Records of the log with it.
    pub(crate) end: u64,
    /// SHA-256 of its fields.
    pub(crate) header: Hash,
}

/// One commit as it stands in a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Index of its first record.
    pub(crate) first: u64,
    /// Number of records.
    pub(crate) count: u32,
    /// When it was committed, microseconds since the epoch.
    pub(crate) time_us: i64,
    /// Root of the tree with these records.
    pub(crate) root: Hash,
    /// [`Link::header`] of the frame before it; zeros for the first.
    pub(crate) previous: Hash,
    /// Its place in the row.
    pub(crate) link: Link,
    /// The records as a C2SP entry bundle.
    pub(crate) records: Vec<u8>,
    /// The signed checkpoint of the log with these records; may be empty.
    pub(crate) note: Vec<u8>,
    /// Offset of `records` in the journal.
    pub(crate) records_at: u64,
    /// Offset of the next frame.
    pub(crate) end: u64,
}

/// What stands at an offset of a journal.
#[derive(Debug)]
pub(crate) enum Found {
    /// A whole frame.
    Frame(Frame),
    /// Zeros to the end of the journal.
    End,
    /// The beginning of a frame that a crash kept from being written wholly, and
    /// nothing after it. `end` is where zeros begin again.
    Torn { end: u64 },
    /// Bytes that no crash leaves.
    Damaged { offset: u64, problem: String },
}

/// A commit to be written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Commit<'a> {
    /// Index of its first record.
    pub(crate) first: u64,
    /// Number of records.
    pub(crate) count: u32,
    /// Microseconds since the epoch.
    pub(crate) time_us: i64,
    /// Root of the tree with these records.
    pub(crate) root: Hash,
    /// Epoch of the writer.
    pub(crate) epoch: u64,
    /// The frame before it.
    pub(crate) previous: Option<Link>,
    /// Concatenated they are the records.
    pub(crate) bundles: &'a [&'a [u8]],
    /// The signed checkpoint.
    pub(crate) note: &'a str,
}

/// How a frame is laid out, which hangs on the bytes of its body alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layout {
    /// Sectors of the table behind the first sector.
    tables: usize,
    /// Checksums in the table: of all sectors but the first and the table's.
    entries: usize,
    /// Offset of the body.
    body_at: usize,
}

impl Layout {
    fn of(body_len: usize) -> Self {
        if body_len <= FIRST_ENTRIES * SECTOR {
            // Each entry takes four bytes of the first sector, so a sector more leaves
            // room for 508 bytes of the body.
            let entries = (TABLE_AT + body_len).saturating_sub(SECTOR).div_ceil(SECTOR - 4);
            return Self { tables: 0, entries, body_at: TABLE_AT + 4 * entries };
        }
        let entries = body_len.div_ceil(SECTOR);
        let tables = (entries - FIRST_ENTRIES).div_ceil(ENTRIES);
        Self { tables, entries, body_at: SECTOR * (1 + tables) }
    }

    fn len(self) -> usize {
        SECTOR * (1 + self.tables + self.entries)
    }

    /// Offset of the checksum of the sector that is `entry` sectors behind the table.
    fn entry_at(self, entry: usize) -> usize {
        match entry.checked_sub(FIRST_ENTRIES) {
            None => TABLE_AT + 4 * entry,
            Some(entry) => SECTOR * (1 + entry / ENTRIES) + 4 * (entry % ENTRIES),
        }
    }
}

/// Appends the frame of a commit to `out`, in whole sectors, and returns the offset of the
/// records in it, and what the next frame must name.
pub(crate) fn encode(commit: &Commit<'_>, out: &mut Vec<u8>) -> (usize, Link) {
    let start = out.len();
    let records_len: usize = commit.bundles.iter().map(|bundle| bundle.len()).sum();
    let layout = Layout::of(records_len + commit.note.len());
    out.reserve(layout.len());
    let (fields, link) = encode_fields(commit, records_len);
    out.extend_from_slice(&fields);
    out.resize(start + layout.body_at, 0);
    // Each sector is summed while it is still in the processor's cache.
    const STEP: usize = 32 * SECTOR;
    let mut summed = 0;
    for part in commit.bundles.iter().copied().chain([commit.note.as_bytes()]) {
        for piece in part.chunks(STEP) {
            out.extend_from_slice(piece);
            summed = sum(layout, summed, &mut out[start..]);
        }
    }
    out.resize(start + layout.len(), 0);
    let frame = &mut out[start..];
    sum(layout, summed, frame);
    for table in 1..=layout.tables {
        let (entries, own) = frame[SECTOR * table..SECTOR * (table + 1)].split_at_mut(SECTOR - 4);
        own.copy_from_slice(&crc32c::crc32c(entries).to_le_bytes());
    }
    let own = first_sum(&frame[..SECTOR]);
    frame[FIELDS_LEN..TABLE_AT].copy_from_slice(&own.to_le_bytes());
    (layout.body_at, link)
}

fn encode_fields(commit: &Commit<'_>, records_len: usize) -> ([u8; FIELDS_LEN], Link) {
    let number = commit.previous.map_or(0, |link| link.number + 1);
    let mut fields = [0; FIELDS_LEN];
    let mut rest = fields.as_mut_slice();
    for field in [
        MAGIC.as_slice(),
        &commit.first.to_le_bytes(),
        &number.to_le_bytes(),
        &commit.epoch.to_le_bytes(),
        &commit.time_us.to_le_bytes(),
        &commit.count.to_le_bytes(),
        &[0; 4],
        &(records_len as u32).to_le_bytes(),
        &(commit.note.len() as u32).to_le_bytes(),
        commit.previous.map_or(Hash::default(), |link| link.header).as_ref(),
        commit.root.as_ref(),
    ] {
        let (place, behind) = rest.split_at_mut(field.len());
        place.copy_from_slice(field);
        rest = behind;
    }
    let end = commit.first + u64::from(commit.count);
    let link = Link { number, epoch: commit.epoch, end, header: header_hash(&fields) };
    (fields, link)
}

/// Writes the checksums of the sectors of `frame` that are whole, from entry `from` on;
/// returns the first that is not.
fn sum(layout: Layout, from: usize, frame: &mut [u8]) -> usize {
    let whole = (frame.len() / SECTOR).saturating_sub(1 + layout.tables).min(layout.entries);
    for entry in from..whole {
        let at = SECTOR * (1 + layout.tables + entry);
        let crc = crc32c::crc32c(&frame[at..at + SECTOR]);
        let at = layout.entry_at(entry);
        frame[at..at + 4].copy_from_slice(&crc.to_le_bytes());
    }
    whole.max(from)
}

/// The first sector's checksum is that of all its other bytes.
fn first_sum(sector: &[u8]) -> u32 {
    let (fields, rest) = sector.split_at(FIELDS_LEN);
    crc32c::crc32c_append(crc32c::crc32c(fields), &rest[4..])
}

fn header_hash(fields: &[u8]) -> Hash {
    Hash(Sha256::digest(fields).into())
}

struct Header {
    first: u64,
    number: u64,
    epoch: u64,
    time_us: i64,
    count: u32,
    flags: u32,
    records_len: u32,
    note_len: u32,
    previous: Hash,
    root: Hash,
    hash: Hash,
}

/// The fields of a frame's first sector, if it is one.
fn decode_header(sector: &[u8]) -> Option<Header> {
    if !sector.starts_with(&MAGIC) || sector.len() != SECTOR {
        return None;
    }
    let mut fields = Fields::new(sector.get(MAGIC.len()..)?);
    let header = Header {
        first: fields.u64()?,
        number: fields.u64()?,
        epoch: fields.u64()?,
        time_us: fields.i64()?,
        count: fields.u32()?,
        flags: fields.u32()?,
        records_len: fields.u32()?,
        note_len: fields.u32()?,
        previous: Hash(fields.array()?),
        root: Hash(fields.array()?),
        hash: header_hash(sector.get(..FIELDS_LEN)?),
    };
    let crc = fields.u32()?;
    let whole = crc == first_sum(sector)
        && header.first.checked_add(header.count.into()).is_some()
        && header.records_len <= MAX_PART
        && header.note_len <= MAX_PART;
    whole.then_some(header)
}

impl Header {
    fn layout(&self) -> Layout {
        Layout::of(self.records_len as usize + self.note_len as usize)
    }

    fn end(&self) -> u64 {
        self.first + u64::from(self.count)
    }

    fn name(&self) -> String {
        format!("frame of records {} to {}", self.first, self.end().saturating_sub(1))
    }
}

/// Reads what stands at `offset` of a journal.
pub(crate) fn read(journal: &dyn Blob, offset: u64) -> Result<Found, StoreError> {
    let size = journal.size();
    let damaged = |offset, problem: String| Ok(Found::Damaged { offset, problem });
    if offset.checked_add(SECTOR as u64).is_none_or(|end| end > size) {
        return match rest_is_zero(journal, offset)? {
            true => Ok(Found::End),
            false => damaged(offset, "bytes after the last frame".into()),
        };
    }
    let Some(header) = decode_header(&journal.read_vec(offset, SECTOR)?) else {
        return without_header(journal, offset);
    };
    if header.flags != 0 {
        let problem = format!(
            "{} is of a kind ({:#x}) that this version does not know: use a newer one",
            header.name(),
            header.flags
        );
        return damaged(offset, problem);
    }
    let layout = header.layout();
    let end = offset + layout.len() as u64;
    if end > size {
        return damaged(offset, "frame is longer than its journal".into());
    }
    let bytes = journal.read_vec(offset, layout.len())?;
    match check_sectors(layout, &bytes) {
        Sectors::Whole => {}
        Sectors::Missing if rest_is_zero(journal, end)? => return Ok(Found::Torn { end }),
        Sectors::Missing => {
            let problem = format!("{} is incomplete although more was written", header.name());
            return damaged(offset, problem);
        }
        Sectors::Damaged(at) => {
            let problem = format!("{} does not match its checksum", header.name());
            return damaged(offset + at as u64, problem);
        }
    }
    Ok(take_apart(&header, layout, bytes, offset))
}

/// A frame all of whose checksums are right.
fn take_apart(header: &Header, layout: Layout, mut bytes: Vec<u8>, offset: u64) -> Found {
    let body_len = header.records_len as usize + header.note_len as usize;
    let used = (layout.body_at + body_len, layout.entry_at(layout.entries));
    let unused = [
        (used.0, bytes.len()),
        // The last sector of the table need not be full.
        (used.1, if layout.tables > 0 { layout.body_at - 4 } else { used.1 }),
    ];
    for (from, to) in unused {
        let odd = bytes.get(from..to).and_then(|rest| rest.iter().position(|byte| *byte != 0));
        if let Some(at) = odd {
            let offset = offset + (from + at) as u64;
            return Found::Damaged { offset, problem: "padding is not zero".into() };
        }
    }
    bytes.truncate(used.0);
    let note = bytes.split_off(used.0 - header.note_len as usize);
    bytes.drain(..layout.body_at);
    Found::Frame(Frame {
        first: header.first,
        count: header.count,
        time_us: header.time_us,
        root: header.root,
        previous: header.previous,
        link: Link {
            number: header.number,
            epoch: header.epoch,
            end: header.end(),
            header: header.hash,
        },
        records: bytes,
        note,
        records_at: offset + layout.body_at as u64,
        end: offset + layout.len() as u64,
    })
}

/// What the checksums say of the sectors behind the first.
enum Sectors {
    Whole,
    /// Some were never written; the others are as they were written.
    Missing,
    /// One is neither; its offset in the frame.
    Damaged(usize),
}

fn check_sectors(layout: Layout, frame: &[u8]) -> Sectors {
    let mut missing = false;
    let mut tables = vec![true; 1 + layout.tables];
    for (table, sector) in frame.chunks_exact(SECTOR).enumerate().skip(1).take(layout.tables) {
        let (entries, own) = sector.split_at(SECTOR - 4);
        // The checksum of zeros is not zero, so no table that was written is all zero.
        if crc32c::crc32c(entries).to_le_bytes() == own {
            continue;
        }
        if !is_zero(sector) {
            return Sectors::Damaged(SECTOR * table);
        }
        tables[table] = false;
        missing = true;
    }
    let sectors = frame.chunks_exact(SECTOR).enumerate().skip(1 + layout.tables);
    for (entry, (number, sector)) in sectors.enumerate() {
        let at = layout.entry_at(entry);
        // Of sectors whose table is missing nothing is known.
        if !tables.get(at / SECTOR).copied().unwrap_or_default()
            || frame.get(at..at + 4) == Some(&crc32c::crc32c(sector).to_le_bytes())
        {
            continue;
        }
        if !is_zero(sector) {
            return Sectors::Damaged(SECTOR * number);
        }
        missing = true;
    }
    if missing { Sectors::Missing } else { Sectors::Whole }
}

/// No valid header at `offset`: the end, a frame whose first sector never reached
/// the disk, or damage.
fn without_header(journal: &dyn Blob, offset: u64) -> Result<Found, StoreError> {
    let rest = journal.read_vec(offset, (journal.size() - offset) as usize)?;
    let Some(last) = rest.iter().rposition(|byte| *byte != 0) else {
        return Ok(Found::End);
    };
    let first_sector = rest.get(..SECTOR.min(rest.len())).unwrap_or_default();
    // A later frame is only written once this one was durable, so one that stands
    // after a missing header means the header was there and is gone.
    let later_frame = rest.chunks(SECTOR).skip(1).any(|sector| decode_header(sector).is_some());
    if is_zero(first_sector) && !later_frame {
        let end = offset + (last as u64 + 1).next_multiple_of(SECTOR as u64);
        return Ok(Found::Torn { end: end.min(journal.size()) });
    }
    Ok(Found::Damaged { offset, problem: "no frame where one was written".into() })
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

fn rest_is_zero(journal: &dyn Blob, from: u64) -> Result<bool, StoreError> {
    const CHUNK: u64 = 1 << 20;
    let mut at = from;
    while at < journal.size() {
        let len = CHUNK.min(journal.size() - at);
        if !is_zero(&journal.read_vec(at, len as usize)?) {
            return Ok(false);
        }
        at += len;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use indelible_store::{MemoryStore, Store};

    fn of(first: u64, previous: Option<Link>, records: &[u8]) -> (Vec<u8>, Link) {
        let mut out = Vec::new();
        let bundles = [records];
        let commit = Commit {
            first,
            count: 1,
            time_us: 7,
            root: Hash([3; 32]),
            epoch: 9,
            previous,
            bundles: &bundles,
            note: "note\n",
        };
        let (records_at, link) = encode(&commit, &mut out);
        assert_eq!(out.get(records_at..records_at + records.len()), Some(records));
        assert_eq!(out.len() % SECTOR, 0);
        (out, link)
    }

    fn journal(bytes: &[u8], capacity: u64) -> std::sync::Arc<dyn indelible_store::Journal> {
        let journal = MemoryStore::default().create_journal("j", capacity).unwrap();
        journal.write_at(0, bytes).unwrap();
        journal
    }

    #[test]
    fn golden_header() {
        let (bytes, link) = of(258, None, b"rrr");
        assert_eq!(bytes.len(), SECTOR);
        assert_eq!(bytes[..8], MAGIC);
        assert_eq!(bytes[8..24], [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[24..40], [9, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[40..56], [1, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 5, 0, 0, 0]);
        assert_eq!((&bytes[56..88], &bytes[88..120]), ([0; 32].as_slice(), [3; 32].as_slice()));
        assert_eq!(&bytes[124..132], b"rrrnote\n");
        assert_eq!((link.number, link.epoch, link.end), (0, 9, 259));
        assert_eq!(link.header, Hash(Sha256::digest(&bytes[..120]).into()));
        let (next, second) = of(259, Some(link), b"s");
        assert_eq!((second.number, &next[56..88]), (1, link.header.as_ref()));
    }

    #[test]
    fn frames_follow_each_other_to_the_zeros() {
        let (mut bytes, link) = of(0, None, &[b'r'; 2000]);
        bytes.extend(of(1, Some(link), &[b'r'; 10]).0);
        let journal = journal(&bytes, 8192);
        let Found::Frame(one) = read(journal.as_ref(), 0).unwrap() else { panic!("a frame") };
        assert_eq!(
            (one.first, one.records.len(), one.note.as_slice(), one.link),
            (0, 2000, b"note\n".as_slice(), link)
        );
        let Found::Frame(two) = read(journal.as_ref(), one.end).unwrap() else { panic!("a frame") };
        assert_eq!((two.first, two.previous), (1, link.header));
        assert!(matches!(read(journal.as_ref(), two.end).unwrap(), Found::End));
    }

    #[test]
    fn bodies_of_every_size_read_back() {
        // Where the table fills the first sector, a sector of its own, and the next.
        let seams = [0, 383, 891, 49_664, 49_664 + 127 * 512, 49_664 + 254 * 512];
        for len in seams.iter().flat_map(|seam: &usize| seam.saturating_sub(9)..seam + 9) {
            let records: Vec<u8> = (0..len).map(|n| n as u8).collect();
            let (bytes, _) = of(0, None, &records);
            let capacity = bytes.len() as u64 + 1024;
            match read(journal(&bytes, capacity).as_ref(), 0).unwrap() {
                Found::Frame(found) => {
                    assert_eq!((&found.records, found.end), (&records, bytes.len() as u64), "{len}")
                }
                other => panic!("{len}: {other:?}"),
            }
        }
    }

    /// Records with sectors that are zeros, as a log of kind `raw` may have.
    fn with_zeros(len: usize) -> Vec<u8> {
        let mut records = vec![b'r'; len];
        records[450..len - 300].fill(0);
        records
    }

    #[test]
    fn any_missing_sectors_of_the_last_frame_are_torn_and_of_an_earlier_one_damage() {
        for records in [vec![b'r'; 1800], with_zeros(1800)] {
            let (one, link) = of(0, None, &records);
            let sectors = one.len() / SECTOR;
            for missing in 1u32..(1 << sectors) {
                let mut bytes = one.clone();
                for sector in (0..sectors).filter(|sector| missing >> sector & 1 == 1) {
                    bytes[sector * SECTOR..(sector + 1) * SECTOR].fill(0);
                }
                let same = bytes == one;
                match read(journal(&bytes, 8192).as_ref(), 0).unwrap() {
                    Found::Torn { .. } => assert!(!same),
                    Found::Frame(_) => assert!(same, "{missing:b}"),
                    Found::End => assert!(is_zero(&bytes)),
                    other => panic!("{missing:b}: {other:?}"),
                }
                let followed = [bytes, of(1, Some(link), b"x").0].concat();
                let found = read(journal(&followed, 8192).as_ref(), 0).unwrap();
                assert!(matches!(found, Found::Damaged { .. }) != same, "{missing:b}: {found:?}");
            }
        }
    }

    #[test]
    fn every_flipped_bit_is_damage_whatever_the_records_hold() {
        for records in [vec![b'r'; 1000], with_zeros(2200)] {
            let (one, _) = of(0, None, &records);
            for position in 0..one.len() {
                for bit in 0..8 {
                    let mut bytes = one.clone();
                    bytes[position] ^= 1 << bit;
                    let found = read(journal(&bytes, 8192).as_ref(), 0).unwrap();
                    assert!(matches!(found, Found::Damaged { .. }), "{position}.{bit}: {found:?}");
                }
            }
        }
    }

    #[test]
    fn a_table_in_sectors_of_its_own_is_torn_or_damaged_like_the_rest() {
        let (one, _) = of(0, None, &vec![0; 49_664 + 130 * SECTOR]);
        let capacity = one.len() as u64;
        let torn = |sectors: &[usize], flipped: Option<usize>| {
            let mut bytes = one.clone();
            sectors.iter().for_each(|n| bytes[n * SECTOR..(n + 1) * SECTOR].fill(0));
            if let Some(at) = flipped {
                bytes[at] ^= 1;
            }
            read(journal(&bytes, capacity).as_ref(), 0).unwrap()
        };
        assert!(matches!(torn(&[], None), Found::Frame(_)));
        // All records are zero, so only the note's sector can be missing, and the tables.
        let last = one.len() / SECTOR - 1;
        for sectors in [&[1][..], &[2], &[1, 2], &[last], &[0], &[0, 1], &[1, last]] {
            assert!(matches!(torn(sectors, None), Found::Torn { .. }), "{sectors:?}");
        }
        assert!(matches!(torn(&[5], None), Found::Frame(_)));
        // Incomplete and damaged at once is damaged, where anything is known of it.
        for flipped in [3, 200, SECTOR + 3, 4 * SECTOR] {
            assert!(matches!(torn(&[2], Some(flipped)), Found::Damaged { .. }), "{flipped}");
        }
    }

    #[test]
    fn a_kind_of_frame_that_is_not_known_is_refused() {
        let (mut bytes, _) = of(0, None, b"r");
        bytes[44] = 1;
        let crc = first_sum(&bytes[..SECTOR]);
        bytes[FIELDS_LEN..TABLE_AT].copy_from_slice(&crc.to_le_bytes());
        let Found::Damaged { problem, .. } = read(journal(&bytes, 8192).as_ref(), 0).unwrap()
        else {
            panic!("refused")
        };
        assert!(problem.contains("does not know"), "{problem}");
    }
}
