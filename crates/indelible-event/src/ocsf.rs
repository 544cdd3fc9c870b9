//! The native event in the Open Cybersecurity Schema Framework (schema.ocsf.io), for
//! systems that read that. What has no place there stands under `unmapped`.

use crate::{
    Actor, ActorType, Category, Context, Event, OutcomeResult, Target, Timestamp, json as own,
};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// Version of the schema: all that is used here is in it, and in later ones.
const VERSION: &str = "1.3.0";

/// What is said of a record beside its event.
#[derive(Debug, Clone, Copy)]
pub struct OcsfFacts<'a> {
    /// Name of the log.
    pub log: &'a str,
    /// Id of the event.
    pub id: &'a str,
    /// When it was received, RFC 3339.
    pub received_at: &'a str,
}

/// A class of events: (uid, name, uid of its category, name of its category).
type Class = (u64, &'static str, u64, &'static str);
const BASE: Class = (0, "Base Event", 0, "Uncategorized");
const EVENT_LOG: Class = (1008, "Event Log Activity", 1, "System Activity");
const AUTHENTICATION: Class = (3002, "Authentication", 3, "Identity & Access Management");
const ENTITY: Class = (3004, "Entity Management", 3, "Identity & Access Management");
const API: Class = (6003, "API Activity", 6, "Application Activity");

/// The event of a record, or a base event if it has none. A pure function: the same
/// record always gives the same event.
#[must_use]
pub fn ocsf(event: Option<&Event>, facts: &OcsfFacts<'_>) -> own::Value<'static> {
    let millis =
        |text: &str| text.parse::<Timestamp>().ok().map(|time| time.as_micros().div_euclid(1000));
    let logged = millis(facts.received_at);
    let (uid, name, category_uid, category) = event.map_or(BASE, |event| class(event, facts.log));
    let (activity, activity_name) = event.map_or((0, "Unknown"), |event| activity(uid, event));
    let mut out = json!({
        "time": event.and_then(|event| millis(&event.time)).or(logged).unwrap_or_default(),
        "class_uid": uid, "class_name": name,
        "category_uid": category_uid, "category_name": category,
        "activity_id": activity, "activity_name": activity_name,
        "type_uid": uid * 100 + activity,
        "type_name": format!("{name}: {activity_name}"),
        "severity_id": 1, "severity": "Informational",
        "metadata": tidy(json!({
            "version": VERSION,
            "product": { "name": "indelible", "vendor_name": "indelible" },
            "uid": facts.id,
            "log_name": facts.log,
            "log_provider": event.and_then(|event| event.source.as_ref()).map(|source| &source.name),
            "logged_time": logged,
            "original_time": event.map(|event| &event.time),
            "event_code": event.map(|event| &event.action),
            "tenant_uid": event.and_then(|event| event.tenant.as_ref()),
            "correlation_uid": event.and_then(|event| event.context.as_ref()).and_then(|context| context.trace_id.as_ref()),
        })),
    });
    if let (Some(event), Value::Object(members)) = (event, &mut out) {
        fill(event, uid, members);
    }
    let mut out = own::Value::from(out);
    if let own::Value::Object(members) = &mut out {
        members.insert("unmapped", own::Value::Object(event.map_or_else(own::Map::new, unmapped)));
    }
    out
}

/// What has no place in the schema; what is of the sender stands in it as it was sent.
fn unmapped(event: &Event) -> own::Map<'static> {
    let mut out = own::Map::new();
    out.insert("action", event.action.clone().into());
    if let Some(on_behalf_of) = &event.actor.on_behalf_of {
        let mut actor = own::Map::new();
        actor.insert("on_behalf_of", as_sent(on_behalf_of));
        out.insert("actor", own::Value::Object(actor));
    }
    if !event.changes.is_empty() {
        out.insert("changes", as_sent(&event.changes));
    }
    if !event.metadata.is_empty() {
        out.insert("metadata", own::Value::Object(event.metadata.clone()));
    }
    if let Some(corrects) = &event.corrects {
        out.insert("corrects", corrects.clone().into());
    }
    out
}

fn as_sent(part: &impl Serialize) -> own::Value<'static> {
    let text = serde_json::to_string(part).unwrap_or_default();
    own::Value::parse(&text).map(own::Value::into_owned).unwrap_or_default()
}

fn class(event: &Event, log: &str) -> Class {
    match event.category {
        // The system's own logs tell what is done with the log.
        _ if log.starts_with('_') => EVENT_LOG,
        Some(Category::Auth) => AUTHENTICATION,
        Some(Category::Permission) if !event.targets.is_empty() => ENTITY,
        Some(Category::Meta) => EVENT_LOG,
        _ => API,
    }
}

/// What was done, in the words of its class.
fn activity(class: u64, event: &Event) -> (u64, &'static str) {
    let last = event.action.rsplit(['.', ':', '/']).next().unwrap_or_default();
    let last = last.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| last.starts_with(word));
    match class {
        3002 if says(&["signed_in", "login", "logon", "sign_in", "signin"]) => (1, "Logon"),
        3002 if says(&["signed_out", "logout", "logoff", "sign_out", "signout"]) => (2, "Logoff"),
        1008 if event.action.contains("export") => (3, "Export"),
        3002 | 1008 => (99, "Other"),
        _ if says(&["create", "add", "grant", "issue", "insert", "post", "put", "upload"]) => {
            (1, "Create")
        }
        _ if says(&["delete", "remove", "revoke", "destroy"]) => (4, "Delete"),
        _ if says(&["update", "change", "modify", "edit", "rotate", "patch", "set", "attach"]) => {
            (3, "Update")
        }
        _ if event.category == Some(Category::Access)
            || says(&["read", "view", "get", "list", "describe", "watch", "download"]) =>
        {
            (2, "Read")
        }
        _ => (99, "Other"),
    }
}

fn fill(event: &Event, class: u64, out: &mut Map<String, Value>) {
    let (status_id, status) = match event.outcome.result {
        OutcomeResult::Success => (1, "Success"),
        OutcomeResult::Failure | OutcomeResult::Denied => (2, "Failure"),
        OutcomeResult::Unknown => (0, "Unknown"),
    };
    let context = event.context.as_ref();
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            out.insert(name.to_owned(), value);
        }
    };
    put("status_id", status_id.into());
    put("status", status.into());
    put("status_code", json!(event.outcome.code));
    // OCSF has no word for what was refused.
    put(
        "status_detail",
        match (event.outcome.result, &event.outcome.reason) {
            (OutcomeResult::Denied, Some(reason)) => format!("denied: {reason}").into(),
            (OutcomeResult::Denied, None) => "denied".into(),
            (_, reason) => json!(reason),
        },
    );
    put("actor", actor(&event.actor));
    put("src_endpoint", endpoint(context));
    put(
        "http_request",
        context.map_or(Value::Null, |context| {
            tidy(json!({ "user_agent": context.user_agent, "uid": context.request_id }))
        }),
    );
    let targets: Vec<Value> = event.targets.iter().map(target).collect();
    match class {
        1008 => {
            let log = event.targets.iter().find(|target| target.kind == "log");
            put("log_name", json!(log.map(|log| &log.id)));
        }
        3002 => put("user", user(&event.actor)),
        3004 => put("entity", targets.first().cloned().unwrap_or_default()),
        6003 => put(
            "api",
            tidy(json!({
                "operation": event.action,
                "service": event.source.as_ref().map(|source| json!({ "name": source.name })),
                "request": context.and_then(|context| context.request_id.as_ref()).map(|uid| json!({ "uid": uid })),
            })),
        ),
        _ => {}
    }
    if !targets.is_empty() {
        put("resources", targets.into());
    }
}

fn user(actor: &Actor) -> Value {
    let (type_id, kind) = match actor.kind {
        ActorType::User => (1, "User"),
        ActorType::System => (3, "System"),
        ActorType::Service => (99, "Service"),
        ActorType::Agent => (99, "Agent"),
        ActorType::Anonymous => (0, "Unknown"),
    };
    let groups: Vec<Value> = actor.roles.iter().map(|role| json!({ "name": role })).collect();
    tidy(json!({
        "uid": actor.id, "name": actor.name, "type_id": type_id, "type": kind,
        "groups": (!groups.is_empty()).then_some(groups),
    }))
}

fn actor(actor: &Actor) -> Value {
    tidy(json!({
        "user": user(actor),
        "session": actor.session_id.as_ref().map(|uid| json!({ "uid": uid })),
    }))
}

/// Where it came from; a class may ask for one, so there always is one.
fn endpoint(context: Option<&Context>) -> Value {
    let ip = context.and_then(|context| context.ip.as_ref());
    let host = context.and_then(|context| context.host.as_ref());
    match ip {
        Some(ip) if ip.parse::<std::net::IpAddr>().is_ok() => {
            tidy(json!({ "ip": ip, "hostname": host }))
        }
        Some(other) => tidy(json!({ "name": other, "hostname": host })),
        None if host.is_some() => json!({ "hostname": host }),
        None => json!({ "name": "unknown" }),
    }
}

fn target(target: &Target) -> Value {
    tidy(json!({ "uid": target.id, "name": target.name, "type": target.kind }))
}

/// An object without the members that are null.
fn tidy(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            members.into_iter().filter(|(_, value)| !value.is_null()).collect()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format_named;

    const FACTS: OcsfFacts<'_> =
        OcsfFacts { log: "prod", id: "e-1", received_at: "2026-03-01T12:00:01.5Z" };

    fn event(category: &str, action: &str, more: &str) -> Event {
        let text = format!(
            r#"{{"time":"2026-03-01T12:00:00.25Z","action":"{action}","category":"{category}","actor":{{"type":"service","id":"svc","roles":["r"]}},"outcome":{{"result":"denied","reason":"no"}}{more}}}"#
        );
        format_named(crate::NATIVE).and_then(|format| format.view(&text)).expect("an event")
    }

    #[test]
    fn classes_activities_and_required_members() {
        let check =
            |category: &str, action: &str, more: &str, class: u64, activity: u64, member: &str| {
                let out = ocsf(Some(&event(category, action, more)), &FACTS).to_string();
                let out: Value = serde_json::from_str(&out).expect("JSON");
                assert_eq!(
                    (&out["class_uid"], &out["activity_id"]),
                    (&json!(class), &json!(activity)),
                    "{action}"
                );
                assert_eq!(out["type_uid"], json!(class * 100 + activity));
                assert_eq!(out["category_uid"], json!(class / 1000));
                assert!(out[member].is_object(), "{out}");
                assert_eq!(out["time"], json!(1_772_366_400_250_i64));
                assert_eq!(out["metadata"]["logged_time"], json!(1_772_366_401_500_i64));
                assert_eq!(
                    (&out["status_id"], &out["status_detail"]),
                    (&json!(2), &json!("denied: no"))
                );
            };
        let target = r#","targets":[{"type":"user","id":"u"}]"#;
        check("auth", "session.signed_in", "", 3002, 1, "user");
        check("auth", "session.signed_out", "", 3002, 2, "user");
        check("permission", "iam.role.granted", target, 3004, 1, "entity");
        check("permission", "iam.role.revoked", "", 6003, 4, "api");
        check("data", "customer.updated", target, 6003, 3, "api");
        check("access", "customer.opened", "", 6003, 2, "src_endpoint");
        check("api", "x", r#","context":{"ip":"not an address"}"#, 6003, 99, "src_endpoint");
        check("meta", "access.export", "", 1008, 3, "actor");
        check("meta", "access.read", "", 1008, 99, "actor");
        let none: Value = serde_json::from_str(&ocsf(None, &FACTS).to_string()).expect("JSON");
        assert_eq!((&none["class_uid"], &none["time"]), (&json!(0), &json!(1_772_366_401_500_i64)));
    }
}
