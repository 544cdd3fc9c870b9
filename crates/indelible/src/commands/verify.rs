//! `indelible verify`: a proof, an export, a data directory, or a log over HTTP.

mod index;
mod report;
mod server;

use crate::{
    global::Global,
    output,
    runtime::block_on,
    trust::{read_checkpoint, read_key},
};
use anyhow::{Context as _, bail};
use indelible_tlog::{Checkpoint, OfflineProof, VerifyingKey};
use indelible_verify::{
    FindingKind, Options, Unproven, Verdict, manifest_of, verify_directory, verify_export,
    verify_log, verify_proof,
};
use report::{About, report};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

/// Exit codes, by the gravest kind of trouble.
const EXIT_CODES: &str = "Exit codes: 0 everything holds · 1 it could not be tried · 2 usage · \
10 altered · 11 missing · 12 unverifiable (another key) · 13 unreadable · \
14 unexpected (something is there that must not be) · 15 exposed (others can read a secret key)";

/// Verify a proof, an export, a data directory, or a server; exits 0 only if everything holds.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Verify {
    /// A .tlog-proof file, an export, a data directory (its server may be running), or a server's URL
    target: String,
    /// Key to trust, a vkey or a file with one; get it once over a path you trust. For a whole directory that of _control, which tells the others; may be given several times
    #[arg(long, value_name = "VKEY", required = true)]
    key: Vec<String>,
    /// Name of the log, for a URL; for a directory, to verify this log alone
    #[arg(long, value_name = "NAME")]
    log: Option<String>,
    /// The record, for a proof
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// A checkpoint (or proof) held from before, which what is there now must continue; for a whole directory one of each log
    #[arg(long, value_name = "FILE")]
    since: Vec<PathBuf>,
    /// Read a directory from the disk itself, not from what the system keeps in memory
    #[arg(long)]
    from_disk: bool,
    /// Compare the search index with the records too; its server must not run
    #[arg(long)]
    index: bool,
}

impl Verify {
    pub(crate) fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let keys: Vec<VerifyingKey> =
            self.key.iter().map(|key| read_key(key)).collect::<anyhow::Result<_>>()?;
        let started = Instant::now();
        let (verdict, about) = if is_url(&self.target) {
            block_on(server::verify(
                global,
                &self.target,
                self.log_name()?,
                one(&keys)?,
                self.held(&keys)?.map(|held| held.0),
            ))?
        } else {
            self.files(&keys)?
        };
        report(global, &verdict, &about, started)
    }

    fn files(&self, keys: &[VerifyingKey]) -> anyhow::Result<(Verdict, About)> {
        let path = Path::new(&self.target);
        let found = match std::fs::metadata(path) {
            Ok(found) => found,
            Err(error) => return Ok(unreadable(path, &error)),
        };
        if found.is_dir() {
            return self.directory(path, keys);
        }
        if manifest_of(path).is_file() {
            let bar = output::progress(0, "records");
            let found = verify_export(path, one(keys)?, &|done, total| {
                bar.set_length(total);
                bar.set_position(done);
            });
            bar.finish_and_clear();
            return Ok((found.verdict, About::Export(found.manifest.map(Box::new))));
        }
        self.proof(path, keys)
    }

    fn proof(&self, path: &Path, keys: &[VerifyingKey]) -> anyhow::Result<(Verdict, About)> {
        let Some(record_path) = &self.record else {
            bail!(
                "a proof is verified with its record: add --record FILE (`indelible get LOG INDEX --raw` writes it); an export, with FILE.manifest beside it"
            );
        };
        let proof = match std::fs::read(path) {
            Ok(proof) => proof,
            Err(error) => return Ok(unreadable(path, &error)),
        };
        let record = match std::fs::read(record_path) {
            Ok(record) => record,
            Err(error) => return Ok(unreadable(record_path, &error)),
        };
        let held = self.held(keys)?.map(|held| held.0);
        let (verdict, proof) = verify_proof(&proof, &record, one(keys)?, held.as_ref());
        Ok((
            verdict,
            proof.map_or(About::Nothing, |proof: OfflineProof| About::Proof {
                index: proof.index,
                hashes: proof.hashes.len(),
            }),
        ))
    }

    fn directory(&self, path: &Path, keys: &[VerifyingKey]) -> anyhow::Result<(Verdict, About)> {
        let options = Options { from_disk: self.from_disk, ..Options::default() };
        let bar = output::progress(0, "records");
        let progress = |done: u64, total: u64| {
            bar.set_length(total.max(done));
            bar.set_position(done);
        };
        let mut verdict = match &self.log {
            Some(name) => {
                indelible_log::check_log_name(name)?;
                let held = self.held(keys)?.map(|held| held.1);
                verify_log(path, name, one(keys)?, held.as_deref(), options, &progress)
            }
            None => {
                let held = self.all_held()?;
                verify_directory(path, keys, &held, options, &progress)
            }
        };
        bar.finish_and_clear();
        // What does not hold is no measure for an index.
        if self.index && verdict.findings.is_empty() {
            index::compare(path, self.log.as_deref(), &mut verdict)?;
            verdict.coverage.unproven.remove(&Unproven::Index);
        }
        Ok((verdict, About::Directory))
    }

    fn log_name(&self) -> anyhow::Result<&str> {
        self.log.as_deref().context("name the log to verify with --log NAME")
    }

    /// The one checkpoint held from before, if one was given.
    fn held(&self, keys: &[VerifyingKey]) -> anyhow::Result<Option<(Checkpoint, String)>> {
        match self.since.as_slice() {
            [] => Ok(None),
            [path] => read_checkpoint(path, one(keys)?).map(Some),
            _ => bail!("one log has one --since: the newest checkpoint held"),
        }
    }

    /// The checkpoints held, each with the name of its log. The keys that check them are
    /// those that the directory's check finds.
    fn all_held(&self) -> anyhow::Result<Vec<(String, String)>> {
        let read = |path: &PathBuf| {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("could not read {}", path.display()))?;
            let note = match OfflineProof::parse(text.as_bytes()) {
                Ok(proof) => proof.checkpoint,
                Err(_) => text,
            };
            let name = note.lines().next().and_then(|origin| origin.rsplit_once('/'));
            let (_, name) = name.with_context(|| format!("{} is no checkpoint", path.display()))?;
            Ok((name.to_owned(), note))
        };
        self.since.iter().map(read).collect()
    }
}

fn is_url(target: &str) -> bool {
    target.starts_with("http://") || target.starts_with("https://")
}

fn one(keys: &[VerifyingKey]) -> anyhow::Result<&VerifyingKey> {
    match keys {
        [key] => Ok(key),
        _ => bail!("one --key is for this; several are for a whole directory"),
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> (Verdict, About) {
    let message = format!("{}: {error}", path.display());
    (Verdict::finding(FindingKind::Unreadable, message), About::Nothing)
}
