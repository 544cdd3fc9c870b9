//! `indelible checkpoint`.

use crate::{connect::open_log, global::Global, output, trust::read_checkpoint};
use indelible_tlog::Note;
use std::{path::PathBuf, process::ExitCode};

/// Print the latest signed checkpoint; keep it to verify against later.
#[derive(Debug, clap::Args)]
pub(crate) struct ShowCheckpoint {
    /// Name of the log
    log: String,
    /// Check that it continues the checkpoint in FILE
    #[arg(long, value_name = "FILE")]
    since: Option<PathBuf>,
    /// Key of the log, a vkey or a file with one; without it the server is asked for it
    #[arg(long, value_name = "VKEY")]
    key: Option<String>,
}

impl ShowCheckpoint {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let log = open_log(global, &self.log, self.key.as_deref()).await?;
        let since = match &self.since {
            Some(path) => Some(read_checkpoint(path, log.key())?.0),
            None => None,
        };
        let (checkpoint, text) = log.advance(since.as_ref()).await?;
        if global.json {
            let signatures = Note::parse(text.as_bytes())?.signatures.len();
            output::json(&serde_json::json!({
                "origin": checkpoint.origin, "size": checkpoint.size, "root": checkpoint.root.to_string(),
                "signatures": signatures, "note": text,
            }))?;
        } else {
            output::raw(text.as_bytes())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
