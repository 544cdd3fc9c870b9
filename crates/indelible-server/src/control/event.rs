//! Events of `_control`: typed, versioned, documented in docs/control-events.md.
//! Each is a native event whose member `control` carries the change.

use indelible_api::{Act, Grant, Policy};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of the changes below. Readers refuse others: configuration that is only
/// half understood must not be in force.
pub(crate) const VERSION: u32 = 1;

/// A change of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Change {
    /// A log exists.
    LogCreated { log: String, raw: bool, vkey: String },
    /// A log shows its checkpoints and hash tiles to everybody, or no longer.
    LogPublished { log: String, public: bool },
    /// A log signs with a new key; the one before signs beside it until a time.
    KeyReplaced { log: String, vkey: String, overlap_until: String },
    /// A token exists.
    TokenIssued {
        token: String,
        name: String,
        sha256: String,
        expires_at: Option<String>,
        grants: BTreeMap<String, Grant>,
    },
    /// A token works no more.
    TokenRevoked { token: String },
    /// A subject holds a grant.
    GrantAdded { id: String, subject: String, grant: Grant },
    /// It holds it no more.
    GrantRemoved { id: String },
    /// Which acts need two persons.
    PolicyChanged { policy: Policy },
    /// A query has a name.
    ViewSaved { log: String, view: String, q: String, description: Option<String> },
    /// It has no more.
    ViewDeleted { log: String, view: String },
    /// An act waits for a second person.
    ActProposed { id: String, act: Act, expires_at: String, change: Box<Change> },
    /// A second person approved: the change is made.
    ActApproved { id: String },
    /// A second person (or the first) rejected it.
    ActRejected { id: String },
    /// When credentials were last used, written now and then.
    CredentialsUsed { used: BTreeMap<String, String> },
    /// The server started.
    ServerStarted { version: String },
    /// The server stopped in order.
    ServerStopped,
}

impl Change {
    /// The event's action.
    pub(crate) const fn action(&self) -> &'static str {
        match self {
            Self::LogCreated { .. } => "control.log.created",
            Self::LogPublished { .. } => "control.log.published",
            Self::KeyReplaced { .. } => "control.key.replaced",
            Self::TokenIssued { .. } => "control.token.issued",
            Self::TokenRevoked { .. } => "control.token.revoked",
            Self::GrantAdded { .. } => "control.grant.added",
            Self::GrantRemoved { .. } => "control.grant.removed",
            Self::PolicyChanged { .. } => "control.policy.changed",
            Self::ViewSaved { .. } => "control.view.saved",
            Self::ViewDeleted { .. } => "control.view.deleted",
            Self::ActProposed { .. } => "control.act.proposed",
            Self::ActApproved { .. } => "control.act.approved",
            Self::ActRejected { .. } => "control.act.rejected",
            Self::CredentialsUsed { .. } => "control.credentials.used",
            Self::ServerStarted { .. } => "control.server.started",
            Self::ServerStopped => "control.server.stopped",
        }
    }

    const fn category(&self) -> &'static str {
        match self {
            Self::TokenIssued { .. }
            | Self::TokenRevoked { .. }
            | Self::GrantAdded { .. }
            | Self::GrantRemoved { .. } => "permission",
            Self::ActProposed { change, .. } => change.category(),
            Self::CredentialsUsed { .. } => "auth",
            Self::ServerStarted { .. } | Self::ServerStopped => "system",
            _ => "config",
        }
    }

    /// (type, id, name) of what the change is about.
    fn targets(&self) -> Vec<(&'static str, &str, Option<&str>)> {
        match self {
            Self::LogCreated { log, .. }
            | Self::LogPublished { log, .. }
            | Self::KeyReplaced { log, .. } => vec![("log", log, None)],
            Self::TokenIssued { token, name, .. } => vec![("token", token, Some(name))],
            Self::TokenRevoked { token } => vec![("token", token, None)],
            Self::GrantAdded { id, subject, .. } => {
                vec![("grant", id, None), ("principal", subject, None)]
            }
            Self::GrantRemoved { id } => vec![("grant", id, None)],
            Self::PolicyChanged { .. } => vec![("policy", "two-person", None)],
            Self::ViewSaved { log, view, .. } | Self::ViewDeleted { log, view } => {
                vec![("log", log, None), ("view", view, None)]
            }
            Self::ActProposed { id, change, .. } => {
                let mut targets = vec![("act", id.as_str(), None)];
                targets.extend(change.targets());
                targets
            }
            Self::ActApproved { id } | Self::ActRejected { id } => vec![("act", id, None)],
            Self::CredentialsUsed { .. } | Self::ServerStarted { .. } | Self::ServerStopped => {
                Vec::new()
            }
        }
    }

    /// What the change does, in words.
    pub(crate) fn summary(&self) -> String {
        let list = |grants: &BTreeMap<String, Grant>| {
            grants.values().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        };
        match self {
            Self::LogCreated { log, .. } => format!("create log {log}"),
            Self::LogPublished { log, public: true } => {
                format!("show checkpoints and hash tiles of {log} to everybody")
            }
            Self::LogPublished { log, .. } => format!("show {log} to nobody without a grant"),
            Self::KeyReplaced { log, vkey, overlap_until } => format!(
                "replace the signing key of {log} by {vkey}; the old one signs until {overlap_until}"
            ),
            Self::TokenIssued { token, name, grants, .. } => {
                format!("issue token {token} ({name}) with {}", list(grants))
            }
            Self::TokenRevoked { token } => format!("revoke token {token}"),
            Self::GrantAdded { subject, grant, .. } => format!("grant {grant} to {subject}"),
            Self::GrantRemoved { id } => format!("remove grant {id}"),
            Self::PolicyChanged { policy } => {
                let acts: Vec<_> = policy.two_person.iter().map(|act| act.name()).collect();
                let acts = if acts.is_empty() { "no act".to_owned() } else { acts.join(", ") };
                format!("two persons for {acts}; {} hours to approve", policy.pending_hours)
            }
            Self::ViewSaved { log, view, q, .. } => format!("save view {view} of {log}: {q}"),
            Self::ViewDeleted { log, view } => format!("delete view {view} of {log}"),
            Self::ActProposed { change, .. } => format!("proposed: {}", change.summary()),
            Self::ActApproved { id } => format!("approve {id}"),
            Self::ActRejected { id } => format!("reject {id}"),
            Self::CredentialsUsed { used } => format!("{} credentials used", used.len()),
            Self::ServerStarted { version } => format!("server {version} started"),
            Self::ServerStopped => "server stopped".to_owned(),
        }
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
        crate::trail::actor(&self.principal, self.name.as_deref())
    }
}

/// The native event that says so.
pub(crate) fn encode(change: &Change, author: &Author, time: &str) -> String {
    let targets: Vec<_> = change
        .targets()
        .into_iter()
        .map(|(kind, id, name)| {
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
    pub(crate) time: String,
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
pub(crate) fn decode(data: &str) -> Result<Decoded, String> {
    #[derive(Deserialize)]
    struct Wire {
        time: String,
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
    let wire: Wire = serde_json::from_str(data).map_err(|e| e.to_string())?;
    let version = wire.control.get("v").and_then(serde_json::Value::as_u64);
    if version != Some(VERSION.into()) {
        return Err(format!(
            "its change is of version {}, and this server knows version {VERSION}",
            version.map_or_else(|| "?".to_owned(), |v| v.to_string())
        ));
    }
    let mut control = wire.control;
    if let Some(members) = control.as_object_mut() {
        members.remove("v");
    }
    let change = serde_json::from_value(control).map_err(|e| e.to_string())?;
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
                encode(&event.change, &author, &event.time) + "\n"
            })
            .collect();
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/control/golden.ndjson");
            std::fs::write(path, &again).unwrap();
        }
        assert_eq!(again, events);
    }
}
