//! The folder of an export: made for its maker alone, room left on its disk, facts kept.

use super::job::{FACTS, FILE, Facts, Job};
use parking_lot::Mutex;
use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
};
use tokio::sync::watch;

/// What an export leaves free of the disk that it shares with the logs: a twentieth, and
/// no more than this. Of the files that the disk can have, the same part.
const LEFT_FREE: u64 = 1 << 30;
const LEFT_FILES: u64 = 10_000;

/// The logs need room more than an export does.
pub(super) fn leave_room(folder: &Path) -> io::Result<()> {
    let disk = rustix::fs::statvfs(folder)?;
    let (free, all) = (disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize);
    match is_low((free, all), (disk.f_favail, disk.f_files)) {
        true => Err(io::ErrorKind::StorageFull.into()),
        false => Ok(()),
    }
}

/// Whether too little is left: of bytes, or of files, each free and in all. Some file
/// systems do not count files, and say 0 of 0.
fn is_low((free, all): (u64, u64), (free_files, files): (u64, u64)) -> bool {
    free < LEFT_FREE.min(all / 20) || free_files < LEFT_FILES.min(files / 20)
}

pub(super) fn create(folder: &Path) -> io::Result<fs::File> {
    // It holds what only its maker may read.
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(folder.join(FILE))
}

pub(super) fn write_facts(folder: &Path, facts: &Facts) -> io::Result<()> {
    let part = folder.join("export.part");
    fs::write(&part, serde_json::to_vec(facts)?)?;
    fs::File::open(&part)?.sync_all()?;
    // If we crash before this, the export was never finished.
    fs::rename(part, folder.join(FACTS))?;
    fs::File::open(folder)?.sync_all()
}

/// A finished export in a folder.
pub(super) fn read(folder: &Path) -> Option<Job> {
    let facts: Facts = serde_json::from_slice(&fs::read(folder.join(FACTS)).ok()?).ok()?;
    let bytes = fs::metadata(folder.join(FILE)).ok()?.len();
    let is_whole = facts.export.manifest.as_ref()?.bytes == bytes;
    is_whole.then(|| Job {
        export: Mutex::new(facts.export),
        scope: facts.scope,
        folder: folder.to_owned(),
        ended_us: Mutex::new(Some(facts.ended_us)),
        unwanted: watch::Sender::new(false),
    })
}

pub(super) fn remove(path: &Path) {
    if let Err(error) = fs::remove_dir_all(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "could not remove an export");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_low_in_bytes_or_in_files() {
        const GIB: u64 = 1 << 30;
        for (bytes, files, expected) in [
            ((2 * GIB, 100 * GIB), (20_000, 1_000_000), false),
            ((GIB - 1, 100 * GIB), (20_000, 1_000_000), true),
            ((2 * GIB, 100 * GIB), (9_999, 1_000_000), true),
            // A small disk leaves a twentieth.
            ((GIB / 20, GIB), (50, 1000), false),
            ((GIB / 20 - 1, GIB), (50, 1000), true),
            ((GIB / 20, GIB), (49, 1000), true),
            // Files that are not counted are not missed.
            ((2 * GIB, 100 * GIB), (0, 0), false),
        ] {
            assert_eq!(is_low(bytes, files), expected, "{bytes:?} {files:?}");
        }
    }
}
