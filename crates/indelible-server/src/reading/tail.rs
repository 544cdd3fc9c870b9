//! The live tail of a log: what a query finds, as it comes, until the reader goes away,
//! does not keep up, or may not read any more.

use crate::{
    error::Result,
    reading::{
        reader::Reader,
        room::{Reading, Room, SMALL},
        view::{Gathered, Rendered, look},
    },
    trail::shown::Facts,
    trail::{Access, Outcome},
};
use indelible_index::{Query, Source};
use indelible_log::Log;
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc;

/// Events that wait for a slow reader: one, whatever its size; the others of a step wait
/// to be sent.
pub(crate) const QUEUE: usize = 1;
/// How long a slow reader is waited for before it is cut off.
const PATIENCE: Duration = Duration::from_secs(30);
/// Records looked at in one step.
const STEP: u64 = 256;
/// Bytes of events read in one step: that of what every answer may take, as it is kept
/// twice; a larger event is a step of its own.
const STEP_BYTES: usize = SMALL / 2;

/// A tail: what it follows.
#[derive(Debug)]
pub(crate) struct Tail {
    pub(crate) log: Arc<Log>,
    pub(crate) query: Query,
    /// Names it in the trail, where each is counted by itself.
    pub(crate) id: String,
    /// What was asked for, for the trail.
    pub(crate) asked: Facts,
}

impl Tail {
    /// Sends what is found from `at` on. An error ends the tail; so does a reader that
    /// goes away.
    pub(crate) async fn follow(
        self: Arc<Self>,
        reader: &Reader,
        mut at: u64,
        sender: &mpsc::Sender<Rendered>,
    ) -> Result<()> {
        let (mut heads, mut stopping) = (self.log.follow(), reader.desk.stopping.subscribe());
        loop {
            tokio::select! {
                head = heads.wait_for(|head| head.size > at) => if head.is_err() { return Ok(()) },
                _ = stopping.wait_for(|stopping| *stopping) => return Ok(()),
                () = sender.closed() => return Ok(()),
            }
            // What was revoked meanwhile shows nothing more.
            reader.still_may()?;
            let (tail, scope) = (Arc::clone(&self), Arc::clone(&reader.caller.scope));
            let step = move |room: &mut Room| {
                let mut gathered = Gathered::within(usize::MAX, STEP_BYTES);
                let end = tail.step(room, at, &scope, &mut gathered)?;
                Ok((gathered.items, end))
            };
            // Held until all of it is sent.
            let ((found, end), _held) = reader.read(step).await?;
            at = end;
            if found.is_empty() {
                continue;
            }
            self.record(reader, &found).await?;
            for event in found {
                match tokio::time::timeout(PATIENCE, sender.send(event)).await {
                    Ok(Ok(())) => {}
                    _ => return Ok(()),
                }
            }
        }
    }

    /// Gathers what is found from `at` on; returns where the next step begins.
    fn step(
        &self,
        room: &mut Room,
        mut at: u64,
        scope: &crate::access::Scope,
        gathered: &mut Gathered,
    ) -> Reading<u64> {
        let end = self.log.head().size.min(at.saturating_add(STEP));
        while at < end && !gathered.is_full() {
            for record in self.log.records(at..end, SMALL)? {
                if self.is_match(room, at, &record)?
                    && !gathered.add(room, &self.log, at, &record, scope)?
                {
                    return Ok(at);
                }
                at += 1;
            }
        }
        Ok(at)
    }

    fn is_match(&self, room: &Room, at: u64, record: &[u8]) -> Reading<bool> {
        look(room, &self.log, record)?;
        Ok(self.query.matches(&Source::of(&self.log, at, record)?.read()))
    }

    /// In the trail before it leaves: the first of a minute, and what was added up since.
    async fn record(&self, reader: &Reader, found: &[Rendered]) -> Result<()> {
        let caller = &reader.caller;
        let facts = Facts::of_records(found.iter().map(|event| event.index));
        let mut details = self.asked.0.clone();
        details.extend(facts.0);
        details.insert("route".to_owned(), "GET /v1/logs/{log}/tail".into());
        let known = caller.principal.as_ref();
        let access = Access {
            action: "access.event.follow",
            principal: known.map(|known| (known.id.clone(), known.name.clone())),
            log: reader.logs.first().map(|(name, _)| name.clone()),
            target: Some(("stream", self.id.clone())),
            tenant: caller.scope.tenant().map(str::to_owned),
            outcome: Outcome::Success,
            details,
        };
        reader.desk.trail.count(&access, &caller.origin).await
    }
}
