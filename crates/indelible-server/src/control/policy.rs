//! Which acts need two persons.

use super::{
    amend::{Amend, Stamp, Target},
    error::{Conflict, ControlError, Misfit},
    fold::Control,
    principal::{Concern, Principal},
};
use indelible_api::{Act, Policy};
use indelible_event::Timestamp;
use serde::{Deserialize, Serialize};

/// Which acts need two persons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicyChanged {
    pub(crate) policy: Policy,
}

/// What every policy that asks for two persons anywhere implies: else one person could
/// make the second, or do away with the rule.
const IMPLIED: [Act; 2] = [Act::GrantOperator, Act::RelaxPolicy];

/// The first of these acts that takes a second person.
pub(super) fn second_person(policy: &Policy, acts: &[Act]) -> Option<Act> {
    let needs = |act: &Act| {
        policy.two_person.contains(act) || (!policy.two_person.is_empty() && IMPLIED.contains(act))
    };
    acts.iter().copied().find(needs)
}

impl PolicyChanged {
    /// The policy with what it implies, in order.
    pub(crate) fn new(mut policy: Policy) -> Self {
        if !policy.two_person.is_empty() {
            policy.two_person.extend(IMPLIED);
        }
        policy.two_person.sort_unstable();
        policy.two_person.dedup();
        Self { policy }
    }
}

impl Amend for PolicyChanged {
    const ACTION: &'static str = "control.policy.changed";
    const CATEGORY: &'static str = "config";

    fn targets(&self) -> Vec<Target<'_>> {
        vec![Target::new("policy", "two-person")]
    }

    fn summary(&self) -> String {
        let acts: Vec<_> = self.policy.two_person.iter().map(|act| act.name()).collect();
        let acts = if acts.is_empty() { "no act".to_owned() } else { acts.join(", ") };
        format!("two persons for {acts}; {} hours to approve", self.policy.pending_hours)
    }

    fn concern<'a>(&'a self, _: &'a Control) -> Result<Concern<'a>, ControlError> {
        Ok(Concern::Manage(vec!["*"]))
    }

    fn check(&self, control: &Control, _: &Principal, now: Timestamp) -> Result<(), ControlError> {
        let operators = control.operators(now, &|_| false);
        if !self.policy.two_person.is_empty() && operators.len() < 2 {
            return Err(ControlError::Conflict(Conflict::OneOperator));
        }
        Ok(())
    }

    fn dangers(&self, control: &Control) -> Vec<Act> {
        let old = &control.policy;
        let relaxed = old.two_person.iter().any(|act| !self.policy.two_person.contains(act))
            || (!old.two_person.is_empty() && self.policy.pending_hours > old.pending_hours);
        relaxed.then_some(Act::RelaxPolicy).into_iter().collect()
    }

    fn apply(&self, control: &mut Control, _: &Stamp) -> Result<(), Misfit> {
        control.policy = self.policy.clone();
        Ok(())
    }
}
