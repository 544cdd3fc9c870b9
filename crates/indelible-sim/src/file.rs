//! What of a file of the simulated disk is durable, and what only seems so.

use std::collections::BTreeMap;

/// Bytes that are written wholly or not at all.
pub(crate) const SECTOR: usize = 512;

/// Contents of a file: what is durable, and sectors written since the last sync.
#[derive(Debug, Default)]
pub(crate) struct File {
    pub(crate) durable: Vec<u8>,
    pub(crate) unsynced: BTreeMap<usize, Vec<u8>>,
    /// Sectors that a failed sync left readable and taken for clean: no later sync
    /// writes them, only writing them again does.
    pub(crate) stale: BTreeMap<usize, Vec<u8>>,
}

impl File {
    pub(crate) fn view(&self) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        for (sector, content) in self.stale.iter().chain(&self.unsynced) {
            bytes[sector * SECTOR..sector * SECTOR + content.len()].copy_from_slice(content);
        }
        bytes
    }

    pub(crate) fn write(&mut self, offset: usize, bytes: &[u8]) {
        let view = {
            let mut view = self.view();
            view[offset..offset + bytes.len()].copy_from_slice(bytes);
            view
        };
        for sector in offset / SECTOR..(offset + bytes.len()).div_ceil(SECTOR) {
            let end = ((sector + 1) * SECTOR).min(view.len());
            self.unsynced.insert(sector, view[sector * SECTOR..end].to_vec());
        }
    }

    /// A sync failed: what is not durable stays readable, and is never written.
    pub(crate) fn leave_readable(&mut self, mut keep: impl FnMut() -> bool) {
        for (sector, content) in std::mem::take(&mut self.unsynced) {
            if keep() {
                self.durable[sector * SECTOR..sector * SECTOR + content.len()]
                    .copy_from_slice(&content);
                self.stale.remove(&sector);
            } else {
                self.stale.insert(sector, content);
            }
        }
    }

    /// Keeps each unsynced sector with the chance `keep` decides.
    pub(crate) fn settle(&mut self, mut keep: impl FnMut() -> bool) {
        for (sector, content) in std::mem::take(&mut self.unsynced) {
            if keep() {
                self.durable[sector * SECTOR..sector * SECTOR + content.len()]
                    .copy_from_slice(&content);
                self.stale.remove(&sector);
            }
        }
    }
}
