//! `indelible export`, and the verification of what it wrote.

use crate::{
    Global,
    commands::open_log,
    output::{self, GOOD, count, line},
};
use anyhow::{Context as _, bail};
use indelible_api::{ExportEnd, ExportLine, ExportStart};
use indelible_log::verify::FindingKind;
use indelible_tlog::{Checkpoint, OfflineProof, VerifyingKey};
use std::{
    fs::File,
    io::{BufRead as _, BufReader, BufWriter, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Export everything a query finds to a file, without a limit.
///
/// NDJSON begins with what the export is and ends with what it holds; with --proofs each
/// event has its record and an offline proof, and `indelible verify FILE --key VKEY`
/// checks all of it without a server.
#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// Name of the log
    log: String,
    /// Query, best in quotes; everything, if there is none
    query: Vec<String>,
    /// File to write; must not exist
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Format
    #[arg(long, value_parser = ["ndjson", "csv"], default_value = "ndjson")]
    format: String,
    /// With each event its record's bytes and an offline proof
    #[arg(long, conflicts_with = "format")]
    proofs: bool,
}

impl Export {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let log = open_log(global, &self.log, None).await?;
        let shown = self.output.display();
        let part = self.output.with_extension("part");
        if self.output.exists() {
            bail!("{shown} exists already; choose another file");
        }
        let file =
            File::create(&part).with_context(|| format!("could not write {}", part.display()))?;
        let mut out = BufWriter::new(file);
        let bar = output::progress(0, "bytes");
        let mut failed = None;
        log.export(&self.query.join(" "), &self.format, self.proofs, |bytes| {
            bar.inc_length(bytes.len() as u64);
            bar.inc(bytes.len() as u64);
            failed = failed.take().or_else(|| out.write_all(bytes).err());
        })
        .await?;
        bar.finish_and_clear();
        if let Some(error) = failed {
            return Err(error).with_context(|| format!("could not write {}", part.display()));
        }
        out.into_inner()?.sync_all()?;
        let found = if self.format == "csv" {
            count_rows(&part)?
        } else {
            read(&part, |_| Ok(()))?.1.count
        };
        std::fs::rename(&part, &self.output)?;
        if global.json {
            output::json(&serde_json::json!({ "file": shown.to_string(), "count": found }))?;
        } else {
            line(format_args!("{GOOD}exported{GOOD:#} {} events to {shown}", count(found)));
            if self.proofs {
                line(format_args!("  check it offline: indelible verify {shown} --key VKEY"));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn count_rows(path: &Path) -> anyhow::Result<u64> {
    let mut reader = csv::Reader::from_path(path)?;
    let mut rows = 0;
    for row in reader.records() {
        row?;
        rows += 1;
    }
    Ok(rows)
}

/// Whether a file begins as an export does.
pub(crate) fn is_export(path: &Path) -> bool {
    let mut start = [0; 10];
    let read = File::open(path).and_then(|file| std::io::Read::read(&mut &file, &mut start));
    read.is_ok() && start.starts_with(b"{\"export\":")
}

type Lines = std::io::Lines<BufReader<File>>;

fn lines(path: &Path) -> anyhow::Result<Lines> {
    let file = File::open(path).with_context(|| format!("could not read {}", path.display()))?;
    Ok(BufReader::new(file).lines())
}

fn begin(lines: &mut Lines) -> anyhow::Result<ExportStart> {
    #[derive(serde::Deserialize)]
    struct First {
        export: ExportStart,
    }
    let first = lines.next().context("the export is empty")??;
    Ok(serde_json::from_str::<First>(&first).context("it does not begin as an export does")?.export)
}

/// Reads an export and visits its events; fails unless it is whole.
fn read(
    path: &Path,
    mut visit: impl FnMut(ExportLine) -> anyhow::Result<()>,
) -> anyhow::Result<(ExportStart, ExportEnd)> {
    #[derive(serde::Deserialize)]
    struct Last {
        end: ExportEnd,
    }
    let mut lines = lines(path)?;
    let start = begin(&mut lines)?;
    let (mut seen, mut first_index, mut last_index) = (0, None, None);
    while let Some(text) = lines.next() {
        let text = text?;
        if text.starts_with("{\"end\":") {
            let end = serde_json::from_str::<Last>(&text)?.end;
            if (end.count, end.first, end.last) != (seen, first_index, last_index) {
                bail!("it says that it has {} events, and has {seen}", end.count);
            }
            if lines.next().is_some() {
                bail!("something follows its end");
            }
            return Ok((start, end));
        }
        let event: ExportLine = serde_json::from_str(&text)
            .with_context(|| format!("event {seen} of it cannot be read"))?;
        if last_index.is_some_and(|last| event.view.index <= last) || event.view.index >= start.size
        {
            bail!("record {} is out of place", event.view.index);
        }
        first_index = first_index.or(Some(event.view.index));
        last_index = Some(event.view.index);
        visit(event)?;
        seen += 1;
    }
    bail!("it is not whole: the line that ends it is missing")
}

/// Checks every event of an export: record, leaf hash, view, inclusion proof,
/// checkpoint.
///
/// # Errors
/// What kind of trouble it is, and in words.
pub(crate) fn verify(path: &Path, key: &VerifyingKey) -> Result<String, (FindingKind, String)> {
    let missing = |error: anyhow::Error| (FindingKind::Missing, format!("{error:#}"));
    let start = begin(&mut lines(path).map_err(missing)?).map_err(missing)?;
    Checkpoint::verify(start.checkpoint.as_bytes(), key).map_err(|e| {
        (FindingKind::Unverifiable, format!("its checkpoint does not hold under this key: {e}"))
    })?;
    if !start.proofs {
        return Err((FindingKind::Unverifiable, "it was made without --proofs".to_owned()));
    }
    let mut wrong = None;
    let checked = read(path, |event| {
        if let Err(problem) = check(&event, &start, key) {
            wrong = wrong.take().or(Some(format!("record {}: {problem:#}", event.view.index)));
        }
        Ok(())
    });
    match (checked, wrong) {
        (_, Some(wrong)) => Err((FindingKind::Altered, wrong)),
        (Err(error), None) => Err(missing(error)),
        (Ok((start, end)), None) => Ok(format!(
            "{} events of {}, found by {:?} at {} in {} records; every record, hash and proof checked",
            count(end.count),
            start.origin,
            start.q,
            start.made_at,
            count(start.size)
        )),
    }
}

fn check(event: &ExportLine, start: &ExportStart, key: &VerifyingKey) -> anyhow::Result<()> {
    let (Some(record), Some(proof)) = (&event.record, &event.proof) else {
        bail!("it has no proof");
    };
    let proof = OfflineProof::parse(proof.as_bytes())?;
    proof.verify(record.as_bytes(), key)?;
    if proof.index != event.view.index {
        bail!("its proof is of record {}", proof.index);
    }
    if indelible_tlog::leaf_hash(record.as_bytes()).to_string() != event.view.leaf_hash {
        bail!("its leaf hash is not its record's");
    }
    if proof.checkpoint != start.checkpoint {
        bail!("it is proven under another checkpoint than the export says");
    }
    // What people read must be what was proven.
    let envelope = indelible_event::Envelope::parse(record.as_bytes())?;
    if let indelible_event::Payload::Inline(data) = envelope.payload()? {
        let shown =
            indelible_event::format_named(&envelope.format).and_then(|format| format.view(data));
        let shown = shown.ok().map(serde_json::to_value).transpose()?.unwrap_or_default();
        if shown != event.view.event {
            bail!("the event beside it is not its record's");
        }
    }
    let attested = event.view.envelope.as_ref().is_some_and(|view| {
        view.id == envelope.id
            && view.received_at == envelope.received_at
            && view.recorded_by == envelope.recorded_by
    });
    if attested { Ok(()) } else { bail!("the envelope beside it is not its record's") }
}
