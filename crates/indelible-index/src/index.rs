//! The index of one log: which pieces there are, and how they come and go.

use crate::{
    kept,
    piece::{Of, Piece, range_of},
    rollup::roll_up,
    schema::Columns,
    seal::{self, Key},
    walk::SearchError,
};
use indelible_log::{Log, chain};
use parking_lot::{Mutex, RwLock};
use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::sync::watch;

/// Settings of an index.
#[derive(Debug, Clone, Copy)]
pub struct IndexOptions {
    /// Records of a full shard, which is one piece and never merged again.
    pub shard: u64,
    /// Most records that one step adds.
    pub step: u64,
    /// Pieces of about one size that are merged into one.
    pub fan_in: usize,
}

impl Default for IndexOptions {
    fn default() -> Self {
        Self { shard: 1 << 20, step: 1 << 15, fan_in: 32 }
    }
}

/// The index cannot go on; search shows what it has.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// Its folder cannot be used.
    #[error("could not use the index folder {0}")]
    Folder(PathBuf, #[source] io::Error),
    /// A piece cannot be written or read.
    #[error("could not write the index")]
    Index(#[from] tantivy::TantivyError),
}

/// What can be searched now.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    /// Without holes, oldest first.
    pub(crate) pieces: Arc<Vec<Arc<Piece>>>,
    /// Records they cover.
    pub(crate) indexed: u64,
}

/// The index of one log. Searched from any thread; [`LogIndex::extend`] and
/// [`LogIndex::merge`] are called by one each, so that a long merge delays nothing.
#[derive(Debug)]
pub struct LogIndex {
    log: Arc<Log>,
    folder: PathBuf,
    options: IndexOptions,
    columns: Columns,
    key: Key,
    /// Pieces beyond a hole, oldest first: they are searched again when it is filled.
    shelf: Mutex<Vec<Arc<Piece>>>,
    pieces: RwLock<Arc<Vec<Arc<Piece>>>>,
    indexed: watch::Sender<u64>,
    problem: Mutex<Option<Arc<str>>>,
    /// Under which results of it are kept.
    number: u64,
    /// Held by the one that adds pieces, and by the one that merges some.
    extending: Mutex<()>,
    merging: Mutex<()>,
}

impl LogIndex {
    /// Opens what is in the folder, and leaves out what is not of this log.
    ///
    /// # Errors
    /// [`IndexError::Folder`].
    pub fn open(log: Arc<Log>, folder: &Path, options: IndexOptions) -> Result<Self, IndexError> {
        let failed = |error| IndexError::Folder(folder.to_owned(), error);
        make_folder(folder).map_err(failed)?;
        let index = Self {
            key: seal::key(&log, folder).map_err(failed)?,
            log,
            folder: folder.to_owned(),
            options,
            columns: Columns::new(),
            shelf: Mutex::default(),
            pieces: RwLock::default(),
            indexed: watch::channel(0).0,
            problem: Mutex::default(),
            number: kept::next_index(),
            extending: Mutex::default(),
            merging: Mutex::default(),
        };
        index.load()?;
        Ok(index)
    }

    fn make_folder(&self) -> Result<(), IndexError> {
        make_folder(&self.folder).map_err(|e| IndexError::Folder(self.folder.clone(), e))
    }

    pub(crate) fn of(&self) -> Of<'_> {
        Of { log: &self.log, columns: &self.columns, key: &self.key, parent: &self.folder }
    }

    /// Reads the folder anew. Neither extending nor merging must be on its way.
    fn load(&self) -> Result<(), IndexError> {
        let failed = |e| IndexError::Folder(self.folder.clone(), e);
        self.make_folder()?;
        let mut ranges = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            match range_of(name) {
                Some(range) => ranges.push((range, path)),
                // What a crash left unfinished.
                None if name.ends_with(".tmp") => remove(&path),
                None => {}
            }
        }
        // At each place the longest piece; what a merge replaced is in it.
        ranges.sort_by_key(|(range, _)| (range.start, std::cmp::Reverse(range.end)));
        let size = self.log.head().size;
        let (mut pieces, mut shelf): (Vec<Arc<Piece>>, Vec<Arc<Piece>>) = Default::default();
        let mut at = 0;
        for (range, path) in ranges {
            let opened = (range.start >= at && range.end <= size)
                .then(|| Piece::open(&self.of(), &path, range.clone()));
            match opened {
                Some(Ok(piece)) => {
                    // One bad piece costs none behind it.
                    let is_next = range.start == at && shelf.is_empty();
                    at = range.end;
                    if is_next { &mut pieces } else { &mut shelf }.push(Arc::new(piece));
                }
                Some(Err(error)) => {
                    tracing::warn!(piece = %path.display(), error = chain(&error), "a piece of the index is built again");
                    remove(&path);
                }
                None => remove(&path),
            }
        }
        *self.shelf.lock() = shelf;
        self.change(|now| *now = pieces);
        Ok(())
    }

    /// What can be searched, files that somebody wrote to opened anew: what is in them is
    /// checked again before an answer rests on it.
    pub(crate) fn untouched(&self) -> Snapshot {
        let snapshot = self.snapshot();
        for piece in snapshot.pieces.iter().filter(|piece| !piece.is_untouched()) {
            match piece.reopened(&self.of()) {
                Ok(opened) => {
                    let opened = Arc::new(opened);
                    self.change(|pieces| {
                        pieces
                            .iter_mut()
                            .filter(|own| Arc::ptr_eq(own, piece))
                            .for_each(|own| *own = Arc::clone(&opened));
                    });
                }
                // Merged, and taken away, meanwhile; or altered.
                Err(error) => self.drop_piece(piece, &chain(&error)),
            }
        }
        self.snapshot()
    }

    /// Whether a piece is still searched.
    pub(crate) fn has(&self, piece: &Arc<Piece>) -> bool {
        self.snapshot().pieces.iter().any(|own| Arc::ptr_eq(own, piece))
    }

    /// An error, if something that was read of these pieces is not what was written.
    pub(crate) fn unaltered(&self, pieces: &[Arc<Piece>]) -> Result<(), SearchError> {
        let altered: Vec<_> = pieces.iter().filter(|piece| piece.is_altered()).collect();
        altered.iter().for_each(|piece| self.drop_piece(piece, "a file was altered"));
        match altered.first() {
            None => Ok(()),
            Some(piece) => Err(SearchError::Altered { from: piece.start, to: piece.end - 1 }),
        }
    }

    /// Takes a piece out of what is searched, so that it is built again. Those behind it
    /// wait: what is searched has no holes.
    pub(crate) fn drop_piece(&self, piece: &Arc<Piece>, why: &str) {
        let mut shelf = self.shelf.lock();
        let mut is_there = false;
        self.change(|pieces| {
            let Some(at) = pieces.iter().position(|own| Arc::ptr_eq(own, piece)) else { return };
            is_there = true;
            let mut behind = pieces.split_off(at);
            behind.remove(0);
            shelf.splice(0..0, behind);
        });
        if is_there {
            tracing::error!(piece = %piece.folder.display(), why, "a piece of the index is not what was written; it is built again from the log");
            remove(&piece.folder);
        }
    }

    /// Takes pieces back that no hole is before any longer; returns where the next begins.
    fn take_back(&self) -> u64 {
        let mut shelf = self.shelf.lock();
        loop {
            let indexed = self.snapshot().indexed;
            match shelf.first().map(|piece| piece.start) {
                None => return u64::MAX,
                Some(start) if start > indexed => return start,
                Some(start) => {
                    let piece = shelf.remove(0);
                    if start == indexed && piece.folder.exists() {
                        self.change(|pieces| pieces.push(piece));
                    } else if start < indexed {
                        remove(&piece.folder);
                    }
                }
            }
        }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let pieces = Arc::clone(&self.pieces.read());
        let indexed = pieces.last().map_or(0, |piece| piece.end);
        Snapshot { pieces, indexed }
    }

    pub(crate) const fn columns(&self) -> &Columns {
        &self.columns
    }

    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    /// Whether results of a piece are kept: those of small ones are soon counted anew, and
    /// the pieces soon merged.
    pub(crate) const fn keeps(&self, piece: &Piece) -> bool {
        piece.end - piece.start >= self.options.shard / 256
    }

    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// Follows how many records the index knows.
    #[must_use]
    pub fn indexed(&self) -> watch::Receiver<u64> {
        self.indexed.subscribe()
    }

    /// Why the index does not go on, if that is so.
    #[must_use]
    pub fn problem(&self) -> Option<Arc<str>> {
        self.problem.lock().clone()
    }

    /// Adds the next records; returns whether there may be more to add. After an error
    /// the folder is read anew, and the next call tries again.
    ///
    /// # Errors
    /// [`IndexError`]; the log is not touched by it.
    pub fn extend(&self) -> Result<bool, IndexError> {
        let _extending = self.extending.lock();
        let extended = self.try_extend();
        match &extended {
            Ok(_) => *self.problem.lock() = None,
            Err(error) => {
                *self.problem.lock() = Some(chain(error).into());
                // Whatever is wrong with what is in memory is not with what is on disk.
                let _merging = self.merging.lock();
                if let Err(error) = self.load() {
                    tracing::warn!(error = chain(&error), "the index folder cannot be read");
                }
            }
        }
        extended
    }

    fn try_extend(&self) -> Result<bool, IndexError> {
        if self.is_damaged() {
            let _merging = self.merging.lock();
            // Unless it was a merge that took them away.
            if self.is_damaged() {
                tracing::info!(folder = %self.folder.display(), "the index was deleted; it is rebuilt");
                self.load()?;
            }
        }
        let next = self.take_back();
        let (from, size) = (self.snapshot().indexed, self.log.head().size);
        if from >= size {
            return Ok(false);
        }
        self.make_folder()?;
        let shard_end = (from / self.options.shard + 1) * self.options.shard;
        let end = size.min(shard_end).min(next);
        // With much to do, two pieces at a time, each whole steps long.
        let middle = from + self.options.step;
        let last = (middle + self.options.step).min(end);
        let build = |range| Piece::build(&self.of(), range);
        let built = if last - from == 2 * self.options.step {
            let (first, second) = rayon::join(|| build(from..middle), || build(middle..last));
            vec![Arc::new(first?), Arc::new(second?)]
        } else {
            vec![Arc::new(build(from..middle.min(end))?)]
        };
        let indexed = self.change(|pieces| pieces.extend(built));
        Ok(indexed < size)
    }

    /// Whether a piece is gone from the folder.
    fn is_damaged(&self) -> bool {
        self.snapshot().pieces.iter().any(|piece| !piece.folder.exists())
    }

    /// Merges pieces, if there are some to merge; returns whether there were.
    ///
    /// # Errors
    /// [`IndexError`]; the pieces remain as they were.
    pub fn merge(&self) -> Result<bool, IndexError> {
        let _merging = self.merging.lock();
        let pieces = self.snapshot().pieces;
        let Some(run) = self.run(&pieces) else { return Ok(false) };
        let old = pieces.get(run.clone()).unwrap_or_default();
        let merged = Piece::merge(&self.of(), old);
        if merged.is_err() && self.unaltered(old).is_err() {
            // It is built again, and merged then.
            return Ok(true);
        }
        let mut merged = merged?;
        if merged.end - merged.start == self.options.shard {
            if let Err(error) = roll_up(&self.of(), &merged) {
                tracing::warn!(
                    error = chain(&error),
                    "a shard is not added up; it is counted when asked"
                );
            }
            merged = merged.reopened(&self.of())?;
        }
        let merged = Arc::new(merged);
        // If we crash here both are there, and the longer one is taken. Meanwhile pieces
        // may have been opened anew, or dropped: then these are not what is searched.
        let mut is_taken = false;
        self.change(|pieces| {
            let now = pieces.get(run.clone()).unwrap_or_default();
            is_taken =
                now.len() == old.len() && now.iter().zip(old).all(|(a, b)| Arc::ptr_eq(a, b));
            if is_taken {
                drop(pieces.splice(run, [Arc::clone(&merged)]));
            }
        });
        if !is_taken {
            remove(&merged.folder);
            return Ok(true);
        }
        // Searches that have the old ones open go on reading them.
        old.iter().for_each(|piece| remove(&piece.folder));
        Ok(true)
    }

    /// Changes what can be searched, and says how many records that is.
    fn change(&self, change: impl FnOnce(&mut Vec<Arc<Piece>>)) -> u64 {
        let mut guard = self.pieces.write();
        let mut pieces = Vec::clone(&guard);
        change(&mut pieces);
        let indexed = pieces.last().map_or(0, |piece| piece.end);
        *guard = Arc::new(pieces);
        drop(guard);
        self.indexed.send_replace(indexed);
        indexed
    }

    /// The pieces to merge next: all of a shard that is complete, or a row of about one
    /// size.
    fn run(&self, pieces: &[Arc<Piece>]) -> Option<std::ops::Range<usize>> {
        let shard = self.options.shard;
        // Complete, in several pieces.
        let mut start = 0;
        for (at, piece) in pieces.iter().enumerate() {
            if piece.start.is_multiple_of(shard) {
                start = at;
            }
            if piece.end.is_multiple_of(shard) && at > start {
                return Some(start..at + 1);
            }
        }
        let tier =
            |piece: &Piece| (piece.end - piece.start).ilog2() / self.options.fan_in.ilog2().max(1);
        let shard_of = |piece: &Piece| piece.start / shard;
        // The newest row first: it is the one that grows.
        (1..=pieces.len()).rev().find_map(|end| {
            let row = pieces.get(..end)?;
            let last = row.last()?;
            let same = row
                .iter()
                .rev()
                .take_while(|piece| tier(piece) <= tier(last) && shard_of(piece) == shard_of(last))
                .count();
            (same >= self.options.fan_in).then(|| end - same..end)
        })
    }
}

/// Makes the folder, or closes it to others: it holds the words of what is in the log.
fn make_folder(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut permissions = fs::metadata(folder)?.permissions();
    if permissions.mode() & 0o077 != 0 {
        permissions.set_mode(0o700);
        fs::set_permissions(folder, permissions)?;
    }
    Ok(())
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_dir_all(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "could not remove a piece of the index");
    }
}
