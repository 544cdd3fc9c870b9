//! Sending what was read, in batches, each receipt checked.

use super::input::At;
use crate::output::{self, BAD, note};
use anyhow::Context as _;
use indelible_api::{ItemError, MAX_BODY_BYTES, MAX_EVENTS, ReceiptStatus};
use indelible_client::{AppendOptions, ClientError, LogClient, VerifiedReceipt};
use std::{
    io::Write,
    time::{Duration, Instant},
};

/// Events in one request.
const BATCH_EVENTS: usize = 1000;
/// Bytes in one request.
const BATCH_BYTES: usize = 4 << 20;
/// Longest pause before the server is asked again.
const PAUSE: Duration = Duration::from_secs(15);
/// How long it is still tried when somebody wants to stop.
const LAST_TRIES: Duration = Duration::from_secs(5);

/// An event that was read and not yet sent.
pub(super) struct Held {
    pub(super) at: At,
    pub(super) format: &'static str,
    pub(super) data: String,
}

/// What became of what was read.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Counts {
    pub(super) created: u64,
    pub(super) duplicates: u64,
    pub(super) refused: u64,
    pub(super) bytes: u64,
}

/// Sends events and keeps the counts.
pub(super) struct Sender {
    pub(super) log: LogClient,
    pub(super) receipts: Option<Box<dyn Write>>,
    /// How long a server that is away is asked again; for ever, if there is no end.
    pub(super) patience: Option<Duration>,
    pub(super) all_or_nothing: bool,
    /// When somebody wanted to stop.
    pub(super) stopping: std::rc::Rc<std::cell::Cell<Option<Instant>>>,
    pub(super) batch: Vec<Held>,
    pub(super) batch_bytes: usize,
    pub(super) counts: Counts,
}

impl Sender {
    /// Takes an event; sends what waits when that is enough.
    pub(super) async fn take(&mut self, event: Held) -> anyhow::Result<()> {
        let bytes = self.batch_bytes + event.data.len() + 1;
        if self.all_or_nothing {
            if self.batch.len() == MAX_EVENTS || bytes + 2 > MAX_BODY_BYTES {
                anyhow::bail!(
                    "this is more than one request takes ({MAX_EVENTS} events, {}), and only one request is all or nothing; nothing was appended",
                    output::bytes(MAX_BODY_BYTES as u64)
                );
            }
        } else {
            let is_other = self.batch.first().is_some_and(|first| first.format != event.format);
            if is_other || self.batch.len() >= BATCH_EVENTS || bytes > BATCH_BYTES {
                self.flush().await?;
            }
        }
        self.batch_bytes += event.data.len() + 1;
        self.batch.push(event);
        Ok(())
    }

    /// Sends what waits, and waits for a server that is away.
    pub(super) async fn flush(&mut self) -> anyhow::Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let options = AppendOptions {
            format: None,
            proof: self.receipts.is_some(),
            partial: !self.all_or_nothing,
        };
        let (began, mut pause) = (Instant::now(), Duration::from_millis(250));
        let results = loop {
            let events: Vec<(&str, &str)> =
                self.batch.iter().map(|held| (held.format, held.data.as_str())).collect();
            let error = match self.log.append_each(&events, &options).await {
                Ok(results) => break results,
                Err(error) => error,
            };
            let over = |patience: Option<Duration>| {
                patience.is_some_and(|all| began.elapsed() + pause > all)
            };
            let ends = self.stopping.get().is_some_and(|at| at.elapsed() > LAST_TRIES);
            if !error.may_pass() || ends || over(self.patience) {
                return Err(error.into());
            }
            let waiting = output::count(self.batch.len() as u64);
            note(format_args!(
                "{BAD}waiting{BAD:#} {error}; {waiting} events are held and sent again in {} s",
                pause.as_secs_f32()
            ));
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE);
        };
        self.settle(results)
    }

    /// Counts what became of a batch, and writes its receipts.
    fn settle(&mut self, results: Vec<Result<VerifiedReceipt, ItemError>>) -> anyhow::Result<()> {
        let batch = std::mem::take(&mut self.batch);
        self.counts.bytes += std::mem::take(&mut self.batch_bytes) as u64;
        let mut lines = Vec::new();
        for (held, result) in batch.iter().zip(results) {
            match result {
                Ok(receipt) => {
                    match receipt.receipt.status {
                        ReceiptStatus::Created => self.counts.created += 1,
                        ReceiptStatus::Duplicate => self.counts.duplicates += 1,
                    }
                    if self.receipts.is_some() {
                        serde_json::to_writer(&mut lines, &line_of(&receipt))?;
                        lines.push(b'\n');
                    }
                }
                Err(error) => {
                    self.counts.refused += 1;
                    let start: String = held.data.chars().take(80).collect();
                    refused(&held.at, &error.code, &error.message, &start);
                }
            }
        }
        if let Some(file) = &mut self.receipts {
            file.write_all(&lines).and_then(|()| file.flush()).context(
                "the events are in the log, but their receipts could not be written; append them again with another --receipts to have them",
            )?;
        }
        Ok(())
    }
}

fn line_of(receipt: &VerifiedReceipt) -> serde_json::Value {
    let VerifiedReceipt { receipt, proof } = receipt;
    serde_json::json!({
        "index": receipt.index, "id": receipt.id, "leaf_hash": receipt.leaf_hash, "status": receipt.status,
        "proof": proof.as_ref().map(ToString::to_string),
    })
}

/// Names something that was not appended.
pub(super) fn refused(at: &At, code: &str, message: &str, start: &str) {
    note(format_args!("{BAD}refused{BAD:#} {at}: ({code}) {message}"));
    note(format_args!("  {start}"));
}

/// What is known of a batch whose request ended with an error.
pub(super) fn fate(error: &anyhow::Error) -> &'static str {
    match error.downcast_ref::<ClientError>() {
        Some(ClientError::Api { .. }) => "were not appended",
        Some(_) => "may or may not have been appended (those with ids can be sent again)",
        None => "were appended",
    }
}
