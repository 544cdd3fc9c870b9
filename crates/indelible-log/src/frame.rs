//! The journal frame: one commit, made durable by one write and one sync.
//! docs/formats.md §3.
//!
//! A frame starts at a multiple of 512 in a file that was all zeros. So a sector of
//! an acknowledged frame is never written again, and a sector that a crash kept
//! from being written is still zero, which tells a torn frame from a damaged one.

use crate::bytes::Fields;
use indelible_store::{Blob, StoreError};

const MAGIC: [u8; 8] = *b"INDFRM1\n";
/// Unit in which a disk writes wholly or not at all.
pub(crate) const SECTOR: usize = 512;
/// Length of the header in bytes.
const HEADER_LEN: usize = 48;
/// Longest part of a frame that is believed; one commit is bounded far below.
const MAX_PART: u32 = 1 << 30;

/// One commit as it stands in a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Index of its first record.
    pub(crate) first: u64,
    /// Number of records.
    pub(crate) count: u32,
    /// When it was committed, microseconds since the epoch.
    pub(crate) time_us: i64,
    /// The records as a C2SP entry bundle.
    pub(crate) records: Vec<u8>,
    /// The signed checkpoint of the log with these records.
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

/// Appends the frame of a commit to `out`, padded to whole sectors, and returns the
/// offset of the records in it. `bundles` concatenated are the records.
pub(crate) fn encode(
    first: u64,
    count: u32,
    time_us: i64,
    bundles: &[&[u8]],
    note: &str,
    out: &mut Vec<u8>,
) -> usize {
    let start = out.len();
    let records_len: usize = bundles.iter().map(|bundle| bundle.len()).sum();
    out.reserve((HEADER_LEN + records_len + note.len()).next_multiple_of(SECTOR));
    out.resize(start + HEADER_LEN, 0);
    for bundle in bundles {
        out.extend_from_slice(bundle);
    }
    out.extend_from_slice(note.as_bytes());
    let body_crc = crc32c::crc32c(&out[start + HEADER_LEN..]);
    let mut header = Vec::with_capacity(HEADER_LEN);
    header.extend_from_slice(&MAGIC);
    header.extend_from_slice(&first.to_le_bytes());
    header.extend_from_slice(&count.to_le_bytes());
    header.extend_from_slice(&(records_len as u32).to_le_bytes());
    header.extend_from_slice(&(note.len() as u32).to_le_bytes());
    header.extend_from_slice(&body_crc.to_le_bytes());
    header.extend_from_slice(&time_us.to_le_bytes());
    header.extend_from_slice(&[0; 4]);
    let header_crc = crc32c::crc32c(&header);
    header.extend_from_slice(&header_crc.to_le_bytes());
    out[start..start + HEADER_LEN].copy_from_slice(&header);
    let padded = (out.len() - start).next_multiple_of(SECTOR);
    out.resize(start + padded, 0);
    HEADER_LEN
}

struct Header {
    first: u64,
    count: u32,
    records_len: u32,
    note_len: u32,
    body_crc: u32,
    time_us: i64,
}

fn decode_header(bytes: &[u8]) -> Option<Header> {
    let mut fields = Fields::new(bytes);
    let magic: [u8; 8] = fields.array()?;
    let header = Header {
        first: fields.u64()?,
        count: fields.u32()?,
        records_len: fields.u32()?,
        note_len: fields.u32()?,
        body_crc: fields.u32()?,
        time_us: fields.i64()?,
    };
    let reserved = fields.u32()?;
    let crc = fields.u32()?;
    let whole = magic == MAGIC
        && reserved == 0
        && crc == crc32c::crc32c(bytes.get(..HEADER_LEN - 4)?)
        && header.records_len <= MAX_PART
        && header.note_len <= MAX_PART;
    whole.then_some(header)
}

impl Header {
    fn body_len(&self) -> u64 {
        u64::from(self.records_len) + u64::from(self.note_len)
    }

    fn mismatch(&self) -> String {
        let last = (self.first + u64::from(self.count)).saturating_sub(1);
        format!("frame of records {} to {last} does not match its checksum", self.first)
    }

    fn padded_len(&self) -> u64 {
        (HEADER_LEN as u64 + self.body_len()).next_multiple_of(SECTOR as u64)
    }
}

/// Reads what stands at `offset` of a journal.
pub(crate) fn read(journal: &dyn Blob, offset: u64) -> Result<Found, StoreError> {
    let size = journal.size();
    if offset.checked_add(HEADER_LEN as u64).is_none_or(|end| end > size) {
        return rest_is_zero(journal, offset).map(|zero| {
            if zero {
                Found::End
            } else {
                Found::Damaged { offset, problem: "bytes after the last frame".into() }
            }
        });
    }
    let Some(header) = decode_header(&journal.read_vec(offset, HEADER_LEN)?) else {
        return without_header(journal, offset);
    };
    let end = offset + header.padded_len();
    if end > size {
        return Ok(Found::Damaged { offset, problem: "frame is longer than its journal".into() });
    }
    let body_at = offset + HEADER_LEN as u64;
    let mut body = journal.read_vec(body_at, (end - body_at) as usize)?;
    let padding = body.split_off(header.body_len() as usize);
    if crc32c::crc32c(&body) == header.body_crc {
        if let Some(at) = padding.iter().position(|byte| *byte != 0) {
            let offset = body_at + (body.len() + at) as u64;
            return Ok(Found::Damaged { offset, problem: "padding is not zero".into() });
        }
        let note = body.split_off(header.records_len as usize);
        return Ok(Found::Frame(Frame {
            first: header.first,
            count: header.count,
            time_us: header.time_us,
            records: body,
            note,
            records_at: body_at,
            end,
        }));
    }
    // The body is not what was to be written. A crash leaves whole sectors of zeros
    // in the last frame; anything else is damage.
    let missing = body.chunks(SECTOR).any(|chunk| chunk.len() == SECTOR && is_zero(chunk))
        || sectors_missing(&body, body_at);
    if missing && rest_is_zero(journal, end)? {
        return Ok(Found::Torn { end });
    }
    Ok(Found::Damaged { offset: body_at, problem: header.mismatch() })
}

/// Whether a disk sector's share of `body`, which starts at `body_at`, is all zero.
fn sectors_missing(body: &[u8], body_at: u64) -> bool {
    let into = (body_at as usize) % SECTOR;
    let (first, rest) = body.split_at((SECTOR - into).min(body.len()));
    rest.chunks(SECTOR).any(is_zero) || (into == 0 && is_zero(first))
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

    fn frame(first: u64, len: usize) -> Vec<u8> {
        let mut out = Vec::new();
        encode(first, 1, 7, &[&vec![b'r'; len]], "note\n", &mut out);
        out
    }

    fn journal(bytes: &[u8], capacity: u64) -> std::sync::Arc<dyn indelible_store::Journal> {
        let journal = MemoryStore::default().create_journal("j", capacity).unwrap();
        journal.write_at(0, bytes).unwrap();
        journal
    }

    #[test]
    fn golden_header() {
        let bytes = frame(258, 3);
        assert_eq!(bytes.len(), SECTOR);
        assert_eq!(bytes[..8], MAGIC);
        assert_eq!(bytes[8..16], [2, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[16..28], [1, 0, 0, 0, 3, 0, 0, 0, 5, 0, 0, 0]);
        assert_eq!(bytes[32..44], [7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(&bytes[48..56], b"rrrnote\n");
    }

    #[test]
    fn frames_follow_each_other_to_the_zeros() {
        let bytes = [frame(0, 2000), frame(1, 10)].concat();
        let journal = journal(&bytes, 8192);
        let Found::Frame(one) = read(journal.as_ref(), 0).unwrap() else { panic!("a frame") };
        assert_eq!(
            (one.first, one.records.len(), one.note.as_slice()),
            (0, 2000, b"note\n".as_slice())
        );
        let Found::Frame(two) = read(journal.as_ref(), one.end).unwrap() else { panic!("a frame") };
        assert_eq!(two.first, 1);
        assert!(matches!(read(journal.as_ref(), two.end).unwrap(), Found::End));
    }

    #[test]
    fn any_missing_sectors_of_the_last_frame_are_torn_and_of_an_earlier_one_damage() {
        let one = frame(0, 1800);
        let sectors = one.len() / SECTOR;
        for missing in 1u32..(1 << sectors) {
            let mut bytes = one.clone();
            for sector in (0..sectors).filter(|sector| missing >> sector & 1 == 1) {
                bytes[sector * SECTOR..(sector + 1) * SECTOR].fill(0);
            }
            match read(journal(&bytes, 8192).as_ref(), 0).unwrap() {
                Found::Torn { .. } => {}
                Found::End => assert_eq!(missing, (1 << sectors) - 1),
                other => panic!("{missing:b}: {other:?}"),
            }
            let followed = [bytes, frame(1, 10)].concat();
            assert!(
                matches!(
                    read(journal(&followed, 8192).as_ref(), 0).unwrap(),
                    Found::Damaged { .. }
                ),
                "{missing:b}"
            );
        }
    }

    #[test]
    fn every_flipped_bit_is_damage() {
        let one = frame(0, 1000);
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
