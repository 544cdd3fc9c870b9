//! `indelible log`.

use crate::{
    connect::connect,
    done::report,
    global::Global,
    output::{self, GOOD, STRONG, count, line},
};
use indelible_api::ChangeLog;
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
    /// List the logs you may know of
    List,
    /// Show a log's checkpoints, consistency proofs and hash tiles to everybody
    Publish {
        /// Name of the log
        log: String,
        /// Why, for the trail
        #[arg(long)]
        reason: Option<String>,
    },
    /// Show them no longer
    Unpublish {
        /// Name of the log
        log: String,
        /// Why, for the trail
        #[arg(long)]
        reason: Option<String>,
    },
}

impl LogCommand {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = connect(global)?;
        match self {
            Self::Publish { log, reason } => {
                let done = client.change_log(&log, &ChangeLog { public: true, reason }).await?;
                report(global, "published", "log", &done)?;
            }
            Self::Unpublish { log, reason } => {
                let done = client.change_log(&log, &ChangeLog { public: false, reason }).await?;
                report(global, "unpublished", "log", &done)?;
            }
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
