//! The simulated disk.

use crate::{
    Random,
    fault::{Fault, Mode},
    file::{File, SECTOR},
};
use indelible_store::{Blob, BlobWriter, Journal, LockGuard, Result, Store, StoreError};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
    sync::Arc,
};

#[derive(Debug)]
struct Disk {
    random: Random,
    files: BTreeMap<String, Arc<Mutex<File>>>,
    /// Objects whose names are in the system's memory alone: a power cut takes them.
    unnamed: BTreeSet<String>,
    /// Objects whose names are gone in the system's memory alone: a power cut brings
    /// them back.
    ghosts: BTreeMap<String, Arc<Mutex<File>>>,
    calls: u64,
    fault: Option<Fault>,
    /// One in so many calls fails or cuts the power; 0: none.
    chance: u64,
    powered: bool,
    locked: bool,
    trace: u64,
}

/// A store on a disk that misbehaves. Clones share the disk.
#[derive(Debug, Clone)]
pub struct SimDisk {
    disk: Arc<Mutex<Disk>>,
}

/// What a call is to do.
enum Verdict {
    Do,
    Nothing(StoreError),
    All(StoreError),
    Part(StoreError),
}

impl Verdict {
    /// Of a call that failed.
    fn error(self) -> StoreError {
        match self {
            Self::Do => broken("reach", ""),
            Self::Nothing(error) | Self::All(error) | Self::Part(error) => error,
        }
    }
}

impl SimDisk {
    /// An empty disk.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let disk = Disk {
            random: Random::new(seed),
            files: BTreeMap::new(),
            unnamed: BTreeSet::new(),
            ghosts: BTreeMap::new(),
            calls: 0,
            fault: None,
            chance: 0,
            powered: true,
            locked: false,
            trace: 0,
        };
        Self { disk: Arc::new(Mutex::new(disk)) }
    }

    /// Plans one fault.
    pub fn plan(&self, fault: Option<Fault>) {
        self.disk.lock().fault = fault;
    }

    /// Makes one in `n` calls fail or cut the power; 0: none.
    pub fn misbehave(&self, n: u64) {
        self.disk.lock().chance = n;
    }

    /// One in how many calls fails or cuts the power; 0: none.
    #[must_use]
    pub fn chance(&self) -> u64 {
        self.disk.lock().chance
    }

    /// Number of calls so far that changed something.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.disk.lock().calls
    }

    /// Whether the power is on.
    #[must_use]
    pub fn is_powered(&self) -> bool {
        self.disk.lock().powered
    }

    /// A digest of everything that happened, for comparing two runs of a seed.
    #[must_use]
    pub fn trace(&self) -> u64 {
        self.disk.lock().trace
    }

    /// Ends the process and starts it again, by chance with the power cut in between;
    /// surely if it is off. Without that what was written and not synced stays readable.
    pub fn restart(&self) {
        let cut = {
            let mut disk = self.disk.lock();
            let cut = !disk.powered || disk.random.one_in(2);
            disk.note(u64::from(cut));
            cut
        };
        if cut {
            self.power_cycle();
        } else {
            self.end_process();
        }
    }

    /// Ends the process; the system goes on and its memory is as it was.
    pub fn end_process(&self) {
        self.disk.lock().locked = false;
    }

    /// Cuts the power and starts again: unsynced sectors survive or not, each by chance,
    /// and changes of names that were not synced do not.
    pub fn power_cycle(&self) {
        let mut disk = self.disk.lock();
        let disk = &mut *disk;
        for path in std::mem::take(&mut disk.unnamed) {
            disk.files.remove(&path);
        }
        disk.files.append(&mut disk.ghosts);
        for file in disk.files.values() {
            let random = &mut disk.random;
            let mut file = file.lock();
            file.settle(|| random.one_in(2));
            file.stale.clear();
        }
        disk.powered = true;
        disk.locked = false;
        disk.note(0xb007);
    }

    fn file(&self, path: &str) -> Result<Arc<Mutex<File>>> {
        let disk = self.disk.lock();
        disk.check_power(path)?;
        let found = disk.files.get(path).map(Arc::clone);
        found.ok_or_else(|| StoreError::NotFound { path: path.to_owned() })
    }
}

fn broken(operation: &'static str, path: &str) -> StoreError {
    StoreError::io(operation, path, io::Error::other("simulated fault"))
}

impl Disk {
    fn check_power(&self, path: &str) -> Result<()> {
        if self.powered { Ok(()) } else { Err(broken("reach", path)) }
    }

    /// Makes all changes of names durable in the folder that `path` is in.
    fn sync_folder(&mut self, path: &str) {
        let folder = |path: &str| path.rsplit_once('/').map(|(folder, _)| folder.to_owned());
        let here = folder(path);
        self.unnamed.retain(|path| folder(path) != here);
        self.ghosts.retain(|path, _| folder(path) != here);
    }

    fn note(&mut self, what: u64) {
        self.trace = (self.trace ^ what).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
    }

    /// Decides how a call that changes something goes.
    fn call(&mut self, operation: &'static str, path: &str) -> Verdict {
        if let Err(error) = self.check_power(path) {
            return Verdict::Nothing(error);
        }
        let number = self.calls;
        self.calls += 1;
        self.note(number ^ (path.len() as u64) << 32 ^ (operation.len() as u64) << 48);
        let planned = self.fault.filter(|fault| fault.at == number).map(|fault| fault.mode);
        let mode = planned.or_else(|| self.chance_mode());
        let error = broken(operation, path);
        match mode {
            None => Verdict::Do,
            Some(Mode::NotPersisted) => Verdict::Nothing(error),
            Some(Mode::PersistedButFailed) => Verdict::All(error),
            Some(Mode::Torn) => Verdict::Part(error),
            Some(Mode::Full) => {
                Verdict::Nothing(StoreError::io(operation, path, io::ErrorKind::StorageFull.into()))
            }
            Some(Mode::CrashBefore) => {
                self.powered = false;
                Verdict::Nothing(error)
            }
            Some(Mode::CrashAfter) => {
                self.powered = false;
                Verdict::All(error)
            }
            Some(Mode::CrashTorn) => {
                self.powered = false;
                Verdict::Part(error)
            }
            Some(Mode::Delayed) => {
                self.fault = Some(Fault { at: number + 1, mode: Mode::CrashBefore });
                Verdict::Do
            }
        }
    }

    fn chance_mode(&mut self) -> Option<Mode> {
        const MODES: [Mode; 7] = [
            Mode::NotPersisted,
            Mode::PersistedButFailed,
            Mode::Torn,
            Mode::Full,
            Mode::CrashBefore,
            Mode::CrashAfter,
            Mode::CrashTorn,
        ];
        (self.chance > 0 && self.random.one_in(self.chance))
            .then(|| MODES[self.random.below(7) as usize])
    }
}

impl SimDisk {
    /// Runs a call that takes effect at once or not at all.
    fn atomic(
        &self,
        operation: &'static str,
        path: &str,
        effect: impl FnOnce(&mut Disk) -> Result<()>,
    ) -> Result<()> {
        let mut disk = self.disk.lock();
        match disk.call(operation, path) {
            Verdict::Do => effect(&mut disk),
            Verdict::Nothing(error) => Err(error),
            Verdict::All(error) => effect(&mut disk).and(Err(error)),
            Verdict::Part(error) => {
                if disk.random.one_in(2) {
                    effect(&mut disk)?;
                }
                Err(error)
            }
        }
    }
}

struct Unlock(SimDisk);

impl Drop for Unlock {
    fn drop(&mut self) {
        self.0.disk.lock().locked = false;
    }
}

impl Store for SimDisk {
    fn lock(&self) -> Result<LockGuard> {
        let mut disk = self.disk.lock();
        if std::mem::replace(&mut disk.locked, true) {
            return Err(StoreError::Locked { path: "simulated disk".to_owned() });
        }
        drop(disk);
        Ok(Box::new(Unlock(self.clone())))
    }

    fn is_locked(&self) -> bool {
        self.disk.lock().locked
    }

    fn writer(&self, path: &str) -> Result<Box<dyn BlobWriter>> {
        let disk = self.disk.lock();
        disk.check_power(path)?;
        if disk.files.contains_key(path) {
            return Err(StoreError::AlreadyExists { path: path.to_owned() });
        }
        drop(disk);
        Ok(Box::new(SimWriter { store: self.clone(), path: path.to_owned(), bytes: Vec::new() }))
    }

    fn open(&self, path: &str) -> Result<Arc<dyn Blob>> {
        let file = self.file(path)?;
        Ok(Arc::new(SimFile { store: self.clone(), path: path.to_owned(), file }))
    }

    fn list(&self, folder: &str) -> Result<Vec<String>> {
        let disk = self.disk.lock();
        disk.check_power(folder)?;
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        Ok(disk.files.keys().filter(|path| path.starts_with(&prefix)).cloned().collect())
    }

    fn sync(&self, path: &str) -> Result<()> {
        self.atomic("sync object", path, |disk| {
            disk.sync_folder(path);
            let found = disk.files.contains_key(path);
            found.then_some(()).ok_or_else(|| StoreError::NotFound { path: path.to_owned() })
        })
    }

    fn delete(&self, path: &str) -> Result<()> {
        let mut disk = self.disk.lock();
        let verdict = disk.call("delete", path);
        if let Verdict::Nothing(error) = verdict {
            return Err(error);
        }
        let removed = disk.files.remove(path);
        let file = removed.ok_or_else(|| StoreError::NotFound { path: path.to_owned() })?;
        let named = !disk.unnamed.remove(path);
        if !matches!(verdict, Verdict::Part(_)) {
            disk.sync_folder(path);
        } else if named {
            // The name is gone, and the folder was not synced.
            disk.ghosts.insert(path.to_owned(), file);
        }
        match verdict {
            Verdict::Do => Ok(()),
            other => Err(other.error()),
        }
    }

    fn create_journal(&self, path: &str, capacity: u64) -> Result<Arc<dyn Journal>> {
        self.atomic("allocate", path, |disk| {
            if disk.files.contains_key(path) {
                return Err(StoreError::AlreadyExists { path: path.to_owned() });
            }
            let file = File { durable: vec![0; capacity as usize], ..File::default() };
            disk.files.insert(path.to_owned(), Arc::new(Mutex::new(file)));
            disk.sync_folder(path);
            Ok(())
        })?;
        self.open_journal(path)
    }

    fn open_journal(&self, path: &str) -> Result<Arc<dyn Journal>> {
        let file = self.file(path)?;
        Ok(Arc::new(SimFile { store: self.clone(), path: path.to_owned(), file }))
    }
}

#[derive(Debug)]
struct SimFile {
    store: SimDisk,
    path: String,
    file: Arc<Mutex<File>>,
}

impl Blob for SimFile {
    fn size(&self) -> u64 {
        self.file.lock().durable.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.store.disk.lock().check_power(&self.path)?;
        let file = self.file.lock();
        let start = offset as usize;
        let end = start.saturating_add(buf.len());
        let short = || StoreError::io("read", &self.path, io::ErrorKind::UnexpectedEof.into());
        buf.copy_from_slice(file.durable.get(start..end).ok_or_else(short)?);
        // Only the sectors that are read are overlaid: reads are the hot path here too.
        let sectors = || start / SECTOR..end.div_ceil(SECTOR);
        for (sector, content) in file.stale.range(sectors()).chain(file.unsynced.range(sectors())) {
            for (at, byte) in
                (sector * SECTOR..).zip(content).filter(|(at, _)| (start..end).contains(at))
            {
                buf[at - start] = *byte;
            }
        }
        Ok(())
    }
}

impl Journal for SimFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut disk = self.store.disk.lock();
        let mut file = self.file.lock();
        if offset as usize + bytes.len() > file.durable.len() {
            return Err(StoreError::io(
                "write past",
                &self.path,
                io::ErrorKind::InvalidInput.into(),
            ));
        }
        match disk.call("write", &self.path) {
            Verdict::Do => file.write(offset as usize, bytes),
            Verdict::Nothing(error) => return Err(error),
            Verdict::All(error) => {
                file.write(offset as usize, bytes);
                file.settle(|| true);
                return Err(error);
            }
            Verdict::Part(error) => {
                // A disk writes sectors wholly or not at all.
                let sectors = (bytes.len() / SECTOR) as u64;
                let cut = disk.random.below(sectors + 1) as usize * SECTOR;
                file.write(offset as usize, &bytes[..cut]);
                return Err(error);
            }
        }
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        let mut disk = self.store.disk.lock();
        let mut file = self.file.lock();
        match disk.call("sync", &self.path) {
            Verdict::Do => {
                file.settle(|| true);
                Ok(())
            }
            // The page cache forgets what it could not write, or goes on showing it.
            Verdict::Nothing(error) => {
                if disk.random.one_in(2) {
                    file.settle(|| false);
                } else {
                    file.leave_readable(|| false);
                }
                Err(error)
            }
            Verdict::All(error) => {
                file.settle(|| true);
                Err(error)
            }
            Verdict::Part(error) => {
                let random = &mut disk.random;
                if random.one_in(2) {
                    file.settle(|| random.one_in(2));
                } else {
                    file.leave_readable(|| random.one_in(2));
                }
                Err(error)
            }
        }
    }
}

struct SimWriter {
    store: SimDisk,
    path: String,
    bytes: Vec<u8>,
}

impl Write for SimWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl BlobWriter for SimWriter {
    fn finish(self: Box<Self>) -> Result<()> {
        let Self { store, path, bytes } = *self;
        let mut disk = store.disk.lock();
        let verdict = disk.call("create", &path);
        if let Verdict::Nothing(error) = verdict {
            return Err(error);
        }
        if disk.files.contains_key(&path) {
            return Err(StoreError::AlreadyExists { path });
        }
        let file = File { durable: bytes, ..File::default() };
        disk.files.insert(path.clone(), Arc::new(Mutex::new(file)));
        if matches!(verdict, Verdict::Part(_)) {
            // The object is whole and has its name, and the folder was not synced.
            disk.unnamed.insert(path);
        } else {
            disk.sync_folder(&path);
        }
        match verdict {
            Verdict::Do => Ok(()),
            other => Err(other.error()),
        }
    }
}
