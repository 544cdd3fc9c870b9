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

#[cfg(test)]
mod tests {
    use super::*;
    use indelible_tlog::{EMPTY_ROOT, push_entry};

    const SIZE: u64 = 600;

    /// What an honest server has: bundles, tiles of leaves, the tile above, the checkpoint.
    struct Served {
        bundles: Vec<Vec<u8>>,
        tiles: Vec<Vec<u8>>,
        upper: Vec<u8>,
        checkpoint: Checkpoint,
    }

    fn served() -> Served {
        let mut frontier = Frontier::new();
        let (mut bundles, mut tiles, mut upper) = (Vec::new(), Vec::new(), Vec::new());
        let records: Vec<String> = (0..SIZE).map(|n| format!("record {n}")).collect();
        for part in records.chunks(256) {
            let (mut bundle, mut leaves) = (Vec::new(), Vec::new());
            for record in part {
                push_entry(&mut bundle, record.as_bytes()).unwrap();
                leaves.push(leaf_hash(record.as_bytes()));
                frontier.push(leaf_hash(record.as_bytes()), |_, _, _| {});
            }
            tiles.push(leaves.iter().flat_map(|leaf| leaf.0).collect());
            if part.len() == 256 {
                upper.extend_from_slice(perfect_root(&leaves).as_ref());
            }
            bundles.push(bundle);
        }
        let checkpoint = Checkpoint::new("s/prod".into(), SIZE, frontier.root());
        Served { bundles, tiles, upper, checkpoint }
    }

    fn check(served: &Served) -> Verdict {
        let mut check = ServerCheck::new(served.checkpoint.clone(), None);
        for (index, (bundle, tile)) in
            (0..check.bundles()).zip(served.bundles.iter().zip(&served.tiles))
        {
            if !check.is_over() {
                assert_eq!(check.bundle(index, bundle, tile), []);
            }
        }
        while !check.upper().is_empty() {
            check.upper_tiles(std::slice::from_ref(&served.upper));
        }
        check.finish()
    }

    #[test]
    fn an_honest_server_holds_and_every_lie_is_found() {
        let honest = check(&served());
        assert_eq!(
            (honest.findings, honest.coverage.records, honest.coverage.tiles),
            (vec![], SIZE, 7)
        );
        let lie = |change: &dyn Fn(&mut Served)| {
            let mut served = served();
            change(&mut served);
            check(&served)
        };
        for at in 0..served().bundles[1].len() {
            assert!(lie(&|served| served.bundles[1][at] ^= 1).worst().is_some(), "bundle {at}");
        }
        for at in (0..256 * 32).step_by(31) {
            let verdict = lie(&|served| served.tiles[0][at] ^= 1);
            assert_eq!(verdict.first_bad_index(), Some(at as u64 / 32));
        }
        for at in 0..64 {
            assert!(lie(&|served| served.upper[at] ^= 1).worst().is_some(), "upper {at}");
        }
        for lied in [
            lie(&|served| served.checkpoint.size = 599),
            lie(&|served| served.checkpoint.size = 601),
            lie(&|served| served.checkpoint.root = EMPTY_ROOT),
            lie(&|served| served.bundles[2].extend_from_slice(&[0, 0])),
            lie(&|served| served.bundles[2].push(0)),
            lie(&|served| served.tiles[2].push(0)),
            lie(&|served| served.tiles[2].truncate(32)),
            lie(&|served| served.upper.push(0)),
            lie(&|served| served.bundles.swap(0, 1)),
        ] {
            assert_eq!(lied.worst(), Some(FindingKind::Altered));
        }
    }

    /// Signed for nobody: fewer records than there are, and none.
    #[test]
    fn without_a_checkpoint_from_before_the_end_is_not_proven() {
        let checkpoint = Checkpoint::new("s/prod".into(), 0, EMPTY_ROOT);
        let verdict = ServerCheck::new(checkpoint.clone(), None).finish();
        assert!(verdict.coverage.unproven.contains(&Unproven::End));
        let verdict = ServerCheck::new(checkpoint, Some(0)).finish();
        assert!(!verdict.coverage.unproven.contains(&Unproven::End));
    }

    #[test]
    fn attachments_are_there_and_whole() {
        let mut check = ServerCheck::new(served().checkpoint, None);
        let named = Attachment::of(b"data");
        check.attachment(1, &named, Some(b"data"));
        assert!(!check.is_over());
        check.attachment(2, &named, Some(b"dath"));
        check.attachment(3, &named, None);
        let found: Vec<_> =
            check.finish().findings.iter().map(|found| (found.kind, found.index)).collect();
        assert_eq!(found, [(FindingKind::Altered, Some(2)), (FindingKind::Missing, Some(3))]);
    }
}
