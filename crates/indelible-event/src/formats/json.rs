//! `json`: any JSON object, for what no other format knows. It is kept and searched as it
//! is; of its meaning only what nearly everybody calls by the same name is guessed.

use super::{format::Format, when::time_of};
use crate::{
    Actor, ActorType, Context, Event, EventError, Outcome, OutcomeResult,
    checked::Object,
    error::{parse, read},
    json::{Map, Value},
};
use std::borrow::Cow;

/// Any object.
#[derive(Debug)]
pub(super) struct Json;

const TIMES: [&str; 10] = [
    "time",
    "timestamp",
    "@timestamp",
    "eventTime",
    "event_time",
    "published",
    "created_at",
    "createdAt",
    "date",
    "ts",
];
const ACTIONS: [&str; 9] = [
    "action",
    "event",
    "eventName",
    "event_name",
    "eventType",
    "event_type",
    "operation",
    "Operation",
    "type",
];
const ACTORS: [&str; 8] =
    ["actor", "user", "username", "userName", "user_id", "userId", "email", "principal"];
const ADDRESSES: [&str; 7] =
    ["ip", "ip_address", "ipAddress", "client_ip", "clientIp", "remote_addr", "sourceIPAddress"];

impl Format for Json {
    fn name(&self) -> &'static str {
        "json"
    }

    /// No id of the sender's: what is called so may name something else than the event.
    fn accept<'a>(&self, data: &'a str) -> Result<Option<Cow<'a, str>>, EventError> {
        parse::<Object>(data)?;
        Ok(None)
    }

    fn is_mapped(&self) -> bool {
        false
    }

    fn view(&self, data: &str) -> Result<Event, EventError> {
        let Value::Object(data) = read(data)? else {
            return Err(EventError::member("event", "expected an object"));
        };
        let first = |names: &[&str]| names.iter().find_map(|name| text(data.get(name)?));
        let mut other = Map::new();
        let time = time_of(TIMES.iter().find_map(|name| data.get(name)), &mut other);
        let actor = first(&ACTORS);
        Ok(Event {
            id: None,
            time,
            action: first(&ACTIONS).unwrap_or_else(|| "unknown".to_owned()),
            category: None,
            actor: Actor {
                kind: if actor.is_some() { ActorType::User } else { ActorType::Anonymous },
                id: actor.unwrap_or_else(|| "unknown".to_owned()),
                name: None,
                roles: Vec::new(),
                session_id: None,
                on_behalf_of: None,
                other: Map::new(),
            },
            targets: Vec::new(),
            outcome: Outcome {
                result: OutcomeResult::Unknown,
                code: None,
                reason: None,
                other: Map::new(),
            },
            source: None,
            context: first(&ADDRESSES).map(|ip| Context { ip: Some(ip), ..Context::default() }),
            tenant: None,
            changes: Vec::new(),
            metadata: data.into_owned(),
            subjects: Vec::new(),
            corrects: None,
            other,
        })
    }
}

/// A string, or what an object of the same meaning is named by.
fn text(value: &Value<'_>) -> Option<String> {
    match value {
        Value::Str(text) if !text.is_empty() => Some(text.clone().into_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::Object(members) => {
            ["id", "name", "email", "username"].iter().find_map(|name| match members.get(name)? {
                Value::Str(text) => Some(text.clone().into_owned()),
                _ => None,
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_object_is_taken_and_shown_with_what_can_be_guessed() {
        let data = r#"{"timestamp":1772366400,"event":"login","user":{"id":"ada"},"x":[1]}"#;
        assert_eq!(Json.accept(data), Ok(None));
        let event = Json.view(data).unwrap();
        assert_eq!(event.time, "2026-03-01T12:00:00.000000Z");
        assert_eq!((event.action.as_str(), event.actor.id.as_str()), ("login", "ada"));
        assert_eq!(event.metadata.get("x").unwrap().to_string(), "[1]");
        let bare = Json.view("{}").unwrap();
        assert_eq!((bare.action.as_str(), bare.timestamp()), ("unknown", None));
        assert_eq!(bare.other.get("time_unreadable"), Some(&Value::Bool(true)));
        for bad in ["[]", "7", "{\"a\":1,\"a\":2}", "{", ""] {
            assert!(Json.accept(bad).is_err(), "{bad}");
        }
    }
}
