//! `indelible.v1`: the native event as its sender wrote it.

use super::format::{Document, Format};
use crate::{
    ActorType, Category, Event, EventError, OutcomeResult, Timestamp,
    checked::{BorrowedStr, Checked, CheckedStr, Object, shape},
    error::{parse, read},
    json::Value,
    record::check_id,
};
use std::borrow::Cow;

pub(super) const NAME: &str = "indelible.v1";

/// The native format.
#[derive(Debug)]
pub(super) struct Native;

impl Format for Native {
    fn name(&self) -> &'static str {
        NAME
    }

    fn accept<'a>(&self, data: &'a str) -> Result<Option<Cow<'a, str>>, EventError> {
        let event: Shape<'a> = parse(data)?;
        let (time, action) = (event.time.unwrap_or_default().0, event.action.unwrap_or_default().0);
        let id = event.id.map(|id| id.0);
        if let Some(id) = &id {
            check_id(id)?;
        }
        time.parse::<Timestamp>().map_err(|error| {
            EventError::member("time", format!("{error}, found {:?}", shorten(&time)))
        })?;
        if action.is_empty() {
            return Err(EventError::member(
                "action",
                "is empty, expected a name such as iam.role.granted",
            ));
        }
        Ok(id)
    }

    fn view(&self, data: &str) -> Result<Event, EventError> {
        Event::read(read(data)?)
    }

    /// The event itself, as it was sent.
    fn show(&self, data: &str) -> Result<Value<'static>, EventError> {
        Event::read(read(data)?)?;
        Ok(read(data)?.into_owned())
    }

    fn unpack<'a>(&self, document: &Document<'a>) -> Option<Vec<&'a str>> {
        Some(vec![document.text])
    }
}

fn shorten(text: &str) -> String {
    text.chars().take(40).collect()
}

shape! { 'de Shape("an object with time, action, actor and outcome") {
    optional id: "id" => BorrowedStr<'de>,
    required time: "time" => BorrowedStr<'de>,
    required action: "action" => BorrowedStr<'de>,
    optional category: "category" => Category,
    required actor: "actor" => ActorShape<'de>,
    optional targets: "targets" => Vec<TargetShape<'de>>,
    required outcome: "outcome" => OutcomeShape<'de>,
    optional source: "source" => SourceShape<'de>,
    optional context: "context" => ContextShape<'de>,
    optional tenant: "tenant" => CheckedStr,
    optional changes: "changes" => Vec<ChangeShape<'de>>,
    optional metadata: "metadata" => Object,
    optional subjects: "subjects" => Vec<CheckedStr>,
    optional corrects: "corrects" => CheckedStr,
} }

shape! { 'de ActorShape("an object with type and id") {
    required kind: "type" => ActorType,
    required id: "id" => CheckedStr,
    optional name: "name" => CheckedStr,
    optional roles: "roles" => Vec<CheckedStr>,
    optional session_id: "session_id" => CheckedStr,
    optional on_behalf_of: "on_behalf_of" => Box<ActorShape<'de>>,
} }

shape! { 'de TargetShape("an object with type and id") {
    required kind: "type" => CheckedStr,
    required id: "id" => CheckedStr,
    optional name: "name" => CheckedStr,
} }

shape! { 'de OutcomeShape("an object with result") {
    required result: "result" => OutcomeResult,
    optional code: "code" => CheckedStr,
    optional reason: "reason" => CheckedStr,
} }

shape! { 'de SourceShape("an object with name") {
    required name: "name" => CheckedStr,
    optional instance: "instance" => CheckedStr,
    optional seq: "seq" => u64,
} }

shape! { 'de ContextShape("an object") {
    optional ip: "ip" => CheckedStr,
    optional forwarded_for: "forwarded_for" => Vec<CheckedStr>,
    optional user_agent: "user_agent" => CheckedStr,
    optional request_id: "request_id" => CheckedStr,
    optional trace_id: "trace_id" => CheckedStr,
    optional span_id: "span_id" => CheckedStr,
    optional session_id: "session_id" => CheckedStr,
    optional location: "location" => CheckedStr,
    optional host: "host" => CheckedStr,
} }

shape! { 'de ChangeShape("an object with path and op") {
    required path: "path" => CheckedStr,
    required op: "op" => CheckedStr,
    optional old: "old" => Checked,
    optional new: "new" => Checked,
} }

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"id":"e-1","time":"2026-03-01T12:00:00Z","action":"iam.role.granted","category":"permission",
        "actor":{"type":"user","id":"u1","name":"Ada","roles":["admin"],"on_behalf_of":{"type":"user","id":"u2"}},
        "targets":[{"type":"role","id":"r1"}],"outcome":{"result":"success"},
        "source":{"name":"idp","seq":7},"context":{"ip":"10.0.0.1","zone":"x"},"tenant":"t",
        "changes":[{"path":"role","op":"replace","old":"dev","new":"admin"}],"metadata":{"k":[1,{"x":null}]},"extra":{"kept":true}}"#;

    #[test]
    fn a_full_event_is_accepted_and_shown_whole() {
        assert_eq!(Native.accept(GOOD).unwrap().as_deref(), Some("e-1"));
        let event = Native.view(GOOD).unwrap();
        assert_eq!(event.actor.on_behalf_of.as_ref().map(|a| a.id.as_str()), Some("u2"));
        assert_eq!(event.other.get("extra").unwrap()["kept"], Value::Bool(true));
        assert_eq!(Native.show(GOOD).unwrap(), Value::parse(GOOD).unwrap());
        let sent: serde_json::Value = serde_json::from_str(GOOD).unwrap();
        let written = event.write().unwrap();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&written.to_string()).unwrap(), sent);
        assert_eq!(Event::read(written).unwrap(), event);
    }

    #[test]
    fn numbers_are_shown_as_they_were_sent() {
        for number in
            ["0.9215686321258545", "18446744073709551616", "1e3", "1E+03", "-0", "1.50", "1e400"]
        {
            let sent = GOOD.replace("\"k\":[1", &format!("\"k\":[{number}"));
            assert!(Native.accept(&sent).is_ok(), "{number}");
            let shown = Native.show(&sent).unwrap().to_string();
            assert!(shown.contains(&format!("\"k\":[{number},")), "{shown}");
        }
    }

    #[test]
    fn what_is_accepted_can_be_shown() {
        for (from, to) in [
            ("\"tenant\":\"t\"", "\"tenant\":null"),
            ("\"targets\":[{\"type\":\"role\",\"id\":\"r1\"}]", "\"targets\":null"),
        ] {
            let event = GOOD.replace(from, to);
            assert!(Native.accept(&event).is_ok(), "{event}");
            assert!(Native.view(&event).is_ok(), "{event}");
        }
    }

    #[test]
    fn errors_name_the_member_and_what_was_expected() {
        let check = |from: &str, to: &str, member: &str, problem: &str| {
            let event = GOOD.replace(from, to);
            assert_ne!(event, GOOD, "{from}");
            match Native.accept(&event) {
                Err(EventError::Member { member: m, problem: p }) => {
                    assert_eq!(m, member, "{p}");
                    assert!(p.contains(problem), "{p}");
                }
                other => panic!("{from} → {to}: {other:?}"),
            }
        };
        check("\"time\":\"2026-03-01T12:00:00Z\"", "\"time\":\"noon\"", "time", "RFC 3339");
        check("\"time\":\"2026-03-01T12:00:00Z\",", "", "event", "missing field `time`");
        check(
            "\"type\":\"user\",\"id\":\"u1\"",
            "\"type\":\"robot\",\"id\":\"u1\"",
            "actor.type",
            "unknown variant `robot`, expected one of `user`",
        );
        check(
            "\"id\":\"u2\"",
            "\"id\":2",
            "actor.on_behalf_of.id",
            "invalid type: integer `2`, expected a string",
        );
        check("\"id\":\"u2\"", "\"idd\":\"u2\"", "actor.on_behalf_of", "missing field `id`");
        check(
            "{\"type\":\"role\",\"id\":\"r1\"}",
            "{\"type\":\"role\",\"id\":\"r1\"},[]",
            "targets[1]",
            "expected an object with type and id",
        );
        check(
            "\"result\":\"success\"",
            "\"result\":\"ok\"",
            "outcome.result",
            "expected one of `success`",
        );
        check("iam.role.granted", "", "action", "is empty");
        check(
            "\"metadata\":{\"k\":[1,{\"x\":null}]}",
            "\"metadata\":[1]",
            "metadata",
            "expected an object",
        );
        check("\"seq\":7", "\"seq\":-7", "source.seq", "expected u64");
        check(
            "\"tenant\":\"t\"",
            "\"tenant\":\"t\",\"tenant\":\"u\"",
            "event",
            "duplicate member \"tenant\"",
        );
        check("\"zone\":\"x\"", "\"zone\":{\"a\":1,\"a\":2}", "context.zone", "duplicate member");
        check("\"e-1\"", "\"\"", "id", "expected 1 to 128");
        assert!(matches!(
            Native.accept("[1"),
            Err(EventError::Member { .. } | EventError::Json(_))
        ));
        assert!(matches!(Native.accept("{\"a"), Err(EventError::Json(_))));
        let deep =
            GOOD.replace("\"k\":[1", &format!("\"k\":[{}1{}", "[".repeat(200), "]".repeat(200)));
        assert!(
            matches!(Native.accept(&deep), Err(EventError::Member { problem, .. }) if problem.contains("nested too deeply"))
        );
    }
}
