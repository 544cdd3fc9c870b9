//! Segments against the journals they were sealed from, at a start: a journal is deleted
//! only after the segments that replace it were read back from storage.

use crate::{
    error::{LogError, Result, chain, damaged},
    frame::{self, Found},
    journal,
    segment::{self, BUNDLE_RECORDS, Footer, SEGMENT_BUNDLES, SEGMENT_RECORDS, Segment},
};
use indelible_store::{Store, StoreError};
use indelible_tlog::{BundleEntries, Hash, leaf_hash};

/// What a start takes over from the last run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Handover {
    /// Segments that count: the first so many.
    pub(crate) kept: u64,
    /// Segments there are; those that do not count are to be set aside.
    pub(crate) found: u64,
    /// The first segment of which some records are in journals still.
    in_journals: u64,
}

/// Compares every segment of which some records are in journals still with them. One that
/// does not hold does not count, nor do those after it, if all its records are there: they
/// are sealed again. If not, it is an error.
pub(crate) fn check(store: &dyn Store, found: u64, journals: &[u32]) -> Result<Handover> {
    let mut against = Against { store, open: None };
    let mut row: Option<Row> = None;
    let mut first = None;
    let end = found * SEGMENT_RECORDS;
    let outcome = each_leaf(store, journals, end, |index, leaf| {
        first.get_or_insert(index);
        let bundle = index / BUNDLE_RECORDS;
        if row.as_ref().is_none_or(|row| row.bundle != bundle)
            && let Some(done) = row.replace(Row { bundle, leaves: Vec::new() })
        {
            against.compare(&done)?;
        }
        if let Some(row) = &mut row {
            row.leaves.push(((index % BUNDLE_RECORDS) as usize, leaf));
        }
        Ok(())
    });
    let outcome = outcome.and_then(|()| row.map_or(Ok(()), |row| against.compare(&row)));
    let in_journals = first.map_or(found, |first| first / SEGMENT_RECORDS);
    match (outcome, first) {
        (Ok(()), _) => Ok(Handover { kept: found, found, in_journals }),
        (Err(Bad::Segment(number, error)), Some(first)) if first <= number * SEGMENT_RECORDS => {
            tracing::error!(
                segment = segment::path(number),
                error = chain(&error),
                "a segment does not hold and is set aside; the journals have its records"
            );
            Ok(Handover { kept: number, found, in_journals })
        }
        (Err(Bad::Segment(_, error) | Bad::Read(error)), _) => Err(error),
    }
}

impl Handover {
    /// Sets aside what does not count, and makes durable what replaces journals: a name
    /// that is seen may be in memory alone.
    pub(crate) fn settle(&self, store: &dyn Store) -> Result<()> {
        for number in (self.kept..self.found).rev() {
            // If we crash here the segments before it are checked again.
            set_aside(store, number)?;
        }
        for number in self.in_journals..self.kept {
            store.sync(&segment::path(number))?;
        }
        Ok(())
    }
}

/// Moves a segment that does not hold out of the way, for people to look at.
pub(crate) fn set_aside(store: &dyn Store, number: u64) -> Result<()> {
    const CHUNK: u64 = 1 << 20;
    let path = segment::path(number);
    let blob = store.open(&path)?;
    for copy in 1.. {
        let aside = format!("set-aside/{number:010}.{copy}");
        let mut writer = match store.writer(&aside) {
            Err(StoreError::AlreadyExists { .. }) => continue,
            other => other?,
        };
        for at in (0..blob.size()).step_by(CHUNK as usize) {
            let bytes = blob.read_vec(at, CHUNK.min(blob.size() - at) as usize)?;
            writer.write_all(&bytes).map_err(|e| StoreError::io("write", &aside, e))?;
        }
        writer.finish()?;
        break;
    }
    Ok(store.delete(&path)?)
}

enum Bad {
    /// This segment does not hold.
    Segment(u64, LogError),
    /// Storage could not be read: that says nothing of any segment.
    Read(LogError),
}

impl From<StoreError> for Bad {
    fn from(error: StoreError) -> Self {
        Self::Read(error.into())
    }
}

/// The leaves of one bundle that are in journals, by their place in it.
struct Row {
    bundle: u64,
    leaves: Vec<(usize, Hash)>,
}

/// Calls `each` with the leaves in the journals below `end`, in order. What does not read
/// as a frame ends it: the replay says what is wrong.
fn each_leaf(
    store: &dyn Store,
    journals: &[u32],
    end: u64,
    mut each: impl FnMut(u64, Hash) -> std::result::Result<(), Bad>,
) -> std::result::Result<(), Bad> {
    for number in journals {
        let file = store.open(&journal::path(*number))?;
        let mut at = 0;
        while let Found::Frame(found) = frame::read(file.as_ref(), at)? {
            at = found.end;
            let records = BundleEntries::new(&found.records).map_while(std::result::Result::ok);
            for (index, record) in (found.first..end).zip(records) {
                each(index, leaf_hash(record))?;
            }
            if found.first >= end {
                return Ok(());
            }
        }
    }
    Ok(())
}

struct Against<'a> {
    store: &'a dyn Store,
    open: Option<(Segment, Footer)>,
}

impl Against<'_> {
    fn compare(&mut self, row: &Row) -> std::result::Result<(), Bad> {
        let number = row.bundle / SEGMENT_BUNDLES as u64;
        self.try_compare(number, row).map_err(|error| match error {
            error @ LogError::Store(_) => Bad::Read(error),
            error => Bad::Segment(number, error),
        })
    }

    fn try_compare(&mut self, number: u64, row: &Row) -> Result<()> {
        let (segment, footer) = match self.open.take().filter(|open| open.0.number == number) {
            Some(open) => open,
            None => {
                let segment = Segment::open(self.store, number)?;
                segment.evict();
                let footer = segment.footer()?;
                (segment, footer)
            }
        };
        let (segment, footer) = self.open.insert((segment, footer));
        let within = (row.bundle % SEGMENT_BUNDLES as u64) as usize;
        let found = segment::leaf_hashes(&segment.bundle(footer, within)?).unwrap_or_default();
        let holds = found.len() as u64 == BUNDLE_RECORDS
            && footer.roots.get(within) == Some(&segment::fold(&found))
            && row.leaves.iter().all(|(at, leaf)| found.get(*at) == Some(leaf));
        if holds {
            return Ok(());
        }
        let problem = format!(
            "records from {} on are not those of the journals",
            row.bundle * BUNDLE_RECORDS
        );
        Err(damaged(segment.path(), segment.bundle_offset(footer, within), problem))
    }
}
