//! `indelible key`.

use crate::{
    connect::connect,
    done::report,
    global::Global,
    output::{self, line},
};
use indelible_api::RotateKey;
use std::process::ExitCode;

/// Show and replace the key of a log.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum KeyCommand {
    /// Print the vkey that checks a log's checkpoints, and nothing else
    Show {
        /// Name of the log
        log: String,
        /// All keys that have signed, oldest first, and until when
        #[arg(long)]
        all: bool,
    },
    /// Replace the signing key of a log; the old one signs beside it for a while
    Rotate {
        /// Name of the log
        log: String,
        /// Hours during which both keys sign
        #[arg(long, default_value_t = 720, value_name = "HOURS")]
        overlap: u32,
        /// Why, for the trail
        #[arg(long)]
        reason: Option<String>,
    },
}

impl KeyCommand {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = connect(global)?;
        match self {
            Self::Rotate { log, overlap, reason } => {
                let wanted = RotateKey { overlap_hours: Some(overlap), reason };
                let done = client.rotate_key(&log, &wanted).await?;
                report(global, "new", "key", &done)?;
            }
            Self::Show { log, all } => {
                let info = client.log_info(&log).await?;
                if global.json {
                    output::json(&serde_json::json!({
                        "log": info.name, "origin": info.origin, "vkey": info.vkey, "keys": info.keys,
                    }))?;
                } else if all {
                    for key in info.keys {
                        let until = key
                            .signs_until
                            .map_or_else(String::new, |until| format!("  signs until {until}"));
                        line(format_args!("{}{until}", key.vkey));
                    }
                } else {
                    line(info.vkey);
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
