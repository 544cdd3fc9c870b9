//! Runs read whole, for who checks them against the records.

use super::{
    filter::{BLOCK_LEN, Block, block_of, insert},
    hash::{IdHash, OFFSET_BITS},
    root_of,
    run::{Cursor, Run, coverage},
};
use crate::error::{Result, damaged};
use indelible_event::record_id;
use indelible_store::Store;
use indelible_tlog::{Hash, KeyLine};

/// What a run keeps of the id of a record; `None` if it has none.
pub(crate) fn short(record: &[u8]) -> Option<u64> {
    record_id(record).map(|id| IdHash::of(&id).short())
}

impl Run {
    /// Opens the run at a path, which is of the segments with these roots.
    pub(crate) fn open_at(
        store: &dyn Store,
        line: &KeyLine,
        roots: &[Hash],
        path: &str,
    ) -> Result<Self> {
        let of = coverage(path).ok_or_else(|| damaged(path, 0, "not the name of an id run"))?;
        // That it exists is told first: it may be merged away by a running server.
        store.open(path)?;
        let root = root_of(roots, of.0, of.1)
            .ok_or_else(|| damaged(path, 0, "the run is of segments that are not there"))?;
        Self::open(store, line, root, of)
    }

    /// Size of the file in bytes.
    pub(crate) fn file_size(&self) -> u64 {
        self.blob.size()
    }

    /// Lets what is read next come from the disk.
    pub(crate) fn evict(&self) {
        self.blob.evict();
    }

    /// Reads every page: entries that ascend, and a filter that is exactly theirs.
    /// `visit` gets the hash and the index of each entry.
    pub(crate) fn read_whole(&self, mut visit: impl FnMut(u64, u64)) -> Result<()> {
        let mut last = None;
        let (mut block, mut at): (Block, u64) = ([0; BLOCK_LEN], 0);
        for page in 0..self.entry_pages() {
            for entry in self.page(page)? {
                if last.is_some_and(|last| entry <= last) {
                    return Err(damaged(&self.path, 0, "entries do not ascend"));
                }
                last = Some(entry);
                let short = entry >> OFFSET_BITS;
                while at < block_of(short, self.blocks) {
                    self.is_block(at, &std::mem::replace(&mut block, [0; BLOCK_LEN]))?;
                    at += 1;
                }
                insert(&mut block, short);
                visit(short, self.first_index() + (entry & ((1 << OFFSET_BITS) - 1)));
            }
        }
        while at < self.blocks {
            self.is_block(at, &std::mem::replace(&mut block, [0; BLOCK_LEN]))?;
            at += 1;
        }
        Ok(())
    }

    /// A filter that lacks an id would make the log take other data under it.
    fn is_block(&self, number: u64, expected: &Block) -> Result<()> {
        if self.block(number)? == *expected {
            Ok(())
        } else {
            Err(damaged(&self.path, 0, "the filter is not that of the entries"))
        }
    }
}

/// Pairs of records whose ids have one short hash, of those in `runs` and in `more`: hash
/// and index, ascending. Most pairs are chance; the records tell.
pub(crate) fn pairs(
    runs: &[Run],
    more: &[(u64, u64)],
    mut visit: impl FnMut(u64, u64),
) -> Result<()> {
    let mut cursors: Vec<Cursor<'_>> = runs.iter().map(|run| Cursor::new(run, 0)).collect();
    let mut more = more.iter().copied().peekable();
    // Hashes alike stand next to each other; all before in the row are compared.
    let mut row: Vec<u64> = Vec::new();
    let mut hash = None;
    loop {
        let mut least = more.peek().map(|found| (*found, None));
        for (n, cursor) in cursors.iter_mut().enumerate() {
            let Some(entry) = cursor.peek()? else { continue };
            let index = cursor.run.first_index() + (entry & ((1 << OFFSET_BITS) - 1));
            let found = (entry >> OFFSET_BITS, index);
            if least.is_none_or(|(known, _)| found < known) {
                least = Some((found, Some(n)));
            }
        }
        let Some(((short, index), from)) = least else { return Ok(()) };
        match from.and_then(|n| cursors.get_mut(n)) {
            Some(cursor) => cursor.advance(),
            None => drop(more.next()),
        }
        if hash != Some(short) {
            hash = Some(short);
            row.clear();
        }
        row.iter().filter(|other| **other != index).for_each(|other| visit(*other, index));
        row.push(index);
    }
}
