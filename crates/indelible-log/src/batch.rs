//! What is appended together, prepared by the caller so that the sequencer only
//! has to place it: records already encoded and hashed.

use crate::{error::AppendError, ids::IdHash, shared::Head};
use indelible_event::{
    Attachment, MAX_RECORD_LEN, Payload, RecordHeader, Timestamp, set_received_at,
};
use indelible_tlog::{BundleError, Hash, leaf_hash, push_entry};
use std::sync::Arc;

/// Most bytes of records in one batch.
pub const MAX_BATCH_BYTES: usize = 64 << 20;
/// Most records in one batch.
pub const MAX_BATCH_RECORDS: usize = 1 << 20;

/// A record cannot join a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The record is longer than a C2SP entry can be.
    #[error(transparent)]
    Record(#[from] BundleError),
    /// The batch is over [`MAX_BATCH_BYTES`] or [`MAX_BATCH_RECORDS`].
    #[error("a batch holds at most 64 MiB and 1048576 records")]
    Full,
}

/// Records to append in one commit: all of them or, on a conflict, none
/// (unless [`Batch::partial`]).
#[derive(Debug, Default)]
pub struct Batch {
    /// The records as an entry bundle.
    bundle: Vec<u8>,
    entries: Vec<Entry>,
    /// When its events were received; none in a raw batch.
    received: Option<Received>,
    /// Append what can be appended and refuse only the conflicting records.
    pub partial: bool,
}

/// The times of receipt in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Received {
    first: Timestamp,
    last: Timestamp,
    /// Whether no event has an earlier time than the one before it.
    is_ordered: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    start: u32,
    end: u32,
    pub(crate) leaf: Hash,
    pub(crate) id: Option<IdClaim>,
}

/// The id of a record, and whether its sender chose it (and so may have used it before).
#[derive(Debug, Clone, Copy)]
pub(crate) struct IdClaim {
    pub(crate) hash: IdHash,
    pub(crate) chosen: bool,
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes room for records of about this many bytes in all, so that a large batch
    /// does not grow step by step.
    pub fn reserve(&mut self, bytes: usize) {
        self.bundle.reserve(bytes.min(MAX_BATCH_BYTES));
    }

    /// Adds bytes as a record of their own, without envelope and id: for logs
    /// created raw.
    ///
    /// # Errors
    /// [`BatchError`]; the batch is then unchanged.
    pub fn push_raw(&mut self, record: &[u8]) -> Result<(), BatchError> {
        self.check_room(record.len())?;
        let start = self.bundle.len() + 2;
        push_entry(&mut self.bundle, record)?;
        self.push_entry_at(start, None);
        Ok(())
    }

    /// Adds the record of an event. `chosen` tells that the sender chose the id,
    /// which makes it an idempotency key.
    ///
    /// # Errors
    /// [`BatchError`]; the batch is then unchanged.
    pub fn push_event(
        &mut self,
        header: &RecordHeader,
        id: &str,
        chosen: bool,
        payload: Payload<'_>,
    ) -> Result<(), BatchError> {
        let data_len = match payload {
            Payload::Inline(data) => data.len(),
            Payload::Attachment(Attachment { .. }) => 0,
        };
        self.check_room(data_len)?;
        let prefix_at = self.bundle.len();
        self.bundle.extend_from_slice(&[0; 2]);
        let len = header.encode(id, payload, &mut self.bundle);
        if len > MAX_RECORD_LEN {
            self.bundle.truncate(prefix_at);
            return Err(BundleError::EntryTooLong(len).into());
        }
        let prefix = (len as u16).to_be_bytes();
        self.bundle[prefix_at..prefix_at + 2].copy_from_slice(&prefix);
        self.push_entry_at(prefix_at + 2, Some(IdClaim { hash: IdHash::of(id), chosen }));
        let at = header.received_at();
        let received =
            self.received.get_or_insert(Received { first: at, last: at, is_ordered: true });
        received.is_ordered &= received.last <= at;
        received.first = received.first.min(at);
        received.last = received.last.max(at);
        Ok(())
    }

    /// When the last of its events was received, as the records say; none in a raw batch.
    #[must_use]
    pub fn received_at(&self) -> Option<Timestamp> {
        self.received.map(|received| received.last)
    }

    /// Makes its times follow each other and `floor`: where they do not, all get one time,
    /// which is not before any of theirs.
    pub(crate) fn follow(&mut self, floor: Timestamp) {
        let Some(Received { first, last, is_ordered }) = self.received else { return };
        if is_ordered && first >= floor {
            return;
        }
        let at = last.max(floor);
        for entry in &mut self.entries {
            let range = entry.start as usize..entry.end as usize;
            if let Some(record) = self.bundle.get_mut(range)
                && set_received_at(record, at)
            {
                entry.leaf = leaf_hash(record);
            }
        }
        self.received = Some(Received { first: at, last: at, is_ordered: true });
    }

    fn check_room(&self, more: usize) -> Result<(), BatchError> {
        let full =
            self.bundle.len() + more > MAX_BATCH_BYTES || self.entries.len() >= MAX_BATCH_RECORDS;
        if full { Err(BatchError::Full) } else { Ok(()) }
    }

    fn push_entry_at(&mut self, start: usize, id: Option<IdClaim>) {
        let end = self.bundle.len();
        let leaf = leaf_hash(&self.bundle[start..end]);
        self.entries.push(Entry { start: start as u32, end: end as u32, leaf, id });
    }

    /// Number of records.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of all records, with their length prefixes.
    #[must_use]
    pub const fn byte_len(&self) -> usize {
        self.bundle.len()
    }

    /// The bytes of one record.
    #[must_use]
    pub fn record(&self, position: usize) -> &[u8] {
        let range =
            self.entries.get(position).map(|entry| entry.start as usize..entry.end as usize);
        range.and_then(|range| self.bundle.get(range)).unwrap_or_default()
    }

    /// The leaf hash of one record.
    #[must_use]
    pub fn leaf(&self, position: usize) -> Option<Hash> {
        self.entries.get(position).map(|entry| entry.leaf)
    }

    /// Bytes of memory it takes while it waits.
    pub(crate) const fn weight(&self) -> usize {
        self.bundle.len() + self.entries.len() * size_of::<Entry>()
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// One record with its length prefix.
    pub(crate) fn prefixed(&self, position: usize) -> &[u8] {
        let range =
            self.entries.get(position).map(|entry| entry.start as usize - 2..entry.end as usize);
        range.and_then(|range| self.bundle.get(range)).unwrap_or_default()
    }

    /// All records, with their length prefixes.
    pub(crate) fn bundle(&self) -> &[u8] {
        &self.bundle
    }
}

/// Where one record of a batch went.
#[derive(Debug, Clone)]
pub enum Placed {
    /// It is new, at this index.
    Created(u64),
    /// The same id with the same data is already in the log.
    Duplicate {
        /// Index of the first record.
        index: u64,
        /// Leaf hash of the first record.
        leaf: Hash,
    },
    /// Refused; only in a [`Batch::partial`] batch.
    Refused(AppendError),
}

/// The answer to a batch: it is durable, and under a signed checkpoint.
#[derive(Debug)]
pub struct Committed {
    /// The batch, handed back.
    pub batch: Batch,
    /// Where each record went, in the order of the batch.
    pub placed: Vec<Placed>,
    /// A checkpoint that covers them all.
    pub head: Arc<Head>,
}
