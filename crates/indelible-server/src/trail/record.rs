//! One access, and the event that says so.

use crate::{origin::Origin, redact::redact, subject::actor};
use indelible_api::Code;
use indelible_event::Timestamp;
use serde_json::{Map, Value, json};

/// Action of a sign-in.
pub(crate) const SIGN_IN: &str = "access.sign_in";

/// One access.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    pub(crate) action: &'static str,
    /// The principal, and its name; none: nobody known.
    pub(crate) principal: Option<(String, Option<String>)>,
    pub(crate) log: Option<String>,
    /// (type, id) of what in the log was asked for.
    pub(crate) target: Option<(&'static str, String)>,
    /// The tenant the caller is narrowed to.
    pub(crate) tenant: Option<String>,
    pub(crate) outcome: Outcome,
    /// Route, query, numbers of records.
    pub(crate) details: Map<String, Value>,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was answered.
    Success,
    /// Refused by authentication, authorisation or a limit: the code, and why.
    Denied(Code, String),
    /// Not answered for another reason.
    Failure(Code),
}

impl Outcome {
    fn to_value(&self) -> Value {
        match self {
            Self::Success => json!({ "result": "success" }),
            Self::Denied(code, reason) => {
                json!({ "result": "denied", "code": code.name(), "reason": redact(reason) })
            }
            Self::Failure(code) => json!({ "result": "failure", "code": code.name() }),
        }
    }
}

/// The native event of an access.
pub(super) fn encode(access: &Access, origin: Option<&Origin>, time: Timestamp) -> String {
    let mut targets = Vec::new();
    if let Some(log) = &access.log {
        targets.push(json!({ "type": "log", "id": redact(log) }));
    }
    if let Some((kind, id)) = &access.target {
        targets.push(json!({ "type": kind, "id": redact(id) }));
    }
    let (id, name) = match &access.principal {
        Some((id, name)) => (id.as_str(), name.as_deref()),
        None => ("anonymous", None),
    };
    let mut event = json!({
        "time": time.to_string(),
        "action": access.action,
        "category": if access.action == SIGN_IN { "auth" } else { "access" },
        "actor": actor(id, name),
        "targets": targets,
        "outcome": access.outcome.to_value(),
    });
    if let Some(origin) = origin {
        event["context"] = origin.context();
    }
    if let Some(tenant) = &access.tenant {
        event["tenant"] = tenant.as_str().into();
    }
    if !access.details.is_empty() {
        event["metadata"] = Value::Object(access.details.clone());
    }
    event.to_string()
}
