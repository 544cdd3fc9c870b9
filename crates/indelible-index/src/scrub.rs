//! All files of an index against their seals, from the disk itself.

use crate::{
    index::LogIndex,
    seal::{CHUNK, Sealed},
};
use rustix::fs::Advice;
use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

impl LogIndex {
    /// Reads every file of every piece from the disk and compares it with its seal. A piece
    /// that is not what was written is taken out of what is searched, and built again.
    /// `read` is told of bytes as they are read, and ends it by returning false; then there
    /// is no result. Returns what is wrong, in words.
    pub fn check_files(&self, mut read: impl FnMut(u64) -> bool) -> Option<Vec<String>> {
        let mut wrong = Vec::new();
        for piece in self.snapshot().pieces.iter() {
            let mut problem = piece.is_sealed(&self.of()).err();
            for (name, sealed) in piece.sealed_files() {
                match holds(&piece.folder.join(name), sealed, &mut read) {
                    Ok(None) => return None,
                    Ok(Some(true)) => {}
                    Ok(Some(false)) => problem = Some(altered(name)),
                    Err(error) => problem = Some(error),
                }
            }
            // A piece that was merged meanwhile is gone, and nothing is wrong with that.
            if let Some(problem) = problem.filter(|_| self.has(piece)) {
                let (from, to) = (piece.start, piece.end - 1);
                wrong.push(format!(
                    "the piece of records {from} to {to} is not what was written ({problem}); it is built again"
                ));
                self.drop_piece(piece, "a file was altered");
            }
        }
        Some(wrong)
    }
}

fn altered(name: &str) -> io::Error {
    io::Error::other(format!("{name} was altered"))
}

/// Whether a file is what was sealed; nothing, if it is to end.
fn holds(
    path: &Path,
    sealed: &Sealed,
    read: &mut impl FnMut(u64) -> bool,
) -> io::Result<Option<bool>> {
    let file = File::open(path)?;
    // Refused, the read says less; nothing else depends on it.
    rustix::fs::fadvise(&file, 0, None, Advice::DontNeed).unwrap_or_default();
    let (mut chunk, mut len) = (Vec::with_capacity(CHUNK), 0);
    for at in 0.. {
        chunk.clear();
        (&file).take(CHUNK as u64).read_to_end(&mut chunk)?;
        if chunk.is_empty() {
            break;
        }
        len += chunk.len() as u64;
        if !read(chunk.len() as u64) {
            return Ok(None);
        }
        if !sealed.holds(at, &chunk) {
            return Ok(Some(false));
        }
    }
    Ok(Some(len == sealed.len))
}
