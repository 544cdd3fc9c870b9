//! What stands in another order, is gone, or stands twice is found.

use crate::{append, assert_holds, create, event, files, memory, replace, sealed, verify};
use indelible_log::Kind;
use indelible_verify::{LogCheck, Options, Piece};

/// The frames of a journal: each begins at a whole sector with these bytes.
pub(crate) fn frames(journal: &[u8]) -> Vec<Vec<u8>> {
    let starts: Vec<usize> = (0..journal.len())
        .step_by(512)
        .filter(|at| journal[*at..].starts_with(b"INDFRM"))
        .collect();
    let used = journal.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
    let ends = starts.iter().skip(1).copied().chain([used.next_multiple_of(512)]);
    starts.iter().zip(ends).map(|(start, end)| journal[*start..end].to_vec()).collect()
}

/// A journal of these frames.
pub(crate) fn journal(frames: &[Vec<u8>], len: usize) -> Vec<u8> {
    let mut bytes = frames.concat();
    bytes.resize(len.max(bytes.len()).next_multiple_of(512), 0);
    bytes
}

#[test]
fn every_frame_swapped_dropped_and_twice() {
    let folder = tempfile::tempdir().unwrap();
    let (_, log) = create(folder.path(), "prod", Kind::Events);
    for n in 0..40 {
        append(&log, (0..1 + n % 3).map(|m| event(&format!("e{n}-{m}"))));
    }
    let (key, held) = (log.verifying_key(), log.head().note.to_string());
    log.close();
    drop(log);
    let files = files(&folder.path().join("logs/prod"));
    let store = memory(&files);
    assert_holds(&verify(&store, &key));
    let journals: Vec<_> = files.iter().filter(|(path, _)| path.starts_with("journal/")).collect();
    let mut changes = 0;
    for (path, bytes) in &journals {
        let sound = frames(bytes);
        let mut altered = Vec::new();
        for at in 0..sound.len() {
            let mut less = sound.clone();
            less.remove(at);
            let mut twice = sound.clone();
            twice.insert(at, sound[at].clone());
            altered.extend([less, twice]);
            for other in at + 1..sound.len() {
                let mut swapped = sound.clone();
                swapped.swap(at, other);
                altered.push(swapped);
            }
        }
        for frames in altered {
            replace(&store, path, &journal(&frames, bytes.len()));
            let verdict = indelible_verify::verify_store(&store, &key, Some(&held), &|_, _| {});
            assert!(verdict.worst().is_some(), "{path}: {} frames", frames.len());
            changes += 1;
        }
        replace(&store, path, bytes);
    }
    // Journals for one another.
    for (path, bytes) in &journals {
        for (other, instead) in journals.iter().filter(|(other, _)| other != path) {
            replace(&store, path, instead);
            replace(&store, other, bytes);
            let spare = [bytes, instead].iter().any(|bytes| frames(bytes).is_empty());
            assert!(verify(&store, &key).worst().is_some() || spare, "{path} for {other}");
            replace(&store, path, bytes);
            replace(&store, other, instead);
        }
    }
    assert!(changes > 100, "{changes} changes of {} journals", journals.len());
}

const BUNDLES: usize = 256;
const ENTRY: usize = 20;

/// A segment taken apart as docs/formats.md §4 has it, and put together with all its
/// checksums made right: only hashes can tell.
pub(crate) struct Parts {
    pub(crate) bundles: Vec<(Vec<u8>, u32)>,
    header: Vec<u8>,
    roots: Vec<u8>,
    trailer: Vec<u8>,
}

impl Parts {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let number = |at: usize, len: usize| {
            let mut word = [0; 8];
            word[..len].copy_from_slice(&bytes[at..at + len]);
            u64::from_le_bytes(word) as usize
        };
        let trailer_at = bytes.len() - 104;
        let footer_at = number(trailer_at + 64, 8);
        let bundles = (0..BUNDLES).map(|n| footer_at + n * ENTRY).map(|at| {
            let (offset, len) = (number(at, 8), number(at + 8, 4));
            (bytes[offset..offset + len].to_vec(), number(at + 12, 4) as u32)
        });
        Self {
            bundles: bundles.collect(),
            header: bytes[..16].to_vec(),
            roots: bytes[footer_at + BUNDLES * ENTRY..trailer_at].to_vec(),
            trailer: bytes[trailer_at..].to_vec(),
        }
    }

    pub(crate) fn swap_roots(&mut self, one: usize, other: usize) {
        for at in 0..32 {
            self.roots.swap(32 * one + at, 32 * other + at);
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.header.clone();
        let mut footer = Vec::new();
        for (packed, raw) in &self.bundles {
            footer.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
            footer.extend_from_slice(&(packed.len() as u32).to_le_bytes());
            footer.extend_from_slice(&raw.to_le_bytes());
            footer.extend_from_slice(&crc32c::crc32c(packed).to_le_bytes());
            bytes.extend_from_slice(packed);
        }
        footer.extend_from_slice(&self.roots);
        let mut trailer = self.trailer.clone();
        trailer[64..72].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
        trailer[72..76].copy_from_slice(&(footer.len() as u32).to_le_bytes());
        trailer[76..80].copy_from_slice(&crc32c::crc32c(&footer).to_le_bytes());
        let crc = crc32c::crc32c(&trailer[..92]);
        trailer[92..96].copy_from_slice(&crc.to_le_bytes());
        [bytes, footer, trailer].concat()
    }
}

#[test]
fn every_bundle_swapped_and_twice() {
    let sealed = sealed();
    let store = memory(&sealed.files);
    let (path, bytes) =
        sealed.files.iter().find(|(path, _)| path.starts_with("segments/")).unwrap();
    assert_eq!(Parts::of(bytes).bytes(), *bytes);
    for at in 0..BUNDLES {
        let other = (at + 1) % BUNDLES;
        let mut swapped = Parts::of(bytes);
        swapped.bundles.swap(at, other);
        let mut twice = Parts::of(bytes);
        twice.bundles[other] = twice.bundles[at].clone();
        for altered in [swapped, twice] {
            replace(&store, path, &altered.bytes());
            let mut check = LogCheck::new(&store, &sealed.key, Options::default());
            check.check(&Piece::Segment(0));
            let first = check.findings().iter().filter_map(|finding| finding.index).min();
            let expected = if altered.bundles[at] == Parts::of(bytes).bundles[at] {
                other
            } else {
                at.min(other)
            };
            assert_eq!(first, Some(256 * expected as u64), "bundle {at}");
        }
    }
    // With its roots the segment is another one: its own root tells.
    let mut moved = Parts::of(bytes);
    moved.bundles.swap(3, 4);
    moved.swap_roots(3, 4);
    replace(&store, path, &moved.bytes());
    assert!(verify(&store, &sealed.key).worst().is_some());
}
