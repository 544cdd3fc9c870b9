//! A log signs with a new key.

use super::{
    amend::{Amend, Stamp, Target},
    effects::Workshop,
    error::{ControlError, Misfit, Thing},
    fold::Control,
    principal::Concern,
    wire,
};
use indelible_api::Act;
use indelible_event::Timestamp;
use serde::{Deserialize, Serialize};

/// A log signs with a new key; the one before signs beside it until a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyReplaced {
    pub(crate) log: String,
    /// The new key. Empty until the act is prepared.
    pub(crate) vkey: String,
    #[serde(with = "wire::time")]
    pub(crate) overlap_until: Timestamp,
}

impl KeyReplaced {
    /// A key to be made.
    pub(crate) const fn new(log: String, overlap_until: Timestamp) -> Self {
        Self { log, vkey: String::new(), overlap_until }
    }
}

impl Amend for KeyReplaced {
    const ACTION: &'static str = "control.key.replaced";
    const CATEGORY: &'static str = "config";

    fn targets(&self) -> Vec<Target<'_>> {
        vec![Target::new("log", &self.log)]
    }

    fn summary(&self) -> String {
        let Self { log, vkey, overlap_until } = self;
        format!(
            "replace the signing key of {log} by {vkey}; the old one signs until {overlap_until}"
        )
    }

    fn concern<'a>(&'a self, control: &'a Control) -> Result<Concern<'a>, ControlError> {
        // The system's logs are not in the configuration: their keys stay.
        match control.logs.contains_key(&self.log) {
            true => Ok(Concern::Manage(vec![&self.log])),
            false => Err(ControlError::NoLog(self.log.clone())),
        }
    }

    fn dangers(&self, _: &Control) -> Vec<Act> {
        vec![Act::ReplaceKey]
    }

    fn prepare(&mut self, workshop: &Workshop) -> Result<(), ControlError> {
        let not_prepared = |source| ControlError::NotPrepared { log: self.log.clone(), source };
        self.vkey = workshop.effects()?.new_key(&self.log).map_err(not_prepared)?;
        // If we crash here there is a key that nothing refers to.
        Ok(())
    }

    fn apply(&self, control: &mut Control, _: &Stamp) -> Result<(), Misfit> {
        let entry = control.log_mut(&self.log)?;
        if entry.keys.iter().any(|(vkey, _)| *vkey == self.vkey) {
            return Err(Misfit::Taken(Thing::Key, self.vkey.clone()));
        }
        if let Some((_, until)) = entry.keys.last_mut() {
            *until = Some(self.overlap_until);
        }
        entry.keys.push((self.vkey.clone(), None));
        Ok(())
    }
}
