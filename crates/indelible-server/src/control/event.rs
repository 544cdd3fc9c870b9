//! Events of `_control`: typed, versioned, documented in docs/control-events.md.
//! Each is a native event whose member `control` carries the change.

use super::{
    act::{ActApproved, ActProposed, ActRejected},
    amend::{Amend as _, Stamp, Target},
    effects::Workshop,
    error::{ControlError, DecodeError, Misfit},
    fold::Control,
    grant::{GrantAdded, GrantRemoved},
    key::KeyReplaced,
    log::{LogCreated, LogPublished},
    policy::PolicyChanged,
    principal::{Concern, Principal},
    system::{
        ClockRead, ClockStepped, FailureBegan, FailureEnded, ScrubFinished, ScrubFound,
        ServerStarted, ServerStopped,
    },
    token::{TokenIssued, TokenRevoked},
    used::CredentialsUsed,
    view::{ViewDeleted, ViewSaved},
};
use indelible_api::Act;
use indelible_event::Timestamp;
use serde::{Deserialize, Serialize};

/// Version of the changes below. Readers refuse others: configuration that is only
/// half understood must not be in force.
pub(crate) const VERSION: u32 = 1;

/// The list of acts, each of which has a file of its own; makes the ways to ask any.
macro_rules! changes {
    ($($name:ident),* $(,)?) => {
        /// A change of the configuration.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "type", rename_all = "snake_case")]
        pub(crate) enum Change {
            $($name($name),)*
        }

        $(impl From<$name> for Change {
            fn from(change: $name) -> Self {
                Self::$name(change)
            }
        })*

        impl Change {
            /// The event's action.
            pub(crate) const fn action(&self) -> &'static str {
                match self { $(Self::$name(_) => $name::ACTION,)* }
            }

            fn own_category(&self) -> &'static str {
                match self { $(Self::$name(_) => $name::CATEGORY,)* }
            }

            pub(crate) fn targets(&self) -> Vec<Target<'_>> {
                match self { $(Self::$name(change) => change.targets(),)* }
            }

            /// What the change does, in words.
            pub(crate) fn summary(&self) -> String {
                match self { $(Self::$name(change) => change.summary(),)* }
            }

            /// What it concerns.
            pub(crate) fn concern<'a>(&'a self, control: &'a Control) -> Result<Concern<'a>, ControlError> {
                match self { $(Self::$name(change) => change.concern(control),)* }
            }

            /// What else must hold.
            pub(crate) fn check(&self, control: &Control, who: &Principal, now: Timestamp) -> Result<(), ControlError> {
                match self { $(Self::$name(change) => change.check(control, who, now),)* }
            }

            /// The event that made it already, if doing it again would change nothing.
            pub(crate) fn made(&self, control: &Control, who: &Principal) -> Option<u64> {
                match self { $(Self::$name(change) => change.made(control, who),)* }
            }

            /// Which of the acts that can need two persons it is.
            pub(crate) fn dangers(&self, control: &Control) -> Vec<Act> {
                match self { $(Self::$name(change) => change.dangers(control),)* }
            }

            /// Makes what its event must name. Blocks.
            pub(crate) fn prepare(&mut self, workshop: &Workshop) -> Result<(), ControlError> {
                match self { $(Self::$name(change) => change.prepare(workshop),)* }
            }

            /// Applies it, or changes nothing.
            pub(crate) fn apply(&self, control: &mut Control, stamp: &Stamp) -> Result<(), Misfit> {
                match self { $(Self::$name(change) => change.apply(control, stamp),)* }
            }
        }
    };
}

changes! {
    LogCreated, LogPublished, KeyReplaced, TokenIssued, TokenRevoked, GrantAdded, GrantRemoved,
    PolicyChanged, ViewSaved, ViewDeleted, ActProposed, ActApproved, ActRejected,
    CredentialsUsed, ServerStarted, ServerStopped, FailureBegan, FailureEnded, ClockRead,
    ClockStepped, ScrubFound, ScrubFinished,
}

impl Change {
    /// The event's category: that of a proposal is the proposed change's.
    fn category(&self) -> &'static str {
        match self {
            Self::ActProposed(proposed) => proposed.change.category(),
            change => change.own_category(),
        }
    }

    pub(crate) const fn is_about_an_act(&self) -> bool {
        matches!(self, Self::ActProposed(_) | Self::ActApproved(_) | Self::ActRejected(_))
    }

    /// Whether `who` may do it at `now`, and it can be done.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn allow(
        &self,
        control: &Control,
        who: &Principal,
        now: Timestamp,
    ) -> Result<(), ControlError> {
        who.check(control, self.concern(control)?, now)?;
        self.check(control, who, now)
    }
}

/// Who makes a change, from where and why.
#[derive(Debug, Clone)]
pub(crate) struct Author {
    /// The principal: `token:…`, `oidc:…`, `cert:…`, or `system`.
    pub(crate) principal: String,
    pub(crate) name: Option<String>,
    /// Where the request came from, as it stands in events.
    pub(crate) context: serde_json::Value,
    pub(crate) reason: Option<String>,
}

impl Author {
    /// The server itself.
    pub(crate) fn system() -> Self {
        Self {
            principal: "system".to_owned(),
            name: None,
            context: serde_json::Value::Null,
            reason: None,
        }
    }

    /// The author as the actor of an event.
    pub(crate) fn actor(&self) -> serde_json::Value {
        crate::subject::actor(&self.principal, self.name.as_deref())
    }
}

/// The native event that says so. `lapsed` are the acts that wait no more because of it.
pub(crate) fn encode(
    change: &Change,
    author: &Author,
    time: Timestamp,
    lapsed: &[&String],
) -> String {
    let targets: Vec<_> = change
        .targets()
        .into_iter()
        .map(|Target { kind, id, name }| {
            let mut target = serde_json::json!({ "type": kind, "id": id });
            if let Some(name) = name {
                target["name"] = name.into();
            }
            target
        })
        .collect();
    let mut event = serde_json::json!({
        "time": time,
        "action": change.action(),
        "category": change.category(),
        "actor": author.actor(),
        "targets": targets,
        "outcome": { "result": "success" },
        "metadata": { "summary": change.summary() },
        "control": Versioned { v: VERSION, change: change.clone() },
    });
    if !lapsed.is_empty() {
        let summary = format!(
            "{}; with it {} waiting act{} lapsed",
            change.summary(),
            lapsed.len(),
            if lapsed.len() == 1 { "" } else { "s" }
        );
        event["metadata"]["summary"] = summary.into();
        event["metadata"]["lapsed"] = lapsed.iter().map(|id| id.as_str()).collect();
    }
    if let Some(reason) = &author.reason {
        event["metadata"]["reason"] = reason.as_str().into();
    }
    if !author.context.is_null() {
        event["context"] = author.context.clone();
    }
    event.to_string()
}

/// What the fold needs of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decoded {
    pub(crate) time: Timestamp,
    pub(crate) principal: String,
    pub(crate) reason: Option<String>,
    pub(crate) change: Change,
}

#[derive(Serialize, Deserialize)]
struct Versioned {
    v: u32,
    #[serde(flatten)]
    change: Change,
}

/// Reads the data of a record of `_control`.
pub(crate) fn decode(data: &str) -> Result<Decoded, DecodeError> {
    #[derive(Deserialize)]
    struct Wire {
        #[serde(with = "super::wire::time")]
        time: Timestamp,
        actor: WireActor,
        #[serde(default)]
        metadata: WireMetadata,
        control: serde_json::Value,
    }
    #[derive(Deserialize)]
    struct WireActor {
        id: String,
    }
    #[derive(Deserialize, Default)]
    struct WireMetadata {
        reason: Option<String>,
    }
    let wire: Wire = serde_json::from_str(data)?;
    let found = wire.control.get("v").and_then(serde_json::Value::as_u64);
    if found != Some(VERSION.into()) {
        return Err(DecodeError::Version { found, known: VERSION });
    }
    let mut control = wire.control;
    if let Some(members) = control.as_object_mut() {
        members.remove("v");
    }
    let change = serde_json::from_value(control)?;
    Ok(Decoded { time: wire.time, principal: wire.actor.id, reason: wire.metadata.reason, change })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests state their expectations by failing")]
mod tests {
    use super::*;

    /// One event of each kind, byte for byte as it is written: the fold of a log that
    /// exists must not change with the code. `UPDATE_GOLDEN=1` writes the file.
    #[test]
    fn the_bytes_of_control_do_not_change() {
        let events = include_str!("golden.ndjson");
        let again: String = events
            .lines()
            .map(|line| {
                let event = decode(line).unwrap();
                let author = Author {
                    principal: event.principal.clone(),
                    reason: event.reason.clone(),
                    ..Author::system()
                };
                encode(&event.change, &author, event.time, &[]) + "\n"
            })
            .collect();
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/control/golden.ndjson");
            std::fs::write(path, &again).unwrap();
        }
        assert_eq!(again, events);
    }
}
