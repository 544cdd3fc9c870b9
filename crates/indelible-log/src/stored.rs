//! What a log's folder holds, piece by piece, for who checks it. Nothing here takes a
//! lock, writes, or shares state with a running log; every piece is read again from
//! the store, and only its own checksums are checked. docs/formats.md.

use crate::{
    attachment, chain, create,
    error::{Result, damaged},
    features, frame, ids, journal, keys,
    manifest::Manifest,
    open, segment,
};
use indelible_event::Attachment;
use indelible_store::{Blob, Store, StoreError};
use indelible_tlog::{Hash, KeyLine, VerifyingKey};

/// Bundles in a segment.
pub const BUNDLES_PER_SEGMENT: usize = segment::SEGMENT_BUNDLES;
/// Level of the tree at which a bundle is one node.
pub const BUNDLE_LEVEL: u8 = segment::BUNDLE_LEVEL;
/// Level of the tree at which a segment is one node.
pub const SEGMENT_LEVEL: u8 = segment::SEGMENT_LEVEL;

/// Root over a power-of-two row of nodes.
#[must_use]
pub fn fold(row: &[Hash]) -> Hash {
    segment::fold(row)
}

/// Reads the manifest and checks that `key` signed it.
///
/// # Errors
/// [`crate::LogError`] tells what does not hold.
pub fn manifest(store: &dyn Store, key: &VerifyingKey) -> Result<Manifest> {
    Manifest::read(store, key)
}

/// The keys of a log of which a pinned one is one, and what each counts for.
///
/// # Errors
/// [`crate::LogError`] tells which announcement does not hold.
pub fn key_line(store: &dyn Store, pinned: &VerifyingKey) -> Result<KeyLine> {
    keys::line(store, pinned)
}

/// Sizes and roots that the notes about keys vouch for, and where each stands.
///
/// # Errors
/// [`crate::LogError`] tells which note does not hold.
pub fn vouched_roots(store: &dyn Store, line: &KeyLine) -> Result<Vec<(String, u64, Hash)>> {
    keys::vouched(store, line)
}

/// Checks that this version understands all that a reader of the log must.
///
/// # Errors
/// [`crate::LogError::NewerFormat`], or what of the signed list does not hold.
pub fn features(store: &dyn Store, line: &KeyLine) -> Result<()> {
    features::check(store, line.keys())
}

/// The keys that the announcements in the folder put in the place of the first, in their
/// order; their signatures are not checked here.
///
/// # Errors
/// [`crate::LogError`] tells which is none.
pub fn announced_keys(store: &dyn Store) -> Result<Vec<VerifyingKey>> {
    keys::announced(store)
}

/// Whether a folder holds nothing but a manifest and the first key: what is left of a log
/// whose making was cut short, or one that nobody opened yet.
///
/// # Errors
/// What the system says.
pub fn is_unused(store: &dyn Store) -> Result<bool> {
    Ok(create::in_use(store)?.is_none())
}

/// The keys whose secrets are in the folder, as far as they can be read.
///
/// # Errors
/// [`crate::LogError`] when a secret is not one, or others can read it.
pub fn secret_keys(store: &dyn Store) -> Result<Vec<VerifyingKey>> {
    keys::secrets(store)
}

/// One commit as it stands in a journal.
#[derive(Debug, Clone)]
pub struct Commit {
    /// Index of its first record.
    pub first: u64,
    /// Number of records.
    pub count: u32,
    /// When it was committed, microseconds since 1970.
    pub time_us: i64,
    /// The records as a C2SP entry bundle.
    pub records: Vec<u8>,
    /// The signed checkpoint of the log with these records.
    pub note: Vec<u8>,
    /// Offset of `records` in the journal.
    pub records_at: u64,
    /// Offset of the next commit.
    pub next_at: u64,
    /// Root of the tree with these records, as its frame says.
    pub root: Hash,
    /// Its frame without what it holds: its place in the row.
    place: frame::Frame,
}

/// A commit's place in the row of commits.
#[derive(Debug, Clone, Copy)]
pub struct Link(frame::Link);

impl Link {
    /// Records of the log with the commit.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.0.end
    }
}

/// Why a commit cannot stand where it stands.
#[derive(Debug, PartialEq, Eq)]
pub enum Break {
    /// Records from this index on are in no commit before it.
    Hole(u64),
    /// What is wrong, for people.
    Other(String),
}

/// Checks that commits, given in the order of their journals, are one row.
#[derive(Debug)]
pub struct Row(chain::Chain);

impl Row {
    /// A row on top of so many sealed records, with the commits that segments name.
    #[must_use]
    pub fn new(sealed: u64, named: impl IntoIterator<Item = Link>) -> Self {
        Self(chain::Chain::new(sealed, named.into_iter().map(|link| link.0)))
    }

    /// Takes the next commit.
    ///
    /// # Errors
    /// Why it does not follow.
    pub fn follow(&mut self, commit: &Commit) -> std::result::Result<(), Break> {
        self.0.follow(&commit.place).map_err(|found| match found {
            chain::Break::Hole(index) => Break::Hole(index),
            chain::Break::Other(problem) => Break::Other(problem),
        })
    }
}

impl Commit {
    /// Size of the log with it.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.first.saturating_add(u64::from(self.count))
    }
}

/// What stands at an offset of a journal.
#[derive(Debug)]
pub enum Found {
    /// A whole commit.
    Commit(Box<Commit>),
    /// Zeros to the end of the journal.
    End,
    /// The beginning of a commit that a crash kept from being written wholly.
    Torn,
    /// Bytes that no crash leaves.
    Damaged {
        /// Where.
        offset: u64,
        /// What does not fit.
        problem: String,
    },
}

/// Reads what stands at `offset` of a journal.
///
/// # Errors
/// What the system says.
pub fn commit_at(journal: &dyn Blob, offset: u64) -> std::result::Result<Found, StoreError> {
    Ok(match frame::read(journal, offset)? {
        frame::Found::Frame(mut found) => Found::Commit(Box::new(Commit {
            first: found.first,
            count: found.count,
            time_us: found.time_us,
            records: std::mem::take(&mut found.records),
            note: std::mem::take(&mut found.note),
            records_at: found.records_at,
            next_at: found.end,
            root: found.root,
            place: found,
        })),
        frame::Found::End => Found::End,
        frame::Found::Torn { .. } => Found::Torn,
        frame::Found::Damaged { offset, problem } => Found::Damaged { offset, problem },
    })
}

/// Paths of the journals, in their order.
///
/// # Errors
/// [`crate::LogError::Damaged`] names a file that is none.
pub fn journals(store: &dyn Store) -> Result<Vec<String>> {
    Ok(open::list_journals(store)?.into_iter().map(journal::path).collect())
}

/// Number of the segment at `path`, if it is one.
#[must_use]
pub fn segment_number(path: &str) -> Option<u64> {
    segment::number(path)
}

/// A sealed segment, open; its header, trailer and footer agree with each other.
#[derive(Debug)]
pub struct Segment {
    segment: segment::Segment,
    footer: segment::Footer,
}

impl Segment {
    /// Opens segment `number`.
    ///
    /// # Errors
    /// [`crate::LogError`] tells what of header, trailer or footer does not hold.
    pub fn open(store: &dyn Store, number: u64) -> Result<Self> {
        let segment = segment::Segment::open(store, number)?;
        let footer = segment.footer()?;
        Ok(Self { segment, footer })
    }

    /// Its number; it holds the records from `number · 65,536` on.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.segment.number
    }

    /// Its path, for people.
    #[must_use]
    pub fn path(&self) -> &str {
        self.segment.path()
    }

    /// The root that it claims.
    #[must_use]
    pub const fn root(&self) -> Hash {
        self.segment.trailer.root
    }

    /// The roots of its bundles that it claims; they lead to [`Segment::root`].
    #[must_use]
    pub fn bundle_roots(&self) -> &[Hash] {
        &self.footer.roots
    }

    /// Bytes of its records that it claims.
    #[must_use]
    pub const fn record_bytes(&self) -> u64 {
        self.segment.trailer.record_bytes
    }

    /// Times of its first and last commit, microseconds since 1970.
    #[must_use]
    pub const fn time_us(&self) -> (i64, i64) {
        self.segment.trailer.time_us
    }

    /// The commit whose checkpoint is in it.
    #[must_use]
    pub const fn link(&self) -> Link {
        Link(self.footer.link)
    }

    /// Checks that what it says of itself, its times too, is signed by a key of its log
    /// that counts for its records.
    ///
    /// # Errors
    /// [`crate::LogError`] tells what does not hold.
    pub fn signed(&self, line: &KeyLine) -> Result<()> {
        self.footer.signed(&self.segment, line)
    }

    /// The signed checkpoint in it, which is to be of at least its end.
    #[must_use]
    pub fn note(&self) -> &[u8] {
        &self.footer.note
    }

    /// One bundle, 0 to 255, as raw entry-bundle bytes; its records are not hashed here.
    ///
    /// # Errors
    /// [`crate::LogError::Damaged`], or what the system says.
    pub fn bundle(&self, bundle: usize) -> Result<Vec<u8>> {
        self.segment.bundle(&self.footer, bundle)
    }

    /// Offset of a bundle in the file.
    #[must_use]
    pub fn bundle_offset(&self, bundle: usize) -> u64 {
        self.segment.bundle_offset(&self.footer, bundle)
    }

    /// Size of the file in bytes.
    #[must_use]
    pub fn file_size(&self) -> u64 {
        self.segment.file_size()
    }

    /// Lets what is read next come from the disk.
    pub fn evict(&self) {
        self.segment.evict();
    }
}

/// What an id run keeps of the id of a record: 36 bits of its hash; `None` if it has
/// no id.
#[must_use]
pub fn id_hash(record: &[u8]) -> Option<u64> {
    ids::check::short(record)
}

/// A run of ids over sealed segments, open.
#[derive(Debug)]
pub struct IdRun(ids::Run);

impl IdRun {
    /// Opens the run at a path, if it is of the segments with these roots, the first of the
    /// log, and a key of `line` signed it.
    ///
    /// # Errors
    /// [`crate::LogError::Damaged`], or what the system says.
    pub fn open(store: &dyn Store, line: &KeyLine, roots: &[Hash], path: &str) -> Result<Self> {
        ids::Run::open_at(store, line, roots, path).map(Self)
    }

    /// The segments that the run at a path is of, by its name.
    #[must_use]
    pub fn named(path: &str) -> Option<std::ops::Range<u64>> {
        ids::coverage(path).map(|(first, segments)| first..first.saturating_add(segments))
    }

    /// The segments it is of.
    #[must_use]
    pub const fn segments(&self) -> std::ops::Range<u64> {
        self.0.first_segment..self.0.first_segment + self.0.segments
    }

    /// Size of the file in bytes.
    #[must_use]
    pub fn file_size(&self) -> u64 {
        self.0.file_size()
    }

    /// Lets what is read next come from the disk.
    pub fn evict(&self) {
        self.0.evict();
    }

    /// Reads every byte, and that the entries ascend and the filter is exactly theirs;
    /// `visit` gets hash and index of each entry.
    ///
    /// # Errors
    /// [`crate::LogError::Damaged`], or what the system says.
    pub fn read_whole(&self, visit: impl FnMut(u64, u64)) -> Result<()> {
        self.0.read_whole(visit)
    }
}

/// Pairs of records whose ids have one hash, among runs and `more` (hash and index,
/// ascending). A pair is a candidate: the records tell whether they have one id.
///
/// # Errors
/// What the system says.
pub fn id_pairs(runs: Vec<IdRun>, more: &[(u64, u64)], visit: impl FnMut(u64, u64)) -> Result<()> {
    let runs: Vec<ids::Run> = runs.into_iter().map(|run| run.0).collect();
    ids::check::pairs(&runs, more, visit)
}

/// Path of an attachment in its log's store.
#[must_use]
pub fn attachment_path(attachment: &Attachment) -> String {
    attachment::path(attachment)
}

/// Reads an attachment and checks it against its hash and size.
///
/// # Errors
/// [`crate::LogError::NoRecord`] when it is not there.
pub fn attachment(store: &dyn Store, attachment: &Attachment) -> Result<Vec<u8>> {
    attachment::get(store, attachment)
}

/// Reads the attachment at a path and checks that it is the one its name says.
///
/// # Errors
/// [`crate::LogError::Damaged`], or what the system says.
pub fn attachment_at(store: &dyn Store, path: &str) -> Result<u64> {
    let data = store.read(path)?;
    if attachment::is_named(path, &data) {
        Ok(data.len() as u64)
    } else {
        Err(damaged(path, 0, "attachment does not match its hash"))
    }
}
