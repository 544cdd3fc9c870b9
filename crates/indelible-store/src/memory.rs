//! A store in memory, for tests.

use crate::{Blob, BlobWriter, Journal, LockGuard, Result, Store, StoreError};
use parking_lot::{Mutex, RwLock};
use std::{
    collections::BTreeMap,
    io::{self, Write},
    sync::Arc,
};

type Files = Arc<Mutex<BTreeMap<String, Arc<MemoryFile>>>>;

/// A store that lives as long as its clones.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    files: Files,
    lock: Arc<Mutex<bool>>,
}

#[derive(Debug)]
struct MemoryFile {
    path: String,
    bytes: RwLock<Vec<u8>>,
}

struct MemoryLock(Arc<Mutex<bool>>);

impl Drop for MemoryLock {
    fn drop(&mut self) {
        *self.0.lock() = false;
    }
}

struct MemoryWriter {
    files: Files,
    path: String,
    bytes: Vec<u8>,
}

fn insert(files: &Files, path: &str, bytes: Vec<u8>) -> Result<Arc<MemoryFile>> {
    let mut files = files.lock();
    if files.contains_key(path) {
        return Err(StoreError::AlreadyExists { path: path.to_owned() });
    }
    let file = Arc::new(MemoryFile { path: path.to_owned(), bytes: RwLock::new(bytes) });
    files.insert(path.to_owned(), Arc::clone(&file));
    Ok(file)
}

impl MemoryStore {
    fn find(&self, path: &str) -> Result<Arc<MemoryFile>> {
        let found = self.files.lock().get(path).map(Arc::clone);
        found.ok_or_else(|| StoreError::NotFound { path: path.to_owned() })
    }
}

impl Store for MemoryStore {
    fn lock(&self) -> Result<LockGuard> {
        let mut held = self.lock.lock();
        if std::mem::replace(&mut *held, true) {
            return Err(StoreError::Locked { path: "memory".to_owned() });
        }
        Ok(Box::new(MemoryLock(Arc::clone(&self.lock))))
    }

    fn is_locked(&self) -> bool {
        *self.lock.lock()
    }

    fn writer(&self, path: &str) -> Result<Box<dyn BlobWriter>> {
        if self.files.lock().contains_key(path) {
            return Err(StoreError::AlreadyExists { path: path.to_owned() });
        }
        Ok(Box::new(MemoryWriter {
            files: Arc::clone(&self.files),
            path: path.to_owned(),
            bytes: Vec::new(),
        }))
    }

    fn open(&self, path: &str) -> Result<Arc<dyn Blob>> {
        self.find(path).map(|file| file as Arc<dyn Blob>)
    }

    fn list(&self, folder: &str) -> Result<Vec<String>> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        Ok(self.files.lock().keys().filter(|path| path.starts_with(&prefix)).cloned().collect())
    }

    fn delete(&self, path: &str) -> Result<()> {
        let removed = self.files.lock().remove(path);
        removed.map(drop).ok_or_else(|| StoreError::NotFound { path: path.to_owned() })
    }

    fn create_journal(&self, path: &str, capacity: u64) -> Result<Arc<dyn Journal>> {
        let len = usize::try_from(capacity)
            .map_err(|_| StoreError::io("allocate", path, io::ErrorKind::StorageFull.into()))?;
        insert(&self.files, path, vec![0; len]).map(|file| file as Arc<dyn Journal>)
    }

    fn open_journal(&self, path: &str) -> Result<Arc<dyn Journal>> {
        self.find(path).map(|file| file as Arc<dyn Journal>)
    }
}

impl MemoryFile {
    fn range(&self, offset: u64, len: usize) -> Result<std::ops::Range<usize>> {
        let start = usize::try_from(offset).ok();
        let range = start.and_then(|start| Some(start..start.checked_add(len)?));
        range
            .filter(|range| range.end <= self.bytes.read().len())
            .ok_or_else(|| StoreError::io("reach", &self.path, io::ErrorKind::UnexpectedEof.into()))
    }
}

impl Blob for MemoryFile {
    fn size(&self) -> u64 {
        self.bytes.read().len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let range = self.range(offset, buf.len())?;
        if let Some(bytes) = self.bytes.read().get(range) {
            buf.copy_from_slice(bytes);
        }
        Ok(())
    }
}

impl Journal for MemoryFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let range = self.range(offset, bytes.len())?;
        if let Some(target) = self.bytes.write().get_mut(range) {
            target.copy_from_slice(bytes);
        }
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }
}

impl Write for MemoryWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl BlobWriter for MemoryWriter {
    fn finish(self: Box<Self>) -> Result<()> {
        insert(&self.files, &self.path, self.bytes).map(drop)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn conforms() {
        crate::conformance::check(&super::MemoryStore::default());
    }
}
