//! `indelible append`.

use crate::{
    connect::open_log,
    global::Global,
    output::{self, BAD, GOOD, count, line, note},
};
use anyhow::Context as _;
use indelible_client::{AppendOptions, LogClient, VerifiedReceipt};
use indelible_event::recognise;
use indelible_tlog::Checkpoint;
use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Write as _},
    path::PathBuf,
    process::ExitCode,
};

/// Events in one request.
const BATCH_EVENTS: usize = 1000;
/// Bytes in one request.
const BATCH_BYTES: usize = 4 << 20;

/// Append events from files or standard input, and check every receipt.
///
/// Takes native events, CloudTrail files (`Records`) and Kubernetes audit events and
/// EventLists, as JSON documents or one per line. Running it again appends nothing
/// twice where events have ids.
#[derive(Debug, clap::Args)]
pub(crate) struct Append {
    /// Name of the log
    log: String,
    /// Files; `-` or none: standard input
    files: Vec<PathBuf>,
    /// Write a receipt with its offline proof for each event to FILE, one JSON object a line
    #[arg(long, value_name = "FILE")]
    receipts: Option<PathBuf>,
    /// Key of the log, a vkey or a file with one; without it the server is asked for it
    #[arg(long, value_name = "VKEY")]
    key: Option<String>,
    /// Take the events as this format instead of recognising it
    #[arg(long, value_name = "NAME")]
    format: Option<String>,
}

/// Sends events in batches and keeps the counts.
struct Sender {
    log: LogClient,
    format: Option<String>,
    receipts: Option<File>,
    batch: Vec<String>,
    batch_format: String,
    batch_bytes: usize,
    created: u64,
    duplicates: u64,
    refused: u64,
    bytes: u64,
}

impl Append {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let log = open_log(global, &self.log, self.key.as_deref()).await?;
        let receipts = match &self.receipts {
            Some(path) => Some(
                File::create(path)
                    .with_context(|| format!("could not create {}", path.display()))?,
            ),
            None => None,
        };
        let mut sender = Sender {
            log,
            format: self.format,
            receipts,
            batch: Vec::new(),
            batch_format: String::new(),
            batch_bytes: 0,
            created: 0,
            duplicates: 0,
            refused: 0,
            bytes: 0,
        };
        let files = if self.files.is_empty() { vec![PathBuf::from("-")] } else { self.files };
        let total = files
            .iter()
            .filter_map(|path| std::fs::metadata(path).ok())
            .map(|found| found.len())
            .sum();
        let bar = output::progress(total, "bytes");
        for path in &files {
            bar.set_message(
                path.file_name()
                    .map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
            );
            let before = bar.position();
            sender
                .file(path, &bar)
                .await
                .with_context(|| format!("while appending {}", path.display()))?;
            bar.set_position(before + std::fs::metadata(path).map_or(0, |found| found.len()));
        }
        sender.flush().await?;
        bar.finish_and_clear();
        let checkpoint = sender.log.advance(None).await?.0;
        sender.report(global, &checkpoint)
    }
}

impl Sender {
    /// Reads one file: line by line if its first line is a whole document, else as
    /// one document.
    async fn file(&mut self, path: &PathBuf, bar: &indicatif::ProgressBar) -> anyhow::Result<()> {
        let input: Box<dyn Read> = if path.as_os_str() == "-" {
            Box::new(std::io::stdin())
        } else {
            Box::new(File::open(path)?)
        };
        let mut input = BufReader::with_capacity(1 << 20, input);
        let mut text = String::new();
        while text.trim().is_empty() && input.read_line(&mut text)? > 0 {}
        let first_is_whole =
            serde_json::from_str::<&serde_json::value::RawValue>(text.trim()).is_ok();
        if !first_is_whole {
            input.read_to_string(&mut text)?;
            return self.document(&text).await;
        }
        loop {
            if !text.trim().is_empty() {
                self.document(&text).await?;
                bar.inc(text.len() as u64);
            }
            text.clear();
            if input.read_line(&mut text)? == 0 {
                return Ok(());
            }
        }
    }

    async fn document(&mut self, text: &str) -> anyhow::Result<()> {
        let (format, events) = recognise(text)?;
        let format = self.format.clone().unwrap_or_else(|| format.name().to_owned());
        for event in events {
            let full =
                self.batch.len() >= BATCH_EVENTS || self.batch_bytes + event.len() > BATCH_BYTES;
            if full || self.batch_format != format {
                self.flush().await?;
                self.batch_format.clone_from(&format);
            }
            self.batch_bytes += event.len();
            self.batch.push(event.to_owned());
        }
        Ok(())
    }

    async fn flush(&mut self) -> anyhow::Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let options = AppendOptions {
            format: Some(self.batch_format.clone()),
            proof: self.receipts.is_some(),
            partial: true,
        };
        let events: Vec<&str> = self.batch.iter().map(String::as_str).collect();
        let results = self.log.append(&events, &options).await?;
        for (event, result) in events.iter().zip(&results) {
            match result {
                Ok(receipt) => {
                    match receipt.receipt.status {
                        indelible_api::ReceiptStatus::Created => self.created += 1,
                        indelible_api::ReceiptStatus::Duplicate => self.duplicates += 1,
                    }
                    if let Some(file) = &mut self.receipts {
                        write_receipt(file, receipt)?;
                    }
                }
                Err(error) => {
                    self.refused += 1;
                    let start: String = event.chars().take(80).collect();
                    note(format_args!("{BAD}refused{BAD:#} ({}) {}", error.code, error.message));
                    note(format_args!("  {start}"));
                }
            }
        }
        self.bytes += self.batch_bytes as u64;
        self.batch.clear();
        self.batch_bytes = 0;
        Ok(())
    }

    fn report(&self, global: &Global, checkpoint: &Checkpoint) -> anyhow::Result<ExitCode> {
        if global.json {
            output::json(&serde_json::json!({
                "created": self.created, "duplicates": self.duplicates, "refused": self.refused,
                "size": checkpoint.size, "root": checkpoint.root.to_string(),
            }))?;
        } else {
            let duplicates = if self.duplicates > 0 {
                format!(", {} were there already", count(self.duplicates))
            } else {
                String::new()
            };
            line(format_args!(
                "{GOOD}appended{GOOD:#} {} events ({}){duplicates}; every receipt checked",
                count(self.created),
                output::bytes(self.bytes)
            ));
            line(format_args!(
                "  log now has {} records, root {}",
                count(checkpoint.size),
                checkpoint.root
            ));
            if self.refused > 0 {
                line(format_args!(
                    "  {BAD}{} events were refused{BAD:#}, see above",
                    count(self.refused)
                ));
            }
        }
        Ok(if self.refused > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

fn write_receipt(file: &mut File, receipt: &VerifiedReceipt) -> anyhow::Result<()> {
    let VerifiedReceipt { receipt, proof } = receipt;
    let line = serde_json::json!({
        "index": receipt.index, "id": receipt.id, "leaf_hash": receipt.leaf_hash, "status": receipt.status,
        "proof": proof.as_ref().map(ToString::to_string),
    });
    writeln!(file, "{line}").context("could not write the receipts")
}
