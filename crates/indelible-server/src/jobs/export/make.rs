//! The making of an export: what the index finds, written record by record.

use super::{
    folder::{create, leave_room, remove, write_facts},
    hashed::Hashed,
    job::{Facts, Job, KEPT_US, Wanted, deleted, not_written},
};
use crate::{
    access::{Permission, Scope, caller::Caller},
    background::in_background,
    error::{ApiError, Result},
    random::hex,
    reading::desk::Desk,
    reading::{
        room::{Room, Stopped},
        view::view,
    },
    trail::{Access, Outcome},
};
use indelible_api::{Code, Evidence, ExportState, Manifest};
use indelible_event::{Envelope, Payload, Timestamp};
use indelible_export::{Writer, manifest_text, write_record};
use indelible_index::{LogIndex, Order};
use indelible_log::Log;
use indelible_tlog::OfflineProof;
use std::{sync::Arc, time::Duration};

/// Records found in one pass of the index, and written in one go.
const FOUND: usize = 50_000;
const PART: usize = 500;

/// How often an index that is waited for is asked whether it goes on.
const LOOK: Duration = Duration::from_secs(2);
/// Writes the file; returns what it is, and that as the log signed it.
pub(super) async fn make(
    desk: &Arc<Desk>,
    caller: &Caller,
    job: &Arc<Job>,
    order: Wanted,
) -> Result<(Manifest, String)> {
    let Wanted { log, search, query, mut manifest } = order;
    let (name, size) = (manifest.log.clone(), manifest.size);
    reach(desk, job, &search, &manifest).await?;
    let (owned, format, proofs) = (Arc::clone(job), manifest.format, manifest.proofs);
    let mut writer = in_background(move || {
        create(&owned.folder)
            .and_then(|file| Writer::new(&name, format, proofs, Hashed::new(file)))
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
        let (search, query) = (Arc::clone(&search), Arc::clone(&query));
        let hits =
            in_background(move || Ok(search.search(&query, Order::OldestFirst, after, FOUND)?))
                .await?;
        let past = hits.indexes.last().is_some_and(|last| *last >= size);
        for part in hits.indexes.chunks(PART) {
            check(desk, caller, job, &manifest.log)?;
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
    let (bytes, sha256) = in_background(move || {
        writer.finish().and_then(Hashed::finish).map_err(|e| not_written(&e))
    })
    .await?;
    (manifest.bytes, manifest.sha256) = (bytes, hex(&sha256));
    in_background(move || {
        let signed = log.sign(&manifest_text(&manifest))?;
        Ok((manifest, signed))
    })
    .await
}

fn stopped() -> ApiError {
    ApiError::new(Code::EntryNotFound, "the server stopped before it was finished")
}

/// Waits until the index has everything that is to be exported.
async fn reach(desk: &Desk, job: &Job, search: &LogIndex, manifest: &Manifest) -> Result<()> {
    let (mut stopping, mut unwanted) = (desk.stopping.subscribe(), job.unwanted.subscribe());
    let mut indexed = search.indexed();
    while *indexed.borrow_and_update() < manifest.size {
        if desk.indexes.stopped(&manifest.log).is_some() {
            let message = "the index does not go on, and has not reached what is to be exported; the server's log says why";
            return Err(ApiError::new(Code::IndexBehind, message));
        }
        tokio::select! {
            // Looked at again now and then: an index that stands still tells nobody.
            _ = tokio::time::timeout(LOOK, indexed.changed()) => {}
            _ = stopping.wait_for(|stopping| *stopping) => return Err(stopped()),
            _ = unwanted.wait_for(|unwanted| *unwanted) => return Err(deleted()),
        }
    }
    Ok(())
}

/// Whether an export is to go on.
fn check(desk: &Desk, caller: &Caller, job: &Job, log: &str) -> Result<()> {
    if *desk.stopping.borrow() {
        return Err(stopped());
    }
    if *job.unwanted.borrow() {
        return Err(deleted());
    }
    caller.still_may(&desk.control, Permission::Read, log).map_err(|_| {
        let message = "the credential lost its leave to read before it was finished";
        ApiError::new(Code::Forbidden, message)
    })
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
    writer: &mut Writer<Hashed>,
    part: &[u64],
    tree: Option<&Tree>,
) -> Result<Vec<u64>> {
    let proofs = tree.map(|tree| log.inclusion_proofs(part, tree.size)).transpose()?;
    let mut proofs = proofs.into_iter().flatten();
    let mut written = Vec::with_capacity(part.len());
    for index in part.iter().copied() {
        let (record, hashes) = (log.record(index)?, proofs.next());
        // One event at a time, of a few exports: whatever its size.
        let shown = match view(log, index, &record, scope, &Room::of(usize::MAX)) {
            Ok(shown) => shown,
            Err(Stopped::Failed(error)) => return Err(error),
            Err(Stopped::Room(_)) => None,
        };
        let Some(view) = shown else { continue };
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
            evidence.record = Some(write_record(&record));
        }
        writer.write(view, evidence).map_err(|e| not_written(&e))?;
        written.push(index);
    }
    Ok(written)
}

/// Leaves in the trail what became of an export, and only then says that it is done.
pub(super) async fn finish(
    desk: &Arc<Desk>,
    caller: &Caller,
    job: &Arc<Job>,
    made: Result<(Manifest, String)>,
) {
    let mut access = Access {
        action: "access.export.finish",
        principal: caller.principal().ok().map(|known| (known.id.clone(), known.name.clone())),
        log: Some(job.show().log),
        target: Some(("export", job.show().id)),
        tenant: caller.scope.tenant().map(str::to_owned),
        outcome: Outcome::Success,
        details: serde_json::Map::new(),
    };
    match &made {
        Ok((manifest, _)) => {
            let facts = serde_json::json!({ "records": manifest.count, "first": manifest.first, "last": manifest.last, "bytes": manifest.bytes, "sha256": manifest.sha256 });
            access.details = facts.as_object().cloned().unwrap_or_default();
        }
        Err(error) => access.outcome = Outcome::Failure(error.code),
    }
    let recorded = desk.trail.record(&access, Some(&caller.origin)).await;
    let now = desk.control.now();
    let kept = match recorded.and(made) {
        Ok((manifest, signed)) => {
            let expires = Timestamp::from_micros(now.as_micros() + KEPT_US);
            let facts = {
                let mut export = job.show();
                export.state = ExportState::Done;
                export.at = export.size;
                export.expires_at = Some(expires.to_string());
                export.manifest = Some(manifest);
                export.signed = Some(signed);
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
    if *job.unwanted.borrow() {
        remove(&job.folder);
    }
}
