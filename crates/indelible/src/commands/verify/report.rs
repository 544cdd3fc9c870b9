//! A verdict, for people and as JSON.

use crate::{
    global::Global,
    output::{self, BAD, FAINT, GOOD, STRONG, count, line},
};
use indelible_api::Manifest;
use indelible_verify::{Coverage, FindingKind, Verdict};
use serde_json::{Value, json};
use std::{process::ExitCode, time::Instant};

/// Findings printed before the rest is only counted.
const SHOWN: usize = 20;

/// What was verified.
pub(super) enum About {
    /// One record's proof.
    Proof {
        index: u64,
        hashes: usize,
    },
    /// An export; what the log signed of it, if that held.
    Export(Option<Box<Manifest>>),
    Directory,
    Server,
    /// It could not be read.
    Nothing,
}

pub(super) fn report(
    global: &Global,
    verdict: &Verdict,
    about: &About,
    started: Instant,
) -> anyhow::Result<ExitCode> {
    if global.json {
        output::json(&as_json(verdict, about))?;
    } else {
        headline(verdict, about);
        covered(&verdict.coverage, about);
        unproven(verdict);
        timing(&verdict.coverage, about, started);
    }
    Ok(ExitCode::from(verdict.exit_code()))
}

fn as_json(verdict: &Verdict, about: &About) -> Value {
    let Coverage { head, since, .. } = &verdict.coverage;
    let coverage = &verdict.coverage;
    let findings = verdict.findings.iter().map(|finding| {
        json!({ "kind": finding.kind.word(), "log": finding.log, "index": finding.index, "message": finding.message })
    });
    let mut told = json!({
        "verdict": verdict.worst().map_or("holds", FindingKind::word),
        "first_bad_index": verdict.first_bad_index(),
        "findings": findings.collect::<Vec<_>>(),
        "coverage": {
            "from": 0, "to": coverage.records, "logs": coverage.logs, "records": coverage.records,
            "record_bytes": coverage.record_bytes, "file_bytes": coverage.file_bytes,
            "segments": coverage.segments, "commits": coverage.commits, "tiles": coverage.tiles,
            "checkpoints": coverage.checkpoints, "attachments": coverage.attachments,
            "id_runs": coverage.id_runs, "incomplete_tail": coverage.incomplete_tail,
            "secret_key": if coverage.key_checked { "matches" } else { "not compared" },
            "since": since,
            "checkpoint": head.as_ref().map(|head| json!({ "origin": head.origin, "size": head.size, "root": head.root.to_string() })),
        },
        "not_proven": coverage.unproven.iter().map(|what| json!({ "what": what.word(), "message": what.to_string() })).collect::<Vec<_>>(),
    });
    match about {
        About::Proof { index, .. } => told["index"] = (*index).into(),
        About::Export(Some(manifest)) => told["manifest"] = json!(manifest),
        _ => {}
    }
    told
}

fn headline(verdict: &Verdict, about: &About) {
    let Some(worst) = verdict.worst() else {
        return match (about, &verdict.coverage.head) {
            (About::Proof { index, .. }, Some(head)) => line(format_args!(
                "{GOOD}holds{GOOD:#}  this record ({} bytes) is record {STRONG}{index}{STRONG:#} of {}",
                verdict.coverage.record_bytes, head.origin
            )),
            (About::Export(Some(manifest)), _) => export(manifest),
            (About::Directory, _) if verdict.coverage.logs > 1 => line(format_args!(
                "{GOOD}holds{GOOD:#}  {STRONG}{}{STRONG:#} records of {} logs",
                count(verdict.coverage.records),
                verdict.coverage.logs
            )),
            (_, Some(head)) => line(format_args!(
                "{GOOD}holds{GOOD:#}  {STRONG}{}{STRONG:#} records of {}, root {}",
                count(head.size),
                head.origin,
                head.root
            )),
            (_, None) => line(format_args!("{GOOD}holds{GOOD:#}  the log is empty")),
        };
    };
    let at = verdict
        .first_bad_index()
        .map_or_else(String::new, |index| format!("  first bad index {STRONG}{index}{STRONG:#}"));
    line(format_args!("{BAD}{}{BAD:#}{at}", worst.word()));
    for finding in verdict.findings.iter().take(SHOWN) {
        let log = finding.log.as_ref().map_or_else(String::new, |log| format!("{log}: "));
        let word = finding.kind.word();
        line(format_args!("  {BAD}{word}{BAD:#}: {log}{}", finding.message));
    }
    if verdict.findings.len() > SHOWN {
        line(format_args!(
            "  and {} findings more (--json has them all)",
            verdict.findings.len() - SHOWN
        ));
    }
}

fn export(manifest: &Manifest) {
    line(format_args!(
        "{GOOD}holds{GOOD:#}  {STRONG}{}{STRONG:#} events of {}",
        count(manifest.count),
        manifest.origin
    ));
    line(format_args!(
        "  query        {:?}, asked at {} by {} in {} records{}",
        manifest.q,
        manifest.made_at,
        manifest.made_by,
        count(manifest.size),
        if manifest.narrowed { ", as far as its maker may see them" } else { "" }
    ));
    line("  manifest     signed by the log, and the file is the one that was signed");
}

fn covered(coverage: &Coverage, about: &About) {
    let row = |name: &str, text: String| line(format_args!("  {name:<12} {text}"));
    match about {
        About::Proof { hashes, .. } if coverage.records > 0 => {
            if let Some(head) = &coverage.head {
                let size = count(head.size);
                row("checkpoint", format!("signed, of {size} records, root {}", head.root));
            }
            row("proof", format!("{hashes} hashes from the record to the root, offline"));
        }
        About::Proof { .. } | About::Nothing => return,
        _ => {}
    }
    if coverage.records > 0 && !matches!(about, About::Proof { .. }) {
        let (bytes, files) = (output::bytes(coverage.record_bytes), coverage.file_bytes);
        let disk = match files {
            0 => String::new(),
            files => format!(", {} on disk", output::bytes(files)),
        };
        row("records", format!("{} hashed ({bytes}{disk})", count(coverage.records)));
    }
    if matches!(about, About::Directory) {
        row(
            "checkpoints",
            format!(
                "{} checked, by signature and by root ({} segments, {} commits in journals)",
                count(coverage.checkpoints),
                count(coverage.segments),
                count(coverage.commits)
            ),
        );
        let key = if coverage.key_checked { "; the secret key matches" } else { "" };
        row("ids", format!("{} runs compared with the records{key}", count(coverage.id_runs)));
    }
    if coverage.tiles > 0 {
        row("tiles", format!("{} fetched and compared", count(coverage.tiles)));
    }
    if coverage.attachments > 0 {
        row("attachments", format!("{} hashed", count(coverage.attachments)));
    }
    if let Some(since) = coverage.since {
        row("since", format!("continues the checkpoint of {} records", count(since)));
    }
    if coverage.incomplete_tail {
        row("tail", "a commit was being written meanwhile; no receipt for it was given".to_owned());
    }
}

/// What a verdict that holds does not say.
fn unproven(verdict: &Verdict) {
    if verdict.worst().is_some() || verdict.coverage.unproven.is_empty() {
        return;
    }
    line(format_args!("  {FAINT}not proven:{FAINT:#}"));
    for what in &verdict.coverage.unproven {
        line(format_args!("  {FAINT}- {what}{FAINT:#}"));
    }
}

fn timing(coverage: &Coverage, about: &About, started: Instant) {
    if !matches!(about, About::Directory | About::Server) {
        return;
    }
    let seconds = started.elapsed().as_secs_f64();
    let rate = if seconds > 0.0 { (coverage.records as f64 / seconds) as u64 } else { 0 };
    line(format_args!("  {FAINT}{seconds:.2} s, {} records/s{FAINT:#}", count(rate)));
}
