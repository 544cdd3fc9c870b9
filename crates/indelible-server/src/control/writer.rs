//! The procedure of an act. Its owner holds the controller's lock and runs in a task of
//! its own, so no step is ever cut off by whoever asked.

use super::{
    InForce, Written,
    act::ActProposed,
    effects::{Effects, Workshop},
    error::ControlError,
    event::{Author, Change, Decoded, encode},
    fold::{Control, LogEntry},
    fold_rest, new_id,
    policy::second_person,
    principal::Asker,
};
use indelible_event::{NATIVE, Timestamp, format_named};
use indelible_log::{AppendError, Batch, LogError, Placed, StageError, chain};
use std::{collections::BTreeSet, sync::Arc};

/// The only writer of `_control`.
#[derive(Debug)]
pub(super) struct Writer {
    state: Arc<InForce>,
    effects: Arc<dyn Effects>,
    /// Logs that do not agree with the configuration yet: tried again with each act.
    behind: BTreeSet<String>,
    /// Why nobody knows whether the last event is durable: only a restart tells.
    unsure: Option<Arc<str>>,
}

impl Writer {
    pub(super) fn new(state: Arc<InForce>, effects: Arc<dyn Effects>) -> Self {
        Self { state, effects, behind: BTreeSet::new(), unsure: None }
    }

    pub(super) fn effects(&self) -> Arc<dyn Effects> {
        Arc::clone(&self.effects)
    }

    /// One act, from the question whether it may be done to its effects.
    pub(super) async fn act(
        &mut self,
        asker: &Asker,
        change: Change,
    ) -> Result<Written, ControlError> {
        self.follow().await?;
        let (current, now) = (self.state.current(), self.state.now());
        let who = &asker.principal;
        // 1. Leave, now: the request's head may have come long ago.
        who.check(&current, change.concern(&current)?, now)?;
        if let Some(index) = change.made(&current, who) {
            return Ok(Written { index, pending: None, change });
        }
        change.check(&current, who, now)?;
        // 2. What the event names. If we crash after it, nothing refers to it.
        let change = self.prepare(change).await?;
        let Some(act) = second_person(&current.policy, &change.dangers(&current)) else {
            let index = self.write(&asker.author, change.clone(), now).await?;
            return Ok(Written { index, pending: None, change });
        };
        // What could not be made now is not worth a second person's time.
        Control::clone(&current).apply(&decoded(&asker.author, change.clone(), now))?;
        let id = new_id("act")?;
        let hours = i64::from(current.policy.pending_hours);
        let expires_us = now.as_micros().saturating_add(hours * 3_600_000_000);
        let proposal = ActProposed {
            id: id.clone(),
            act,
            expires_at: Timestamp::from_micros(expires_us),
            groups: who.groups.clone(),
            change: Box::new(change.clone()),
        };
        let index = self.write(&asker.author, proposal.into(), now).await?;
        Ok(Written { index, pending: Some(id), change })
    }

    /// A change of the server itself.
    pub(super) async fn record(&mut self, change: Change) -> Result<u64, ControlError> {
        self.follow().await?;
        self.write(&Author::system(), change, self.state.now()).await
    }

    /// Folds what stands in `_control` and is not in force: the end of a write that
    /// nobody saw. Nothing, as a rule.
    async fn follow(&mut self) -> Result<(), ControlError> {
        let before = self.state.current();
        if self.state.log.head().size > before.size {
            let (log, mut next) = (Arc::clone(&self.state.log), Control::clone(&before));
            let folding = move || fold_rest(&log, &mut next).map(|()| next);
            let next =
                tokio::task::spawn_blocking(folding).await.map_err(|_| ControlError::CutOff)??;
            self.put_in_force(next);
        }
        // An effect that still fails does not stand in the way of other acts: a token must
        // be revocable when a disk is full.
        let mut logs = changed_logs(&before, &self.state.current());
        logs.extend(self.behind.iter().cloned());
        if let Err((log, error)) = self.carry_out(logs).await {
            tracing::warn!(log, error = chain(&error), "a log does not agree with _control yet");
        }
        Ok(())
    }

    async fn prepare(&self, mut change: Change) -> Result<Change, ControlError> {
        let workshop = Workshop::new(Arc::clone(&self.effects), self.unsure.clone());
        let preparing = move || change.prepare(&workshop).map(|()| change);
        tokio::task::spawn_blocking(preparing).await.map_err(|_| ControlError::CutOff)?
    }

    /// Steps 3 to 6 of an act.
    async fn write(
        &mut self,
        author: &Author,
        change: Change,
        now: Timestamp,
    ) -> Result<u64, ControlError> {
        let current = self.state.current();
        // 3. On a copy.
        let mut next = Control::clone(&current);
        let event = decoded(author, change, now);
        next.apply(&event)?;
        let settled = match &event.change {
            Change::ActApproved(act) => Some(&act.id),
            Change::ActRejected(act) => Some(&act.id),
            _ => None,
        };
        let lapsed: Vec<_> = current
            .waiting
            .keys()
            .filter(|id| !next.waiting.contains_key(*id) && Some(*id) != settled)
            .collect();
        // 4. Durable.
        let data = encode(&event.change, author, now, &lapsed);
        let appended = self.append(&author.principal, &data).await;
        if appended.is_err() && self.state.log.head().size > current.size {
            // The event is durable whatever the answer says.
            self.follow().await?;
        }
        let index = appended?;
        // If we crash here the act is done, and the fold at start says so.
        // 5. In force.
        if index + 1 == next.size {
            self.put_in_force(next);
        } else {
            self.follow().await?;
        }
        // 6. Effects. If we crash before they are made, the next start makes them.
        let changed = changed_logs(&current, &self.state.current());
        self.carry_out(changed).await.map_err(|(log, source)| ControlError::NotCarriedOut {
            index,
            log,
            source,
        })?;
        Ok(index)
    }

    async fn append(&mut self, principal: &str, data: &str) -> Result<u64, ControlError> {
        let log = &self.state.log;
        let (received_at, header) = log.header(principal, NATIVE);
        let mut batch = Batch::new();
        let format = format_named(NATIVE).map_err(StageError::Event)?;
        log.stage(&mut batch, &header, received_at, format, data)?;
        let committed = log.submit(batch).await.inspect_err(|error| {
            let nothing_written = matches!(
                error,
                AppendError::Full(_) | AppendError::Signing(_) | AppendError::Conflict { .. }
            );
            self.unsure = (!nothing_written).then(|| chain(error).into());
        })?;
        match committed.placed.into_iter().next() {
            Some(Placed::Created(index) | Placed::Duplicate { index, .. }) => Ok(index),
            Some(Placed::Refused(error)) => Err(error.into()),
            None => Err(ControlError::CutOff),
        }
    }

    fn put_in_force(&self, next: Control) {
        *self.state.control.write() = Arc::new(next);
    }

    /// Makes these logs agree; the others that are behind wait for the next act.
    async fn carry_out(&mut self, logs: BTreeSet<String>) -> Result<(), (String, LogError)> {
        let control = self.state.current();
        let entry = |name: String| control.logs.get(&name).map(|entry| (name, entry.clone()));
        let changed: Vec<(String, LogEntry)> = logs.into_iter().filter_map(entry).collect();
        if changed.is_empty() {
            return Ok(());
        }
        // Behind until they are known to agree: a panic must not make us forget them.
        self.behind.extend(changed.iter().map(|(name, _)| name.clone()));
        let effects = Arc::clone(&self.effects);
        let carrying = move || {
            let agree = |(name, entry): (String, LogEntry)| {
                let agreed = effects.agree(&name, &entry);
                (name, agreed)
            };
            changed.into_iter().map(agree).collect::<Vec<_>>()
        };
        let mut failed = Ok(());
        for (name, agreed) in tokio::task::spawn_blocking(carrying).await.unwrap_or_default() {
            match agreed {
                Ok(()) => drop(self.behind.remove(&name)),
                Err(error) => failed = Err((name, error)),
            }
        }
        failed
    }
}

/// Names of the logs whose entry is another than before.
fn changed_logs(before: &Control, now: &Control) -> BTreeSet<String> {
    let changed = now.logs.iter().filter(|(name, entry)| before.logs.get(*name) != Some(*entry));
    changed.map(|(name, _)| name.clone()).collect()
}

fn decoded(author: &Author, change: Change, now: Timestamp) -> Decoded {
    Decoded {
        time: now,
        principal: author.principal.clone(),
        reason: author.reason.clone(),
        change,
    }
}
