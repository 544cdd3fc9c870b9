//! `indelible context`.

use crate::{
    commands::search::whole, connect::open_log, global::Global, output, row::print_row_of,
};
use indelible_api::RecordName;
use std::process::ExitCode;

/// Show what happened around a record: before and after it, or by the same actor.
///
/// Oldest first; > marks the record itself.
#[derive(Debug, clap::Args)]
pub(crate) struct Context {
    /// Name of the log
    log: String,
    /// Index of the record, such as 17, or id:ID
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
        let record: RecordName = self.record.parse()?;
        let log = open_log(global, &self.log, None).await?;
        let at = log.event(&record).await?.index;
        let (name, mut after) = (RecordName::Index(at), None::<String>);
        loop {
            let lines = self.lines.into();
            let around = log.context(&name, &self.by, lines, after.as_deref()).await?;
            for view in &around.items {
                if global.json {
                    output::json(view)?;
                } else {
                    print_row_of(if view.index == at { "> " } else { "  " }, view);
                }
            }
            after = around.next;
            if after.is_none() {
                return whole(&around.searched, global.json);
            }
        }
    }
}
