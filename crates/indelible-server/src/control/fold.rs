//! The configuration in force: a pure fold over the events of `_control`. Nothing
//! here is ever stored; folding the same events again gives the same configuration.

use super::event::{Change, Decoded};
use indelible_api::{Act, Grant, Policy, Role};
use indelible_event::Timestamp;
use std::collections::{BTreeMap, HashMap};

/// A log that should exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogEntry {
    pub(crate) raw: bool,
    pub(crate) public: bool,
    /// All keys, oldest first, and until when each signs.
    pub(crate) keys: Vec<(String, Option<String>)>,
}

/// A token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenEntry {
    pub(crate) name: String,
    /// SHA-256 of the token's text, hex.
    pub(crate) sha256: String,
    pub(crate) created_at: String,
    pub(crate) created_by: String,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) revoked_at: Option<String>,
}

/// A grant in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GrantEntry {
    pub(crate) subject: String,
    pub(crate) grant: Grant,
    pub(crate) granted_at: String,
    pub(crate) granted_by: String,
    pub(crate) approved_by: Option<String>,
}

/// An act that waits for a second person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) act: Act,
    pub(crate) change: Change,
    pub(crate) proposed_by: String,
    pub(crate) proposed_at: String,
    pub(crate) expires_at: String,
    pub(crate) reason: Option<String>,
}

/// A saved query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ViewEntry {
    pub(crate) q: String,
    pub(crate) description: Option<String>,
    pub(crate) saved_by: String,
    pub(crate) saved_at: String,
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
    /// When each credential was last used, as far as that was written down.
    pub(crate) used: BTreeMap<String, String>,
}

/// Subject of a token.
pub(crate) fn token_subject(id: &str) -> String {
    format!("token:{id}")
}

impl Control {
    /// Applies the next event.
    ///
    /// # Errors
    /// What does not fit: the server refuses to run on events it cannot follow.
    pub(crate) fn apply(&mut self, event: &Decoded) -> Result<(), String> {
        match &event.change {
            Change::ActProposed { id, act, expires_at, change } => {
                let waiting = Waiting {
                    act: *act,
                    change: (**change).clone(),
                    proposed_by: event.principal.clone(),
                    proposed_at: event.time.clone(),
                    expires_at: expires_at.clone(),
                    reason: event.reason.clone(),
                };
                self.waiting.insert(id.clone(), waiting);
            }
            Change::ActApproved { id } => {
                let waiting = self.take_waiting(id)?;
                if waiting.proposed_by == event.principal {
                    return Err(format!("act {id} was approved by the one who proposed it"));
                }
                let (by, approver) = (waiting.proposed_by, Some(event.principal.clone()));
                self.make(&waiting.change, &event.time, &by, approver)?;
            }
            Change::ActRejected { id } => {
                self.take_waiting(id)?;
            }
            change => self.make(change, &event.time, &event.principal, None)?,
        }
        self.size += 1;
        Ok(())
    }

    fn take_waiting(&mut self, id: &str) -> Result<Waiting, String> {
        self.waiting.remove(id).ok_or_else(|| format!("no act {id} waits"))
    }

    fn make(
        &mut self,
        change: &Change,
        time: &str,
        by: &str,
        approved_by: Option<String>,
    ) -> Result<(), String> {
        let granted = |control: &mut Self, id: &str, subject: String, grant: &Grant| {
            control.by_subject.entry(subject.clone()).or_default().push(id.to_owned());
            let entry = GrantEntry {
                subject,
                grant: grant.clone(),
                granted_at: time.to_owned(),
                granted_by: by.to_owned(),
                approved_by: approved_by.clone(),
            };
            control.grants.insert(id.to_owned(), entry);
        };
        match change {
            Change::LogCreated { log, raw, vkey } => {
                let entry = LogEntry { raw: *raw, public: false, keys: vec![(vkey.clone(), None)] };
                self.logs.insert(log.clone(), entry);
            }
            Change::LogPublished { log, public } => self.log(log)?.public = *public,
            Change::KeyReplaced { log, vkey, overlap_until } => {
                let entry = self.log(log)?;
                if let Some((_, until)) = entry.keys.last_mut() {
                    *until = Some(overlap_until.clone());
                }
                entry.keys.push((vkey.clone(), None));
            }
            Change::TokenIssued { token, name, sha256, expires_at, grants } => {
                let expires_at = match expires_at {
                    None => None,
                    Some(text) => Some(text.parse().map_err(|_| "expires_at is no time")?),
                };
                let entry = TokenEntry {
                    name: name.clone(),
                    sha256: sha256.clone(),
                    created_at: time.to_owned(),
                    created_by: by.to_owned(),
                    expires_at,
                    revoked_at: None,
                };
                self.tokens.insert(token.clone(), entry);
                for (id, grant) in grants {
                    granted(self, id, token_subject(token), grant);
                }
            }
            Change::TokenRevoked { token } => {
                let entry =
                    self.tokens.get_mut(token).ok_or_else(|| format!("no token {token}"))?;
                entry.revoked_at = Some(time.to_owned());
                for id in self.by_subject.remove(&token_subject(token)).unwrap_or_default() {
                    self.grants.remove(&id);
                }
            }
            Change::GrantAdded { id, subject, grant } => {
                granted(self, id, subject.clone(), grant);
            }
            Change::GrantRemoved { id } => {
                let entry = self.grants.remove(id).ok_or_else(|| format!("no grant {id}"))?;
                if let Some(ids) = self.by_subject.get_mut(&entry.subject) {
                    ids.retain(|other| other != id);
                    if ids.is_empty() {
                        self.by_subject.remove(&entry.subject);
                    }
                }
            }
            Change::PolicyChanged { policy } => self.policy = policy.clone(),
            Change::ViewSaved { log, view, q, description } => {
                let entry = ViewEntry {
                    q: q.clone(),
                    description: description.clone(),
                    saved_by: by.to_owned(),
                    saved_at: time.to_owned(),
                };
                self.views.insert((log.clone(), view.clone()), entry);
            }
            Change::ViewDeleted { log, view } => {
                let key = (log.clone(), view.clone());
                self.views.remove(&key).ok_or_else(|| format!("no view {view} of {log}"))?;
            }
            Change::CredentialsUsed { used } => {
                self.used.extend(used.iter().map(|(who, when)| (who.clone(), when.clone())));
            }
            Change::ServerStarted { .. } | Change::ServerStopped => {}
            Change::ActProposed { .. }
            | Change::ActApproved { .. }
            | Change::ActRejected { .. } => {
                return Err("an act about an act".to_owned());
            }
        }
        Ok(())
    }

    fn log(&mut self, name: &str) -> Result<&mut LogEntry, String> {
        self.logs.get_mut(name).ok_or_else(|| format!("no log {name}"))
    }

    /// The grants of a subject.
    pub(crate) fn grants_of(&self, subject: &str) -> impl Iterator<Item = &GrantEntry> {
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
#[expect(clippy::unwrap_used, reason = "tests state their expectations by failing")]
mod tests {
    use super::*;
    use crate::control::event::{Author, decode, encode};
    use proptest::prelude::*;

    /// A change that fits the configuration, chosen by three numbers.
    fn choose(control: &Control, kind: u8, a: usize, n: usize) -> Change {
        let pick = |ids: Vec<&String>| ids.get(a % ids.len().max(1)).map(|id| (*id).clone());
        let grant = Grant {
            tenant: a.is_multiple_of(3).then(|| format!("t{a}")),
            ..Grant::new(if a.is_multiple_of(5) { Role::Auditor } else { Role::Reader }, "prod*")
        };
        let log = pick(control.logs.keys().collect());
        let waiting = pick(control.waiting.keys().collect());
        match kind {
            0 => Change::LogCreated {
                log: format!("l{n}"),
                raw: a.is_multiple_of(2),
                vkey: "v".into(),
            },
            1 if log.is_some() => {
                Change::LogPublished { log: log.unwrap(), public: a.is_multiple_of(2) }
            }
            2 if log.is_some() => Change::KeyReplaced {
                log: log.unwrap(),
                vkey: format!("v{n}"),
                overlap_until: "2026-01-01T00:00:00.000000Z".into(),
            },
            3 => Change::TokenIssued {
                token: format!("{n:012x}"),
                name: "näme \" \\ \u{7}".into(),
                sha256: "00".into(),
                expires_at: a.is_multiple_of(2).then(|| "2027-01-01T00:00:00Z".into()),
                grants: (0..a % 3).map(|i| (format!("g{n}-{i}"), grant.clone())).collect(),
            },
            4 => match pick(control.tokens.keys().collect()) {
                Some(token) => Change::TokenRevoked { token },
                None => Change::ServerStopped,
            },
            5 => Change::GrantAdded { id: format!("g{n}"), subject: "group:a".into(), grant },
            6 => match pick(control.grants.keys().collect()) {
                Some(id) => Change::GrantRemoved { id },
                None => Change::ServerStarted { version: "1".into() },
            },
            7 => Change::PolicyChanged {
                policy: Policy { two_person: vec![Act::Publish], pending_hours: a as u32 },
            },
            8 => Change::ActProposed {
                id: format!("a{n}"),
                act: Act::GrantOperator,
                expires_at: "2026-01-01T00:00:00Z".into(),
                change: Box::new(Change::GrantAdded {
                    id: format!("p{n}"),
                    subject: "cert:CN=x".into(),
                    grant: Grant::new(Role::Operator, "*"),
                }),
            },
            11 => Change::ViewSaved {
                log: "l".into(),
                view: format!("v{}", a % 3),
                q: "actor:\"x\"".into(),
                description: None,
            },
            12 if !control.views.is_empty() => {
                let (log, view) = control.views.keys().next().unwrap().clone();
                Change::ViewDeleted { log, view }
            }
            9 if waiting.is_some() => Change::ActApproved { id: waiting.unwrap() },
            10 if waiting.is_some() => Change::ActRejected { id: waiting.unwrap() },
            _ => Change::CredentialsUsed { used: [(format!("token:{a}"), "t".into())].into() },
        }
    }

    proptest! {
        /// The configuration is the fold: from the records' bytes, at once or in two
        /// parts, it is always the one that was in force.
        #[test]
        fn folding_again_gives_the_same(steps in prop::collection::vec((0u8..14, 0usize..50), 0..80), cut in 0usize..80) {
            let mut running = Control::default();
            let mut records = Vec::new();
            for (n, (kind, a)) in steps.into_iter().enumerate() {
                let change = choose(&running, kind, a, n);
                let approves = matches!(change, Change::ActApproved { .. });
                let principal = if approves { "token:second" } else { "token:first" };
                let reason = a.is_multiple_of(2).then(|| "ticket".to_owned());
                let author = Author { principal: principal.into(), reason, ..Author::system() };
                let data = encode(&change, &author, &Timestamp::from_micros(n as i64).to_string());
                prop_assert!(indelible_event::format_named("indelible.v1").unwrap().accept(&data).is_ok());
                let decoded = decode(&data).unwrap();
                prop_assert_eq!(&decoded.change, &change);
                running.apply(&decoded).unwrap();
                records.push(data);
            }
            let fold = |control: &mut Control, records: &[String]| {
                records.iter().for_each(|data| control.apply(&decode(data).unwrap()).unwrap());
            };
            let mut whole = Control::default();
            fold(&mut whole, &records);
            prop_assert_eq!(&whole, &running);
            let (first, rest) = records.split_at(cut.min(records.len()));
            let mut parts = Control::default();
            fold(&mut parts, first);
            fold(&mut parts, rest);
            prop_assert_eq!(parts, running);
        }

        #[test]
        fn any_bytes_are_refused(data: String) {
            prop_assert!(decode(&data).is_err());
        }
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let mut control = Control::default();
        let event = |principal: &str, change: Change| Decoded {
            time: "2026-01-01T00:00:00Z".into(),
            principal: principal.into(),
            reason: None,
            change,
        };
        for change in [
            Change::TokenRevoked { token: "x".into() },
            Change::GrantRemoved { id: "x".into() },
            Change::LogPublished { log: "x".into(), public: true },
            Change::ActApproved { id: "x".into() },
        ] {
            assert!(control.apply(&event("a", change)).is_err());
        }
        let propose = Change::ActProposed {
            id: "p".into(),
            act: Act::GrantOperator,
            expires_at: String::new(),
            change: Box::new(Change::ServerStopped),
        };
        control.apply(&event("a", propose)).unwrap();
        let own = event("a", Change::ActApproved { id: "p".into() });
        assert!(control.apply(&own).unwrap_err().contains("the one who proposed"));
        let newer = r#"{"time":"t","actor":{"id":"a"},"control":{"v":2,"type":"x"}}"#;
        assert!(decode(newer).unwrap_err().contains("version 2"));
    }
}
