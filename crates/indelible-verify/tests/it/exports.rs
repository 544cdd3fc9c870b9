//! Exports: an untouched one holds, whatever is in it; a changed one never does, not even
//! when the log signed the change.

use crate::{append, create, event, event_with, files};
use indelible_api::{EventView, Evidence, ExportFormat, Manifest};
use indelible_event::{Envelope, Payload};
use indelible_export::{VERSION, Writer, manifest_text, view, write_record};
use indelible_log::{Batch, Kind, Log};
use indelible_tlog::{OfflineProof, VerifyingKey};
use indelible_verify::{ExportVerdict, FindingKind, Unproven, manifest_of, verify_export};
use sha2::{Digest as _, Sha256};
use std::{
    fs,
    path::{Path, PathBuf},
};

pub(crate) struct Exported {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) log: Log,
    pub(crate) key: VerifyingKey,
}

impl Exported {
    pub(crate) fn of(kind: Kind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (_, log) = create(folder.path(), "prod", kind);
        let key = log.verifying_key();
        Self { folder, log, key }
    }

    /// Some events of two actors.
    pub(crate) fn small() -> Self {
        let exported = Self::of(Kind::Events);
        let actor = |n: usize| if n.is_multiple_of(2) { "ada" } else { "ben" };
        append(&exported.log, (0..9).map(|n| event(&format!("e{n}")).replace("ada", actor(n))));
        exported
    }

    pub(crate) fn file(&self, format: ExportFormat) -> PathBuf {
        self.folder.path().join(format!("out.{}", format.name()))
    }

    pub(crate) fn view(&self, index: u64) -> (EventView, Evidence) {
        let record = self.log.record(index).unwrap();
        let raw = self.log.manifest().kind == Kind::Raw;
        let envelope = Envelope::parse(&record).ok().filter(|_| !raw);
        let data = envelope.as_ref().map(|envelope| self.log.data(envelope).unwrap().into_owned());
        let payload = envelope.map(|envelope| envelope.payload().unwrap());
        let attached = matches!(payload, Some(Payload::Attachment(_)));
        let size = self.log.head().size;
        let hashes = self.log.inclusion_proof(index, size).unwrap();
        let checkpoint = self.log.checkpoint(size).unwrap().to_string();
        let proof = OfflineProof { extra: None, index, hashes, checkpoint };
        let evidence = Evidence {
            record: Some(write_record(&record)),
            attachment: data.clone().filter(|_| attached),
            proof: Some(proof.to_string()),
        };
        (view(index, raw, &record, data.as_deref()), evidence)
    }

    /// Writes an export of these records, as the server does.
    pub(crate) fn write(&self, format: ExportFormat, q: &str, indexes: &[u64]) -> Manifest {
        let mut writer = Writer::new("prod", format, true, Vec::new()).unwrap();
        for index in indexes {
            let (view, evidence) = self.view(*index);
            writer.write(view, evidence).unwrap();
        }
        let bytes = writer.finish().unwrap();
        let head = self.log.head();
        let mut manifest = Manifest {
            v: 2,
            written_by: VERSION.to_owned(),
            log: "prod".to_owned(),
            origin: self.log.manifest().origin.clone(),
            raw: self.log.manifest().kind == Kind::Raw,
            q: q.to_owned(),
            format,
            proofs: true,
            made_by: "token:1".to_owned(),
            made_at: "2026-03-01T12:00:00.000000Z".to_owned(),
            narrowed: false,
            size: head.size,
            checkpoint: head.note.to_string(),
            count: indexes.len() as u64,
            first: indexes.first().copied(),
            last: indexes.last().copied(),
            bytes: 0,
            sha256: String::new(),
        };
        self.sign(&mut manifest, &bytes);
        manifest
    }

    /// Writes a file that the log signs, whatever is in it.
    pub(crate) fn sign(&self, manifest: &mut Manifest, bytes: &[u8]) {
        let file = self.file(manifest.format);
        manifest.bytes = bytes.len() as u64;
        manifest.sha256 = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        fs::write(&file, bytes).unwrap();
        let note = self.log.sign(&manifest_text(manifest)).unwrap();
        fs::write(manifest_of(&file), note).unwrap();
    }

    pub(crate) fn check(&self, format: ExportFormat) -> ExportVerdict {
        verify_export(&self.file(format), &self.key, &|_, _| {})
    }

    #[track_caller]
    pub(crate) fn assert_altered(&self, format: ExportFormat, what: &str) -> Option<u64> {
        let verdict = self.check(format).verdict;
        assert_eq!(verdict.worst(), Some(FindingKind::Altered), "{what}: {:?}", verdict.findings);
        verdict.first_bad_index()
    }
}

#[test]
fn an_untouched_export_holds_whatever_is_in_it() {
    let exported = Exported::of(Kind::Events);
    let odd = [
        r#","metadata":{"n":0.9215686321258545}"#.to_owned(),
        r#","metadata":{"n":18446744073709551616}"#.to_owned(),
        r#","metadata":{"n":1764068400.123456789,"m":1e3,"o":1.50,"p":-0.0}"#.to_owned(),
        r#","metadata":{"n":12345678901234567890123,"t":"İstanbul\u0000\u001b[2K"}"#.to_owned(),
        r#","metadata":{"":"","a":[[],{},null,true]},"targets":[]"#.to_owned(),
        r#","context":{"ip":"=cmd()"},"tenant":"a\r\n\"b\",c""#.to_owned(),
        format!(r#","metadata":{{"long":"{}"}}"#, "lang ".repeat(20_000)),
    ];
    let times = (0..60).map(|n| format!(r#","metadata":{{"at":{}}}"#, 1.7e9 + f64::from(n) / 7.3));
    let events = odd.into_iter().chain(times).enumerate();
    append(&exported.log, events.map(|(n, more)| event_with(&format!("e{n}"), &more)));
    let all: Vec<u64> = (0..exported.log.head().size).collect();
    for format in ExportFormat::ALL {
        for indexes in [all.as_slice(), &all[..1], &[]] {
            exported.write(format, "actor:ada", indexes);
            let ExportVerdict { verdict, manifest } = exported.check(format);
            assert_eq!(verdict.findings, [], "{format:?}");
            assert_eq!(verdict.coverage.records, indexes.len() as u64);
            let unproven: Vec<Unproven> = verdict.coverage.unproven.into_iter().collect();
            assert_eq!(
                (unproven, manifest.unwrap().count),
                (vec![Unproven::Others], indexes.len() as u64)
            );
        }
    }
}

#[test]
fn an_untouched_export_of_a_raw_log_holds() {
    let exported = Exported::of(Kind::Raw);
    let mut batch = Batch::new();
    for record in [b"\xff\xfe\x00".as_slice(), b"", b"text", b"base64:AA==", b"{\"v\":1}"] {
        batch.push_raw(record).unwrap();
    }
    exported.log.append(batch).unwrap();
    for format in ExportFormat::ALL {
        exported.write(format, "", &[0, 1, 2, 3, 4]);
        assert_eq!(exported.check(format).verdict.findings, [], "{format:?}");
    }
}

/// Every byte of the file and of its manifest.
#[test]
fn every_flipped_byte_is_found() {
    let exported = Exported::small();
    for format in ExportFormat::ALL {
        exported.write(format, "actor:ada", &[0, 2]);
        for path in [exported.file(format), manifest_of(&exported.file(format))] {
            let sound = fs::read(&path).unwrap();
            for at in 0..sound.len() {
                let mut altered = sound.clone();
                altered[at] ^= 1 << (at % 8);
                fs::write(&path, altered).unwrap();
                let verdict = exported.check(format).verdict;
                assert!(verdict.worst().is_some(), "{} at {at}", path.display());
            }
            fs::write(&path, &sound[..sound.len() - 1]).unwrap();
            assert!(exported.check(format).verdict.worst().is_some());
            fs::remove_file(&path).unwrap();
            assert_eq!(exported.check(format).verdict.worst(), Some(FindingKind::Missing));
            fs::write(&path, sound).unwrap();
        }
    }
}

/// Every row, with the manifest as it was, and with one that the log signed again.
#[test]
fn every_row_swapped_dropped_and_twice_is_found() {
    let exported = Exported::small();
    for format in [ExportFormat::Ndjson, ExportFormat::Ocsf, ExportFormat::Csv] {
        let mut manifest = exported.write(format, "", &[1, 2, 3, 4, 5]);
        let file = exported.file(format);
        let rows = split(&fs::read(&file).unwrap(), format);
        let (heading, rows) = rows.split_at(usize::from(format == ExportFormat::Csv));
        assert_eq!(rows.len(), 5);
        for at in 0..rows.len() {
            let mut less = rows.to_vec();
            less.remove(at);
            let mut twice = rows.to_vec();
            twice.insert(at, rows[at].clone());
            let mut swapped = rows.to_vec();
            swapped.swap(at, (at + 1) % rows.len());
            for altered in [less, twice, swapped] {
                let bytes = [heading.concat(), altered.concat()].concat();
                fs::write(&file, &bytes).unwrap();
                exported.assert_altered(format, "as it was signed");
                let mut again = manifest.clone();
                exported.sign(&mut again, &bytes);
                assert!(exported.check(format).verdict.worst().is_some(), "row {at}");
                exported.sign(&mut manifest, &[heading.concat(), rows.concat()].concat());
            }
        }
    }
}

/// Lines, or rows of CSV: each of these begins with its index.
fn split(bytes: &[u8], format: ExportFormat) -> Vec<Vec<u8>> {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    if format != ExportFormat::Csv {
        return text.split_inclusive('\n').map(|line| line.as_bytes().to_vec()).collect();
    }
    let starts: Vec<usize> = [0]
        .into_iter()
        .chain((1..=5).map(|n| text.find(&format!("\n{n},")).unwrap() + 1))
        .chain([text.len()])
        .collect();
    starts.windows(2).map(|part| text.as_bytes()[part[0]..part[1]].to_vec()).collect()
}

/// What stands beside a record is what it says, to the byte, though a log that lies signs it.
#[test]
fn what_nothing_proves_is_not_accepted_even_if_the_log_signed_it() {
    let exported = Exported::small();
    let cases: [(ExportFormat, &str, &str, &str); 9] = [
        (
            ExportFormat::Ndjson,
            "a member more",
            "{\"index\":2,",
            "{\"VERDICT\":\"fine\",\"index\":2,",
        ),
        (
            ExportFormat::Ndjson,
            "an actor beside",
            "{\"index\":2,",
            "{\"actor\":\"mallory\",\"index\":2,",
        ),
        (
            ExportFormat::Ndjson,
            "an actor before",
            "\"event\":{\"",
            "\"event\":{\"actor\":{\"id\":\"mallory\"},\"",
        ),
        (
            ExportFormat::Ndjson,
            "a note",
            ",\"record\":",
            ",\"note\":\"mallory did it\",\"record\":",
        ),
        (
            ExportFormat::Ndjson,
            "in the envelope",
            "\"envelope\":{",
            "\"envelope\":{\"by\":\"mallory\",",
        ),
        (ExportFormat::Ndjson, "spaces", "\"index\":2,", "\"index\": 2,"),
        (
            ExportFormat::Ocsf,
            "an actor before",
            "{\"",
            "{\"actor\":{\"user\":{\"name\":\"mallory\"}},\"",
        ),
        (
            ExportFormat::Ocsf,
            "another log's name",
            "\"log_name\":\"prod\"",
            "\"log_name\":\"other\"",
        ),
        (ExportFormat::Csv, "a cell", ",ada,", ",mallory,"),
    ];
    for (format, what, from, to) in cases {
        let mut manifest = exported.write(format, "actor:ada", &[0, 2, 4]);
        let text = fs::read_to_string(exported.file(format)).unwrap();
        // Of the second record, where it can be told.
        let at = text.match_indices(from).next().map(|(at, _)| at);
        let Some(at) = at else { panic!("{what}: there is no {from} in {text}") };
        let altered = format!("{}{}", &text[..at], text[at..].replacen(from, to, 1));
        exported.sign(&mut manifest, altered.as_bytes());
        assert!(exported.assert_altered(format, what).is_some(), "{what}: no record is named");
    }
}

#[test]
fn a_manifest_says_what_is_so() {
    let exported = Exported::small();
    let format = ExportFormat::Ndjson;
    let sound = exported.write(format, "actor:ada", &[0, 2, 4]);
    let bytes = fs::read(exported.file(format)).unwrap();
    // None is mallory's, and the log signed that they are.
    let mut other = Manifest { q: "actor:mallory".to_owned(), ..sound.clone() };
    exported.sign(&mut other, &bytes);
    assert_eq!(exported.assert_altered(format, "the query"), Some(0));
    let mut other = Manifest { log: "other".to_owned(), ..sound.clone() };
    exported.sign(&mut other, &bytes);
    exported.assert_altered(format, "another log");
    let mut other = Manifest { size: 8, ..sound.clone() };
    exported.sign(&mut other, &bytes);
    exported.assert_altered(format, "the size");
    let mut other = Manifest { count: 2, ..sound.clone() };
    exported.sign(&mut other, &bytes);
    assert!(exported.check(format).verdict.worst().is_some());
    // A manifest that somebody else signed, or nobody.
    exported.write(format, "actor:ada", &[0, 2, 4]);
    let stranger = Exported::small();
    fs::copy(exported.file(format), stranger.file(format)).unwrap();
    fs::copy(manifest_of(&exported.file(format)), manifest_of(&stranger.file(format))).unwrap();
    let verdict = stranger.check(format).verdict;
    assert!(verdict.worst().is_some(), "another log's key");
    let path = manifest_of(&exported.file(format));
    let note = fs::read_to_string(&path).unwrap();
    let (text, _) = note.split_once("\n\n").unwrap();
    fs::write(&path, format!("{text}\n")).unwrap();
    exported.assert_altered(format, "unsigned");
    // Another version wrote it: its records are proven, how it shows them is not.
    let mut other = Manifest { written_by: "indelible 9.9.9".to_owned(), ..sound };
    let text = String::from_utf8(bytes).unwrap().replace("\"event\":{", "\"event\":{\"new\":1,");
    exported.sign(&mut other, text.as_bytes());
    let verdict = exported.check(format).verdict;
    assert_eq!(verdict.findings, []);
    assert!(verdict.coverage.unproven.contains(&Unproven::Rendering));
}

/// Without proofs the log's signature is over the file, and that is said.
#[test]
fn an_export_without_proofs_holds_as_a_whole_or_not_at_all() {
    let exported = Exported::small();
    let format = ExportFormat::Csv;
    let mut manifest = exported.write(format, "", &[0]);
    manifest.proofs = false;
    exported.sign(&mut manifest, b"index\n0\n");
    let verdict = exported.check(format).verdict;
    assert_eq!(verdict.findings, []);
    assert!(verdict.coverage.unproven.contains(&Unproven::Records));
    fs::write(exported.file(format), b"index\n1\n").unwrap();
    exported.assert_altered(format, "a byte");
}

/// An export that a server keeps to be downloaded is checked in its place.
#[test]
fn a_kept_export_is_what_its_log_signed() {
    let exported = Exported::small();
    exported.write(ExportFormat::Ndjson, "", &[0, 1]);
    let folder: &Path = &exported.folder.path().join("exports/exp-1");
    fs::create_dir_all(folder).unwrap();
    let file = exported.file(ExportFormat::Ndjson);
    fs::copy(&file, folder.join("file")).unwrap();
    let signed = fs::read_to_string(manifest_of(&file)).unwrap();
    let facts = serde_json::json!({ "export": { "log": "prod", "signed": signed } });
    fs::write(folder.join("export.json"), facts.to_string()).unwrap();
    let keys = |_: &str| vec![exported.key.clone()];
    assert_eq!(indelible_verify::exports(exported.folder.path(), keys), []);
    let mut bytes = fs::read(folder.join("file")).unwrap();
    bytes[20] ^= 1;
    fs::write(folder.join("file"), bytes).unwrap();
    let found = indelible_verify::exports(exported.folder.path(), keys);
    assert_eq!(found[0].1.kind, FindingKind::Altered);
    assert!(files(&exported.folder.path().join("logs/prod")).len() > 2);
}
