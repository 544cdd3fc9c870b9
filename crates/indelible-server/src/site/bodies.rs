//! What the bodies of requests share: memory, and turns to be decompressed.

use super::memory::Memory;
use std::time::Duration;
use tokio::sync::Semaphore;

/// What bodies share.
#[derive(Debug)]
pub(crate) struct Bodies {
    /// Longest silence between two parts of a body.
    pub(crate) idle: Duration,
    pub(crate) memory: Memory,
    /// Bodies decompressed at a time.
    pub(crate) work: Semaphore,
}

impl Bodies {
    /// `bytes` of memory for all bodies, `work` of them decompressed at a time.
    pub(crate) fn new(idle: Duration, bytes: usize, work: usize) -> Self {
        Self { idle, memory: Memory::of(bytes), work: Semaphore::new(work) }
    }
}
