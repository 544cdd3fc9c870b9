//! `indelible log` and `indelible key`.

use crate::{
    Global,
    output::{self, GOOD, STRONG, count, line},
};
use indelible_client::Client;
use std::process::ExitCode;

/// Create and list logs.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum LogCommand {
    /// Create a log
    Create {
        /// Name: 1 to 63 of a-z, 0-9 and -
        name: String,
        /// Take raw entries (POST /tlog/LOG/add, for tlog tools) instead of events
        #[arg(long)]
        raw_add: bool,
    },
    /// List the logs
    List,
}

/// Show the key of a log.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum KeyCommand {
    /// Print the vkey that checks a log's checkpoints, and nothing else
    Show {
        /// Name of the log
        log: String,
    },
}

impl LogCommand {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = Client::new(&global.url)?;
        match self {
            Self::Create { name, raw_add } => {
                let log = client.create_log(&name, raw_add).await?;
                if global.json {
                    output::json(&log)?;
                } else {
                    line(format_args!("{GOOD}created{GOOD:#} log {STRONG}{}{STRONG:#}", log.name));
                    line(format_args!("  origin {}", log.origin));
                    line(format_args!("  vkey   {}", log.vkey));
                }
            }
            Self::List => {
                let logs = client.logs().await?;
                if global.json {
                    output::json(&logs)?;
                } else if logs.is_empty() {
                    line("no logs yet; create one with `indelible log create NAME`");
                } else {
                    let width = logs.iter().map(|log| log.name.len()).max().unwrap_or(0).max(4);
                    line(format_args!(
                        "{STRONG}{:width$}  {:>12}  {:7}  {:27}  ORIGIN{STRONG:#}",
                        "NAME", "RECORDS", "KIND", "LATEST CHECKPOINT"
                    ));
                    for log in logs {
                        let time = log.checkpoint_time.as_deref().unwrap_or("-");
                        let stopped = if log.accepting { "" } else { "  STOPPED" };
                        line(format_args!(
                            "{:width$}  {:>12}  {:7}  {:27}  {}{stopped}",
                            log.name,
                            count(log.size),
                            log.kind,
                            time,
                            log.origin
                        ));
                    }
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl KeyCommand {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let Self::Show { log } = self;
        let info = Client::new(&global.url)?.log_info(&log).await?;
        if global.json {
            output::json(
                &serde_json::json!({ "log": info.name, "origin": info.origin, "vkey": info.vkey }),
            )?;
        } else {
            line(info.vkey);
        }
        Ok(ExitCode::SUCCESS)
    }
}
