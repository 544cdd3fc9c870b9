//! `indelible verify`: a proof offline, a data directory, or a whole log over HTTP.

use crate::{
    commands::verify_export,
    connect::connect_to,
    global::Global,
    output::{self, BAD, FAINT, GOOD, STRONG, count, line},
    runtime::block_on,
    trust::{read_checkpoint, read_key},
};
use anyhow::{Context as _, bail};
use indelible_client::{ClientError, UrlFault, UrlVerdict, verify_url};
use indelible_log::{DataDir, chain};
use indelible_store::LocalStore;
use indelible_tlog::{OfflineError, OfflineProof, VerifyingKey};
use indelible_verify::{Coverage, FindingKind, Verdict, verify_store};
use serde_json::json;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

/// Exit codes, by kind of trouble.
const EXIT_CODES: &str = "Exit codes: 0 everything holds · 1 it could not be tried · 2 usage · \
10 altered · 11 missing · 12 unverifiable (another key) · 13 unreadable";
/// Findings printed before the rest is only counted.
const SHOWN: usize = 20;

/// Verify a proof, an export, a data directory, or a server; exits 0 only if everything holds.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Verify {
    /// A .tlog-proof file, an export made with --proofs, a data directory (its server may be running), or a server's URL
    target: String,
    /// Key to trust, a vkey or a file with one; get it once over a path you trust
    #[arg(long, value_name = "VKEY")]
    key: String,
    /// Name of the log, for a directory or a URL
    #[arg(long, value_name = "NAME")]
    log: Option<String>,
    /// The record, for a proof
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// A checkpoint (or proof) held from before, which what is there now must continue
    #[arg(long, value_name = "FILE")]
    since: Option<PathBuf>,
}

impl Verify {
    pub(crate) fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let key = read_key(&self.key)?;
        if self.target.starts_with("http://") || self.target.starts_with("https://") {
            return block_on(self.url(&key, global));
        }
        let path = Path::new(&self.target);
        match std::fs::metadata(path) {
            Ok(found) if found.is_dir() => self.directory(path, &key, global),
            Ok(_) if verify_export::is_export(path) => export(path, &key, global),
            Ok(_) => self.proof(path, &key, global),
            Err(error) => report_simple(
                global,
                FindingKind::Unreadable,
                &format!("{}: {error}", path.display()),
            ),
        }
    }

    fn proof(&self, path: &Path, key: &VerifyingKey, global: &Global) -> anyhow::Result<ExitCode> {
        let Some(record_path) = &self.record else {
            bail!(
                "a proof is verified with its record: add --record FILE (`indelible get LOG INDEX --raw` writes it); an export, with FILE.manifest.json beside it"
            );
        };
        let unreadable = |path: &Path, error: std::io::Error| {
            report_simple(global, FindingKind::Unreadable, &format!("{}: {error}", path.display()))
        };
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) => return unreadable(path, error),
        };
        let record = match std::fs::read(record_path) {
            Ok(record) => record,
            Err(error) => return unreadable(record_path, error),
        };
        let verdict =
            OfflineProof::parse(&text).and_then(|proof| Ok((proof.verify(&record, key)?, proof)));
        match verdict {
            Ok((checkpoint, proof)) => {
                if let Some(since) = &self.since {
                    let held = read_checkpoint(since, key)?.0;
                    if held.size == checkpoint.size && held.root != checkpoint.root {
                        return report_simple(
                            global,
                            FindingKind::Altered,
                            "the proof's checkpoint and the one held from before have the same size and different roots",
                        );
                    }
                    if held.size != checkpoint.size {
                        bail!(
                            "that checkpoints of {} and {} records belong together needs the log: verify its directory or URL with --since",
                            held.size,
                            checkpoint.size
                        );
                    }
                }
                if global.json {
                    output::json(&json!({
                        "verdict": "holds", "index": proof.index, "size": checkpoint.size,
                        "origin": checkpoint.origin, "root": checkpoint.root.to_string(), "record_bytes": record.len(),
                    }))?;
                } else {
                    line(format_args!(
                        "{GOOD}holds{GOOD:#}  this record ({} bytes) is record {STRONG}{}{STRONG:#} of {}",
                        record.len(),
                        proof.index,
                        checkpoint.origin
                    ));
                    line(format_args!(
                        "  under the signed checkpoint of {} records, root {}",
                        count(checkpoint.size),
                        checkpoint.root
                    ));
                    line(format_args!(
                        "  {FAINT}checked offline: signature, and {} hashes from the record to the root{FAINT:#}",
                        proof.hashes.len()
                    ));
                }
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => {
                let kind = match &error {
                    OfflineError::Checkpoint(
                        indelible_tlog::CheckpointError::Note(indelible_tlog::NoteError::Unsigned)
                        | indelible_tlog::CheckpointError::Origin { .. },
                    ) => FindingKind::Unverifiable,
                    _ => FindingKind::Altered,
                };
                let text = chain(&error);
                report_simple(global, kind, &text)
            }
        }
    }

    fn directory(
        &self,
        path: &Path,
        key: &VerifyingKey,
        global: &Global,
    ) -> anyhow::Result<ExitCode> {
        let name = self.log_name()?;
        indelible_log::check_log_name(name)?;
        let folder = path.join("logs").join(name);
        let store = match LocalStore::open(&folder) {
            Ok(store) => store,
            Err(error) => {
                return report_simple(
                    global,
                    FindingKind::Missing,
                    &format!("there is no log {name:?} in {}: {}", path.display(), chain(&error)),
                );
            }
        };
        let since = self
            .since
            .as_ref()
            .map(|path| read_checkpoint(path, key))
            .transpose()?
            .map(|(_, note)| note);
        let bar = output::progress(0, "records");
        let started = Instant::now();
        let mut verdict = verify_store(&store, key, since.as_deref(), &|done, total| {
            bar.set_length(total.max(done));
            bar.set_position(done);
        });
        bar.finish_and_clear();
        check_site(path, name, key, &mut verdict);
        report_directory(global, &verdict, started)
    }

    fn log_name(&self) -> anyhow::Result<&str> {
        self.log.as_deref().context("name the log to verify with --log NAME")
    }

    async fn url(self, key: &VerifyingKey, global: &Global) -> anyhow::Result<ExitCode> {
        let log =
            connect_to(global, &self.target)?.log(self.log_name()?, Some(key.clone())).await?;
        let since = self
            .since
            .as_ref()
            .map(|path| read_checkpoint(path, key))
            .transpose()?
            .map(|(checkpoint, _)| checkpoint);
        let bar = output::progress(0, "records");
        let started = Instant::now();
        let verdict = verify_url(&log, since.as_ref(), |done, total| {
            bar.set_length(total);
            bar.set_position(done);
        })
        .await;
        bar.finish_and_clear();
        match verdict {
            Ok(verdict) => report_url(global, &verdict, started),
            Err(ClientError::Api { status: 404, body }) => {
                report_simple(global, FindingKind::Missing, &body.message)
            }
            Err(ClientError::Api { status: 500, body }) => report_simple(
                global,
                FindingKind::Unreadable,
                &format!("{} (request {})", body.message, body.request_id),
            ),
            Err(error) if error.is_rollback() => {
                report_simple(global, FindingKind::Missing, &error.to_string())
            }
            Err(ClientError::Checkpoint(indelible_tlog::CheckpointError::Note(
                indelible_tlog::NoteError::Unsigned,
            ))) => report_simple(
                global,
                FindingKind::Unverifiable,
                "the server's checkpoint is not signed by this key",
            ),
            Err(error) if error.is_evidence() => {
                report_simple(global, FindingKind::Altered, &chain(&error))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// The site file is derived from the origins; it must agree with them.
fn check_site(path: &Path, name: &str, key: &VerifyingKey, verdict: &mut Verdict) {
    let problem = match DataDir::open(path) {
        Ok(data) if data.origin(name) == key.name() => return,
        Ok(data) => {
            format!("the directory is of site {:?}, the key of {:?}", data.site(), key.name())
        }
        Err(error) => chain(&error),
    };
    // With another log's key nothing can be said about this one's.
    let other_key =
        verdict.findings.iter().any(|finding| finding.kind == FindingKind::Unverifiable);
    let kind = if other_key { FindingKind::Unverifiable } else { FindingKind::Altered };
    verdict.findings.push(indelible_verify::Finding {
        kind,
        index: None,
        message: format!("site: {problem}"),
    });
}

const fn word(kind: FindingKind) -> &'static str {
    match kind {
        FindingKind::Altered => "altered",
        FindingKind::Missing => "missing",
        FindingKind::Unverifiable => "unverifiable",
        FindingKind::Unreadable => "unreadable",
    }
}

fn exit_code(kind: FindingKind) -> ExitCode {
    ExitCode::from(match kind {
        FindingKind::Altered => 10,
        FindingKind::Missing => 11,
        FindingKind::Unverifiable => 12,
        FindingKind::Unreadable => 13,
    })
}

fn export(path: &Path, key: &VerifyingKey, global: &Global) -> anyhow::Result<ExitCode> {
    match verify_export::verify(path, key) {
        Ok(text) => {
            if global.json {
                output::json(&json!({ "verdict": "holds", "message": text }))?;
            } else {
                line(format_args!("{GOOD}holds{GOOD:#}  {text}"));
            }
            Ok(ExitCode::SUCCESS)
        }
        Err((kind, text)) => report_simple(global, kind, &text),
    }
}

fn report_simple(global: &Global, kind: FindingKind, message: &str) -> anyhow::Result<ExitCode> {
    if global.json {
        output::json(
            &json!({ "verdict": word(kind), "findings": [{ "kind": word(kind), "message": message }] }),
        )?;
    } else {
        line(format_args!("{BAD}{}{BAD:#}  {message}", word(kind)));
    }
    Ok(exit_code(kind))
}

fn report_directory(
    global: &Global,
    verdict: &Verdict,
    started: Instant,
) -> anyhow::Result<ExitCode> {
    let Coverage {
        records,
        record_bytes,
        file_bytes,
        segments,
        commits,
        checkpoints,
        attachments,
        head,
        key_checked,
        incomplete_tail,
        since,
    } = &verdict.coverage;
    let worst = verdict.worst();
    if global.json {
        output::json(&json!({
            "verdict": worst.map_or("holds", word),
            "first_bad_index": verdict.first_bad_index(),
            "findings": verdict.findings.iter().map(|f| json!({ "kind": word(f.kind), "index": f.index, "message": f.message })).collect::<Vec<_>>(),
            "coverage": {
                "from": 0, "to": records, "records": records, "record_bytes": record_bytes, "file_bytes": file_bytes,
                "segments": segments, "commits": commits, "checkpoints": checkpoints, "attachments": attachments,
                "secret_key": if *key_checked { "matches" } else { "not present" }, "incomplete_tail": incomplete_tail, "since": since,
                "checkpoint": head.as_ref().map(|head| json!({ "origin": head.origin, "size": head.size, "root": head.root.to_string() })),
            },
        }))?;
        return Ok(worst.map_or(ExitCode::SUCCESS, exit_code));
    }
    match (worst, head) {
        (None, Some(head)) => line(format_args!(
            "{GOOD}holds{GOOD:#}  {STRONG}{}{STRONG:#} records of {}, root {}",
            count(head.size),
            head.origin,
            head.root
        )),
        (None, None) => line(format_args!("{GOOD}holds{GOOD:#}  the log is empty")),
        (Some(worst), _) => {
            let at = verdict.first_bad_index().map_or_else(String::new, |index| {
                format!("  first bad index {STRONG}{index}{STRONG:#}")
            });
            line(format_args!("{BAD}{}{BAD:#}{at}", word(worst)));
            for finding in verdict.findings.iter().take(SHOWN) {
                line(format_args!("  {BAD}{}{BAD:#}: {}", word(finding.kind), finding.message));
            }
            if verdict.findings.len() > SHOWN {
                line(format_args!(
                    "  and {} findings more (--json has them all)",
                    verdict.findings.len() - SHOWN
                ));
            }
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    line(format_args!(
        "  records      0 to {} hashed ({}, {} on disk)",
        count(records.saturating_sub(1)),
        output::bytes(*record_bytes),
        output::bytes(*file_bytes)
    ));
    line(format_args!(
        "  checkpoints  {} checked, by signature and by root ({} segments, {} commits in journals)",
        count(*checkpoints),
        count(*segments),
        count(*commits)
    ));
    line(format_args!("  attachments  {} checked", count(*attachments)));
    if let Some(since) = since {
        line(format_args!("  since        continues the checkpoint of {} records", count(*since)));
    }
    let key = if *key_checked {
        "its secret key is in the folder and matches"
    } else {
        "no secret key in this folder: nothing to compare"
    };
    line(format_args!("  key          {key}"));
    if *incomplete_tail && worst.is_none() {
        line(format_args!(
            "  {FAINT}a commit was being written meanwhile; no receipt for it had been given{FAINT:#}"
        ));
    }
    let rate = if seconds > 0.0 { (*records as f64 / seconds) as u64 } else { 0 };
    line(format_args!("  {FAINT}{seconds:.2} s, {} records/s{FAINT:#}", count(rate)));
    Ok(worst.map_or(ExitCode::SUCCESS, exit_code))
}

fn report_url(global: &Global, verdict: &UrlVerdict, started: Instant) -> anyhow::Result<ExitCode> {
    let kind = verdict.finding.as_ref().map(|finding| match finding.fault {
        UrlFault::Missing => FindingKind::Missing,
        UrlFault::Altered => FindingKind::Altered,
    });
    if global.json {
        output::json(&json!({
            "verdict": kind.map_or("holds", word),
            "first_bad_index": verdict.finding.as_ref().and_then(|finding| finding.index),
            "findings": verdict.finding.iter().map(|finding| json!({ "kind": kind.map(word), "index": finding.index, "message": finding.message })).collect::<Vec<_>>(),
            "coverage": { "from": 0, "to": verdict.records, "records": verdict.records, "record_bytes": verdict.record_bytes, "tiles": verdict.tiles,
                "attachments": verdict.attachments, "checkpoints": 1 + u64::from(verdict.since.is_some()), "since": verdict.since,
                "checkpoint": verdict.checkpoint.as_ref().map(|c| json!({ "origin": c.origin, "size": c.size, "root": c.root.to_string() })) },
        }))?;
        return Ok(kind.map_or(ExitCode::SUCCESS, exit_code));
    }
    match (&verdict.finding, &verdict.checkpoint) {
        (Some(finding), _) => {
            let at = finding.index.map_or_else(String::new, |index| {
                format!("  first bad index {STRONG}{index}{STRONG:#}")
            });
            line(format_args!("{BAD}{}{BAD:#}{at}", kind.map_or("altered", word)));
            line(format_args!("  {}", finding.message));
        }
        (None, Some(checkpoint)) => line(format_args!(
            "{GOOD}holds{GOOD:#}  {STRONG}{}{STRONG:#} records of {}, root {}",
            count(checkpoint.size),
            checkpoint.origin,
            checkpoint.root
        )),
        (None, None) => {}
    }
    line(format_args!(
        "  records      0 to {} hashed ({})",
        count(verdict.records.saturating_sub(1)),
        output::bytes(verdict.record_bytes)
    ));
    line(format_args!("  tiles        {} fetched and compared", count(verdict.tiles)));
    line(format_args!("  attachments  {} fetched and hashed", count(verdict.attachments)));
    if let Some(since) = verdict.since {
        line(format_args!("  since        continues the checkpoint of {} records", count(since)));
    }
    line(format_args!("  {FAINT}{:.2} s{FAINT:#}", started.elapsed().as_secs_f64()));
    Ok(kind.map_or(ExitCode::SUCCESS, exit_code))
}
