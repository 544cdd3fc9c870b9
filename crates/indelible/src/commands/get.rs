//! `indelible get`.

use crate::{
    connect::open_log,
    global::Global,
    output::{self, BAD, FAINT, STRONG, line},
};
use indelible_api::{EventView, RecordName};
use std::process::ExitCode;

/// Show a record by its index, or by its event's id.
#[derive(Debug, clap::Args)]
pub(crate) struct Get {
    /// Name of the log
    log: String,
    /// Index, such as 17, or id:ID
    record: String,
    /// Write the bytes of the record exactly as they were hashed
    #[arg(long)]
    raw: bool,
}

impl Get {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let record: RecordName = self.record.parse()?;
        let log = open_log(global, &self.log, None).await?;
        if self.raw {
            let bytes = log.record(&record).await?;
            output::raw(&bytes)?;
            return Ok(ExitCode::SUCCESS);
        }
        let view = log.event(&record).await?;
        if global.json {
            output::json(&view)?;
        } else {
            show(&view);
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// One record for people: what the server attests, then what the sender claims.
fn show(view: &EventView) {
    line(format_args!(
        "{STRONG}record {}{STRONG:#}  {FAINT}leaf {}{FAINT:#}",
        view.index, view.leaf_hash
    ));
    if let Some(envelope) = &view.envelope {
        line(format_args!("{FAINT}attested by the server{FAINT:#}"));
        line(format_args!("  id           {}", envelope.id));
        line(format_args!("  received at  {}", envelope.received_at));
        line(format_args!("  recorded by  {}", envelope.recorded_by));
        line(format_args!("  format       {}", envelope.format));
    }
    if let Some(note) = &view.note {
        line(format_args!("{BAD}no view:{BAD:#} {note}"));
        return;
    }
    line(format_args!("{FAINT}claimed by the sender{FAINT:#}"));
    output::pretty_json("  ", &view.event);
}
