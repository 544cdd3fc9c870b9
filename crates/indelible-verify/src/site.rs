//! A whole data directory: every log of it, and that these logs and their keys are the ones
//! that `_control` tells of.

mod control;

use crate::{
    export::check_note,
    log::{LogCheck, Options, Progress},
    verdict::{Finding, FindingKind, Unproven, Verdict},
};
use control::{Told, fold};
use indelible_log::{DataDir, LogError, stored};
use indelible_store::Store;
use indelible_tlog::VerifyingKey;
use std::{collections::BTreeSet, fs, path::Path};

/// The log whose fold is the configuration.
const CONTROL: &str = "_control";

/// The signed checkpoints that the caller holds from before, each with the name of its log.
pub type Held<'a> = &'a [(String, String)];

/// Verifies a data directory. `keys` are pinned: that of `_control`, which tells those of
/// the logs, and any others. `progress` gets records done and expected of the log at work.
#[must_use]
pub fn verify_directory(
    path: &Path,
    keys: &[VerifyingKey],
    held: Held<'_>,
    options: Options<'_>,
    progress: Progress<'_>,
) -> Verdict {
    let mut verdict = Verdict::default();
    match DataDir::open(path) {
        Ok(data) => Site { data, keys, held, options, verdict: &mut verdict }.check(progress),
        Err(error) => verdict.fail(None, &error),
    }
    verdict.sorted()
}

/// Verifies one log of a data directory, and that the directory is of the key's site.
#[must_use]
pub fn verify_log(
    path: &Path,
    log: &str,
    key: &VerifyingKey,
    since: Option<&str>,
    options: Options<'_>,
    progress: Progress<'_>,
) -> Verdict {
    let store = indelible_store::LocalStore::open(path.join("logs").join(log));
    let store = match store {
        Ok(store) => store,
        Err(error) => {
            let error = indelible_log::chain(&error);
            let message = format!("there is no log {log:?} in {}: {error}", path.display());
            return Verdict::finding(FindingKind::Missing, message);
        }
    };
    let mut verdict = check_log(&store, key, since, options, progress);
    verdict.coverage.unproven.insert(Unproven::Control);
    let problem = match DataDir::open(path) {
        Ok(data) if data.origin(log) == key.name() => None,
        Ok(data) => {
            Some(format!("the directory is of site {:?}, the key of {:?}", data.site(), key.name()))
        }
        Err(error) => Some(indelible_log::chain(&error)),
    };
    if let Some(problem) = problem {
        // With another log's key nothing can be said about this one's.
        let other = |finding: &Finding| finding.kind == FindingKind::Unverifiable;
        let kind = match verdict.findings.iter().any(other) {
            true => FindingKind::Unverifiable,
            false => FindingKind::Altered,
        };
        verdict.find(kind, None, format!("site: {problem}"));
    }
    verdict.sorted()
}

fn check_log(
    store: &dyn Store,
    key: &VerifyingKey,
    since: Option<&str>,
    options: Options<'_>,
    progress: Progress<'_>,
) -> Verdict {
    let mut check = LogCheck::new(store, key, options);
    if let Some(note) = since {
        check.since(note);
    }
    check.run(progress);
    check.finish()
}

struct Site<'a> {
    data: DataDir,
    keys: &'a [VerifyingKey],
    held: Held<'a>,
    options: Options<'a>,
    verdict: &'a mut Verdict,
}

impl Site<'_> {
    fn check(mut self, progress: Progress<'_>) {
        self.files();
        let told = self.control(progress);
        let there = match self.data.logs() {
            Ok(there) => there,
            Err(error) => return self.verdict.fail(None, &error),
        };
        let names: BTreeSet<String> =
            there.iter().chain(told.keys()).filter(|name| *name != CONTROL).cloned().collect();
        for name in names {
            match (self.data.store(&name), told.get(&name)) {
                (Ok(store), told) => self.log(&name, store.as_ref(), told, progress),
                (Err(_), Some(_)) => {
                    self.find(
                        &name,
                        FindingKind::Missing,
                        "_control tells of it, and it is not there",
                    );
                }
                (Err(error), None) => self.find(&name, FindingKind::Unreadable, error.to_string()),
            }
        }
        self.exports(&told);
    }

    fn find(&mut self, log: &str, kind: FindingKind, message: impl Into<String>) {
        let mut finding = Finding::new(kind, None, message);
        finding.log = Some(log.to_owned());
        self.verdict.findings.push(finding);
    }

    fn pinned(&self, log: &str) -> Option<VerifyingKey> {
        let origin = self.data.origin(log);
        self.keys.iter().find(|key| key.name() == origin).cloned()
    }

    /// Takes what was found of a log.
    fn take(&mut self, log: &str, found: Verdict) {
        let held = found.coverage.since;
        self.verdict.coverage.add(&found.coverage);
        self.verdict.coverage.since = self.verdict.coverage.since.max(held);
        for mut finding in found.findings {
            finding.log = Some(log.to_owned());
            self.verdict.findings.push(finding);
        }
    }

    fn held(&self, log: &str) -> Option<&str> {
        self.held.iter().find(|(name, _)| name == log).map(|(_, note)| note.as_str())
    }

    /// Verifies `_control`, and what it tells.
    fn control(&mut self, progress: Progress<'_>) -> Told {
        let store = match self.data.store(CONTROL) {
            Ok(store) => store,
            Err(LogError::NoLog(_)) => {
                self.verdict.coverage.unproven.insert(Unproven::Control);
                return Told::new();
            }
            Err(error) => {
                self.find(CONTROL, FindingKind::Unreadable, error.to_string());
                return Told::new();
            }
        };
        let Some(key) = self.pinned(CONTROL) else {
            let message = format!(
                "no key of {} was given, and it tells those of the other logs",
                self.data.origin(CONTROL)
            );
            self.find(CONTROL, FindingKind::Unverifiable, message);
            return Told::new();
        };
        let found = check_log(store.as_ref(), &key, self.held(CONTROL), self.options, progress);
        let holds = found.findings.is_empty();
        self.take(CONTROL, found);
        match fold(store.as_ref()) {
            Ok(told) if holds => told,
            Ok(_) => Told::new(),
            Err(error) => {
                self.find(CONTROL, FindingKind::Unreadable, error.to_string());
                Told::new()
            }
        }
    }

    fn log(
        &mut self,
        name: &str,
        store: &dyn Store,
        told: Option<&Vec<VerifyingKey>>,
        progress: Progress<'_>,
    ) {
        let system = name.starts_with('_');
        let is_new = || stored::is_unused(store).unwrap_or(false);
        if told.is_none() && !system && self.pinned(CONTROL).is_some() && !is_new() {
            self.find(name, FindingKind::Unexpected, "_control does not tell of it");
        }
        // The keys in the folder must be those that were made by acts. What a crash, or a
        // server at work, did not announce yet is the last of them at most.
        if let (Some(told), Ok(announced)) = (told, stored::announced_keys(store)) {
            let later = told.get(1..).unwrap_or_default();
            let as_told = later.starts_with(&announced) && later.len() - announced.len() <= 1;
            if !as_told {
                let message = format!(
                    "its keys are not those that _control tells of: {} announced there, {} here",
                    later.len(),
                    announced.len()
                );
                self.find(name, FindingKind::Altered, message);
            }
        }
        let told = told.and_then(|keys| keys.first().cloned());
        let own = || stored::secret_keys(store).ok().and_then(|keys| keys.into_iter().next());
        let (key, pinned) = match self.pinned(name).or(told) {
            Some(key) => (key, true),
            None => match own() {
                Some(key) => (key, false),
                None => {
                    let message = "no key of it was given with --key, and nothing here tells it";
                    return self.find(name, FindingKind::Unverifiable, message);
                }
            },
        };
        let mut found = check_log(store, &key, self.held(name), self.options, progress);
        if !pinned {
            found.coverage.unproven.insert(Unproven::Key);
        }
        if key.name() != self.data.origin(name) {
            let message = format!("its key is of {}, not of this site", key.name());
            found.find(FindingKind::Altered, None, message);
        }
        self.take(name, found);
    }

    /// Every file beside the logs must be one that is known. The index is derived: its
    /// files are not looked into.
    fn files(&mut self) {
        let root = self.data.path().to_owned();
        let names = |folder: &Path| -> Vec<String> {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
        };
        let known = ["site", "tmp", "WRITER", "logs", "index", "exports"];
        let mut unknown: Vec<String> =
            names(&root).into_iter().filter(|name| !known.contains(&name.as_str())).collect();
        for name in names(&root.join("logs")) {
            let is_log = indelible_log::check_log_name(&name).is_ok();
            if !(is_log && root.join("logs").join(&name).is_dir()) {
                unknown.push(format!("logs/{name}"));
            }
        }
        for id in names(&root.join("exports")) {
            for name in names(&root.join("exports").join(&id)) {
                if !matches!(name.as_str(), "file" | "export.json" | "export.part") {
                    unknown.push(format!("exports/{id}/{name}"));
                }
            }
        }
        for name in unknown {
            let message = format!("{name}: no such file belongs to a data directory");
            self.verdict.find(FindingKind::Unexpected, None, message);
        }
    }

    /// Exports that wait to be downloaded must be what their log signed.
    fn exports(&mut self, told: &Told) {
        for (log, finding) in exports(self.data.path(), |log| {
            let told = told.get(log).cloned().unwrap_or_default();
            self.pinned(log).into_iter().chain(told).collect()
        }) {
            self.find(&log, finding.kind, finding.message);
        }
    }
}

/// What is wrong with the exports that a server keeps in `exports/` of its directory, each
/// with the log it is of. `keys` gives the keys of a log.
pub fn exports(
    directory: &Path,
    keys: impl Fn(&str) -> Vec<VerifyingKey>,
) -> Vec<(String, Finding)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory.join("exports")).into_iter().flatten().flatten() {
        let folder = entry.path();
        // Without its facts it is on its way, or was given up.
        let Ok(facts) = fs::read(folder.join("export.json")) else { continue };
        let facts: serde_json::Value = serde_json::from_slice(&facts).unwrap_or_default();
        let text = |pointer: &str| facts.pointer(pointer).and_then(|value| value.as_str());
        let log = text("/export/log").unwrap_or_default().to_owned();
        let mut kind = None;
        for key in keys(&log) {
            let note = text("/export/signed").unwrap_or_default();
            let verdict =
                check_note(&folder.join("file"), note.as_bytes(), &key, &|_, _| {}).verdict;
            kind = verdict.findings.into_iter().next();
            if kind.as_ref().is_none_or(|finding| finding.kind != FindingKind::Unverifiable) {
                break;
            }
        }
        if let Some(mut finding) = kind {
            let id = entry.file_name().to_string_lossy().into_owned();
            finding.message = format!("export {id}: {}", finding.message);
            found.push((log, finding));
        }
    }
    found
}
