//! Who acts and where it is written: the names that stand in records.

use serde_json::{Value, json};

/// Name of the log of control.
pub(crate) const CONTROL: &str = "_control";
/// Name of the log of accesses.
pub(crate) const ACCESS: &str = "_access";

/// Subject of a token.
pub(crate) fn token_subject(id: &str) -> String {
    format!("token:{id}")
}

/// A principal as the actor of an event.
pub(crate) fn actor(principal: &str, name: Option<&str>) -> Value {
    let kind = match principal.split(':').next() {
        Some("oidc") => "user",
        Some("system") => "system",
        Some("anonymous") => "anonymous",
        _ => "service",
    };
    let mut actor = json!({ "type": kind, "id": principal });
    if let Some(name) = name {
        actor["name"] = name.into();
    }
    actor
}
