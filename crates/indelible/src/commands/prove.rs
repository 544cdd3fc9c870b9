//! `indelible prove`.

use crate::{connect::open_log, global::Global, output};
use indelible_api::RecordName;
use std::process::ExitCode;

/// Write the offline proof of a record (a C2SP tlog-proof) to standard output.
#[derive(Debug, clap::Args)]
pub(crate) struct Prove {
    /// Name of the log
    log: String,
    /// Index, such as 17, or id:ID
    record: String,
    /// Prove it under the checkpoint of this size instead of the latest
    #[arg(long)]
    size: Option<u64>,
    /// Key of the log, a vkey or a file with one; without it the server is asked for it
    #[arg(long, value_name = "VKEY")]
    key: Option<String>,
}

impl Prove {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let record: RecordName = self.record.parse()?;
        let log = open_log(global, &self.log, self.key.as_deref()).await?;
        let proof = log.prove(&record, self.size).await?;
        if global.json {
            output::json(&serde_json::json!({
                "index": proof.index,
                "inclusion_proof": proof.hashes.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "checkpoint": proof.checkpoint,
            }))?;
        } else {
            output::raw(proof.to_string().as_bytes())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
