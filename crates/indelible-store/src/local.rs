//! A directory on a local file system.
//!
//! Objects are written under a temporary name, synced, made read-only, linked to
//! their name (which fails if it exists) and then the folder is synced. Journals
//! are filled with real zeros first: overwriting allocated blocks makes a commit's
//! `fdatasync` a plain data write, without a file-system journal commit.

use crate::{Blob, BlobWriter, Journal, LockGuard, Result, Store, StoreError};
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

const LOCK: &str = "LOCK";
/// Unfinished objects end so; they are swept away when the lock is taken.
const TEMPORARY: &str = ".tmp";
static TEMPORARY_COUNT: AtomicU64 = AtomicU64::new(0);

/// A store in one directory.
#[derive(Debug, Clone)]
pub struct LocalStore {
    root: PathBuf,
}

impl LocalStore {
    /// A store in `root`, which is created if it does not exist.
    ///
    /// # Errors
    /// What the system says.
    pub fn create(root: impl Into<PathBuf>) -> Result<Self> {
        let store = Self { root: root.into() };
        create_folders(&store.root).map_err(|e| store.error("create", "", e))?;
        Ok(store)
    }

    /// A store in `root`, which exists.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if it does not, or what the system says.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self> {
        let store = Self { root: root.into() };
        let found = fs::metadata(&store.root).map_err(|e| store.error("open", "", e))?;
        if found.is_dir() {
            Ok(store)
        } else {
            Err(store.error("open", "", io::ErrorKind::NotADirectory.into()))
        }
    }

    /// The directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    fn error(&self, operation: &'static str, path: &str, source: io::Error) -> StoreError {
        StoreError::io(operation, &self.path(path).display().to_string(), source)
    }
}

impl Store for LocalStore {
    fn lock(&self) -> Result<LockGuard> {
        let open =
            OpenOptions::new().create(true).truncate(false).write(true).open(self.path(LOCK));
        let file = open.map_err(|e| self.error("open", LOCK, e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::Locked { path: self.root.display().to_string() });
            }
            Err(TryLockError::Error(e)) => return Err(self.error("lock", LOCK, e)),
        }
        sweep(&self.root).map_err(|e| self.error("clean", "", e))?;
        Ok(Box::new(file))
    }

    fn is_locked(&self) -> bool {
        let Ok(file) = File::open(self.path(LOCK)) else { return false };
        matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
    }

    fn writer(&self, path: &str) -> Result<Box<dyn BlobWriter>> {
        let target = self.path(path);
        if target.exists() {
            return Err(StoreError::AlreadyExists { path: target.display().to_string() });
        }
        let count = TEMPORARY_COUNT.fetch_add(1, Ordering::Relaxed);
        let temporary = self.path(&format!("{path}.{}-{count}{TEMPORARY}", std::process::id()));
        let open = parent(&target).and_then(create_folders).and_then(|()| {
            OpenOptions::new().create_new(true).write(true).mode(0o600).open(&temporary)
        });
        let file = open.map_err(|e| self.error("create", path, e))?;
        Ok(Box::new(LocalWriter { file, temporary, target }))
    }

    fn open(&self, path: &str) -> Result<Arc<dyn Blob>> {
        let file = File::open(self.path(path)).map_err(|e| self.error("open", path, e))?;
        Ok(Arc::new(LocalFile::new(file, self.path(path))?))
    }

    fn list(&self, folder: &str) -> Result<Vec<String>> {
        let mut found = Vec::new();
        list_into(&self.path(folder), folder, &mut found)
            .map_err(|e| self.error("list", folder, e))?;
        found.sort();
        Ok(found)
    }

    fn is_private(&self, path: &str) -> Result<bool> {
        let found = fs::metadata(self.path(path)).map_err(|e| self.error("look at", path, e))?;
        Ok(found.permissions().mode() & 0o077 == 0)
    }

    fn delete(&self, path: &str) -> Result<()> {
        let target = self.path(path);
        fs::remove_file(&target)
            .and_then(|()| parent(&target).and_then(sync_folder))
            .map_err(|e| self.error("delete", path, e))
    }

    fn create_journal(&self, path: &str, capacity: u64) -> Result<Arc<dyn Journal>> {
        let target = self.path(path);
        let made = parent(&target).and_then(create_folders).and_then(|()| {
            OpenOptions::new().create_new(true).read(true).write(true).mode(0o600).open(&target)
        });
        let file = made.map_err(|e| self.error("create", path, e))?;
        // If we crash here the journal is short or not there; recovery takes a short
        // journal without frames for what it is.
        if let Err(e) =
            fill_with_zeros(&file, capacity).and_then(|()| parent(&target).and_then(sync_folder))
        {
            let error = self.error("allocate", path, e);
            // Best effort: a leftover is found and removed at the next start.
            drop(fs::remove_file(&target));
            return Err(error);
        }
        Ok(Arc::new(LocalFile::new(file, target)?))
    }

    fn open_journal(&self, path: &str) -> Result<Arc<dyn Journal>> {
        let open = OpenOptions::new().read(true).write(true).open(self.path(path));
        let file = open.map_err(|e| self.error("open", path, e))?;
        Ok(Arc::new(LocalFile::new(file, self.path(path))?))
    }
}

fn fill_with_zeros(file: &File, capacity: u64) -> io::Result<()> {
    const CHUNK: usize = 1 << 20;
    let zeros = vec![0u8; CHUNK];
    let mut offset = 0;
    while offset < capacity {
        let len = usize::try_from(capacity - offset).unwrap_or(CHUNK).min(CHUNK);
        file.write_all_at(zeros.get(..len).unwrap_or(&zeros), offset)?;
        offset += len as u64;
    }
    file.sync_all()
}

fn parent(path: &Path) -> io::Result<&Path> {
    path.parent().ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

/// Creates a folder and its parents and makes their existence durable.
fn create_folders(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().filter(|above| !above.as_os_str().is_empty());
    if let Some(above) = above {
        create_folders(above)?;
    }
    match fs::create_dir(folder) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    above.map_or(Ok(()), sync_folder)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn entries(folder: &Path) -> io::Result<Vec<fs::DirEntry>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.collect(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(e),
    }
}

fn list_into(folder: &Path, prefix: &str, found: &mut Vec<String>) -> io::Result<()> {
    for entry in entries(folder)? {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
        if entry.file_type()?.is_dir() {
            list_into(&entry.path(), &path, found)?;
        } else if !name.ends_with(TEMPORARY) && path != LOCK {
            found.push(path);
        }
    }
    Ok(())
}

/// Removes what a crash left half-written; only the holder of the lock does this.
fn sweep(folder: &Path) -> io::Result<()> {
    for entry in entries(folder)? {
        if entry.file_type()?.is_dir() {
            sweep(&entry.path())?;
        } else if entry.file_name().to_string_lossy().ends_with(TEMPORARY) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[derive(Debug)]
struct LocalFile {
    file: File,
    path: PathBuf,
    size: u64,
}

impl LocalFile {
    fn new(file: File, path: PathBuf) -> Result<Self> {
        let size = file
            .metadata()
            .map_err(|e| StoreError::io("stat", &path.display().to_string(), e))?
            .len();
        Ok(Self { file, path, size })
    }

    fn error(&self, operation: &'static str, source: io::Error) -> StoreError {
        StoreError::io(operation, &self.path.display().to_string(), source)
    }
}

impl Blob for LocalFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.file.read_exact_at(buf, offset).map_err(|e| self.error("read", e))
    }
}

impl Journal for LocalFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        if offset.checked_add(bytes.len() as u64).is_none_or(|end| end > self.size) {
            return Err(self.error("write past the end of", io::ErrorKind::InvalidInput.into()));
        }
        self.file.write_all_at(bytes, offset).map_err(|e| self.error("write", e))
    }

    fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|e| self.error("sync", e))
    }
}

struct LocalWriter {
    file: File,
    temporary: PathBuf,
    target: PathBuf,
}

impl Write for LocalWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.file.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl BlobWriter for LocalWriter {
    fn finish(self: Box<Self>) -> Result<()> {
        let publish = || {
            self.file.set_permissions(fs::Permissions::from_mode(0o400))?;
            self.file.sync_all()?;
            // If we crash here the object does not exist and a temporary file is swept.
            fs::hard_link(&self.temporary, &self.target)?;
            // If we crash here the object exists or not; it is whole if it does.
            parent(&self.target).and_then(sync_folder)
        };
        publish().map_err(|e| StoreError::io("create", &self.target.display().to_string(), e))
    }
}

impl Drop for LocalWriter {
    fn drop(&mut self) {
        // Finished or not, the temporary name has served; a leftover is swept at start.
        drop(fs::remove_file(&self.temporary));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conforms() {
        let folder = tempfile::tempdir().unwrap();
        crate::conformance::check(&LocalStore::create(folder.path().join("a/b")).unwrap());
    }

    #[test]
    fn objects_are_read_only_and_leftovers_are_swept() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::create(folder.path()).unwrap();
        store.create("x/object", b"1").unwrap();
        let mode = fs::metadata(folder.path().join("x/object")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o400);
        assert!(store.is_private("x/object").unwrap());
        let open = fs::Permissions::from_mode(0o440);
        fs::set_permissions(folder.path().join("x/object"), open).unwrap();
        assert!(!store.is_private("x/object").unwrap());
        fs::write(folder.path().join("x/left.1-2.tmp"), b"half").unwrap();
        assert_eq!(store.list("").unwrap(), ["x/object"]);
        drop(store.lock().unwrap());
        assert!(!folder.path().join("x/left.1-2.tmp").exists());
    }

    #[test]
    fn a_missing_or_wrong_root_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        assert!(
            matches!(LocalStore::open(&missing), Err(StoreError::NotFound { path }) if path.contains("missing"))
        );
        fs::write(&missing, b"file").unwrap();
        assert!(matches!(LocalStore::open(&missing), Err(StoreError::Io { .. })));
    }
}
