//! Who asks: a caller that is known, and what its grants let it do now.

use super::{error::ControlError, event::Author, fold::Control};
use indelible_api::{Grant, Role};
use indelible_event::Timestamp;

/// A caller that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Principal {
    /// `token:ID`, `oidc:SUBJECT` or `cert:SUBJECT`: what stands in records.
    pub(crate) id: String,
    pub(crate) name: Option<String>,
    /// Groups the issuer says it is in.
    pub(crate) groups: Vec<String>,
    pub(crate) expires_at: Option<Timestamp>,
}

/// Who asks for an act, and as whom it is written down.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    pub(crate) principal: Principal,
    pub(crate) author: Author,
}

/// What an act concerns: whoever asks for it, approves or rejects it must have leave.
#[derive(Debug)]
pub(crate) enum Concern<'a> {
    /// Logs of these patterns, all of which are to be managed.
    Manage(Vec<&'a str>),
    /// The same, but to others it is not even there: they are told the error.
    Hidden(Vec<&'a str>, ControlError),
    /// Events of this log.
    Read(&'a str),
    /// The server alone.
    System,
}

impl Principal {
    /// Its grants that are in force at `now`.
    pub(crate) fn grants<'a>(
        &'a self,
        control: &'a Control,
        now: Timestamp,
    ) -> impl Iterator<Item = &'a Grant> {
        control
            .grants_of(&self.id)
            .chain(self.groups.iter().flat_map(|group| control.grants_of(group)))
            .map(|entry| &entry.grant)
            .filter(move |grant| grant.is_current(now))
    }

    /// Whether its credential works at `now`.
    pub(crate) fn is_live(&self, control: &Control, now: Timestamp) -> bool {
        let known = match self.id.strip_prefix("token:") {
            Some(id) => control.tokens.get(id).is_some_and(|token| Control::is_live(token, now)),
            None => true,
        };
        known && self.expires_at.is_none_or(|end| now < end)
    }

    /// Whether it manages every log that `pattern` takes in.
    pub(crate) fn manages(&self, control: &Control, pattern: &str, now: Timestamp) -> bool {
        self.manages_until(control, pattern, now).is_some()
    }

    /// Until when it manages every log that `pattern` takes in; none: not now. A token
    /// manages nothing after its own end; that a person's session ends means nothing.
    /// Microseconds since the epoch.
    pub(crate) fn manages_until(
        &self,
        control: &Control,
        pattern: &str,
        now: Timestamp,
    ) -> Option<i64> {
        // The system's logs are the business of whoever manages everything.
        let pattern = if pattern.starts_with('_') { "*" } else { pattern };
        let token = self.id.strip_prefix("token:").and_then(|id| control.tokens.get(id));
        let end = token.and_then(|token| token.expires_at);
        self.grants(control, now)
            .filter(|own| own.role == Role::Operator && own.covers(pattern))
            .map(|own| ends_at(own, end))
            .max()
    }

    /// Whether it sees events of a log, all or some.
    pub(crate) fn reads(&self, control: &Control, log: &str, now: Timestamp) -> bool {
        self.grants(control, now).any(|grant| match grant.role {
            Role::Reader => grant.matches(log),
            // An auditor of some logs sees who looked into those.
            Role::Auditor => grant.matches(log) || log == crate::subject::ACCESS,
            Role::Writer | Role::Operator | Role::Verifier => false,
        })
    }

    /// Refuses what it may not do at `now`, or can do nothing any more.
    ///
    /// # Errors
    /// [`ControlError::NotLive`], [`ControlError::Forbidden`], or what the concern says.
    pub(crate) fn check(
        &self,
        control: &Control,
        concern: Concern<'_>,
        now: Timestamp,
    ) -> Result<(), ControlError> {
        if !self.is_live(control, now) {
            return Err(ControlError::NotLive);
        }
        let forbidden = |log: Option<&str>, roles| ControlError::Forbidden {
            principal: self.id.clone(),
            log: log.map(str::to_owned),
            roles,
        };
        match concern {
            Concern::Manage(patterns) => {
                match patterns.iter().find(|pattern| !self.manages(control, pattern, now)) {
                    None => Ok(()),
                    Some(pattern) => Err(forbidden(Some(pattern), "operator")),
                }
            }
            Concern::Hidden(patterns, error) => {
                let all = patterns.iter().all(|pattern| self.manages(control, pattern, now));
                if all { Ok(()) } else { Err(error) }
            }
            Concern::Read(log) if self.reads(control, log, now) => Ok(()),
            Concern::Read(log) => Err(forbidden(Some(log), "reader or auditor")),
            Concern::System => Err(forbidden(None, "of the server itself")),
        }
    }
}

/// When a grant ends, at the latest with the token that holds it, in microseconds since
/// the epoch; a window that cannot be read is closed.
pub(super) fn ends_at(grant: &Grant, token_end: Option<Timestamp>) -> i64 {
    let of_token = token_end.map_or(i64::MAX, Timestamp::as_micros);
    let of_grant = grant
        .not_after
        .as_ref()
        .map_or(i64::MAX, |text| text.parse::<Timestamp>().map_or(i64::MIN, Timestamp::as_micros));
    of_grant.min(of_token)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests state their expectations by failing")]
mod tests {
    use super::*;
    use crate::{
        access::{Decision, Permission, decide},
        control::{event::Decoded, grant::GrantAdded},
    };

    /// Reading is decided in two places, for views here and for requests there; they agree.
    #[test]
    fn who_reads_is_decided_alike_everywhere() {
        let now = Timestamp::from_micros(0);
        for role in Role::ALL {
            for pattern in ["*", "prod", "pro*", "team-*", "_*", "_access", "_control"] {
                let grant = Grant::new(role, pattern);
                let add = GrantAdded { id: "g".into(), subject: "oidc:ada".into(), grant };
                let (principal, change) = ("system".to_owned(), add.into());
                let mut control = Control::default();
                control.apply(&Decoded { time: now, principal, reason: None, change }).unwrap();
                let (id, groups) = ("oidc:ada".to_owned(), Vec::new());
                let ada = Principal { id, name: None, groups, expires_at: None };
                for log in ["prod", "team-a", "_access", "_control", "other"] {
                    let decision = decide(&control, &ada, Permission::Read, log, now);
                    assert_eq!(
                        ada.reads(&control, log, now),
                        matches!(decision, Decision::Allowed(_)),
                        "{role}:{pattern} on {log}"
                    );
                }
            }
        }
    }
}
