//! Room on the disk of the data.

use std::path::Path;

/// Room that the logs need: their next journals, and what is being sealed. Of a small disk
/// a fiftieth.
const ROOM: u64 = 256 << 20;
const FILES: u64 = 1000;

/// Room on a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Disk {
    /// Bytes that can still be written, and in all.
    pub(crate) free: u64,
    pub(crate) total: u64,
    /// Whether that is too little for long, of bytes or of files.
    pub(crate) is_low: bool,
}

impl Disk {
    /// That of a folder, if the system tells.
    pub(crate) fn of(folder: &Path) -> Option<Self> {
        let disk = rustix::fs::statvfs(folder).ok()?;
        let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
        let (free, total) = (bytes(disk.f_bavail), bytes(disk.f_blocks));
        // Some file systems do not count files, and say 0 of 0.
        let few_files = disk.f_favail < FILES.min(disk.f_files / 50);
        Some(Self { free, total, is_low: free < ROOM.min(total / 50) || few_files })
    }
}
