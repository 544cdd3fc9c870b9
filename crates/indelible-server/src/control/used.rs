//! When credentials were last used.

use super::{
    amend::{Amend, Stamp, Target},
    error::{ControlError, Misfit},
    fold::Control,
    principal::Concern,
    wire,
};
use indelible_event::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// When credentials were last used, written now and then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CredentialsUsed {
    #[serde(
        serialize_with = "wire::serialize_times",
        deserialize_with = "wire::deserialize_times"
    )]
    pub(crate) used: BTreeMap<String, Timestamp>,
}

impl Amend for CredentialsUsed {
    const ACTION: &'static str = "control.credentials.used";
    const CATEGORY: &'static str = "auth";

    fn targets(&self) -> Vec<Target<'_>> {
        Vec::new()
    }

    fn summary(&self) -> String {
        format!("{} credentials used", self.used.len())
    }

    fn concern<'a>(&'a self, _: &'a Control) -> Result<Concern<'a>, ControlError> {
        Ok(Concern::System)
    }

    fn apply(&self, control: &mut Control, _: &Stamp) -> Result<(), Misfit> {
        control.used.extend(self.used.iter().map(|(who, at)| (who.clone(), *at)));
        Ok(())
    }
}
