//! Exports: everything a query finds, written to a file in the background, then
//! downloaded, in parts if need be. An export belongs to who asked for it and is removed
//! after a day; like the index it is derived, and the log does not depend on it.

mod folder;
mod hashed;
mod job;
mod make;

use crate::{
    access::caller::Caller,
    error::{ApiError, Result},
    reading::desk::Desk,
    site::turns::Turns,
};
use folder::{leave_room, read, remove};
use indelible_api::{Code, Export, ExportState};
use indelible_event::Timestamp;
pub(crate) use job::Wanted;
use job::{Job, KEPT_US, deleted, not_written};
use make::{finish, make};
use parking_lot::Mutex;
use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc};
use tokio::sync::watch;

/// Exports that are written at a time; others wait.
const AT_ONCE: usize = 2;
/// Exports of one principal that are not yet finished.
const MAX_UNFINISHED: usize = 8;
/// Exports that are kept, finished or not: of one principal, and of all.
const MAX_KEPT: usize = 100;
const MAX_ALL: usize = 1000;

/// The exports of a server.
#[derive(Debug)]
pub(crate) struct Exports {
    folder: PathBuf,
    jobs: Mutex<BTreeMap<String, Arc<Job>>>,
    turns: Turns,
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
        Self { folder, jobs: Mutex::new(jobs), turns: Turns::new(AT_ONCE) }
    }

    /// An export of this principal.
    pub(crate) fn get(&self, caller: &Caller, log: &str, id: &str) -> Result<Arc<Job>> {
        let principal = &caller.principal()?.id;
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
        let principal = &caller.principal()?.id;
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
        job.unwanted.send_replace(true);
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

    /// Refuses an export for which there is no room on the disk, before it is begun.
    pub(crate) fn check_room(&self) -> Result<()> {
        let there = self.folder.ancestors().find(|folder| folder.exists());
        leave_room(there.unwrap_or(&self.folder)).map_err(|e| not_written(&e))
    }

    /// Starts an export.
    pub(crate) fn start(
        &self,
        desk: &Arc<Desk>,
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
            signed: None,
        };
        let job = Arc::new(Job {
            export: Mutex::new(export.clone()),
            scope: (*caller.scope).clone(),
            folder: self.folder.join(&id),
            ended_us: Mutex::default(),
            unwanted: watch::Sender::new(false),
        });
        {
            let mut jobs = self.jobs.lock();
            allow_one_more(&jobs, &export.made_by)?;
            jobs.insert(id, Arc::clone(&job));
        }
        let (desk, turns) = (Arc::clone(desk), self.turns.clone());
        tokio::spawn(async move {
            let mut unwanted = job.unwanted.subscribe();
            // What is deleted before its turn does not wait for it: nobody counts it.
            let turn = tokio::select! {
                turn = turns.take(&order.manifest.made_by) => Some(turn),
                () = async { drop(unwanted.wait_for(|unwanted| *unwanted).await) } => None,
            };
            let made = match &turn {
                Some(_) => make(&desk, &caller, &job, order).await,
                None => Err(deleted()),
            };
            finish(&desk, &caller, &job, made).await;
        });
        Ok(export)
    }
}

/// Refuses one more export of a principal that has too many, or if there are too many.
fn allow_one_more(jobs: &BTreeMap<String, Arc<Job>>, principal: &str) -> Result<()> {
    let (mut kept, mut unfinished) = (0, 0);
    for job in jobs.values() {
        let other = job.export.lock();
        if other.made_by == principal {
            kept += 1;
            unfinished += usize::from(other.state == ExportState::Running);
        }
    }
    let refused = |message: String| Err(ApiError::new(Code::RateLimited, message).retry_after(10));
    if unfinished >= MAX_UNFINISHED {
        return refused(format!(
            "{MAX_UNFINISHED} exports of yours are not finished yet; wait for one, or delete one"
        ));
    }
    if kept >= MAX_KEPT {
        return refused(format!(
            "{MAX_KEPT} exports of yours are kept; delete some, or wait until they are over a day old"
        ));
    }
    if jobs.len() >= MAX_ALL {
        return refused(format!(
            "{MAX_ALL} exports are kept, of all together; try again when some were deleted"
        ));
    }
    Ok(())
}
