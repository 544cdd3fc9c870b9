//! An export, checked offline: what the log signed of it, every record and proof in it,
//! that the query finds each, and that every byte of the file is what these records give.

mod compare;
mod evidence;

use crate::verdict::{Coverage, Finding, FindingKind, Unproven, Verdict, of_checkpoint};
use compare::Compare;
use evidence::Shown;
use indelible_api::{Evidence, ExportFormat, Manifest};
use indelible_event::{Attachment, Envelope, Payload, Timestamp};
use indelible_export::{Writer, parse_manifest, read_record, view};
use indelible_log::chain;
use indelible_query::{Doc, Query};
use indelible_tlog::{Checkpoint, Note, OfflineProof, VerifyingKey, leaf_hash};
use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

/// Longest manifest that is read, in bytes: a note is no longer.
const MAX_MANIFEST: u64 = 1_000_000;
/// Findings that name records; the rest is not looked for.
const MAX_FINDINGS: usize = 100;

/// What an export is, and whether it holds.
#[derive(Debug, Clone)]
pub struct ExportVerdict {
    /// What was checked and found.
    pub verdict: Verdict,
    /// What the log signed of it, if it did.
    pub manifest: Option<Manifest>,
}

/// The file beside an export that says what it is.
#[must_use]
pub fn manifest_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".manifest");
    name.into()
}

/// Verifies the export in `file`, whose signed manifest stands beside it, against a pinned
/// key. `progress` gets the records done.
#[must_use]
pub fn verify_export(
    file: &Path,
    key: &VerifyingKey,
    progress: &dyn Fn(u64, u64),
) -> ExportVerdict {
    let path = manifest_of(file);
    let read = File::open(&path).and_then(|file| {
        let mut note = Vec::new();
        file.take(MAX_MANIFEST + 1).read_to_end(&mut note).map(|_| note)
    });
    let failed =
        |kind, message| ExportVerdict { verdict: Verdict::finding(kind, message), manifest: None };
    let note = match read {
        Ok(note) => note,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let message = format!("{}: an export is verified with its manifest", path.display());
            return failed(FindingKind::Missing, message);
        }
        Err(error) => {
            return failed(FindingKind::Unreadable, format!("{}: {error}", path.display()));
        }
    };
    check_note(file, &note, key, progress)
}

/// Verifies the file of an export against the manifest that the log signed.
pub(crate) fn check_note(
    file: &Path,
    note: &[u8],
    key: &VerifyingKey,
    progress: &dyn Fn(u64, u64),
) -> ExportVerdict {
    match signed(note, key) {
        Ok((manifest, checkpoint)) => {
            let mut check = Check::new(file, &manifest, &checkpoint);
            check.run(progress);
            let verdict = check.verdict.sorted();
            ExportVerdict { verdict, manifest: Some(manifest) }
        }
        Err(finding) => {
            let verdict = Verdict { coverage: Coverage::default(), findings: vec![finding] };
            ExportVerdict { verdict, manifest: None }
        }
    }
}

/// The manifest that the log signed, and the checkpoint in it.
fn signed(bytes: &[u8], key: &VerifyingKey) -> Result<(Manifest, Checkpoint), Finding> {
    let find = |kind, message: &str| Finding::new(kind, None, message);
    let altered = |message| find(FindingKind::Altered, message);
    let note = Note::parse(bytes)
        .ok()
        .filter(|note| note.to_string().as_bytes() == bytes)
        .ok_or_else(|| altered("its manifest is no signed note"))?;
    if let Err(error) = note.verify(std::slice::from_ref(key)) {
        let error = error.into();
        let message = format!("its manifest does not hold under this key: {}", chain(&error));
        return Err(Finding::new(of_checkpoint(&error), None, message));
    }
    let manifest = parse_manifest(&note.text)
        .filter(|manifest| manifest.v == 2)
        .ok_or_else(|| altered("what is signed beside it is no manifest of an export"))?;
    let checkpoint = Checkpoint::verify(manifest.checkpoint.as_bytes(), key).map_err(|error| {
        let message = format!("its checkpoint does not hold under this key: {}", chain(&error));
        Finding::new(of_checkpoint(&error), None, message)
    })?;
    let log = manifest.origin.rsplit_once('/').map(|(_, log)| log);
    if manifest.origin != key.name() || log != Some(manifest.log.as_str()) {
        return Err(altered("its manifest is of another log than its key"));
    }
    if (checkpoint.size, &checkpoint.origin) != (manifest.size, &manifest.origin) {
        return Err(altered("its manifest does not say what its checkpoint does"));
    }
    Ok((manifest, checkpoint))
}

struct Check<'a> {
    file: &'a Path,
    manifest: &'a Manifest,
    checkpoint: &'a Checkpoint,
    verdict: Verdict,
}

impl<'a> Check<'a> {
    fn new(file: &'a Path, manifest: &'a Manifest, checkpoint: &'a Checkpoint) -> Self {
        let mut verdict = Verdict::default();
        verdict.coverage.head = Some(checkpoint.clone());
        verdict.coverage.checkpoints = 1;
        verdict.coverage.unproven.insert(Unproven::Others);
        if manifest.narrowed {
            verdict.coverage.unproven.insert(Unproven::Narrowed);
        }
        Self { file, manifest, checkpoint, verdict }
    }

    fn find(&mut self, kind: FindingKind, index: Option<u64>, message: impl Into<String>) {
        if self.verdict.findings.len() < MAX_FINDINGS {
            self.verdict.find(kind, index, message);
        }
    }

    fn run(&mut self, progress: &dyn Fn(u64, u64)) {
        let as_signed = match evidence::hash(self.file) {
            Ok((bytes, sha256)) => {
                self.verdict.coverage.file_bytes = bytes;
                (bytes, &sha256) == (self.manifest.bytes, &self.manifest.sha256)
            }
            Err(error) => {
                let kind = match error.kind() {
                    std::io::ErrorKind::NotFound => FindingKind::Missing,
                    _ => FindingKind::Unreadable,
                };
                return self.find(kind, None, format!("{}: {error}", self.file.display()));
            }
        };
        if !as_signed {
            self.find(FindingKind::Altered, None, "it is not the file that the log signed");
        }
        if !self.manifest.proofs {
            self.verdict.coverage.unproven.insert(Unproven::Records);
            return;
        }
        if self.manifest.format == ExportFormat::Parquet && !as_signed {
            // Lines can be read one by one; of what stands in this file nothing can be
            // relied on, not even how much memory it takes.
            return;
        }
        let made_at = self.manifest.made_at.parse::<Timestamp>();
        let made_at = made_at.map(Timestamp::as_micros).map_err(|e| e.to_string());
        let query = made_at
            .and_then(|at| indelible_query::parse(&self.manifest.q, at).map_err(|e| e.to_string()));
        match query {
            Ok(query) => self.records(&query, as_signed, progress),
            Err(error) => self.find(
                FindingKind::Unverifiable,
                None,
                format!("this version cannot ask its query: {error}"),
            ),
        }
    }

    /// Checks every record, and writes the file again from what was proven.
    fn records(&mut self, query: &Query, as_signed: bool, progress: &dyn Fn(u64, u64)) {
        let Manifest { log, format, count, .. } = self.manifest;
        let sink = match Compare::open(self.file) {
            Ok(sink) => sink,
            Err(error) => return self.find(FindingKind::Unreadable, None, error.to_string()),
        };
        let same = sink.state();
        let mut again = Writer::new(log, *format, true, sink);
        let (mut seen, mut first, mut last) = (0, None, None);
        let (mut told, size) = (false, self.manifest.size);
        let read = evidence::read(self.file, *format, |place, shown| {
            let Shown { index, evidence } = match shown {
                Ok(shown) => shown,
                Err(problem) => {
                    told = true;
                    self.find(FindingKind::Altered, None, format!("{place}: {problem}"));
                    return;
                }
            };
            if last.is_some_and(|last| index <= last) || index >= size {
                told = true;
                let message = format!("{place}: record {index} is out of its place");
                self.find(FindingKind::Altered, Some(index), message);
            }
            first = first.or(Some(index));
            last = Some(index);
            seen += 1;
            if let Err(problem) = self.record(index, evidence, query, &mut again) {
                told = true;
                self.find(FindingKind::Altered, Some(index), format!("record {index}: {problem}"));
            } else if !told && same.differs() {
                told = true;
                self.differs(Some(index), as_signed);
            }
            progress(seen, *count);
        });
        if let Err(error) = read {
            let kind = match error.kind() {
                std::io::ErrorKind::InvalidData => FindingKind::Altered,
                _ => FindingKind::Unreadable,
            };
            self.find(kind, None, format!("{}: {error}", self.file.display()));
            return;
        }
        let ended = again.and_then(Writer::finish).is_ok_and(Compare::ends_here);
        if !told && (!ended || same.differs()) {
            self.differs(None, as_signed);
        }
        if (self.manifest.count, self.manifest.first, self.manifest.last) != (seen, first, last) {
            let message =
                format!("the log signed {} records, and the file has {seen}", self.manifest.count);
            let kind = match seen < self.manifest.count {
                true => FindingKind::Missing,
                false => FindingKind::Altered,
            };
            self.find(kind, None, message);
        }
    }

    /// The file is not what its records give, written again.
    fn differs(&mut self, index: Option<u64>, as_signed: bool) {
        let other = self.manifest.written_by != indelible_export::VERSION;
        if as_signed && other {
            // The records are proven, the file is the one that was signed: only the way in
            // which another version shows a record cannot be checked by this one.
            self.verdict.coverage.unproven.insert(Unproven::Rendering);
            return;
        }
        let message = match index {
            Some(index) => {
                format!("record {index}: what stands beside the record is not what it says")
            }
            None => "what stands beside the records is not what they say".to_owned(),
        };
        self.find(FindingKind::Altered, index, message);
    }

    /// Checks a record, and writes it again.
    fn record(
        &mut self,
        index: u64,
        evidence: Evidence,
        query: &Query,
        again: &mut std::io::Result<Writer<Compare>>,
    ) -> Result<(), String> {
        let (Some(text), Some(proof)) = (&evidence.record, &evidence.proof) else {
            return Err("it has no proof".to_owned());
        };
        let record = read_record(text).ok_or("its bytes cannot be read")?;
        let proof = OfflineProof::parse(proof.as_bytes()).map_err(|e| chain(&e))?;
        if proof.index != index {
            return Err(format!("its proof is of record {}", proof.index));
        }
        // The manifest's is verified, once for all.
        if proof.checkpoint != self.manifest.checkpoint {
            return Err("it is proven under another checkpoint than the manifest's".to_owned());
        }
        let leaf = leaf_hash(&record);
        proof.verify_under(&leaf, self.checkpoint).map_err(|e| chain(&e))?;
        let envelope = Envelope::parse(&record).ok().filter(|_| !self.manifest.raw);
        let data = match envelope.as_ref().map(Envelope::payload) {
            Some(Ok(Payload::Inline(data))) => Some(data),
            Some(Ok(Payload::Attachment(named))) => {
                let data = evidence.attachment.as_deref().ok_or("its attachment is missing")?;
                if Attachment::of(data.as_bytes()) != named {
                    return Err("its attachment is not the one that the record names".to_owned());
                }
                self.verdict.coverage.attachments += 1;
                Some(data)
            }
            _ => None,
        };
        let asked = Envelope::parse(&record).ok();
        if !query.matches(&Doc::read(index, asked.as_ref(), data.unwrap_or_default())) {
            return Err("the query does not find it".to_owned());
        }
        let view = view(index, self.manifest.raw, &record, data);
        self.verdict.coverage.records += 1;
        self.verdict.coverage.record_bytes += record.len() as u64;
        drop(asked);
        drop(envelope);
        if let Ok(writer) = again {
            let evidence = evidence.clone();
            writer
                .write(view, evidence)
                .and_then(|()| writer.flush())
                .map_err(|e| e.to_string())?;
        }
        Ok(())
    }
}
