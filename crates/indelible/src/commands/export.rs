//! `indelible export`: asks for an export, waits for it, and downloads it.

use crate::{
    connect::open_log,
    global::Global,
    output::{self, FAINT, GOOD, count, line},
};
use anyhow::{Context as _, bail};
use indelible_api::{
    Code, Export as ExportView, ExportFormat, ExportRequest, ExportState, Manifest,
};
use indelible_client::{ClientError, LogClient};
use indelible_verify::manifest_of;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

/// How long a download that gets nothing is tried again.
const TRIES: u32 = 6;

/// Export everything a query finds to a file, without a limit.
///
/// The server writes the export in the background; then it is downloaded. Interrupted,
/// the same command goes on where it was. Beside FILE stands FILE.manifest: the
/// query, the counts, the checkpoint, the file's hash. With --proofs each record has its
/// bytes and an offline proof, and `indelible verify FILE --key VKEY` checks all of it
/// without a server.
#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// Name of the log
    log: String,
    /// Query, best in quotes; everything, if there is none
    query: Vec<String>,
    /// File to write; must not exist; `-` is standard output, without the manifest
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Format: ndjson, csv, parquet, or ocsf [default: as the file is called, else ndjson]
    #[arg(long, value_parser = ["ndjson", "csv", "parquet", "ocsf"])]
    format: Option<String>,
    /// With each record its bytes and an offline proof
    #[arg(long)]
    proofs: bool,
}

/// What an interrupted export goes on from: FILE.part.json.
#[derive(Serialize, Deserialize)]
struct Unfinished {
    id: String,
    log: String,
    request: ExportRequest,
}

impl Export {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        if self.output.as_os_str() == "-" {
            return self.write_out(global).await;
        }
        let manifest = self.write(global).await?;
        self.report(global, &manifest)
    }

    /// Asks for the export and downloads it.
    async fn write(&self, global: &Global) -> anyhow::Result<Manifest> {
        let shown = self.output.display();
        if self.output.exists() {
            bail!("{shown} exists already; choose another file");
        }
        let log = open_log(global, &self.log, None).await?;
        let (part, state) = (beside(&self.output, "part"), beside(&self.output, "part.json"));
        let request =
            ExportRequest { q: self.query.join(" "), format: self.format(), proofs: self.proofs };
        let id = match self.unfinished(&log, &state, &request).await? {
            Some(id) => id,
            None => {
                let id = log.start_export(&request).await?.id;
                let log = self.log.clone();
                let text = serde_json::to_vec(&Unfinished { id: id.clone(), log, request })?;
                fs::write(&state, text)
                    .with_context(|| format!("could not write {}", state.display()))?;
                File::create(&part)
                    .with_context(|| format!("could not write {}", part.display()))?;
                id
            }
        };
        let (manifest, signed) = match wait(&log, &id).await {
            Ok(done) => done,
            Err(error) => {
                // What failed is begun anew the next time.
                fs::remove_file(&state)?;
                fs::remove_file(&part)?;
                return Err(error);
            }
        };
        download(&log, &id, &part, manifest.bytes).await?;
        if hash(&part)? != manifest.sha256 {
            fs::remove_file(&state)?;
            fs::remove_file(&part)?;
            bail!("what was downloaded is not what the server wrote; run the same command again");
        }
        fs::write(manifest_of(&self.output), signed)?;
        fs::rename(&part, &self.output)?;
        fs::remove_file(&state)?;
        // It is here now, and would be removed after a day anyway.
        if let Err(error) = log.delete_export(&id).await {
            output::note(format_args!("the export is still at the server: {error}"));
        }
        Ok(manifest)
    }

    /// To standard output: only whole and checked, so by way of a file that is gone then.
    async fn write_out(mut self, global: &Global) -> anyhow::Result<ExitCode> {
        let folder = std::env::temp_dir().join(format!("indelible-export-{}", std::process::id()));
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .with_context(|| format!("could not make {}", folder.display()))?;
        self.output = folder.join("export");
        let written = self.write(global).await;
        let copied = written.and_then(|manifest| {
            let mut out = io::stdout();
            let mut file = File::open(folder.join("export"))?;
            match io::copy(&mut file, &mut out).and_then(|_| out.flush()) {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                    Err(error).context("could not write to standard output")
                }
                _ => Ok(manifest),
            }
        });
        fs::remove_dir_all(&folder)?;
        let manifest = copied?;
        output::note(format_args!(
            "{GOOD}exported{GOOD:#} {} events {FAINT}({} bytes of {}){FAINT:#}",
            count(manifest.count),
            count(manifest.bytes),
            manifest.format.name()
        ));
        Ok(ExitCode::SUCCESS)
    }

    fn format(&self) -> ExportFormat {
        let named = |name: &str| ExportFormat::ALL.into_iter().find(|format| format.name() == name);
        let called = self.output.extension().and_then(|name| name.to_str()).and_then(named);
        self.format.as_deref().and_then(named).or(called).unwrap_or_default()
    }

    /// The id of an export that this command was interrupted at.
    async fn unfinished(
        &self,
        log: &LogClient,
        state: &Path,
        request: &ExportRequest,
    ) -> anyhow::Result<Option<String>> {
        let text = match fs::read(state) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("could not read {}", state.display()));
            }
        };
        let found: Unfinished = serde_json::from_slice(&text)
            .with_context(|| format!("{} cannot be read; remove it", state.display()))?;
        if found.log != self.log || found.request != *request {
            bail!(
                "{} is of another export that was interrupted; run that again, or remove it",
                state.display()
            );
        }
        match log.export(&found.id).await {
            Ok(_) => Ok(Some(found.id)),
            Err(ClientError::Api { body, .. }) if body.code == Code::EntryNotFound.name() => {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn report(&self, global: &Global, manifest: &Manifest) -> anyhow::Result<ExitCode> {
        let shown = self.output.display();
        if global.json {
            output::json(&serde_json::json!({
                "file": shown.to_string(),
                "manifest": manifest_of(&self.output).display().to_string(),
                "count": manifest.count,
                "bytes": manifest.bytes,
                "sha256": manifest.sha256,
            }))?;
            return Ok(ExitCode::SUCCESS);
        }
        line(format_args!(
            "{GOOD}exported{GOOD:#} {} events to {shown} {FAINT}({} bytes of {}){FAINT:#}",
            count(manifest.count),
            count(manifest.bytes),
            manifest.format.name()
        ));
        line(format_args!("  what it is: {}", manifest_of(&self.output).display()));
        if self.proofs {
            line(format_args!("  check it offline: indelible verify {shown} --key VKEY"));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

/// Waits until the export is done; what it is, and that as the log signed it.
async fn wait(log: &LogClient, id: &str) -> anyhow::Result<(Manifest, String)> {
    let bar = output::progress(0, "records looked through");
    let mut pause = Duration::from_millis(20);
    loop {
        let ExportView { state, at, size, manifest, signed, error, .. } = log.export(id).await?;
        bar.set_length(size);
        bar.set_position(at);
        match (state, manifest.zip(signed)) {
            (ExportState::Done, Some(done)) => {
                bar.finish_and_clear();
                return Ok(done);
            }
            (ExportState::Running, _) => {}
            _ => bail!("the export failed: {}", error.unwrap_or_default()),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

/// Downloads what is missing of the file, again and again while there is progress.
async fn download(log: &LogClient, id: &str, part: &Path, bytes: u64) -> anyhow::Result<()> {
    let bar = output::progress(bytes, "bytes");
    let mut file = File::options().append(true).create(true).open(part)?;
    let mut have = file.metadata()?.len();
    let mut tries = 0;
    while have < bytes {
        bar.set_position(have);
        let (before, mut failed) = (have, None);
        let got = log.download_export(id, have, |part| {
            if failed.is_none() {
                failed = file.write_all(part).err();
                have += part.len() as u64;
                bar.set_position(have);
            }
        });
        let got = got.await;
        if let Some(error) = failed {
            return Err(error).with_context(|| format!("could not write {}", part.display()));
        }
        tries = if have > before { 0 } else { tries + 1 };
        match got {
            Ok(()) => {}
            Err(error @ ClientError::Connect { .. }) if tries < TRIES => {
                bar.suspend(|| output::note(format_args!("{error}; going on at byte {have}")));
                tokio::time::sleep(Duration::from_millis(200 << tries)).await;
            }
            Err(error) => {
                return Err(error)
                    .context("the download broke; run the same command again and it goes on");
            }
        }
    }
    bar.finish_and_clear();
    Ok(file.sync_all()?)
}

/// SHA-256 of a file, hex.
fn hash(path: &Path) -> anyhow::Result<String> {
    let mut hash = Sha256::new();
    let mut file =
        File::open(path).with_context(|| format!("could not read {}", path.display()))?;
    let mut part = vec![0; 64 << 10];
    loop {
        let read = file.read(&mut part)?;
        if read == 0 {
            break;
        }
        hash.update(part.get(..read).unwrap_or_default());
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
