//! Acts on tokens: issued, revoked.

use super::{
    amend::{Amend, Stamp, Target},
    error::{Conflict, ControlError, Misfit, Problem, Thing},
    fold::{Control, TokenEntry},
    grant::{check_grant, keep_an_operator},
    principal::{Concern, Principal},
    wire,
};
use crate::subject::token_subject;
use indelible_api::{Act, Grant, GrantError};
use indelible_event::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A token exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenIssued {
    pub(crate) token: String,
    pub(crate) name: String,
    /// SHA-256 of the token's text, hex.
    pub(crate) sha256: String,
    #[serde(default, with = "wire::optional_time")]
    pub(crate) expires_at: Option<Timestamp>,
    /// Its grants by id.
    pub(crate) grants: BTreeMap<String, Grant>,
}

impl Amend for TokenIssued {
    const ACTION: &'static str = "control.token.issued";
    const CATEGORY: &'static str = "permission";

    fn targets(&self) -> Vec<Target<'_>> {
        vec![Target { name: Some(&self.name), ..Target::new("token", &self.token) }]
    }

    fn summary(&self) -> String {
        let grants: Vec<_> = self.grants.values().map(ToString::to_string).collect();
        format!("issue token {} ({}) with {}", self.token, self.name, grants.join(", "))
    }

    fn concern<'a>(&'a self, _: &'a Control) -> Result<Concern<'a>, ControlError> {
        Ok(Concern::Manage(self.grants.values().map(|grant| grant.log.as_str()).collect()))
    }

    fn check(
        &self,
        control: &Control,
        who: &Principal,
        now: Timestamp,
    ) -> Result<(), ControlError> {
        if self.expires_at.is_some_and(|end| end <= now) {
            return Err(ControlError::Invalid { member: "expires_at", problem: Problem::Past });
        }
        for grant in self.grants.values() {
            let wrong =
                |e: GrantError| ControlError::Invalid { member: "grants", problem: e.into() };
            grant.check().map_err(wrong)?;
            check_grant(control, who, grant, self.expires_at, now)?;
        }
        Ok(())
    }

    fn dangers(&self, _: &Control) -> Vec<Act> {
        self.grants.values().filter_map(|grant| Act::of_granting(grant.role)).collect()
    }

    fn apply(&self, control: &mut Control, stamp: &Stamp) -> Result<(), Misfit> {
        if control.tokens.contains_key(&self.token) {
            // A token that was revoked never comes back.
            return Err(Misfit::Taken(Thing::Token, self.token.clone()));
        }
        if let Some(id) = self.grants.keys().find(|id| control.grants.contains_key(*id)) {
            return Err(Misfit::Taken(Thing::Grant, id.clone()));
        }
        let entry = TokenEntry {
            name: self.name.clone(),
            sha256: self.sha256.clone(),
            created_at: stamp.time,
            created_by: stamp.by.clone(),
            expires_at: self.expires_at,
            revoked_at: None,
        };
        control.tokens.insert(self.token.clone(), entry);
        for (id, grant) in &self.grants {
            control.add_grant(id, &token_subject(&self.token), grant, stamp);
        }
        Ok(())
    }
}

/// A token works no more. What it asked for waits no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenRevoked {
    pub(crate) token: String,
}

impl Amend for TokenRevoked {
    const ACTION: &'static str = "control.token.revoked";
    const CATEGORY: &'static str = "permission";

    fn targets(&self) -> Vec<Target<'_>> {
        vec![Target::new("token", &self.token)]
    }

    fn summary(&self) -> String {
        format!("revoke token {}", self.token)
    }

    fn concern<'a>(&'a self, control: &'a Control) -> Result<Concern<'a>, ControlError> {
        if !control.tokens.contains_key(&self.token) {
            return Err(ControlError::Missing(Thing::Token, self.token.clone()));
        }
        let grants = control.grants_of(&token_subject(&self.token));
        let mut patterns: Vec<_> = grants.map(|entry| entry.grant.log.as_str()).collect();
        if patterns.is_empty() {
            // A token without grants is the business of whoever manages everything.
            patterns.push("*");
        }
        Ok(Concern::Manage(patterns))
    }

    fn check(&self, control: &Control, _: &Principal, now: Timestamp) -> Result<(), ControlError> {
        if control.tokens.get(&self.token).is_some_and(|entry| entry.revoked_at.is_some()) {
            return Err(ControlError::Conflict(Conflict::Revoked));
        }
        let subject = token_subject(&self.token);
        keep_an_operator(control, now, &|grant| {
            control.grants.get(grant).is_some_and(|entry| entry.subject == subject)
        })
    }

    fn apply(&self, control: &mut Control, stamp: &Stamp) -> Result<(), Misfit> {
        let missing = || Misfit::Missing(Thing::Token, self.token.clone());
        let entry = control.tokens.get_mut(&self.token).ok_or_else(missing)?;
        if entry.revoked_at.is_some() {
            return Err(Misfit::Revoked(self.token.clone()));
        }
        entry.revoked_at = Some(stamp.time);
        let subject = token_subject(&self.token);
        control.remove_grants_of(&subject);
        control.drop_acts_of(&subject, stamp.time);
        Ok(())
    }
}
