//! A directory on a local file system.
//!
//! Objects are written in `tmp/`, synced, made read-only, linked to their name (which
//! fails if it exists) and then the folder is synced. Journals are filled with real
//! zeros first: overwriting allocated blocks makes a commit's `fdatasync` a plain data
//! write, without a file-system journal commit. Folders are 0700 and files 0600 or less,
//! whatever the umask: names and sizes tell too, and who can open the lock can hold it.

use crate::{Blob, BlobWriter, Journal, LockGuard, Result, Store, StoreError};
use parking_lot::Mutex;
use rustix::fs::{Advice, FallocateFlags, RenameFlags};
use std::{
    collections::HashSet,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Made only in a folder that is the owner's alone, so nobody else ever has it open.
const LOCK: &str = "WRITER";
/// Folder of unfinished objects; it is emptied when the lock is taken.
const TEMPORARY: &str = "tmp";
/// Whoever asks whether a store is locked holds it for a moment: that is waited out.
const LOCK_TRIES: u32 = 5;
const LOCK_PAUSE: Duration = Duration::from_millis(20);
static TEMPORARY_COUNT: AtomicU64 = AtomicU64::new(0);

/// A store in one directory.
#[derive(Debug, Clone)]
pub struct LocalStore {
    root: PathBuf,
    /// Folders whose names this process has made durable.
    durable: Arc<Mutex<HashSet<PathBuf>>>,
}

impl LocalStore {
    /// A store in `root`, which is created if it does not exist, and closed to all but
    /// its owner.
    ///
    /// # Errors
    /// What the system says.
    pub fn create(root: impl Into<PathBuf>) -> Result<Self> {
        let store = Self::at(root.into());
        store
            .create_folders(&store.root)
            .and_then(|()| close_to_others(&store.root, 0o700))
            .map_err(|e| store.error("create", "", e))?;
        Ok(store)
    }

    /// A store in `root`, which exists.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if it does not, or what the system says.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self> {
        let store = Self::at(root.into());
        let found = fs::metadata(&store.root).map_err(|e| store.error("open", "", e))?;
        if found.is_dir() {
            Ok(store)
        } else {
            Err(store.error("open", "", io::ErrorKind::NotADirectory.into()))
        }
    }

    fn at(root: PathBuf) -> Self {
        Self { root, durable: Arc::default() }
    }

    /// Names of the folders in a folder, sorted; none if it does not exist.
    ///
    /// # Errors
    /// What the system says.
    pub fn folders(&self, folder: &str) -> Result<Vec<String>> {
        let mut found = Vec::new();
        let mut list = || {
            for entry in entries(&self.path(folder))? {
                if entry.file_type()?.is_dir() {
                    found.push(entry.file_name().to_string_lossy().into_owned());
                }
            }
            Ok(())
        };
        list().map_err(|e| self.error("list", folder, e))?;
        found.sort();
        Ok(found)
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

    /// Creates a folder and its parents, and makes their names durable. A folder that is
    /// there already may not be: its maker may have died, or be about to sync it.
    fn create_folders(&self, folder: &Path) -> io::Result<()> {
        if self.durable.lock().contains(folder) && folder.is_dir() {
            return Ok(());
        }
        let above = folder.parent().filter(|above| !above.as_os_str().is_empty());
        if let Some(above) = above.filter(|above| !above.is_dir() || above.starts_with(&self.root))
        {
            self.create_folders(above)?;
        }
        let made = match DirBuilder::new().mode(0o700).create(folder) {
            Ok(()) => true,
            Err(_) if folder.is_dir() => false,
            Err(error) => return Err(error),
        };
        // What is above the store and was there before is not ours to sync.
        if let Some(above) = above.filter(|_| made || folder.starts_with(&self.root)) {
            match sync_folder(above) {
                // A parent that may not even be read is not where this was made.
                Err(e) if !made && e.kind() == io::ErrorKind::PermissionDenied => {}
                other => other?,
            }
        }
        self.durable.lock().insert(folder.to_owned());
        Ok(())
    }

    /// Gives what is finished under a temporary name its own, unless that is taken.
    fn name(&self, temporary: &Path, target: &Path) -> io::Result<()> {
        self.create_folders(parent(target)?)?;
        match fs::hard_link(temporary, target) {
            // Some file systems have no links.
            Err(e)
                if matches!(
                    e.raw_os_error().map(rustix::io::Errno::from_raw_os_error),
                    Some(
                        rustix::io::Errno::PERM
                            | rustix::io::Errno::OPNOTSUPP
                            | rustix::io::Errno::MLINK
                    )
                ) =>
            {
                let here = rustix::fs::CWD;
                rustix::fs::renameat_with(here, temporary, here, target, RenameFlags::NOREPLACE)?;
                Ok(())
            }
            other => other,
        }
    }
}

impl Store for LocalStore {
    fn lock(&self) -> Result<LockGuard> {
        // Before the lock is made: nobody else can then reach it.
        close_to_others(&self.root, 0o700).map_err(|e| self.error("close to others", "", e))?;
        let open = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(self.path(LOCK));
        let file = open.map_err(|e| self.error("open", LOCK, e))?;
        close_to_others(&self.path(LOCK), 0o600)
            .map_err(|e| self.error("close to others", LOCK, e))?;
        let mut tries = 1;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if tries < LOCK_TRIES => {
                    tries += 1;
                    std::thread::sleep(LOCK_PAUSE);
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(StoreError::Locked { path: self.root.display().to_string() });
                }
                Err(TryLockError::Error(e)) => return Err(self.error("lock", LOCK, e)),
            }
        }
        sweep(&self.path(TEMPORARY)).map_err(|e| self.error("clean", TEMPORARY, e))?;
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
        let folder = self.path(TEMPORARY);
        let temporary = folder.join(format!("{}-{count}", std::process::id()));
        let open = self.create_folders(&folder).and_then(|()| {
            OpenOptions::new().create_new(true).write(true).mode(0o600).open(&temporary)
        });
        let file = open.map_err(|e| self.error("create", path, e))?;
        Ok(Box::new(LocalWriter { file, store: self.clone(), temporary, target }))
    }

    fn open(&self, path: &str) -> Result<Arc<dyn Blob>> {
        let file = File::open(self.path(path)).map_err(|e| self.error("open", path, e))?;
        Ok(Arc::new(LocalFile::new(file, self.path(path))?))
    }

    fn sync(&self, path: &str) -> Result<()> {
        let target = self.path(path);
        File::open(&target)
            .and_then(|file| file.sync_all())
            .and_then(|()| parent(&target).and_then(|folder| self.create_folders(folder)))
            .and_then(|()| parent(&target).and_then(sync_folder))
            .map_err(|e| self.error("sync", path, e))
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
        let made = parent(&target).and_then(|folder| self.create_folders(folder)).and_then(|()| {
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
    // Whether there is room is known before a byte is written, where the system can tell.
    let room = rustix::fs::fallocate(file, FallocateFlags::empty(), 0, capacity);
    if let Err(e @ (rustix::io::Errno::NOSPC | rustix::io::Errno::DQUOT)) = room {
        return Err(e.into());
    }
    let zeros = vec![0u8; CHUNK];
    let mut offset = 0;
    while offset < capacity {
        let len = usize::try_from(capacity - offset).unwrap_or(CHUNK).min(CHUNK);
        file.write_all_at(zeros.get(..len).unwrap_or(&zeros), offset)?;
        offset += len as u64;
    }
    file.sync_all()
}

/// Takes away what group and others may do, if they may do anything.
fn close_to_others(path: &Path, mode: u32) -> io::Result<()> {
    if fs::metadata(path)?.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

fn parent(path: &Path) -> io::Result<&Path> {
    path.parent().ok_or_else(|| io::ErrorKind::InvalidInput.into())
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
            if path != TEMPORARY {
                list_into(&entry.path(), &path, found)?;
            }
        } else if path != LOCK {
            found.push(path);
        }
    }
    Ok(())
}

/// Removes what a crash left half-written; only the holder of the lock does this.
fn sweep(folder: &Path) -> io::Result<()> {
    for entry in entries(folder)? {
        if !entry.file_type()?.is_dir() {
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

    fn evict(&self) {
        // Refused, the read that follows says less; nothing else depends on it.
        rustix::fs::fadvise(&self.file, 0, None, Advice::DontNeed).unwrap_or_default();
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
    store: LocalStore,
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
            self.store.name(&self.temporary, &self.target)?;
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
        fs::write(folder.path().join("tmp/1-2"), b"half").unwrap();
        assert_eq!(store.list("").unwrap(), ["x/object"]);
        drop(store.lock().unwrap());
        assert!(!folder.path().join("tmp/1-2").exists());
    }

    fn open_to_others(path: &Path, found: &mut Vec<PathBuf>) {
        if fs::metadata(path).unwrap().permissions().mode() & 0o077 != 0 {
            found.push(path.to_owned());
        }
        if path.is_dir() {
            entries(path).unwrap().iter().for_each(|entry| open_to_others(&entry.path(), found));
        }
    }

    #[test]
    fn nothing_is_open_to_others() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("above/root");
        let store = LocalStore::create(&root).unwrap();
        store.create("a/b/object", b"1").unwrap();
        store.create_journal("journal/1", 4096).unwrap();
        let guard = store.lock().unwrap();
        let mut found = Vec::new();
        open_to_others(&folder.path().join("above"), &mut found);
        assert_eq!(found, Vec::<PathBuf>::new());
        drop(guard);
    }

    #[test]
    fn a_folder_that_others_could_open_is_closed_to_them_before_it_is_locked() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        fs::create_dir(&root).unwrap();
        let open = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        open(&root, 0o755);
        // What others could open and hold before is not what is locked.
        fs::write(root.join("LOCK"), b"").unwrap();
        open(&root.join("LOCK"), 0o644);
        let theirs = File::open(root.join("LOCK")).unwrap();
        theirs.try_lock().unwrap();
        let store = LocalStore::open(&root).unwrap();
        drop(store.lock().unwrap());
        assert_eq!(fs::metadata(&root).unwrap().permissions().mode() & 0o777, 0o700);
        open(&root.join(LOCK), 0o666);
        drop(store.lock().unwrap());
        assert_eq!(fs::metadata(root.join(LOCK)).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn whoever_asks_for_the_lock_is_waited_out() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::create(folder.path()).unwrap();
        drop(store.lock().unwrap());
        let asking = File::open(folder.path().join(LOCK)).unwrap();
        asking.try_lock_shared().unwrap();
        std::thread::scope(|scope| {
            let locked = scope.spawn(|| store.lock().map(drop));
            std::thread::sleep(LOCK_PAUSE);
            drop(asking);
            locked.join().unwrap().unwrap();
        });
    }

    #[test]
    fn only_the_folders_of_one_folder_are_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::create(folder.path()).unwrap();
        assert!(store.folders("logs").unwrap().is_empty());
        for path in ["logs/b/x/y", "logs/a/x", "logs/file"] {
            store.create(path, b"").unwrap();
        }
        assert_eq!(store.folders("logs").unwrap(), ["a", "b"]);
    }

    #[test]
    fn what_exists_can_be_made_durable_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::create(folder.path()).unwrap();
        store.create("a/b", b"1").unwrap();
        store.sync("a/b").unwrap();
        assert!(matches!(store.sync("a/c"), Err(StoreError::NotFound { .. })));
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
