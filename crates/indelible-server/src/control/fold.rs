//! The configuration in force: a pure fold over the events of `_control`. Nothing
//! here is ever stored; folding the same events again gives the same configuration.
//!
//! **Invariant**: an event that does not apply changes nothing, is counted, and is never
//! a reason not to go on. So whatever `_control` holds, the fold is one configuration.

use super::{
    amend::Stamp,
    error::{Misfit, Thing},
    event::{Change, Decoded},
    principal::Principal,
    system::Life,
};
use indelible_api::{Act, Grant, Policy, Role};
use indelible_event::Timestamp;
use indelible_log::Kind;
use std::collections::{BTreeMap, HashMap};

/// A log that should exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogEntry {
    pub(crate) kind: Kind,
    pub(crate) public: bool,
    /// All keys, oldest first, and until when each signs.
    pub(crate) keys: Vec<(String, Option<Timestamp>)>,
}

/// A token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenEntry {
    pub(crate) name: String,
    /// SHA-256 of the token's text, hex.
    pub(crate) sha256: String,
    pub(crate) created_at: Timestamp,
    pub(crate) created_by: String,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) revoked_at: Option<Timestamp>,
}

/// A grant in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GrantEntry {
    pub(crate) subject: String,
    pub(crate) grant: Grant,
    pub(crate) granted_at: Timestamp,
    pub(crate) granted_by: String,
    pub(crate) approved_by: Option<String>,
}

/// An act that waits for a second person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) act: Act,
    pub(crate) change: Change,
    pub(crate) proposed_by: String,
    /// Groups the proposer was in when it asked.
    pub(crate) groups: Vec<String>,
    pub(crate) proposed_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) reason: Option<String>,
}

impl Waiting {
    /// Whether it is too late to approve it.
    pub(crate) fn has_lapsed(&self, now: Timestamp) -> bool {
        self.expires_at <= now
    }

    /// Who asked for it. That a session of theirs has ended takes nothing from them; that
    /// their token or grant is gone does.
    pub(crate) fn proposer(&self) -> Principal {
        let (id, groups) = (self.proposed_by.clone(), self.groups.clone());
        Principal { id, name: None, groups, expires_at: None }
    }
}

/// A saved query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ViewEntry {
    pub(crate) q: String,
    pub(crate) description: Option<String>,
    pub(crate) saved_by: String,
    pub(crate) saved_at: Timestamp,
    /// Index of the event that saved it.
    pub(crate) index: u64,
}

/// Events that do not apply, and so have no effect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Misfits {
    /// How many there are.
    pub(crate) count: u64,
    /// Index in `_control` and reason of the first few.
    pub(crate) first: Vec<(u64, Misfit)>,
}

impl Misfits {
    /// How many are told apart.
    const SHOWN: usize = 10;

    fn add(&mut self, index: u64, misfit: Misfit) {
        self.count += 1;
        if self.first.len() < Self::SHOWN {
            self.first.push((index, misfit));
        }
    }
}

/// The configuration in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Control {
    /// Events folded.
    pub(crate) size: u64,
    pub(crate) logs: BTreeMap<String, LogEntry>,
    pub(crate) tokens: BTreeMap<String, TokenEntry>,
    pub(crate) grants: BTreeMap<String, GrantEntry>,
    /// Ids of the grants of each subject.
    by_subject: HashMap<String, Vec<String>>,
    pub(crate) policy: Policy,
    pub(crate) waiting: BTreeMap<String, Waiting>,
    /// Saved queries, by log and name.
    pub(crate) views: BTreeMap<(String, String), ViewEntry>,
    /// When each principal saved queries in the hour before the last save.
    pub(super) saves: BTreeMap<String, Vec<Timestamp>>,
    /// When each credential was last used, as far as that was written down.
    pub(crate) used: BTreeMap<String, Timestamp>,
    pub(crate) misfits: Misfits,
    /// What is known of the server's own life.
    pub(crate) life: Life,
}

impl Control {
    /// Applies the next event.
    ///
    /// # Errors
    /// [`Misfit`]: the event does not apply. Then it is counted, and nothing else changes.
    pub(crate) fn apply(&mut self, event: &Decoded) -> Result<(), Misfit> {
        let stamp = Stamp {
            index: self.size,
            time: event.time,
            by: event.principal.clone(),
            approved_by: None,
            reason: event.reason.clone(),
        };
        let applied = event.change.apply(self, &stamp);
        self.size += 1;
        if let Err(misfit) = &applied {
            self.misfits.add(stamp.index, misfit.clone());
        }
        applied
    }

    /// The entry of a log, to be changed.
    pub(super) fn log_mut(&mut self, name: &str) -> Result<&mut LogEntry, Misfit> {
        self.logs.get_mut(name).ok_or_else(|| Misfit::Missing(Thing::Log, name.to_owned()))
    }

    /// Gives a subject a grant.
    pub(super) fn add_grant(&mut self, id: &str, subject: &str, grant: &Grant, stamp: &Stamp) {
        self.by_subject.entry(subject.to_owned()).or_default().push(id.to_owned());
        let entry = GrantEntry {
            subject: subject.to_owned(),
            grant: grant.clone(),
            granted_at: stamp.time,
            granted_by: stamp.by.clone(),
            approved_by: stamp.approved_by.clone(),
        };
        self.grants.insert(id.to_owned(), entry);
    }

    /// Takes a grant from whoever holds it.
    pub(super) fn remove_grant(&mut self, id: &str) -> Option<GrantEntry> {
        let entry = self.grants.remove(id)?;
        if let Some(ids) = self.by_subject.get_mut(&entry.subject) {
            ids.retain(|other| other != id);
            if ids.is_empty() {
                self.by_subject.remove(&entry.subject);
            }
        }
        Some(entry)
    }

    /// Takes all grants from a subject.
    pub(super) fn remove_grants_of(&mut self, subject: &str) {
        for id in self.by_subject.remove(subject).unwrap_or_default() {
            self.grants.remove(&id);
        }
    }

    /// Drops the waiting acts that a subject, which has just lost something, may not ask
    /// for any more.
    pub(super) fn drop_acts_of(&mut self, subject: &str, time: Timestamp) {
        let is_theirs = |waiting: &Waiting| {
            waiting.proposed_by == subject || waiting.groups.iter().any(|group| group == subject)
        };
        let may_ask = |waiting: &Waiting| {
            let concern = waiting.change.concern(self);
            concern.is_ok_and(|concern| waiting.proposer().check(self, concern, time).is_ok())
        };
        let stale: Vec<String> = self
            .waiting
            .iter()
            .filter(|(_, waiting)| is_theirs(waiting) && !may_ask(waiting))
            .map(|(id, _)| id.clone())
            .collect();
        for id in stale {
            self.waiting.remove(&id);
        }
    }

    /// The grants of a subject.
    pub(crate) fn grants_of<'a>(
        &'a self,
        subject: &str,
    ) -> impl Iterator<Item = &'a GrantEntry> + use<'a> {
        self.by_subject.get(subject).into_iter().flatten().filter_map(|id| self.grants.get(id))
    }

    /// Whether a token can be used.
    pub(crate) fn is_live(token: &TokenEntry, now: Timestamp) -> bool {
        token.revoked_at.is_none() && token.expires_at.is_none_or(|end| now < end)
    }

    /// Subjects that hold an operator's grant over everything now, other than by the
    /// grants in `without`.
    pub(crate) fn operators(&self, now: Timestamp, without: &dyn Fn(&str) -> bool) -> Vec<&str> {
        let live = |subject: &str| match subject.strip_prefix("token:") {
            Some(id) => self.tokens.get(id).is_some_and(|token| Self::is_live(token, now)),
            None => true,
        };
        let mut subjects: Vec<&str> = self
            .grants
            .iter()
            .filter(|(id, entry)| {
                entry.grant.role == Role::Operator
                    && entry.grant.log == "*"
                    && entry.grant.is_current(now)
                    && !without(id)
                    && live(&entry.subject)
            })
            .map(|(_, entry)| entry.subject.as_str())
            .collect();
        subjects.sort_unstable();
        subjects.dedup();
        subjects
    }
}

#[cfg(test)]
mod tests;
