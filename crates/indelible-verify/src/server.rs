//! A log over HTTP: every record hashed, and compared with the served tiles and the signed
//! checkpoint. This fetches nothing; who does gives it what came, in order.

use crate::verdict::{FindingKind, Unproven, Verdict};
use indelible_event::{Attachment, Envelope, Payload};
use indelible_tlog::{
    BundleEntries, Checkpoint, Frontier, Hash, TILE_WIDTH, TilePath, leaf_hash, node_hash,
};

/// Levels of tiles above the one of leaves.
const LEVELS: u8 = 7;

/// The check of a served log under one checkpoint, whose signature (and, of one held from
/// before, whose continuity) was checked.
#[derive(Debug)]
pub struct ServerCheck {
    checkpoint: Checkpoint,
    frontier: Frontier,
    /// Roots of the full tiles of the level that was read last.
    row: Vec<Hash>,
    level: u8,
    verdict: Verdict,
}

impl ServerCheck {
    /// Begins; `since` is the size of a checkpoint held from before, which this one
    /// continues.
    #[must_use]
    pub fn new(checkpoint: Checkpoint, since: Option<u64>) -> Self {
        let mut verdict = Verdict::default();
        verdict.coverage.logs = 1;
        verdict.coverage.checkpoints = 1 + u64::from(since.is_some());
        verdict.coverage.since = since;
        verdict.coverage.head = Some(checkpoint.clone());
        verdict.coverage.unproven.insert(Unproven::Index);
        if since.is_none() {
            verdict.coverage.unproven.insert(Unproven::End);
        }
        Self { checkpoint, frontier: Frontier::new(), row: Vec::new(), level: 0, verdict }
    }

    /// Bundles there are, each with its tile of leaves.
    #[must_use]
    pub fn bundles(&self) -> u64 {
        self.checkpoint.size.div_ceil(TILE_WIDTH)
    }

    /// Where a bundle and the tile of its leaves are.
    #[must_use]
    pub fn paths(&self, index: u64) -> (TilePath, TilePath) {
        let width = TilePath::width_at(None, index, self.checkpoint.size);
        (TilePath { level: None, index, width }, TilePath { level: Some(0), index, width })
    }

    /// Whether something was found: what follows cannot be told then.
    #[must_use]
    pub fn is_over(&self) -> bool {
        !self.verdict.findings.is_empty()
    }

    /// Records hashed.
    #[must_use]
    pub const fn records(&self) -> u64 {
        self.verdict.coverage.records
    }

    /// Takes the next bundle and its tile. Returns the attachments that its records name,
    /// and which do: each is to be fetched.
    pub fn bundle(&mut self, index: u64, bundle: &[u8], tile: &[u8]) -> Vec<(u64, Attachment)> {
        let (path, first) = (self.paths(index).0, index * TILE_WIDTH);
        self.verdict.coverage.tiles += 2;
        let entries: Vec<&[u8]> = BundleEntries::new(bundle).filter_map(Result::ok).collect();
        let whole = 2 * entries.len() + entries.iter().map(|entry| entry.len()).sum::<usize>();
        if entries.len() != usize::from(path.width) || whole != bundle.len() {
            let (found, width) = (entries.len(), path.width);
            self.altered(
                Some(first),
                format!("entry bundle {index} has {found} records and {} bytes, expected {width} records and nothing else", bundle.len()),
            );
            return Vec::new();
        }
        let leaves: Vec<Hash> = entries.iter().map(|record| leaf_hash(record)).collect();
        let told = tile.as_chunks::<32>().0;
        if let Some(at) = leaves.iter().zip(told).position(|(leaf, told)| leaf.0 != *told) {
            let at = first + at as u64;
            let message = format!("record {at} does not hash to its leaf in the hash tile");
            self.altered(Some(at), message);
            return Vec::new();
        }
        if tile.len() != 32 * leaves.len() {
            let (len, expected) = (tile.len(), 32 * leaves.len());
            let message = format!("hash tile {index} has {len} bytes, expected {expected}");
            self.altered(Some(first), message);
            return Vec::new();
        }
        for leaf in &leaves {
            self.frontier.push(*leaf, |_, _, _| {});
        }
        if leaves.len() as u64 == TILE_WIDTH {
            self.row.push(perfect_root(&leaves));
        }
        self.verdict.coverage.records += leaves.len() as u64;
        self.verdict.coverage.record_bytes += (bundle.len() - 2 * leaves.len()) as u64;
        // Only records with an attachment name one before their last member.
        let attached = |(record, index): (&&[u8], u64)| match Envelope::parse(record)
            .and_then(|envelope| envelope.payload())
        {
            Ok(Payload::Attachment(named)) => Some((index, named)),
            _ => None,
        };
        entries.iter().zip(first..).filter_map(attached).collect()
    }

    /// Takes an attachment that a record names; `None` if the server does not have it.
    pub fn attachment(&mut self, index: u64, named: &Attachment, data: Option<&[u8]>) {
        match data {
            Some(data) if Attachment::of(data) == *named => {
                self.verdict.coverage.attachments += 1;
            }
            Some(_) => self.altered(
                Some(index),
                format!("the attachment of record {index} does not match its hash"),
            ),
            None => self.verdict.find(
                FindingKind::Missing,
                Some(index),
                format!("the attachment of record {index} is missing"),
            ),
        }
    }

    /// The tiles of the next level up, after all bundles; empty when there are no more.
    pub fn upper(&mut self) -> Vec<TilePath> {
        if self.is_over() || self.row.is_empty() || self.level == LEVELS {
            return Vec::new();
        }
        self.level += 1;
        let tiles = self.row.chunks(TILE_WIDTH as usize).zip(0..);
        tiles
            .map(|(hashes, index)| TilePath {
                level: Some(self.level),
                index,
                width: hashes.len() as u16,
            })
            .collect()
    }

    /// Takes the tiles of a level that [`ServerCheck::upper`] named, all of them.
    pub fn upper_tiles(&mut self, tiles: &[impl AsRef<[u8]>]) {
        let row = std::mem::take(&mut self.row);
        let mut above = Vec::new();
        for (index, hashes) in row.chunks(TILE_WIDTH as usize).enumerate() {
            let told = tiles.get(index).map(AsRef::as_ref).unwrap_or_default();
            self.verdict.coverage.tiles += 1;
            let same = told.len() == 32 * hashes.len()
                && told.as_chunks::<32>().0.iter().zip(hashes).all(|(told, hash)| *told == hash.0);
            if !same {
                let level = self.level;
                let message = format!(
                    "tile {index} of level {level} does not hold the roots of the tiles below it"
                );
                return self.altered(None, message);
            }
            if hashes.len() as u64 == TILE_WIDTH {
                above.push(perfect_root(hashes));
            }
        }
        self.row = above;
    }

    fn altered(&mut self, index: Option<u64>, message: String) {
        self.verdict.find(FindingKind::Altered, index, message);
    }

    /// Compares the root, and says what was found.
    #[must_use]
    pub fn finish(mut self) -> Verdict {
        let Checkpoint { size, root, .. } = self.checkpoint;
        if !self.is_over() && (self.frontier.root() != root || self.frontier.size() != size) {
            let message = format!(
                "the records hash to root {}, the signed checkpoint of {size} records says {root}",
                self.frontier.root()
            );
            self.altered(None, message);
        }
        self.verdict.sorted()
    }
}

fn perfect_root(row: &[Hash]) -> Hash {
    let mut row = row.to_vec();
    while row.len() > 1 {
        row = row
            .chunks_exact(2)
            .filter_map(|pair| Some(node_hash(pair.first()?, pair.get(1)?)))
            .collect();
    }
    row.first().copied().unwrap_or_default()
}
