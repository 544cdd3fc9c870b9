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
}

/// Subject of a token.
pub(crate) fn token_subject(id: &str) -> String {
    format!("token:{id}")
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
#[expect(clippy::unwrap_used, reason = "tests state their expectations by failing")]
mod tests {
    use super::*;
    use crate::control::{
        act::{ActApproved, ActProposed, ActRejected},
        event::{Author, decode, encode},
        grant::{GrantAdded, GrantRemoved},
        key::KeyReplaced,
        log::{LogCreated, LogPublished},
        policy::PolicyChanged,
        server::{CredentialsUsed, ServerStarted, ServerStopped},
        token::{TokenIssued, TokenRevoked},
        view::{ViewDeleted, ViewSaved},
    };
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
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        match kind {
            0 => LogCreated {
                log: format!("l{n}"),
                kind: if a.is_multiple_of(2) { Kind::Raw } else { Kind::Events },
                vkey: "v".into(),
            }
            .into(),
            1 if log.is_some() => {
                LogPublished { log: log.unwrap(), public: a.is_multiple_of(2) }.into()
            }
            2 if log.is_some() => KeyReplaced {
                log: log.unwrap(),
                vkey: format!("v{n}"),
                overlap_until: at("2026-01-01T00:00:00.000000Z"),
            }
            .into(),
            3 => TokenIssued {
                token: format!("{n:012x}"),
                name: "näme \" \\ \u{7}".into(),
                sha256: "00".into(),
                expires_at: a.is_multiple_of(2).then(|| at("2027-01-01T00:00:00Z")),
                grants: (0..a % 3).map(|i| (format!("g{n}-{i}"), grant.clone())).collect(),
            }
            .into(),
            4 => match pick(control.tokens.keys().collect()) {
                Some(token) => TokenRevoked { token }.into(),
                None => ServerStopped {}.into(),
            },
            5 => GrantAdded { id: format!("g{n}"), subject: "group:a".into(), grant }.into(),
            6 => match pick(control.grants.keys().collect()) {
                Some(id) => GrantRemoved { id }.into(),
                None => ServerStarted { version: "1".into() }.into(),
            },
            7 => PolicyChanged {
                policy: Policy { two_person: vec![Act::Publish], pending_hours: a as u32 },
            }
            .into(),
            8 => ActProposed {
                id: format!("a{n}"),
                act: Act::GrantOperator,
                expires_at: at("2026-01-01T00:00:00Z"),
                groups: (0..a % 2).map(|i| format!("group:{i}")).collect(),
                change: Box::new(
                    GrantAdded {
                        id: format!("p{n}"),
                        subject: "cert:CN=x".into(),
                        grant: Grant::new(Role::Operator, "*"),
                    }
                    .into(),
                ),
            }
            .into(),
            11 => ViewSaved {
                log: "l".into(),
                view: format!("v{}", a % 3),
                q: "actor:\"x\"".into(),
                description: None,
            }
            .into(),
            12 if !control.views.is_empty() => {
                let (log, view) = control.views.keys().next().unwrap().clone();
                ViewDeleted { log, view }.into()
            }
            9 if waiting.is_some() => ActApproved { id: waiting.unwrap() }.into(),
            10 if waiting.is_some() => ActRejected { id: waiting.unwrap() }.into(),
            // What does not apply.
            13 => GrantRemoved { id: format!("nobody-{a}") }.into(),
            14 => ActApproved { id: format!("nobody-{a}") }.into(),
            _ => {
                let used = [(format!("token:{a}"), Timestamp::from_micros(a as i64))].into();
                CredentialsUsed { used }.into()
            }
        }
    }

    proptest! {
        /// The configuration is the fold: from the records' bytes, at once or in two
        /// parts, it is always the one that was in force.
        #[test]
        fn folding_again_gives_the_same(steps in prop::collection::vec((0u8..16, 0usize..50), 0..80), cut in 0usize..80) {
            let mut running = Control::default();
            let mut records = Vec::new();
            for (n, (kind, a)) in steps.into_iter().enumerate() {
                let change = choose(&running, kind, a, n);
                let approves = matches!(change, Change::ActApproved(_));
                let principal = if approves { "token:second" } else { "token:first" };
                let reason = a.is_multiple_of(2).then(|| "ticket".to_owned());
                let author = Author { principal: principal.into(), reason, ..Author::system() };
                let data = encode(&change, &author, Timestamp::from_micros(n as i64), &[]);
                prop_assert!(indelible_event::format_named("indelible.v1").unwrap().accept(&data).is_ok());
                let decoded = decode(&data).unwrap();
                prop_assert_eq!(&decoded.change, &change);
                drop(running.apply(&decoded));
                records.push(data);
            }
            let fold = |control: &mut Control, records: &[String]| {
                records.iter().for_each(|data| drop(control.apply(&decode(data).unwrap())));
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
    fn what_does_not_apply_has_no_effect_and_is_counted() {
        let at = |hour: i64| Timestamp::from_micros(hour * 3_600_000_000);
        let event = |principal: &str, hour: i64, change: Change| Decoded {
            time: at(hour),
            principal: principal.into(),
            reason: None,
            change,
        };
        let mut control = Control::default();
        let mut tried = Vec::new();
        let issue = |token: &str| -> Change {
            TokenIssued {
                token: token.into(),
                name: "t".into(),
                sha256: "00".into(),
                expires_at: None,
                grants: [("g".to_owned(), Grant::new(Role::Operator, "*"))].into(),
            }
            .into()
        };
        let propose = |id: &str, change: Change| -> Change {
            ActProposed {
                id: id.into(),
                act: Act::GrantOperator,
                expires_at: at(9),
                groups: Vec::new(),
                change: Box::new(change),
            }
            .into()
        };
        let add = |id: &str, subject: &str| -> Change {
            let grant = Grant::new(Role::Operator, "*");
            GrantAdded { id: id.into(), subject: subject.into(), grant }.into()
        };
        let approve = |id: &str| -> Change { ActApproved { id: id.into() }.into() };
        let (revoke, gone) = (
            || -> Change { TokenRevoked { token: "x".into() }.into() },
            || -> Change { TokenRevoked { token: "y".into() }.into() },
        );
        for (n, (fits, event)) in [
            (false, event("a", 0, GrantRemoved { id: "x".into() }.into())),
            (false, event("a", 0, LogPublished { log: "x".into(), public: true }.into())),
            (false, event("a", 0, approve("x"))),
            (true, event("a", 0, issue("x"))),
            // A known token, or one with the id of a grant that is held.
            (false, event("a", 0, issue("x"))),
            (false, event("a", 0, issue("y"))),
            (false, event("a", 0, gone())),
            (false, event("a", 0, add("h", "token:y"))),
            (true, event("a", 0, propose("own", add("h", "group:a")))),
            (false, event("a", 0, propose("own", add("i", "group:a")))),
            (false, event("a", 0, propose("nested", approve("own")))),
            (false, event("a", 0, approve("own"))),
            (false, event("b", 9, approve("own"))),
            // What is approved does not apply: the act goes on waiting.
            (true, event("a", 0, propose("twice", issue("x")))),
            (false, event("b", 1, approve("twice"))),
            (true, event("a", 1, revoke())),
            (false, event("a", 2, revoke())),
            (true, event("b", 2, approve("own"))),
        ]
        .into_iter()
        .enumerate()
        {
            let before = control.clone();
            let applied = control.apply(&event);
            assert_eq!(applied.is_ok(), fits, "{n}: {applied:?}");
            if let Err(misfit) = applied {
                tried.push((n as u64, misfit));
                let same = Control {
                    size: before.size,
                    misfits: before.misfits.clone(),
                    ..control.clone()
                };
                assert_eq!(same, before, "{n}");
            }
        }
        assert_eq!(control.size, 18);
        assert_eq!(control.misfits.count, tried.len() as u64);
        assert_eq!(control.misfits.first, tried[..10]);
        assert_eq!(control.tokens["x"].revoked_at, Some(at(1)));
        assert_eq!(control.grants["h"].approved_by.as_deref(), Some("b"));
    }

    #[test]
    fn what_nobody_may_ask_for_any_more_waits_no_more() {
        let event = |by: &str, change: Change| Decoded {
            time: Timestamp::from_micros(0),
            principal: by.into(),
            reason: None,
            change,
        };
        let add = |id: &str, subject: &str, log: &str| -> Change {
            let grant = Grant::new(Role::Operator, log);
            GrantAdded { id: id.into(), subject: subject.into(), grant }.into()
        };
        let propose = |id: &str, groups: &[&str], log: &str| -> Change {
            ActProposed {
                id: id.into(),
                act: Act::GrantOperator,
                expires_at: Timestamp::from_micros(1),
                groups: groups.iter().map(|group| (*group).to_owned()).collect(),
                change: Box::new(add("made", "group:x", log)),
            }
            .into()
        };
        let mut control = Control::default();
        for change in [
            event("system", add("all", "oidc:ada", "*")),
            event("system", add("team", "oidc:ada", "team-*")),
            event("system", add("sre", "group:sre", "*")),
            event("oidc:ada", propose("by-ada", &[], "prod")),
            event("oidc:ada", propose("by-ada-team", &[], "team-a")),
            event("oidc:ben", propose("by-ben", &["group:sre"], "prod")),
        ] {
            control.apply(&change).unwrap();
        }
        let waiting = |control: &Control| control.waiting.keys().cloned().collect::<Vec<_>>();
        control.apply(&event("system", GrantRemoved { id: "all".into() }.into())).unwrap();
        assert_eq!(waiting(&control), ["by-ada-team", "by-ben"]);
        control.apply(&event("system", GrantRemoved { id: "sre".into() }.into())).unwrap();
        assert_eq!(waiting(&control), ["by-ada-team"]);
    }

    #[test]
    fn a_newer_version_is_not_understood() {
        let newer =
            r#"{"time":"2026-01-01T00:00:00Z","actor":{"id":"a"},"control":{"v":2,"type":"x"}}"#;
        assert!(decode(newer).unwrap_err().to_string().contains("version 2"));
    }
}
