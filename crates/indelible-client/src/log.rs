//! One log of a server, with its key pinned.

mod reading;

use crate::{
    answer,
    client::{Client, segment},
    error::{ClientError, Result},
};
use indelible_api::{Appended, Consistency, Receipt, ReceiptItem, ReceiptStatus, RecordName};
use indelible_event::{Attachment, MAX_RECORD_LEN, Payload, RecordHeader, Timestamp};
use indelible_tlog::{
    Checkpoint, CheckpointError, Hash, KeyLine, NoteError, OfflineProof, TilePath, VerifyingKey,
    leaf_hash, verify_consistency, verify_inclusion,
};
use reqwest::{Method, RequestBuilder};
use std::sync::{Arc, Mutex, PoisonError};

/// How to append.
#[derive(Debug, Clone, Default)]
pub struct AppendOptions {
    /// Format of the events; default native.
    pub format: Option<String>,
    /// Ask for, and check, an inclusion proof for each event.
    pub proof: bool,
    /// Append what is good; the others' items are errors.
    pub partial: bool,
}

/// A receipt that was checked.
#[derive(Debug, Clone)]
pub struct VerifiedReceipt {
    /// The receipt.
    pub receipt: Receipt,
    /// The offline proof, if proofs were asked for.
    pub proof: Option<OfflineProof>,
}

/// A log of a server. Clones share what was seen of the log.
#[derive(Debug, Clone)]
pub struct LogClient {
    client: Client,
    name: String,
    key: VerifyingKey,
    /// The keys of the log, as far as they were needed: the pinned one, or all.
    line: Arc<Mutex<KeyLine>>,
    /// The largest checkpoint seen.
    held: Arc<Mutex<Option<Checkpoint>>>,
}

impl Client {
    /// One log, with its key pinned; without one, the server's word is taken for it
    /// this once (trust on first use).
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn log(&self, name: &str, key: Option<VerifyingKey>) -> Result<LogClient> {
        let key = match key {
            Some(key) => key,
            None => self
                .log_info(name)
                .await?
                .vkey
                .parse()
                .map_err(|_| ClientError::Answer("the server's vkey is not a key".into()))?,
        };
        let line = Arc::new(Mutex::new(KeyLine::new(key.clone())));
        let (client, name) = (self.clone(), name.to_owned());
        Ok(LogClient { client, name, key, line, held: Arc::default() })
    }
}

impl LogClient {
    /// The pinned key.
    #[must_use]
    pub const fn key(&self) -> &VerifyingKey {
        &self.key
    }

    /// Checks a signed checkpoint with the keys of the log, of which the pinned one is one.
    /// One that no known key signed may be a newer key's: then the announcements of keys
    /// are fetched, and must continue what is known.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn check_checkpoint(&self, note: &str) -> Result<Checkpoint> {
        let known = self.line.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match known.checkpoint(note.as_bytes()) {
            Err(CheckpointError::Note(NoteError::Unsigned)) => {}
            other => return Ok(other?),
        }
        let refused =
            |problem: String| ClientError::Answer(format!("the announcements of keys: {problem}"));
        let keys = self.client.log_info(&self.name).await?.keys;
        let notes: Vec<String> = keys.into_iter().filter_map(|key| key.announcement).collect();
        if notes.is_empty() {
            return Ok(known.checkpoint(note.as_bytes())?);
        }
        let line = KeyLine::read(&self.key, &notes).map_err(|e| refused(e.to_string()))?;
        let goes_on = line.keys().starts_with(known.keys())
            && line.announced().starts_with(known.announced());
        // Until they were fetched only the pinned one is known, wherever in the line it is.
        if known.keys().len() > 1 && !goes_on {
            return Err(refused("they do not continue those of before".to_owned()));
        }
        let checkpoint = line.checkpoint(note.as_bytes())?;
        *self.line.lock().unwrap_or_else(PoisonError::into_inner) = line;
        Ok(checkpoint)
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.client.request(Method::GET, &format!("/v1/logs/{}/{path}", segment(&self.name)))
    }

    /// Appends events of one format, each a JSON text, in one request. Returns one item
    /// per event, in order: a receipt that was checked, or (partial) its error.
    ///
    /// # Errors
    /// [`ClientError`]; when it is about a receipt the events may be in the log, but
    /// the server is not to be trusted.
    pub async fn append(
        &self,
        events: &[&str],
        options: &AppendOptions,
    ) -> Result<Vec<std::result::Result<VerifiedReceipt, indelible_api::ItemError>>> {
        let format = options.format.as_deref().unwrap_or(indelible_event::NATIVE);
        let events: Vec<(&str, &str)> = events.iter().map(|event| (format, *event)).collect();
        self.append_each(&events, options).await
    }

    /// The same, each event after the name of its format. Where they are of one, the
    /// server is told; where not, it tells them by itself.
    ///
    /// # Errors
    /// As [`LogClient::append`].
    pub async fn append_each(
        &self,
        events: &[(&str, &str)],
        options: &AppendOptions,
    ) -> Result<Vec<std::result::Result<VerifiedReceipt, indelible_api::ItemError>>> {
        let bytes = events.iter().map(|(_, event)| event.len() + 1).sum::<usize>();
        let mut body = Vec::with_capacity(bytes + 2);
        body.push(b'[');
        for (n, (_, event)) in events.iter().enumerate() {
            if n > 0 {
                body.push(b',');
            }
            body.extend_from_slice(event.as_bytes());
        }
        body.push(b']');
        let first = events.first().map(|(format, _)| *format);
        let one = first.filter(|first| events.iter().all(|(format, _)| format == first));
        let path = format!("/v1/logs/{}/events", segment(&self.name));
        let request = self
            .client
            .request(Method::POST, &path)
            .query(&(("proof", options.proof), ("partial", options.partial), ("format", one)))
            .header("content-type", "application/json")
            .body(body);
        let most = answer::CHECKPOINT + events.len().saturating_mul(answer::RECEIPT);
        let appended: Appended = self.client.json_within(most, request).await?;
        self.check(events, options, appended).await
    }

    /// Checks an answer against the events it is for.
    async fn check(
        &self,
        events: &[(&str, &str)],
        options: &AppendOptions,
        appended: Appended,
    ) -> Result<Vec<std::result::Result<VerifiedReceipt, indelible_api::ItemError>>> {
        if appended.receipts.len() != events.len() {
            return Err(ClientError::Answer(format!(
                "{} receipts for {} events",
                appended.receipts.len(),
                events.len()
            )));
        }
        let checkpoint = self.check_checkpoint(&appended.checkpoint).await?;
        let received_at: Timestamp = appended
            .received_at
            .parse()
            .map_err(|_| ClientError::Answer("received_at is not a time".into()))?;
        let mut headers: Vec<(&str, RecordHeader)> = Vec::new();
        let mut record = Vec::new();
        let mut checked = Vec::with_capacity(events.len());
        for (position, ((format, event), item)) in events.iter().zip(appended.receipts).enumerate()
        {
            let receipt = match item {
                ReceiptItem::Receipt(receipt) => receipt,
                ReceiptItem::Refused { error } => {
                    checked.push(Err(error));
                    continue;
                }
            };
            let leaf: Hash = receipt
                .leaf_hash
                .parse()
                .map_err(|_| ClientError::Answer("leaf_hash is not a hash".into()))?;
            if !headers.iter().any(|(known, _)| known == format) {
                let header = RecordHeader::new(received_at, &appended.recorded_by, format);
                headers.push((format, header));
            }
            let header = headers.iter().find(|(known, _)| known == format);
            let Some((_, header)) = header else { continue };
            // A duplicate's record was made by the first append; only its proof can be checked.
            if receipt.status == ReceiptStatus::Created
                && leaf != expected_leaf(header, &receipt.id, event.trim(), &mut record)
            {
                return Err(ClientError::OtherRecord { position });
            }
            if receipt.index >= checkpoint.size {
                return Err(ClientError::Answer(format!(
                    "record {} is not under the checkpoint of {} records",
                    receipt.index, checkpoint.size
                )));
            }
            let proof = match (&receipt.inclusion_proof, options.proof) {
                (_, false) => None,
                (None, true) => {
                    return Err(ClientError::Answer(
                        "a receipt has no proof although one was asked for".into(),
                    ));
                }
                (Some(texts), true) => {
                    Some(check_inclusion(&receipt, leaf, texts, &checkpoint, &appended.checkpoint)?)
                }
            };
            checked.push(Ok(VerifiedReceipt { receipt, proof }));
        }
        self.hold(checkpoint);
        Ok(checked)
    }

    /// Keeps the largest checkpoint. Answers of concurrent appends arrive in any
    /// order, so a smaller one is no sign of anything here; see [`LogClient::advance`].
    fn hold(&self, checkpoint: Checkpoint) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.as_ref().is_none_or(|held| held.size < checkpoint.size) {
            *held = Some(checkpoint);
        }
    }

    /// Fetches the latest checkpoint, and checks that it continues the largest one
    /// seen before and, if given, `since`.
    ///
    /// # Errors
    /// [`ClientError::WentBack`] or [`ClientError::Forked`] when it does not.
    pub async fn advance(&self, since: Option<&Checkpoint>) -> Result<(Checkpoint, String)> {
        let note = self.client.text(answer::CHECKPOINT, self.get("checkpoint")).await?;
        let checkpoint = self.check_checkpoint(&note).await?;
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for older in held.iter().chain(since) {
            self.check_continues(older, &checkpoint).await?;
        }
        self.hold(checkpoint.clone());
        Ok((checkpoint, note))
    }

    async fn check_continues(&self, older: &Checkpoint, newer: &Checkpoint) -> Result<()> {
        let (from, to) = (older.size, newer.size);
        if from > to {
            return Err(ClientError::WentBack { size: to, held: from });
        }
        if from == 0 {
            return Ok(());
        }
        let answer: Consistency =
            self.client.json(self.get("consistency").query(&[("from", from), ("to", to)])).await?;
        let proof: std::result::Result<Vec<Hash>, _> =
            answer.proof.iter().map(|hash| hash.parse()).collect();
        let proof = proof.map_err(|_| {
            ClientError::Answer("a consistency proof has something else than hashes".into())
        })?;
        verify_consistency(from, to, &proof, older.root.as_ref(), newer.root.as_ref())
            .map_err(|source| ClientError::Forked { from, to, source })
    }

    /// The bytes of a record, exactly as they were hashed.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn record(&self, record: &RecordName) -> Result<bytes::Bytes> {
        let request = self.get(&named("records", record));
        self.client.bytes(answer::RECORD, request).await
    }

    /// The offline proof of a record, checked against the record.
    ///
    /// # Errors
    /// [`ClientError::Offline`] when it does not hold.
    pub async fn prove(&self, record: &RecordName, size: Option<u64>) -> Result<OfflineProof> {
        let request = self.get(&named("receipts", record));
        let text = self.client.text(answer::PROOF, request.query(&[("size", size)])).await?;
        let proof = OfflineProof::parse(text.as_bytes())?;
        let bytes = self.record(&RecordName::Index(proof.index)).await?;
        let checkpoint = self.check_checkpoint(&proof.checkpoint).await?;
        proof.verify_under(&leaf_hash(&bytes), &checkpoint)?;
        Ok(proof)
    }

    /// A tile or entry bundle below the log's tlog-tiles prefix, not checked here.
    ///
    /// # Errors
    /// [`ClientError`]; also when it is longer than such a tile can be.
    pub async fn tile(&self, path: &TilePath) -> Result<bytes::Bytes> {
        let most = if path.level.is_some() { answer::TILE } else { answer::BUNDLE };
        let path = format!("/tlog/{}/{path}", segment(&self.name));
        self.client.bytes(most, self.client.request(Method::GET, &path)).await
    }

    /// An attachment that a record names, to be checked against it by the caller.
    ///
    /// # Errors
    /// [`ClientError`]; also when it is longer than the record says.
    pub async fn attachment(&self, named: &Attachment) -> Result<bytes::Bytes> {
        let most = match usize::try_from(named.size) {
            Ok(size) if size > 0 => size.min(answer::ATTACHMENT),
            _ => answer::ATTACHMENT,
        };
        self.client.bytes(most, self.get(&format!("attachments/{}", named.hex()))).await
    }
}

/// Where a record is below its log.
fn named(what: &str, record: &RecordName) -> String {
    format!("{what}/{}", segment(&record.to_string()))
}

/// The leaf hash of the record the server must have made.
fn expected_leaf(header: &RecordHeader, id: &str, data: &str, record: &mut Vec<u8>) -> Hash {
    record.clear();
    if header.encode(id, Payload::Inline(data), record) > MAX_RECORD_LEN {
        record.clear();
        header.encode(id, Payload::Attachment(Attachment::of(data.as_bytes())), record);
    }
    leaf_hash(record)
}

fn check_inclusion(
    receipt: &Receipt,
    leaf: Hash,
    texts: &[String],
    checkpoint: &Checkpoint,
    note: &str,
) -> Result<OfflineProof> {
    let hashes: std::result::Result<Vec<Hash>, _> = texts.iter().map(|text| text.parse()).collect();
    let hashes = hashes.map_err(|_| {
        ClientError::Answer("an inclusion proof has something else than hashes".into())
    })?;
    verify_inclusion(
        leaf.as_ref(),
        receipt.index,
        checkpoint.size,
        &hashes,
        checkpoint.root.as_ref(),
    )
    .map_err(|source| ClientError::Inclusion { index: receipt.index, source })?;
    Ok(OfflineProof { extra: None, index: receipt.index, hashes, checkpoint: note.to_owned() })
}
