//! Exports: everything a query finds, written to a file in the background, then
//! downloaded, in parts if need be. An export belongs to who asked for it and is removed
//! after a day; like the index it is derived, and the log does not depend on it.

mod write;

use crate::{
    access::{Scope, gate::Caller, token::hex},
    app::App,
    body::in_background,
    error::{ApiError, Result},
    routes::events::view,
    trail::{Access, Outcome},
};
use indelible_api::{Code, Evidence, Export, ExportState, Manifest};
use indelible_event::{Envelope, Payload, Timestamp};
use indelible_index::{LogIndex, Order, Query};
use indelible_log::Log;
use indelible_tlog::OfflineProof;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::Semaphore;
use write::Writer;

/// Exports that are written at a time; others wait.
const AT_ONCE: usize = 2;
/// Exports of one principal that are not yet finished.
const MAX_UNFINISHED: usize = 8;
/// How long an export can be downloaded.
const KEPT_US: i64 = 24 * 3_600_000_000;
/// Records found in one pass of the index, and written in one go.
const FOUND: usize = 50_000;
const PART: usize = 500;

/// How often an index that is waited for is asked whether it goes on.
const LOOK: Duration = Duration::from_secs(2);
/// What an export leaves free of the disk that it shares with the logs: a twentieth, and
/// no more than this.
const LEFT_FREE: u64 = 1 << 30;

const FILE: &str = "file";
const FACTS: &str = "export.json";

/// The exports of a server.
#[derive(Debug)]
pub(crate) struct Exports {
    folder: PathBuf,
    jobs: Mutex<BTreeMap<String, Arc<Job>>>,
    turns: Arc<Semaphore>,
}

/// One export.
#[derive(Debug)]
pub(crate) struct Job {
    export: Mutex<Export>,
    /// What its maker could see: who can see less now does not get it.
    scope: Scope,
    folder: PathBuf,
    ended_us: Mutex<Option<i64>>,
    is_unwanted: AtomicBool,
}

/// What is kept beside the file.
#[derive(Serialize, Deserialize)]
struct Facts {
    export: Export,
    scope: Scope,
    ended_us: i64,
}

/// What an export is made from.
pub(crate) struct Wanted {
    pub(crate) log: Arc<Log>,
    pub(crate) index: Arc<LogIndex>,
    pub(crate) query: Query,
    pub(crate) manifest: Manifest,
}

impl Job {
    /// What it is, and how far.
    pub(crate) fn show(&self) -> Export {
        self.export.lock().clone()
    }

    /// Its file.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.join(FILE)
    }
}

impl Exports {
    /// Takes up what was finished before, and removes the rest.
    pub(crate) fn open(folder: PathBuf) -> Self {
        let mut jobs = BTreeMap::new();
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            match read(&path) {
                Some(job) => drop(jobs.insert(job.show().id, Arc::new(job))),
                None => remove(&path),
            }
        }
        Self { folder, jobs: Mutex::new(jobs), turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// An export of this principal.
    pub(crate) fn get(&self, caller: &Caller, log: &str, id: &str) -> Result<Arc<Job>> {
        let principal = &caller.known()?.id;
        let found = self.jobs.lock().get(id).cloned();
        found
            .filter(|job| {
                let export = job.export.lock();
                export.made_by == *principal && export.log == log && job.scope == *caller.scope
            })
            .ok_or_else(|| {
                ApiError::new(
                    Code::EntryNotFound,
                    format!("you have no export {id:?} of this log: it was deleted, is over a day old, or was not finished when the server stopped; start it again"),
                )
            })
    }

    /// The exports of this principal, newest first.
    pub(crate) fn list(&self, caller: &Caller, log: &str) -> Result<Vec<Export>> {
        let principal = &caller.known()?.id;
        let mut found: Vec<Export> = self
            .jobs
            .lock()
            .values()
            .filter(|job| job.scope == *caller.scope)
            .map(|job| job.show())
            .filter(|export| export.made_by == *principal && export.log == log)
            .collect();
        found.sort_by(|a, b| b.made_at.cmp(&a.made_at));
        Ok(found)
    }

    /// Removes an export; one on its way is given up.
    pub(crate) fn delete(&self, job: &Job) {
        job.is_unwanted.store(true, Ordering::Relaxed);
        self.jobs.lock().remove(&job.show().id);
        remove(&job.folder);
    }

    /// Removes those whose time is over.
    pub(crate) fn expire(&self, now: Timestamp) {
        let over: Vec<Arc<Job>> = {
            let jobs = self.jobs.lock();
            let is_over = |job: &Job| {
                job.ended_us.lock().is_some_and(|ended| now.as_micros() - ended > KEPT_US)
            };
            jobs.values().filter(|job| is_over(job)).cloned().collect()
        };
        over.iter().for_each(|job| self.delete(job));
    }

    /// Starts an export.
    pub(crate) fn start(
        &self,
        app: &Arc<App>,
        caller: Caller,
        id: String,
        order: Wanted,
    ) -> Result<Export> {
        let manifest = &order.manifest;
        let export = Export {
            id: id.clone(),
            state: ExportState::Running,
            log: manifest.log.clone(),
            q: manifest.q.clone(),
            format: manifest.format,
            proofs: manifest.proofs,
            made_by: manifest.made_by.clone(),
            made_at: manifest.made_at.clone(),
            size: manifest.size,
            at: 0,
            count: 0,
            expires_at: None,
            error: None,
            manifest: None,
        };
        let job = Arc::new(Job {
            export: Mutex::new(export.clone()),
            scope: (*caller.scope).clone(),
            folder: self.folder.join(&id),
            ended_us: Mutex::default(),
            is_unwanted: AtomicBool::new(false),
        });
        {
            let mut jobs = self.jobs.lock();
            let is_unfinished = |job: &&Arc<Job>| {
                let other = job.export.lock();
                other.state == ExportState::Running && other.made_by == export.made_by
            };
            if jobs.values().filter(is_unfinished).count() >= MAX_UNFINISHED {
                return Err(ApiError::new(
                    Code::RateLimited,
                    format!("{MAX_UNFINISHED} exports of yours are not finished yet; wait for one, or delete one"),
                )
                .retry_after(10));
            }
            jobs.insert(id, Arc::clone(&job));
        }
        let (app, turns) = (Arc::clone(app), Arc::clone(&self.turns));
        tokio::spawn(async move {
            let Ok(_turn) = turns.acquire().await else { return };
            let made = make(&app, &caller, &job, order).await;
            finish(&app, &caller, &job, made).await;
        });
        Ok(export)
    }
}

/// Writes the file; returns what it is.
async fn make(app: &Arc<App>, caller: &Caller, job: &Arc<Job>, order: Wanted) -> Result<Manifest> {
    let Wanted { log, index, query, mut manifest } = order;
    let (name, size) = (manifest.log.clone(), manifest.size);
    let stopped =
        || ApiError::new(Code::EntryNotFound, "the server stopped before it was finished");
    let mut stopping = app.stopping.subscribe();
    let mut indexed = index.indexed();
    while *indexed.borrow_and_update() < size {
        if index.problem().is_some() {
            let message = "the index does not go on, and has not reached what is to be exported; the server's log says why";
            return Err(ApiError::new(Code::IndexBehind, message));
        }
        tokio::select! {
            // Looked at again now and then: an index that stands still tells nobody.
            _ = tokio::time::timeout(LOOK, indexed.changed()) => {}
            _ = stopping.wait_for(|stopping| *stopping) => return Err(stopped()),
        }
    }
    let (owned, format, proofs) = (Arc::clone(job), manifest.format, manifest.proofs);
    let mut writer = in_background(move || {
        create(&owned.folder)
            .and_then(|file| Writer::new(&name, format, proofs, file))
            .map_err(|e| not_written(&e))
    })
    .await?;
    let query = Arc::new(query);
    // All are proven under the manifest's checkpoint: one made later may have other
    // signatures.
    let tree: Option<Arc<Tree>> =
        proofs.then(|| Arc::new(Tree { size, checkpoint: manifest.checkpoint.clone() }));
    let mut after = None;
    loop {
        let (index, query) = (Arc::clone(&index), Arc::clone(&query));
        let hits =
            in_background(move || Ok(index.search(&query, Order::OldestFirst, after, FOUND)?))
                .await?;
        let past = hits.indexes.last().is_some_and(|last| *last >= size);
        for part in hits.indexes.chunks(PART) {
            if *app.stopping.borrow() {
                return Err(stopped());
            }
            if job.is_unwanted.load(Ordering::Relaxed) {
                return Err(ApiError::new(Code::EntryNotFound, "it was deleted"));
            }
            if !caller.still_may_read(app, &manifest.log) {
                let message = "the credential lost its leave to read before it was finished";
                return Err(ApiError::new(Code::Forbidden, message));
            }
            let part: Vec<u64> = part.iter().copied().filter(|index| *index < size).collect();
            let (log, scope) = (Arc::clone(&log), Arc::clone(&caller.scope));
            let (folder, tree) = (job.folder.clone(), tree.clone());
            let written;
            (writer, written) = in_background(move || {
                leave_room(&folder).map_err(|e| not_written(&e))?;
                let written = write_part(&log, &scope, &mut writer, &part, tree.as_deref())?;
                Ok((writer, written))
            })
            .await?;
            manifest.count += written.len() as u64;
            manifest.first = manifest.first.or(written.first().copied());
            manifest.last = written.last().copied().or(manifest.last);
            let mut export = job.export.lock();
            export.count = manifest.count;
            export.at = written.last().map_or(export.at, |last| last + 1);
        }
        match hits.next {
            Some(next) if !past && next + 1 < size => after = Some(next),
            _ => break,
        }
    }
    let (bytes, sha256) =
        in_background(move || writer.finish().map_err(|e| not_written(&e))).await?;
    (manifest.bytes, manifest.sha256) = (bytes, hex(&sha256));
    Ok(manifest)
}

/// What records are proven in.
struct Tree {
    size: u64,
    /// Signed, of that size.
    checkpoint: String,
}

/// Writes records; returns the indexes of those that the scope shows.
fn write_part(
    log: &Log,
    scope: &Scope,
    writer: &mut Writer,
    part: &[u64],
    tree: Option<&Tree>,
) -> Result<Vec<u64>> {
    let proofs = tree.map(|tree| log.inclusion_proofs(part, tree.size)).transpose()?;
    let mut proofs = proofs.into_iter().flatten();
    let mut written = Vec::with_capacity(part.len());
    for index in part.iter().copied() {
        let (record, hashes) = (log.record(index)?, proofs.next());
        let Some(view) = view(log, index, &record, scope) else { continue };
        let mut evidence = Evidence::default();
        if let (Some(tree), Some(hashes)) = (tree, hashes) {
            let checkpoint = tree.checkpoint.clone();
            let proof = OfflineProof { extra: None, index, hashes, checkpoint };
            evidence.proof = Some(proof.to_string());
            if let Ok(envelope) = Envelope::parse(&record)
                && let Ok(Payload::Attachment(_)) = envelope.payload()
            {
                evidence.attachment = Some(log.data(&envelope)?.into_owned());
            }
            evidence.record = Some(String::from_utf8_lossy(&record).into_owned());
        }
        writer.write(view, evidence).map_err(|e| not_written(&e))?;
        written.push(index);
    }
    Ok(written)
}

/// Leaves in the trail what became of an export, and only then says that it is done.
async fn finish(app: &Arc<App>, caller: &Caller, job: &Arc<Job>, made: Result<Manifest>) {
    let mut access = Access {
        action: "access.export.finish",
        principal: caller.known().ok().map(|known| (known.id.clone(), known.name.clone())),
        log: Some(job.show().log),
        target: Some(("export", job.show().id)),
        tenant: caller.scope.tenant().map(str::to_owned),
        outcome: Outcome::Success,
        details: serde_json::Map::new(),
    };
    match &made {
        Ok(manifest) => {
            let facts = serde_json::json!({ "records": manifest.count, "first": manifest.first, "last": manifest.last, "bytes": manifest.bytes, "sha256": manifest.sha256 });
            access.details = facts.as_object().cloned().unwrap_or_default();
        }
        Err(error) => access.outcome = Outcome::Failure(error.code.name().to_owned()),
    }
    let recorded = app.trail.record(&access, Some(&caller.origin)).await;
    let now = app.control.now();
    let kept = match recorded.and(made) {
        Ok(manifest) => {
            let expires = Timestamp::from_micros(now.as_micros() + KEPT_US);
            let facts = {
                let mut export = job.show();
                export.state = ExportState::Done;
                export.at = export.size;
                export.expires_at = Some(expires.to_string());
                export.manifest = Some(manifest);
                Facts { export, scope: job.scope.clone(), ended_us: now.as_micros() }
            };
            let owned = Arc::clone(job);
            in_background(move || {
                write_facts(&owned.folder, &facts).map_err(|e| not_written(&e))?;
                Ok(facts.export)
            })
            .await
        }
        Err(error) => Err(error),
    };
    *job.ended_us.lock() = Some(now.as_micros());
    match kept {
        Ok(export) => *job.export.lock() = export,
        Err(error) => {
            tracing::warn!(id = job.show().id, error = error.message, "an export failed");
            remove(&job.folder);
            let mut export = job.export.lock();
            export.state = ExportState::Failed;
            export.error = Some(error.message);
        }
    }
    if job.is_unwanted.load(Ordering::Relaxed) {
        remove(&job.folder);
    }
}

fn not_written(error: &io::Error) -> ApiError {
    if error.kind() == io::ErrorKind::StorageFull {
        let message = "too little space is left where exports are written; nothing of it is kept, and the log is not touched by it";
        return ApiError::new(Code::StorageFull, message);
    }
    ApiError::internal("the export could not be written; the server's log says why", error)
}

/// The logs need room more than an export does.
fn leave_room(folder: &Path) -> io::Result<()> {
    let disk = rustix::fs::statvfs(folder)?;
    let (free, all) = (disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize);
    match free < LEFT_FREE.min(all / 20) {
        true => Err(io::ErrorKind::StorageFull.into()),
        false => Ok(()),
    }
}

fn create(folder: &Path) -> io::Result<fs::File> {
    // It holds what only its maker may read.
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(folder.join(FILE))
}

fn write_facts(folder: &Path, facts: &Facts) -> io::Result<()> {
    let part = folder.join("export.part");
    fs::write(&part, serde_json::to_vec(facts)?)?;
    fs::File::open(&part)?.sync_all()?;
    // If we crash before this, the export was never finished.
    fs::rename(part, folder.join(FACTS))?;
    fs::File::open(folder)?.sync_all()
}

/// A finished export in a folder.
fn read(folder: &Path) -> Option<Job> {
    let facts: Facts = serde_json::from_slice(&fs::read(folder.join(FACTS)).ok()?).ok()?;
    let bytes = fs::metadata(folder.join(FILE)).ok()?.len();
    let is_whole = facts.export.manifest.as_ref()?.bytes == bytes;
    is_whole.then(|| Job {
        export: Mutex::new(facts.export),
        scope: facts.scope,
        folder: folder.to_owned(),
        ended_us: Mutex::new(Some(facts.ended_us)),
        is_unwanted: AtomicBool::new(false),
    })
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_dir_all(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "could not remove an export");
    }
}
