//! `indelible verify DIR --index`: whether the search index says of the records what they
//! say. A search that hides an event is no finding of the log's own check: the index is
//! derived.

use crate::output;
use anyhow::Context as _;
use indelible_index::{IndexOptions, LogIndex};
use indelible_log::{DataDir, Kind, Log, Options};
use indelible_verify::{Finding, FindingKind, Verdict};
use std::{fs, path::Path, sync::Arc};

/// Builds every piece of every index (or of that of one log) again beside it, and compares.
/// Takes the logs' locks: no server may run. Pieces whose files are not what was written are
/// found when they are opened, and are removed then.
pub(super) fn compare(
    path: &Path,
    only: Option<&str>,
    verdict: &mut Verdict,
) -> anyhow::Result<()> {
    let data = DataDir::open(path)?;
    for name in data.logs()?.into_iter().filter(|name| only.is_none_or(|only| only == name)) {
        let folder = path.join("index").join(&name);
        if !folder.is_dir() {
            continue;
        }
        let log = Log::open(data.store(&name)?, &Options::default()).with_context(|| {
            format!("log {name} could not be opened; --index needs the server to be stopped")
        })?;
        if log.manifest().kind == Kind::Raw {
            continue;
        }
        let before = pieces(&folder)?;
        let log = Arc::new(log);
        let index = LogIndex::open(Arc::clone(&log), &folder, IndexOptions::default())?;
        let mut found = |message: String| {
            let mut finding = Finding::new(FindingKind::Altered, None, message);
            finding.log = Some(name.clone());
            verdict.findings.push(finding);
        };
        for piece in before.iter().filter(|piece| !folder.join(piece).exists()) {
            found(format!(
                "index/{name}/{piece} was not what was written; it was removed, and the server builds it again"
            ));
        }
        let bar = output::progress(log.head().size, "records of the index");
        index.compare(|piece| {
            bar.set_position(piece.records.end);
            if !piece.is_right {
                let (from, to) = (piece.records.start, piece.records.end.saturating_sub(1));
                found(format!(
                    "the index of {name} says of records {from} to {to} what they do not say; remove index/{name}, and the server builds it again"
                ));
            }
        })?;
        bar.finish_and_clear();
        log.close();
    }
    Ok(())
}

/// Names of the pieces in the folder of an index.
fn pieces(folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut pieces = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
            pieces.push(name);
        }
    }
    pieces.sort();
    Ok(pieces)
}
