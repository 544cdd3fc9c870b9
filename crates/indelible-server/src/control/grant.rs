//! Acts on grants: added, removed.

use super::{
    amend::{Amend, Stamp, Target},
    error::{Conflict, ControlError, Misfit, Problem, Thing},
    fold::Control,
    principal::{Concern, Principal, ends_at},
};
use indelible_api::{Act, Grant, GrantError, Role};
use indelible_event::Timestamp;
use serde::{Deserialize, Serialize};

/// A subject holds a grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GrantAdded {
    pub(crate) id: String,
    pub(crate) subject: String,
    pub(crate) grant: Grant,
}

/// Whether `who` may give this grant, to a token that ends then if it is for one.
pub(super) fn check_grant(
    control: &Control,
    who: &Principal,
    grant: &Grant,
    token_end: Option<Timestamp>,
    now: Timestamp,
) -> Result<(), ControlError> {
    // Nobody gives away management for longer than they have it.
    let mine = who.manages_until(control, &grant.log, now);
    if grant.role == Role::Operator && mine.is_none_or(|mine| ends_at(grant, token_end) > mine) {
        return Err(ControlError::Outlasts);
    }
    Ok(())
}

/// Nobody locks everybody out: somebody must remain who manages everything.
pub(super) fn keep_an_operator(
    control: &Control,
    now: Timestamp,
    without: &dyn Fn(&str) -> bool,
) -> Result<(), ControlError> {
    let before = control.operators(now, &|_| false).len();
    if before > 0 && control.operators(now, without).is_empty() {
        return Err(ControlError::Conflict(Conflict::LastOperator));
    }
    Ok(())
}

/// Checks who a grant is for.
fn check_subject(control: &Control, subject: &str) -> Result<(), ControlError> {
    let wrong = |problem| Err(ControlError::Invalid { member: "subject", problem });
    let (kind, rest) = subject.split_once(':').unwrap_or_default();
    if rest.is_empty() || subject.len() > 512 || subject.chars().any(char::is_control) {
        return wrong(Problem::Subject);
    }
    match kind {
        "group" | "oidc" | "cert" => Ok(()),
        "token" => match control.tokens.get(rest) {
            Some(token) if token.revoked_at.is_none() => Ok(()),
            Some(_) => wrong(Problem::RevokedToken),
            None => wrong(Problem::UnknownToken),
        },
        _ => wrong(Problem::Subject),
    }
}

impl Amend for GrantAdded {
    const ACTION: &'static str = "control.grant.added";
    const CATEGORY: &'static str = "permission";

    fn targets(&self) -> Vec<Target<'_>> {
        vec![Target::new("grant", &self.id), Target::new("principal", &self.subject)]
    }

    fn summary(&self) -> String {
        format!("grant {} to {}", self.grant, self.subject)
    }

    fn concern<'a>(&'a self, _: &'a Control) -> Result<Concern<'a>, ControlError> {
        Ok(Concern::Manage(vec![&self.grant.log]))
    }

    fn check(
        &self,
        control: &Control,
        who: &Principal,
        now: Timestamp,
    ) -> Result<(), ControlError> {
        check_subject(control, &self.subject)?;
        let wrong = |e: GrantError| ControlError::Invalid { member: "grant", problem: e.into() };
        self.grant.check().map_err(wrong)?;
        let token = self.subject.strip_prefix("token:").and_then(|id| control.tokens.get(id));
        check_grant(control, who, &self.grant, token.and_then(|token| token.expires_at), now)
    }

    fn dangers(&self, _: &Control) -> Vec<Act> {
        Act::of_granting(self.grant.role).into_iter().collect()
    }

    fn apply(&self, control: &mut Control, stamp: &Stamp) -> Result<(), Misfit> {
        if control.grants.contains_key(&self.id) {
            return Err(Misfit::Taken(Thing::Grant, self.id.clone()));
        }
        // A token that was revoked, or never was, holds nothing.
        if let Some(id) = self.subject.strip_prefix("token:") {
            match control.tokens.get(id) {
                None => return Err(Misfit::Missing(Thing::Token, id.to_owned())),
                Some(token) if token.revoked_at.is_some() => {
                    return Err(Misfit::Revoked(id.to_owned()));
                }
                Some(_) => {}
            }
        }
        control.add_grant(&self.id, &self.subject, &self.grant, stamp);
        Ok(())
    }
}

/// A subject holds a grant no more. What it could not ask for without the grant waits
/// no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GrantRemoved {
    pub(crate) id: String,
}

impl Amend for GrantRemoved {
    const ACTION: &'static str = "control.grant.removed";
    const CATEGORY: &'static str = "permission";

    fn targets(&self) -> Vec<Target<'_>> {
        vec![Target::new("grant", &self.id)]
    }

    fn summary(&self) -> String {
        format!("remove grant {}", self.id)
    }

    fn concern<'a>(&'a self, control: &'a Control) -> Result<Concern<'a>, ControlError> {
        let missing = || ControlError::Missing(Thing::Grant, self.id.clone());
        let entry = control.grants.get(&self.id).ok_or_else(missing)?;
        Ok(Concern::Hidden(vec![&entry.grant.log], missing()))
    }

    fn check(&self, control: &Control, _: &Principal, now: Timestamp) -> Result<(), ControlError> {
        keep_an_operator(control, now, &|grant| grant == self.id)
    }

    fn apply(&self, control: &mut Control, stamp: &Stamp) -> Result<(), Misfit> {
        let missing = || Misfit::Missing(Thing::Grant, self.id.clone());
        let entry = control.remove_grant(&self.id).ok_or_else(missing)?;
        control.drop_acts_of(&entry.subject, stamp.time);
        Ok(())
    }
}
