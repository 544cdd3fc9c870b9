//! The files of a piece as tantivy reads them: each chunk is checked against the seal when
//! it is first touched.

use crate::seal::{CHUNK, Sealed};
use std::{
    collections::BTreeMap,
    fs, io,
    ops::Range,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use tantivy::{
    HasLen,
    directory::{
        Directory, DirectoryLock, FileHandle, Lock, MmapDirectory, OwnedBytes, WatchCallback,
        WatchHandle, WritePtr,
        error::{DeleteError, LockError, OpenReadError, OpenWriteError},
    },
};

/// The folder of a piece; read only.
#[derive(Debug, Clone)]
pub(crate) struct Guarded {
    folder: PathBuf,
    files: MmapDirectory,
    seals: Arc<BTreeMap<String, Sealed>>,
    is_altered: Arc<AtomicBool>,
    /// What the files looked like when they were opened.
    stamps: Arc<Vec<(PathBuf, Stamp)>>,
}

/// Changes with every write to a file, and when another takes its name.
type Stamp = (u64, u64, i64, i64);

fn stamp(path: &Path) -> io::Result<Stamp> {
    let facts = fs::metadata(path)?;
    Ok((facts.ino(), facts.len(), facts.ctime(), facts.ctime_nsec()))
}

/// Files that are read again and again while a piece is open.
fn is_searched(name: &str) -> bool {
    [".term", ".idx", ".fast"].iter().any(|end| name.ends_with(end))
}

impl Guarded {
    pub(crate) fn open(folder: &Path, seals: &BTreeMap<String, Sealed>) -> tantivy::Result<Self> {
        let mut stamps = Vec::new();
        for (name, sealed) in seals {
            let path = folder.join(name);
            let stamp = stamp(&path)?;
            if stamp.1 != sealed.len {
                return Err(io::Error::other(format!("{name} has another length")).into());
            }
            if is_searched(name) {
                stamps.push((path, stamp));
            }
        }
        Ok(Self {
            folder: folder.to_owned(),
            files: MmapDirectory::open(folder)?,
            seals: Arc::new(seals.clone()),
            is_altered: Arc::default(),
            stamps: Arc::new(stamps),
        })
    }

    /// Whether something that was read is not what was written.
    pub(crate) fn is_altered(&self) -> bool {
        self.is_altered.load(Ordering::Relaxed)
    }

    /// Remembers that something is not what was written.
    pub(crate) fn set_altered(&self) {
        self.is_altered.store(true, Ordering::Relaxed);
    }

    /// Whether nobody wrote to the files since they were opened. What was checked then
    /// need not be checked again.
    pub(crate) fn is_untouched(&self) -> bool {
        self.stamps.iter().all(|(path, then)| stamp(path).is_ok_and(|now| now == *then))
    }

    fn sealed(&self, path: &Path) -> Option<&Sealed> {
        self.seals.get(path.to_str()?)
    }
}

fn refused() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "a piece of the index never changes")
}

impl Directory for Guarded {
    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        let sealed = self
            .sealed(path)
            .ok_or_else(|| OpenReadError::FileDoesNotExist(path.to_owned()))?
            .clone();
        let file = self.files.get_file_handle(path)?;
        let chunks = file.len().div_ceil(CHUNK);
        let seen = (0..chunks.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        let is_altered = Arc::clone(&self.is_altered);
        Ok(Arc::new(File { file, sealed, seen, is_altered }))
    }

    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        let Some(sealed) = self.sealed(path) else {
            return Err(OpenReadError::FileDoesNotExist(path.to_owned()));
        };
        let wrap = |error| OpenReadError::wrap_io_error(error, path.to_owned());
        let bytes = fs::read(self.folder.join(path)).map_err(wrap)?;
        if sealed.is(&bytes) {
            return Ok(bytes);
        }
        self.set_altered();
        Err(wrap(altered()))
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        Ok(self.sealed(path).is_some())
    }

    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        Err(DeleteError::IoError { io_error: Arc::new(refused()), filepath: path.to_owned() })
    }

    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        Err(OpenWriteError::wrap_io_error(refused(), path.to_owned()))
    }

    fn atomic_write(&self, _: &Path, _: &[u8]) -> io::Result<()> {
        Err(refused())
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }

    /// Nobody writes, so nobody waits.
    fn acquire_lock(&self, _: &Lock) -> Result<DirectoryLock, LockError> {
        Ok(DirectoryLock::from(Box::new(())))
    }

    fn watch(&self, _: WatchCallback) -> tantivy::Result<WatchHandle> {
        Ok(WatchHandle::empty())
    }
}

fn altered() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a file of the index was altered")
}

#[derive(Debug)]
struct File {
    file: Arc<dyn FileHandle>,
    sealed: Sealed,
    /// A bit for each chunk that was checked.
    seen: Vec<AtomicU64>,
    is_altered: Arc<AtomicBool>,
}

impl File {
    fn check(&self, chunk: usize) -> io::Result<()> {
        let bit = 1 << (chunk % 64);
        let seen = self.seen.get(chunk / 64).ok_or_else(altered)?;
        if seen.load(Ordering::Relaxed) & bit != 0 {
            return Ok(());
        }
        let end = ((chunk + 1) * CHUNK).min(self.file.len());
        let bytes = self.file.read_bytes(chunk * CHUNK..end)?;
        if !self.sealed.holds(chunk, &bytes) {
            self.is_altered.store(true, Ordering::Relaxed);
            return Err(altered());
        }
        seen.fetch_or(bit, Ordering::Relaxed);
        Ok(())
    }
}

impl HasLen for File {
    fn len(&self) -> usize {
        self.file.len()
    }
}

impl FileHandle for File {
    fn read_bytes(&self, range: Range<usize>) -> io::Result<OwnedBytes> {
        let len = self.file.len();
        if range.start > range.end || range.end > len {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "beyond the end of a file"));
        }
        (range.start / CHUNK..range.end.div_ceil(CHUNK)).try_for_each(|chunk| self.check(chunk))?;
        self.file.read_bytes(range)
    }
}
