//! Nodes of the tree that are kept in memory.

use crate::segment::SEGMENT_LEVEL;
use indelible_tlog::Hash;
use std::collections::VecDeque;

/// Perfect nodes: of the unsealed tail at all levels, of the rest from the segment up.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    levels: Vec<Level>,
}

#[derive(Debug, Default)]
struct Level {
    /// Index of the first hash kept.
    first: u64,
    hashes: VecDeque<Hash>,
}

impl Nodes {
    /// None, with room for those within a segment.
    pub(super) fn new() -> Self {
        let mut nodes = Self::default();
        nodes.levels.resize_with(usize::from(SEGMENT_LEVEL) + 1, Level::default);
        nodes
    }

    pub(super) fn push(&mut self, level: u8, hash: Hash) {
        let level = usize::from(level);
        if self.levels.len() <= level {
            self.levels.resize_with(level + 1, Level::default);
        }
        self.levels[level].hashes.push_back(hash);
    }

    pub(super) fn get(&self, level: u8, index: u64) -> Option<Hash> {
        let level = self.levels.get(usize::from(level))?;
        let at = usize::try_from(index.checked_sub(level.first)?).ok()?;
        level.hashes.get(at).copied()
    }

    /// Drops what segments below `sealed` (in segments) can tell themselves.
    pub(super) fn trim(&mut self, sealed: u64) {
        for (level, nodes) in self.levels.iter_mut().enumerate().take(SEGMENT_LEVEL.into()) {
            let first = sealed << (usize::from(SEGMENT_LEVEL) - level);
            let excess = first.saturating_sub(nodes.first) as usize;
            nodes.hashes.drain(..excess.min(nodes.hashes.len()));
            nodes.first = first;
        }
    }
}
