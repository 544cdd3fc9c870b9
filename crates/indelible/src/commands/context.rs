//! `indelible context`.

use crate::{connect::open_log, global::Global, output, row::print_row_of};
use std::process::ExitCode;

/// Show what happened around a record: before and after it, or by the same actor.
///
/// Oldest first; > marks the record itself.
#[derive(Debug, clap::Args)]
pub(crate) struct Context {
    /// Name of the log
    log: String,
    /// Index or id of the record
    record: String,
    /// The records next to it, or the nearest ones with the same of these
    #[arg(long, default_value = "position", value_parser = ["position", "actor", "session", "request", "trace"])]
    by: String,
    /// How many before it, and how many after it
    #[arg(short = 'n', long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(0..=500))]
    lines: u16,
}

impl Context {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let log = open_log(global, &self.log, None).await?;
        let at = log.event(&self.record).await?.index;
        let around = log.context(&at.to_string(), &self.by, self.lines.into()).await?;
        for view in &around.items {
            if global.json {
                output::json(view)?;
            } else {
                print_row_of(if view.index == at { "> " } else { "  " }, view);
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
