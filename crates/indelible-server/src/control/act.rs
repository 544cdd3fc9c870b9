//! Acts about acts: proposed, approved, rejected.

use super::{
    amend::{Amend, Stamp, Target},
    error::{ControlError, Misfit, Thing},
    event::Change,
    fold::{Control, Waiting},
    principal::{Concern, Principal},
    wire,
};
use indelible_api::Act;
use indelible_event::Timestamp;
use serde::{Deserialize, Serialize};

/// An act waits for a second person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ActProposed {
    pub(crate) id: String,
    pub(crate) act: Act,
    #[serde(with = "wire::time")]
    pub(crate) expires_at: Timestamp,
    /// Groups the proposer was in, by whose grants it may have asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) groups: Vec<String>,
    pub(crate) change: Box<Change>,
}

impl Amend for ActProposed {
    const ACTION: &'static str = "control.act.proposed";
    /// That of the change: see [`Change::category`].
    const CATEGORY: &'static str = "config";

    fn targets(&self) -> Vec<Target<'_>> {
        let mut targets = vec![Target::new("act", &self.id)];
        targets.extend(self.change.targets());
        targets
    }

    fn summary(&self) -> String {
        format!("proposed: {}", self.change.summary())
    }

    fn concern<'a>(&'a self, _: &'a Control) -> Result<Concern<'a>, ControlError> {
        // Only the controller proposes, once it has checked the change.
        Ok(Concern::System)
    }

    fn apply(&self, control: &mut Control, stamp: &Stamp) -> Result<(), Misfit> {
        if control.waiting.contains_key(&self.id) {
            return Err(Misfit::Taken(Thing::Act, self.id.clone()));
        }
        if self.change.is_about_an_act() {
            return Err(Misfit::Nested);
        }
        let waiting = Waiting {
            act: self.act,
            change: (*self.change).clone(),
            proposed_by: stamp.by.clone(),
            groups: self.groups.clone(),
            proposed_at: stamp.time,
            expires_at: self.expires_at,
            reason: stamp.reason.clone(),
        };
        control.waiting.insert(self.id.clone(), waiting);
        Ok(())
    }
}

/// What concerns whoever settles an act: what the act itself does.
fn concern_of<'a>(control: &'a Control, id: &str) -> Result<Concern<'a>, ControlError> {
    let missing = || ControlError::Missing(Thing::Act, id.to_owned());
    let waiting = control.waiting.get(id).ok_or_else(missing)?;
    // What it was about may be gone: then whoever manages everything settles it.
    Ok(waiting.change.concern(control).unwrap_or_else(|_| Concern::Manage(vec!["*"])))
}

/// A second person approved: the change is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ActApproved {
    pub(crate) id: String,
}

impl Amend for ActApproved {
    const ACTION: &'static str = "control.act.approved";
    const CATEGORY: &'static str = "config";

    fn targets(&self) -> Vec<Target<'_>> {
        vec![Target::new("act", &self.id)]
    }

    fn summary(&self) -> String {
        format!("approve {}", self.id)
    }

    fn concern<'a>(&'a self, control: &'a Control) -> Result<Concern<'a>, ControlError> {
        concern_of(control, &self.id)
    }

    /// Both persons must have leave for the act itself, now: time has passed since it
    /// was asked for.
    fn check(
        &self,
        control: &Control,
        who: &Principal,
        now: Timestamp,
    ) -> Result<(), ControlError> {
        let missing = || ControlError::Missing(Thing::Act, self.id.clone());
        let waiting = control.waiting.get(&self.id).ok_or_else(missing)?;
        if waiting.has_lapsed(now) {
            return Err(ControlError::Lapsed { id: self.id.clone(), at: waiting.expires_at });
        }
        if waiting.proposed_by == who.id {
            return Err(ControlError::OwnApproval);
        }
        let change = &waiting.change;
        change
            .allow(control, &waiting.proposer(), now)
            .map_err(|e| ControlError::Stale { id: self.id.clone(), source: Box::new(e) })?;
        change.allow(control, who, now)
    }

    fn apply(&self, control: &mut Control, stamp: &Stamp) -> Result<(), Misfit> {
        let missing = || Misfit::Missing(Thing::Act, self.id.clone());
        let waiting = control.waiting.get(&self.id).cloned().ok_or_else(missing)?;
        if waiting.proposed_by == stamp.by {
            return Err(Misfit::OwnApproval(self.id.clone()));
        }
        if waiting.has_lapsed(stamp.time) {
            return Err(Misfit::Lapsed(self.id.clone()));
        }
        let made =
            Stamp { by: waiting.proposed_by, approved_by: Some(stamp.by.clone()), ..stamp.clone() };
        waiting.change.apply(control, &made)?;
        control.waiting.remove(&self.id);
        Ok(())
    }
}

/// A second person (or the first) rejected it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ActRejected {
    pub(crate) id: String,
}

impl Amend for ActRejected {
    const ACTION: &'static str = "control.act.rejected";
    const CATEGORY: &'static str = "config";

    fn targets(&self) -> Vec<Target<'_>> {
        vec![Target::new("act", &self.id)]
    }

    fn summary(&self) -> String {
        format!("reject {}", self.id)
    }

    fn concern<'a>(&'a self, control: &'a Control) -> Result<Concern<'a>, ControlError> {
        concern_of(control, &self.id)
    }

    fn apply(&self, control: &mut Control, _: &Stamp) -> Result<(), Misfit> {
        let missing = || Misfit::Missing(Thing::Act, self.id.clone());
        control.waiting.remove(&self.id).map(drop).ok_or_else(missing)
    }
}
