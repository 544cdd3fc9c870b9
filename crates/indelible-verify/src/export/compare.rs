//! A file that is written again, and compared while it is.

use std::{
    fs::File,
    io::{self, BufReader, Read as _, Write},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Takes bytes and compares them with those of a file, in order.
#[derive(Debug)]
pub(super) struct Compare {
    file: BufReader<File>,
    state: State,
}

/// Whether a difference was seen.
#[derive(Debug, Clone, Default)]
pub(super) struct State(Arc<AtomicBool>);

impl State {
    pub(super) fn differs(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Compare {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = BufReader::with_capacity(1 << 16, File::open(path)?);
        Ok(Self { file, state: State::default() })
    }

    pub(super) fn state(&self) -> State {
        self.state.clone()
    }

    /// Whether the file has no more.
    pub(super) fn ends_here(mut self) -> bool {
        matches!(self.file.read(&mut [0]), Ok(0))
    }
}

impl Write for Compare {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.state.differs() {
            return Ok(bytes.len());
        }
        let mut there = vec![0; bytes.len()];
        let same = self.file.read_exact(&mut there).is_ok() && there == bytes;
        if !same {
            self.state.0.store(true, Ordering::Relaxed);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
