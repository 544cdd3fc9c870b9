//! Acts on logs: made, shown to everybody.

use super::{
    amend::{Amend, Stamp, Target},
    effects::Workshop,
    error::{ControlError, Misfit, Thing},
    fold::{Control, LogEntry},
    principal::{Concern, Principal},
};
use indelible_api::Act;
use indelible_event::Timestamp;
use indelible_log::{Kind, LogError, check_log_name};
use indelible_store::StoreError;
use serde::{Deserialize, Serialize};

/// A log exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogCreated {
    pub(crate) log: String,
    #[serde(rename = "raw", with = "raw")]
    pub(crate) kind: Kind,
    /// Its first key. Empty until the act is prepared.
    pub(crate) vkey: String,
}

/// A kind, as the events say it.
mod raw {
    use indelible_log::Kind;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(kind: &Kind, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bool(*kind == Kind::Raw)
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Kind, D::Error> {
        Ok(if bool::deserialize(from)? { Kind::Raw } else { Kind::Events })
    }
}

impl LogCreated {
    /// A log to be made.
    pub(crate) const fn new(log: String, kind: Kind) -> Self {
        Self { log, kind, vkey: String::new() }
    }
}

impl Amend for LogCreated {
    const ACTION: &'static str = "control.log.created";
    const CATEGORY: &'static str = "config";

    fn targets(&self) -> Vec<Target<'_>> {
        vec![Target::new("log", &self.log)]
    }

    fn summary(&self) -> String {
        format!("create log {}", self.log)
    }

    fn concern<'a>(&'a self, _: &'a Control) -> Result<Concern<'a>, ControlError> {
        if self.log.starts_with('_') || check_log_name(&self.log).is_err() {
            return Err(ControlError::LogName(self.log.clone()));
        }
        Ok(Concern::Manage(vec![&self.log]))
    }

    fn check(&self, control: &Control, _: &Principal, _: Timestamp) -> Result<(), ControlError> {
        match control.logs.contains_key(&self.log) {
            true => Err(ControlError::LogExists(self.log.clone())),
            false => Ok(()),
        }
    }

    fn prepare(&mut self, workshop: &Workshop) -> Result<(), ControlError> {
        self.vkey =
            workshop.effects()?.new_log(&self.log, self.kind).map_err(|source| match source {
                LogError::Store(StoreError::AlreadyExists { .. }) => {
                    ControlError::LogExists(self.log.clone())
                }
                source => ControlError::NotPrepared { log: self.log.clone(), source },
            })?;
        // If we crash here there is a folder that nothing refers to.
        Ok(())
    }

    fn apply(&self, control: &mut Control, _: &Stamp) -> Result<(), Misfit> {
        if control.logs.contains_key(&self.log) {
            return Err(Misfit::Taken(Thing::Log, self.log.clone()));
        }
        let keys = vec![(self.vkey.clone(), None)];
        control.logs.insert(self.log.clone(), LogEntry { kind: self.kind, public: false, keys });
        Ok(())
    }
}

/// A log shows its checkpoints and hash tiles to everybody, or no longer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogPublished {
    pub(crate) log: String,
    pub(crate) public: bool,
}

impl Amend for LogPublished {
    const ACTION: &'static str = "control.log.published";
    const CATEGORY: &'static str = "config";

    fn targets(&self) -> Vec<Target<'_>> {
        vec![Target::new("log", &self.log)]
    }

    fn summary(&self) -> String {
        let log = &self.log;
        match self.public {
            true => format!("show checkpoints and hash tiles of {log} to everybody"),
            false => format!("show {log} to nobody without a grant"),
        }
    }

    fn concern<'a>(&'a self, control: &'a Control) -> Result<Concern<'a>, ControlError> {
        match control.logs.contains_key(&self.log) {
            true => Ok(Concern::Manage(vec![&self.log])),
            false => Err(ControlError::NoLog(self.log.clone())),
        }
    }

    fn dangers(&self, _: &Control) -> Vec<Act> {
        self.public.then_some(Act::Publish).into_iter().collect()
    }

    fn apply(&self, control: &mut Control, _: &Stamp) -> Result<(), Misfit> {
        control.log_mut(&self.log)?.public = self.public;
        Ok(())
    }
}
