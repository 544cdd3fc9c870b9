//! `indelible get`, `context`, `tail`, `prove`, `checkpoint`.

use crate::{
    Global,
    commands::open_log,
    output::{self, BAD, FAINT, GOOD, STRONG, line},
};
use anyhow::Context as _;
use indelible_api::EventView;
use indelible_client::LogClient;
use indelible_tlog::{Checkpoint, Note};
use serde_json::Value;
use std::{path::PathBuf, process::ExitCode};

/// Show a record by index or id.
#[derive(Debug, clap::Args)]
pub(crate) struct Get {
    /// Name of the log
    log: String,
    /// Index or id
    record: String,
    /// Write the bytes of the record exactly as they were hashed
    #[arg(long)]
    raw: bool,
}

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

/// Show the newest events, and follow the log.
#[derive(Debug, clap::Args)]
pub(crate) struct Tail {
    /// Name of the log
    log: String,
    /// Go on showing events as they come
    #[arg(short, long)]
    follow: bool,
    /// Only events that this query finds (see `indelible search`)
    #[arg(long, value_name = "QUERY")]
    query: Option<String>,
    /// How many events to begin with
    #[arg(short = 'n', long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(0..=1000))]
    lines: u16,
}

/// Write the offline proof of a record (a C2SP tlog-proof) to standard output.
#[derive(Debug, clap::Args)]
pub(crate) struct Prove {
    /// Name of the log
    log: String,
    /// Index or id
    record: String,
    /// Prove it under the checkpoint of this size instead of the latest
    #[arg(long)]
    size: Option<u64>,
    /// Key of the log, a vkey or a file with one; without it the server is asked for it
    #[arg(long, value_name = "VKEY")]
    key: Option<String>,
}

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

impl Get {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let log = open_log(global, &self.log, None).await?;
        if self.raw {
            let bytes = log.record(&self.record).await?;
            output::raw(&bytes)?;
            return Ok(ExitCode::SUCCESS);
        }
        let view = log.event(&self.record).await?;
        if global.json {
            output::json(&view)?;
        } else {
            show(&view);
        }
        Ok(ExitCode::SUCCESS)
    }
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

impl Tail {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let log = open_log(global, &self.log, None).await?;
        if let Some(q) = &self.query {
            return self.filtered(&log, q, global).await;
        }
        let mut newest = log.events(None, usize::from(self.lines.max(1)), true, 0).await?.items;
        let mut last = newest.first().map(|view| view.index);
        newest.truncate(usize::from(self.lines));
        for view in newest.iter().rev() {
            print_row(view, global.json)?;
        }
        if !self.follow {
            return Ok(ExitCode::SUCCESS);
        }
        loop {
            let page = tokio::select! {
                page = log.events(last, 500, false, 30) => page?,
                _ = tokio::signal::ctrl_c() => return Ok(ExitCode::SUCCESS),
            };
            for view in &page.items {
                print_row(view, global.json)?;
            }
            last = page.items.last().map(|view| view.index).or(last);
        }
    }
}

impl Tail {
    /// The newest that a query finds, and then what it finds of what comes.
    async fn filtered(
        &self,
        log: &LogClient,
        q: &str,
        global: &Global,
    ) -> anyhow::Result<ExitCode> {
        let page = log.search(q, false, usize::from(self.lines.max(1)), None, true).await?;
        let newest = page.items.iter().take(usize::from(self.lines)).rev();
        newest.into_iter().try_for_each(|view| print_row(view, global.json))?;
        let mut last = page.indexed.checked_sub(1);
        if !self.follow {
            return Ok(ExitCode::SUCCESS);
        }
        loop {
            let follow = log.follow(q, last, |view| {
                // A terminal that went away ends the process in print_row.
                drop(print_row(&view, global.json));
            });
            tokio::select! {
                next = follow => last = next?,
                _ = tokio::signal::ctrl_c() => return Ok(ExitCode::SUCCESS),
            }
            // The server ended the stream: it stops, or we were too slow.
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
    }
}

/// One event on one line.
pub(crate) fn print_row(view: &EventView, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        return output::json(view);
    }
    print_row_of("", view);
    Ok(())
}

/// The same, with something before it.
pub(crate) fn print_row_of(before: &str, view: &EventView) {
    let text = |pointer: &str| view.event.pointer(pointer).and_then(Value::as_str).unwrap_or("-");
    let actor = view
        .event
        .pointer("/actor/name")
        .and_then(Value::as_str)
        .unwrap_or_else(|| text("/actor/id"));
    let target = match view.event.pointer("/targets/0") {
        Some(_) => format!("{} {}", text("/targets/0/type"), text("/targets/0/id")),
        None => String::new(),
    };
    let result = text("/outcome/result");
    let style = match result {
        "success" => GOOD,
        "denied" | "failure" => BAD,
        _ => FAINT,
    };
    let time = text("/time").get(..19).unwrap_or_else(|| text("/time"));
    output::row(&format!(
        "{FAINT}{before}{:>8}{FAINT:#}  {time}  {style}{result:8}{style:#}  {actor}  {STRONG}{}{STRONG:#}  {target}",
        view.index,
        text("/action"),
    ));
}

impl Prove {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let log = open_log(global, &self.log, self.key.as_deref()).await?;
        let proof = log.prove(&self.record, self.size).await?;
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

/// Reads a signed checkpoint (or the one in a tlog-proof) from a file and checks it.
pub(crate) fn read_checkpoint(
    path: &PathBuf,
    key: &indelible_tlog::VerifyingKey,
) -> anyhow::Result<(Checkpoint, String)> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("could not read {}", path.display()))?;
    let note = match indelible_tlog::OfflineProof::parse(text.as_bytes()) {
        Ok(proof) => proof.checkpoint,
        Err(_) => text,
    };
    let checkpoint = Checkpoint::verify(note.as_bytes(), key)
        .with_context(|| format!("the checkpoint in {} does not hold", path.display()))?;
    Ok((checkpoint, note))
}
