//! What a copy adds up to: the tree of its segments and journals, against the checkpoints
//! in them and the one that the copy had before.

use anyhow::{Context as _, bail, ensure};
use indelible_log::{
    RECORDS_PER_BUNDLE, RECORDS_PER_SEGMENT,
    stored::{self, BUNDLES_PER_SEGMENT, Commit, Found, SEGMENT_LEVEL, Segment},
};
use indelible_store::{LocalStore, Store as _};
use indelible_tlog::{BundleEntries, Checkpoint, Frontier, Hash, KeyLine, leaf_hash};

/// The tree of a copy.
pub(super) struct Tree<'a> {
    keys: Option<&'a KeyLine>,
    frontier: Frontier,
    /// Roots of the segments.
    sealed: Vec<Hash>,
    /// The last checkpoint, and its note.
    last: Option<(Checkpoint, String)>,
    /// What the copy had before; it must be met on the way.
    known: Option<Checkpoint>,
}

impl<'a> Tree<'a> {
    /// Adds up the segments of `to` and the journals that are staged in it. `keys` check
    /// signatures, where they are known.
    pub(super) fn read(
        to: &LocalStore,
        staged: &LocalStore,
        journals: &[String],
        keys: Option<&'a KeyLine>,
        known: Option<&str>,
    ) -> anyhow::Result<Self> {
        let known = known.map(parse).transpose()?;
        let mut tree =
            Self { keys, frontier: Frontier::new(), sealed: Vec::new(), last: None, known };
        tree.segments(to)?;
        for path in journals {
            let journal = staged.open(path)?;
            let mut at = 0;
            while let Found::Commit(commit) = stored::commit_at(journal.as_ref(), at)? {
                at = commit.next_at;
                tree.commit(path, &commit)?;
            }
            ensure!(at == journal.size(), "{path} does not hold as it was copied, from {at} on");
        }
        let size = tree.frontier.size();
        let ends = tree
            .last
            .as_ref()
            .map_or(size == 0, |(last, _)| last.size == size && last.root == tree.frontier.root());
        ensure!(ends, "the {size} records that were copied do not lead to their last checkpoint");
        match &tree.known {
            Some(known) if known.size > size => bail!(
                "the backup holds {} records and this directory {size}: it is an older copy, and would take records from the backup",
                known.size
            ),
            Some(known) => {
                let found = tree.root_at(to, staged, journals, known.size)?;
                ensure!(
                    found == known.root,
                    "the first {} records here are others than those in the backup: it is the backup of another history",
                    known.size
                );
            }
            None => {}
        }
        Ok(tree)
    }

    /// Records, and the signed checkpoint of them; none of an empty log.
    pub(super) fn head(&self) -> (u64, Option<&str>) {
        (self.frontier.size(), self.last.as_ref().map(|(_, note)| note.as_str()))
    }

    fn segments(&mut self, to: &LocalStore) -> anyhow::Result<()> {
        let mut upper = Frontier::new();
        let count = to.list("segments")?.len() as u64;
        for number in 0..count {
            let segment = Segment::open(to, number)?;
            self.sealed.push(segment.root());
            upper.push(segment.root(), |_, _, _| {});
            if number + 1 == count {
                self.last = Some(self.note(segment.note())?);
            }
        }
        self.frontier = upper.scaled(SEGMENT_LEVEL).context("too many segments")?;
        Ok(())
    }

    /// A checkpoint; its signature is checked where keys are known.
    fn note(&self, note: &[u8]) -> anyhow::Result<(Checkpoint, String)> {
        let text = String::from_utf8(note.to_vec()).context("a checkpoint is not text")?;
        let checkpoint = match self.keys {
            None => parse(&text)?,
            Some(keys) => keys.checkpoint(note).context("a checkpoint does not hold")?,
        };
        Ok((checkpoint, text))
    }

    fn commit(&mut self, path: &str, commit: &Commit) -> anyhow::Result<()> {
        let size = self.frontier.size();
        if commit.end() <= size {
            return Ok(());
        }
        ensure!(commit.first <= size, "{path} goes on at record {}, expected {size}", commit.first);
        let entries = BundleEntries::new(&commit.records).zip(commit.first..);
        for (record, index) in entries {
            let record = record.with_context(|| format!("{path}: record {index}"))?;
            if index >= size {
                self.frontier.push(leaf_hash(record), |_, _, _| {});
            }
        }
        let (checkpoint, note) = self.note(&commit.note)?;
        ensure!(
            checkpoint.size == self.frontier.size() && checkpoint.root == self.frontier.root(),
            "{path}: the records up to {} do not lead to their checkpoint",
            commit.end()
        );
        self.last = Some((checkpoint, note));
        Ok(())
    }

    /// Root of the first `size` records.
    fn root_at(
        &self,
        to: &LocalStore,
        staged: &LocalStore,
        journals: &[String],
        size: u64,
    ) -> anyhow::Result<Hash> {
        let whole = (size / RECORDS_PER_SEGMENT).min(self.sealed.len() as u64);
        let mut upper = Frontier::new();
        for root in self.sealed.iter().take(usize::try_from(whole)?) {
            upper.push(*root, |_, _, _| {});
        }
        let mut frontier = upper.scaled(SEGMENT_LEVEL).context("too many segments")?;
        if whole < self.sealed.len() as u64 {
            let segment = Segment::open(to, whole)?;
            for bundle in 0..BUNDLES_PER_SEGMENT {
                if frontier.size() >= size {
                    break;
                }
                push(&mut frontier, &segment.bundle(bundle)?, size)?;
            }
            return Ok(frontier.root());
        }
        for path in journals {
            let (journal, mut at) = (staged.open(path)?, 0);
            while let Found::Commit(commit) = stored::commit_at(journal.as_ref(), at)? {
                at = commit.next_at;
                let skip = frontier.size().saturating_sub(commit.first);
                let mut from = 0;
                for entry in BundleEntries::new(&commit.records).take(usize::try_from(skip)?) {
                    from += entry?.len() + 2;
                }
                push(&mut frontier, commit.records.get(from..).unwrap_or_default(), size)?;
            }
        }
        Ok(frontier.root())
    }
}

/// Hashes records in, up to a size.
fn push(frontier: &mut Frontier, bundle: &[u8], size: u64) -> anyhow::Result<()> {
    for record in BundleEntries::new(bundle) {
        if frontier.size() < size {
            frontier.push(leaf_hash(record?), |_, _, _| {});
        }
    }
    Ok(())
}

/// A checkpoint without its signatures.
fn parse(note: &str) -> anyhow::Result<Checkpoint> {
    let (text, _) = note.split_once("\n\n").context("a checkpoint is not a signed note")?;
    Checkpoint::parse(&format!("{text}\n")).context("a checkpoint cannot be read")
}

/// Reads a segment back from the disk and hashes every record of it to its root.
pub(super) fn check_segment(to: &LocalStore, number: u64) -> anyhow::Result<()> {
    let segment = Segment::open(to, number)?;
    segment.evict();
    let roots = segment.bundle_roots().to_vec();
    for (bundle, root) in roots.iter().enumerate() {
        let mut frontier = Frontier::new();
        push(&mut frontier, &segment.bundle(bundle)?, RECORDS_PER_BUNDLE)?;
        ensure!(
            frontier.size() == RECORDS_PER_BUNDLE && frontier.root() == *root,
            "its bundle {bundle} does not hash to its root"
        );
    }
    Ok(())
}
