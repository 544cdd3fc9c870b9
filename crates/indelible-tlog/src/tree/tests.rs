use super::*;
use crate::{
    leaf_hash, verify_consistency, verify_inclusion, verify_subtree_consistency,
    verify_subtree_inclusion,
};
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use std::{convert::Infallible, fmt::Write as _};

/// All perfect nodes of a small tree: the recursive definition of RFC 9162 §2.1.1.
pub(crate) struct Naive {
    leaves: Vec<Hash>,
}

impl Naive {
    pub(crate) fn new(entries: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Self { leaves: entries.into_iter().map(|entry| leaf_hash(&entry)).collect() }
    }

    pub(crate) fn single_bytes(count: u8) -> Self {
        Self::new((0..count).map(|byte| vec![byte]))
    }

    pub(crate) fn hash(&self, start: usize, end: usize) -> Hash {
        match end - start {
            0 => EMPTY_ROOT,
            1 => self.leaves[start],
            len => {
                let mut split = 1;
                while split * 2 < len {
                    split *= 2;
                }
                node_hash(&self.hash(start, start + split), &self.hash(start + split, end))
            }
        }
    }
}

impl NodeReader for Naive {
    type Error = Infallible;

    fn node(&self, level: u8, index: u64) -> Result<Hash, Infallible> {
        let start = usize::try_from(index << level).unwrap();
        Ok(self.hash(start, start + (1 << level)))
    }
}

#[test]
fn frontier_agrees_with_the_definition() {
    let naive = Naive::single_bytes(130);
    let mut frontier = Frontier::new();
    for size in 0..130usize {
        assert_eq!(frontier.root(), naive.hash(0, size));
        assert_eq!(root(size as u64, &naive), Ok(naive.hash(0, size)));
        assert_eq!(Frontier::read(size as u64, &naive), Ok(frontier.clone()));
        frontier.push(naive.leaves[size], |level, index, hash| {
            assert_eq!(naive.node(level, index), Ok(hash));
        });
    }
}

#[test]
fn aligned_parts_join() {
    let naive = Naive::single_bytes(40);
    let grow = |range: std::ops::Range<usize>| {
        let mut frontier = Frontier::new();
        naive.leaves[range].iter().for_each(|leaf| frontier.push(*leaf, |_, _, _| {}));
        frontier
    };
    for right in 0..16 {
        let joined = grow(0..16).join(&grow(16..16 + right)).unwrap();
        assert_eq!((joined.size(), joined.root()), (16 + right as u64, naive.hash(0, 16 + right)));
        assert_eq!(grow(0..0).join(&grow(0..right)), Some(grow(0..right)));
    }
    assert_eq!(grow(0..12).join(&grow(12..16)), None);
    assert_eq!(grow(0..12).join(&grow(12..15)).map(|f| f.root()), Some(naive.hash(0, 15)));
}

/// Subtrees `[start, end)` in the order of the draft's vectors.
fn subtrees(max: u64) -> impl Iterator<Item = (u64, u64)> {
    (0..=max)
        .flat_map(move |end| (0..=end).map(move |start| (start, end)))
        .filter(|(start, end)| is_valid_subtree(*start, *end))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn digest(lines: impl Iterator<Item = String>) -> String {
    let mut hasher = Sha256::new();
    lines.for_each(|line| hasher.update(line));
    hex(&hasher.finalize())
}

fn join(hashes: &[Hash]) -> String {
    hashes.iter().fold(String::new(), |text, hash| format!("{text} {}", hex(&hash.0)))
}

/// The published rolling digests over every case up to size 130
/// (draft-ietf-plants-merkle-tree-certs, appendix of test vectors).
#[test]
fn exhaustive_rolling_digests() {
    let naive = Naive::single_bytes(130);
    let hashes = digest(subtrees(130).map(|(start, end)| {
        format!("[{start}, {end}) {}\n", hex(&subtree_hash(start, end, &naive).unwrap().0))
    }));
    let inclusion = digest(subtrees(130).flat_map(|(start, end)| {
        let naive = &naive;
        (start..end).map(move |index| {
            let proof = subtree_inclusion_proof(index, start, end, naive).unwrap().unwrap();
            format!("{index} [{start}, {end}){}\n", join(&proof))
        })
    }));
    let consistency = digest((0..=130u64).flat_map(|size| {
        let naive = &naive;
        subtrees(size).map(move |(start, end)| {
            let proof = subtree_consistency_proof(start, end, size, naive).unwrap().unwrap();
            format!("[{start}, {end}) {size}{}\n", join(&proof))
        })
    }));
    for (name, found, first, last) in [
        ("subtree hashes", hashes, "b82806ad", "2e3e81"),
        ("subtree inclusion", inclusion, "ac2a8f98", "d8163f"),
        ("subtree consistency", consistency, "10fa99b3", "5a0a74"),
    ] {
        assert!(found.starts_with(first) && found.ends_with(last), "{name}: {found}");
    }
}

#[test]
fn every_proof_up_to_130_verifies() {
    let naive = Naive::single_bytes(130);
    for (start, end) in subtrees(130) {
        let hash = subtree_hash(start, end, &naive).unwrap();
        for index in start..end {
            let proof = subtree_inclusion_proof(index, start, end, &naive).unwrap().unwrap();
            let leaf = naive.leaves[usize::try_from(index).unwrap()];
            assert_eq!(
                verify_subtree_inclusion(leaf.as_ref(), index, start, end, &proof, hash.as_ref()),
                Ok(())
            );
        }
        for size in end..=130 {
            let proof = subtree_consistency_proof(start, end, size, &naive).unwrap().unwrap();
            let root = root(size, &naive).unwrap();
            assert_eq!(
                verify_subtree_consistency(start, end, size, &proof, hash.as_ref(), root.as_ref()),
                Ok(()),
                "[{start}, {end}) in {size}"
            );
        }
    }
    assert_eq!(inclusion_proof(5, 5, &naive), Ok(None));
    assert_eq!(consistency_proof(6, 5, &naive), Ok(None));
    assert_eq!(consistency_proof(0, 5, &naive), Ok(Some(vec![])));
}

#[test]
fn every_range_up_to_130_is_covered_tightly() {
    for (start, end) in (0..=130u64).flat_map(|end| (0..=end).map(move |start| (start, end))) {
        let cover = covering_subtrees(start, end);
        assert!(cover.iter().all(|(s, e)| is_valid_subtree(*s, *e)), "[{start}, {end})");
        let (first, last) = (cover[0], cover[cover.len() - 1]);
        assert!(cover.len() == 1 || (cover.len() == 2 && first.1 == last.0));
        assert!(first.0 <= start && last.1 == end);
        assert!(start - first.0 <= end - start, "[{start}, {end}) reaches back to {}", first.0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// ct-merkle and tlog_tiles, written by others, make the same trees and proofs.
    #[test]
    fn oracles_agree(entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..300), at: prop::sample::Index, part: prop::sample::Index) {
        let size = entries.len() as u64;
        let index = at.index(entries.len());
        let from = part.index(entries.len()) as u64 + 1;
        let naive = Naive::new(entries.clone());
        let root_here = root(size, &naive).unwrap();

        let mut oracle = ct_merkle::mem_backed_tree::MemoryBackedTree::<Sha256, Vec<u8>>::new();
        let mut stored: Vec<tlog_tiles::tlog::Hash> = Vec::new();
        for (n, entry) in entries.iter().enumerate() {
            oracle.push(entry.clone());
            let new = tlog_tiles::tlog::stored_hashes(n as u64, entry, &StoredHashes(stored.clone())).unwrap();
            stored.extend(new);
        }
        let theirs = oracle.root();
        prop_assert_eq!(theirs.as_bytes().as_slice(), root_here.as_ref());

        let proof = inclusion_proof(index as u64, size, &naive).unwrap().unwrap();
        prop_assert_eq!(oracle.prove_inclusion(index).as_bytes().to_vec(), proof.iter().flat_map(|h| h.0).collect::<Vec<_>>());
        prop_assert!(verify_inclusion(naive.leaves[index].as_ref(), index as u64, size, &proof, root_here.as_ref()).is_ok());

        let stored = StoredHashes(stored);
        let theirs = tlog_tiles::tlog::prove_record(size, index as u64, &stored).unwrap();
        prop_assert_eq!(theirs.iter().map(|h| Hash(h.0)).collect::<Vec<_>>(), proof);
        let proof = consistency_proof(from, size, &naive).unwrap().unwrap();
        let theirs = tlog_tiles::tlog::prove_tree(size, from, &stored).unwrap();
        prop_assert_eq!(theirs.iter().map(|h| Hash(h.0)).collect::<Vec<_>>(), proof.clone());
        let from_root = root(from, &naive).unwrap();
        prop_assert!(verify_consistency(from, size, &proof, from_root.as_ref(), root_here.as_ref()).is_ok());
    }
}

struct StoredHashes(Vec<tlog_tiles::tlog::Hash>);

impl tlog_tiles::tlog::HashReader for StoredHashes {
    fn read_hashes(
        &self,
        indexes: &[u64],
    ) -> Result<Vec<tlog_tiles::tlog::Hash>, tlog_tiles::tlog::Error> {
        Ok(indexes.iter().map(|i| self.0[usize::try_from(*i).unwrap()]).collect())
    }
}
