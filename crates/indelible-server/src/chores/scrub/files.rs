//! What is kept beside the logs: exports, by the hash in their manifest, and the files of
//! the indexes, by their seals.

use super::pace::Pace;
use crate::{jobs::export::kept_files, random::hex, reading::desk::Desk};
use indelible_verify::{Finding, FindingKind};
use rustix::fs::Advice;
use sha2::{Digest as _, Sha256};
use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

/// Reads what is beside the logs.
pub(super) struct Files<'a> {
    data: &'a Path,
    pace: &'a Pace,
    desk: &'a Desk,
    /// Bytes read.
    pub(super) bytes: u64,
    buffer: Vec<u8>,
}

impl<'a> Files<'a> {
    pub(super) fn new(data: &'a Path, pace: &'a Pace, desk: &'a Desk) -> Self {
        Self { data, pace, desk, bytes: 0, buffer: vec![0; 1 << 20] }
    }

    /// What is wrong; none if the server stopped before all was read.
    pub(super) fn check(&mut self) -> Option<Vec<Finding>> {
        let mut found = Vec::new();
        for (path, sha256) in kept_files(&self.data.join("exports")) {
            let problem = match self.digest(&path) {
                Ok(None) => return None,
                Ok(Some(digest)) if digest == sha256 => continue,
                Ok(Some(_)) => (FindingKind::Altered, "is not what its manifest says".to_owned()),
                // Deleted meanwhile, or its day was over.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => (FindingKind::Unreadable, format!("cannot be read: {error}")),
            };
            let name = path.strip_prefix(self.data).unwrap_or(&path).display().to_string();
            found.push(Finding::new(
                problem.0,
                None,
                format!("{name} {}; make the export again", problem.1),
            ));
        }
        for (name, _) in self.desk.logs() {
            let Some(index) = self.desk.indexes.get(&name) else { continue };
            let stopping = || *self.desk.stopping.borrow();
            let (bytes, pace) = (&mut self.bytes, self.pace);
            let altered = index.check_files(|n| {
                *bytes = bytes.saturating_add(n);
                pace.read(n, &stopping);
                !stopping()
            })?;
            found.extend(altered.into_iter().map(|problem| {
                Finding::new(FindingKind::Altered, None, format!("index/{name}: {problem}"))
            }));
        }
        Some(found)
    }

    /// SHA-256 of a file as the disk has it; none if the server stops.
    fn digest(&mut self, path: &Path) -> io::Result<Option<String>> {
        let mut file = File::open(path)?;
        // Refused, the read says less; nothing else depends on it.
        rustix::fs::fadvise(&file, 0, None, Advice::DontNeed).unwrap_or_default();
        let mut hasher = Sha256::new();
        let stopping = || *self.desk.stopping.borrow();
        loop {
            let n = file.read(&mut self.buffer)?;
            if n == 0 {
                return Ok(Some(hex(&hasher.finalize())));
            }
            hasher.update(self.buffer.get(..n).unwrap_or_default());
            self.bytes = self.bytes.saturating_add(n as u64);
            self.pace.read(n as u64, &stopping);
            if stopping() {
                return Ok(None);
            }
        }
    }
}

/// All files below a folder; what cannot be listed is skipped, as it may be going away.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => files.push(entry.path()),
                _ => {}
            }
        }
    }
    files.sort();
    files
}

/// Bytes of all files below a folder, about.
pub(super) fn bytes_below(folder: &Path) -> u64 {
    files_below(folder).iter().filter_map(|path| fs::metadata(path).ok()).map(|m| m.len()).sum()
}
