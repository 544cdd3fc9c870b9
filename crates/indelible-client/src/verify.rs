//! Verification of a whole log over HTTP: every record is fetched, hashed, and
//! compared with the served tiles and the signed checkpoint.

use crate::{
    error::{ClientError, Result},
    log::LogClient,
};
use indelible_event::{Attachment, Envelope, Payload};
use indelible_tlog::{
    BundleEntries, Checkpoint, Frontier, Hash, TILE_WIDTH, TilePath, leaf_hash, node_hash,
};

/// What was checked over HTTP.
#[derive(Debug, Clone, Default)]
pub struct UrlVerdict {
    /// Records hashed.
    pub records: u64,
    /// Bytes of those records.
    pub record_bytes: u64,
    /// Entry bundles and hash tiles fetched.
    pub tiles: u64,
    /// Attachments fetched and hashed.
    pub attachments: u64,
    /// The checkpoint all of it was compared with.
    pub checkpoint: Option<Checkpoint>,
    /// Size of the checkpoint held from before, where one was given and holds.
    pub since: Option<u64>,
    /// First index at fault, and what is wrong there; `None`: everything holds.
    pub finding: Option<UrlFinding>,
}

/// Requests in flight; the server answers them in parallel.
const IN_FLIGHT: u64 = 8;

/// Fetches and checks the whole log.
///
/// # Errors
/// [`ClientError`] when the server cannot be asked or its checkpoint does not hold.
pub async fn verify_url(
    log: &LogClient,
    since: Option<&Checkpoint>,
    progress: impl Fn(u64, u64),
) -> Result<UrlVerdict> {
    let mut verdict = UrlVerdict::default();
    let (checkpoint, _) = log.advance(since).await?;
    verdict.since = since.map(|since| since.size);
    let size = checkpoint.size;
    let mut frontier = Frontier::new();
    let mut tile_roots = Vec::new();
    let bundles = size.div_ceil(TILE_WIDTH);
    let mut next = 0;
    while next < bundles {
        let end = (next + IN_FLIGHT).min(bundles);
        let fetches: Vec<_> = (next..end)
            .map(|index| {
                let log = log.clone();
                tokio::spawn(async move { fetch_bundle(&log, index, size).await })
            })
            .collect();
        for (index, fetch) in (next..end).zip(fetches) {
            let fetched = fetch.await.map_err(|e| ClientError::Answer(e.to_string()))??;
            if let Some(finding) =
                check_bundle(log, index, &fetched, &mut frontier, &mut verdict).await?
            {
                verdict.finding = Some(finding);
                return Ok(verdict);
            }
            if fetched.leaves.len() as u64 == TILE_WIDTH {
                tile_roots.push(perfect_root(&fetched.leaves));
            }
        }
        next = end;
        progress(verdict.records, size);
    }
    if let Some(finding) = check_upper_tiles(log, tile_roots, &mut verdict).await? {
        verdict.finding = Some(finding);
    } else if frontier.root() != checkpoint.root {
        verdict.finding = Some(UrlFinding::altered(
            None,
            format!(
                "the records hash to root {}, the signed checkpoint of {size} records says {}",
                frontier.root(),
                checkpoint.root
            ),
        ));
    }
    verdict.checkpoint = Some(checkpoint);
    Ok(verdict)
}

/// What does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlFinding {
    /// What is wrong with it.
    pub fault: UrlFault,
    /// The first record that it is about, if it is about one.
    pub index: Option<u64>,
    /// For people.
    pub message: String,
}

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UrlFault {
    /// Bytes are not those that were signed.
    Altered,
    /// Something that a record names is not there.
    Missing,
}

impl UrlFinding {
    fn altered(index: Option<u64>, message: String) -> Self {
        Self { fault: UrlFault::Altered, index, message }
    }

    fn missing(index: Option<u64>, message: String) -> Self {
        Self { fault: UrlFault::Missing, index, message }
    }
}

struct Fetched {
    bundle: bytes::Bytes,
    tile: bytes::Bytes,
    width: u16,
    leaves: Vec<Hash>,
}

async fn fetch_bundle(log: &LogClient, index: u64, size: u64) -> Result<Fetched> {
    let width = TilePath::width_at(None, index, size);
    let bundle = log.tile(&TilePath { level: None, index, width }).await?;
    let tile = log.tile(&TilePath { level: Some(0), index, width }).await?;
    let leaves =
        BundleEntries::new(&bundle).filter_map(std::result::Result::ok).map(leaf_hash).collect();
    Ok(Fetched { bundle, tile, width, leaves })
}

type Finding = Option<UrlFinding>;

/// Compares a bundle with its hash tile and adds its records to the tree.
async fn check_bundle(
    log: &LogClient,
    index: u64,
    fetched: &Fetched,
    frontier: &mut Frontier,
    verdict: &mut UrlVerdict,
) -> Result<Finding> {
    let first = index * TILE_WIDTH;
    verdict.tiles += 2;
    if fetched.leaves.len() != usize::from(fetched.width) {
        return Ok(Some(UrlFinding::altered(
            Some(first),
            format!(
                "entry bundle {index} has {} records, expected {}",
                fetched.leaves.len(),
                fetched.width
            ),
        )));
    }
    let told = fetched.tile.as_chunks::<32>().0;
    let bad = fetched.leaves.iter().zip(told).position(|(leaf, told)| leaf.0 != *told);
    if let Some(at) = bad {
        let at = first + at as u64;
        return Ok(Some(UrlFinding::altered(
            Some(at),
            format!("record {at} does not hash to its leaf in the hash tile"),
        )));
    }
    if told.len() != fetched.leaves.len() {
        return Ok(Some(UrlFinding::altered(
            Some(first),
            format!("hash tile {index} has {} hashes, expected {}", told.len(), fetched.width),
        )));
    }
    for leaf in &fetched.leaves {
        frontier.push(*leaf, |_, _, _| {});
    }
    verdict.records += fetched.leaves.len() as u64;
    verdict.record_bytes += (fetched.bundle.len() - 2 * fetched.leaves.len()) as u64;
    check_attachments(log, first, &fetched.bundle, verdict).await
}

/// Fetches what the records of a bundle keep beside the log.
async fn check_attachments(
    log: &LogClient,
    first: u64,
    bundle: &[u8],
    verdict: &mut UrlVerdict,
) -> Result<Finding> {
    for (record, index) in
        BundleEntries::new(bundle).filter_map(std::result::Result::ok).zip(first..)
    {
        // Only records with an attachment name one before their last member.
        let Ok(Payload::Attachment(named)) =
            Envelope::parse(record).and_then(|envelope| envelope.payload())
        else {
            continue;
        };
        match log.attachment(&named).await {
            Ok(data) if Attachment::of(&data) == named => verdict.attachments += 1,
            Ok(_) => {
                return Ok(Some(UrlFinding::altered(
                    Some(index),
                    format!("the attachment of record {index} does not match its hash"),
                )));
            }
            Err(ClientError::Api { status: 404, .. }) => {
                return Ok(Some(UrlFinding::missing(
                    Some(index),
                    format!("the attachment of record {index} is missing"),
                )));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Compares the tiles above level 0 with the roots below them.
async fn check_upper_tiles(
    log: &LogClient,
    mut row: Vec<Hash>,
    verdict: &mut UrlVerdict,
) -> Result<Finding> {
    for level in 1..=7u8 {
        if row.is_empty() {
            break;
        }
        let mut above = Vec::new();
        for (index, hashes) in row.chunks(TILE_WIDTH as usize).enumerate() {
            let width = hashes.len() as u16;
            let path = TilePath { level: Some(level), index: index as u64, width };
            let told = log.tile(&path).await?;
            verdict.tiles += 1;
            let same = told.len() == 32 * hashes.len()
                && told.as_chunks::<32>().0.iter().zip(hashes).all(|(told, hash)| *told == hash.0);
            if !same {
                return Ok(Some(UrlFinding::altered(
                    None,
                    format!("{path} does not hold the roots of the tiles below it"),
                )));
            }
            if u64::from(width) == TILE_WIDTH {
                above.push(perfect_root(hashes));
            }
        }
        row = above;
    }
    Ok(None)
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
