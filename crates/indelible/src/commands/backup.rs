//! `indelible backup` and `indelible restore`.

use crate::{
    backup::{Backup, back_up, restore},
    global::Global,
    output::{self, FAINT, GOOD, STRONG, bytes, count, line, note},
    trust::read_key,
};
use anyhow::bail;
use indelible_event::Timestamp;
use indelible_log::{Clock as _, SystemClock};
use indelible_tlog::VerifyingKey;
use indelible_verify::{Options, verify_directory};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Copy a data directory, or what is new of it since the last time, while its server runs.
///
/// What is copied is read back and verified. Without --with-keys nobody can write to what
/// is restored from it, only read and verify it: keep the keys apart, or the backup as
/// carefully as the keys.
#[derive(Debug, clap::Args)]
pub(crate) struct BackupCommand {
    /// Data directory
    dir: PathBuf,
    /// Folder of the backup, on other storage: empty, or a backup of this directory
    target: PathBuf,
    /// Copy the secret keys too, so that what is restored can be continued
    #[arg(long)]
    with_keys: bool,
}

impl BackupCommand {
    pub(crate) fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let now = Timestamp::from_micros(SystemClock.now_us()).to_string();
        let say = |log: &str| note(format_args!("{FAINT}copying {log}{FAINT:#}"));
        let done = back_up(&self.dir, &self.target, self.with_keys, &now, &say)?;
        if global.json {
            output::json(&done)?;
            return Ok(ExitCode::SUCCESS);
        }
        line(format_args!(
            "{GOOD}backed up{GOOD:#} {} records in {} logs: {} new files, {}",
            count(done.records),
            count(done.logs),
            count(done.files),
            bytes(done.bytes)
        ));
        if done.keys {
            line(format_args!(
                "  {STRONG}secret keys are in it{STRONG:#}: who has it can sign as these logs"
            ));
        } else {
            line(
                "  without secret keys: it can be verified and read, not continued; --with-keys copies them",
            );
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Make a data directory from a backup, verified before it gets its place.
#[derive(Debug, clap::Args)]
pub(crate) struct RestoreCommand {
    /// Folder of the backup
    target: PathBuf,
    /// Data directory to make; it must be empty or not exist
    dir: PathBuf,
    /// Verify against these keys, not those that the backup names (vkey or file); repeat for several
    #[arg(long, value_name = "VKEY")]
    key: Vec<String>,
    /// Take a backup whose last run did not come to its end
    #[arg(long)]
    incomplete: bool,
}

impl RestoreCommand {
    pub(crate) fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let given = self.key.iter().map(|key| read_key(key)).collect::<anyhow::Result<Vec<_>>>()?;
        let mut records = 0;
        let backup = restore(&self.target, &self.dir, self.incomplete, |copy, backup| {
            records = check(copy, backup, &given)?;
            Ok(())
        })?;
        if global.json {
            output::json(
                &serde_json::json!({ "records": records, "site": backup.site, "keys": backup.keys, "began_at": backup.began_at }),
            )?;
            return Ok(ExitCode::SUCCESS);
        }
        line(format_args!(
            "{GOOD}restored and verified{GOOD:#} {} records of site {}, as of {}",
            count(records),
            backup.site,
            backup.began_at
        ));
        if given.is_empty() {
            line(format_args!(
                "  {FAINT}under the keys that the backup names; --key pins those you know{FAINT:#}"
            ));
        }
        if !backup.keys {
            line(
                "  without secret keys: it can be verified and read; put each logs/NAME/key (and keys/) back, mode 400, and a server can go on with it",
            );
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Verifies what was restored, against the checkpoints of the backup; returns its records.
fn check(copy: &Path, backup: &Backup, given: &[VerifyingKey]) -> anyhow::Result<u64> {
    let named = || backup.vkeys.values().filter_map(|key| key.parse().ok()).collect();
    let keys: Vec<VerifyingKey> = if given.is_empty() { named() } else { given.to_vec() };
    let held: Vec<(String, String)> =
        backup.checkpoints.iter().map(|(log, note)| (log.clone(), note.clone())).collect();
    let options = Options { from_disk: true, ..Options::default() };
    let verdict = verify_directory(copy, &keys, &held, options, &|_, _| {});
    for finding in &verdict.findings {
        let log = finding.log.as_deref().unwrap_or("-");
        note(format_args!("{}  {log}: {}", finding.kind.word(), finding.message));
    }
    if !verdict.findings.is_empty() {
        bail!(
            "what was restored does not hold: {} findings; it is in {} to be looked at, and has not got its place",
            verdict.findings.len(),
            copy.display()
        );
    }
    Ok(verdict.coverage.records)
}
