//! What a sender wrote is what is shown, exported, taken in again and found.

use crate::{SMALL, append, catch_up, open_log, search};
use indelible_event::{Envelope, NATIVE, Value, format_named};
use indelible_index::{LogIndex, Order};
use indelible_query::parse;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// As an answer or an export has it.
#[derive(Serialize, Deserialize)]
struct Line {
    index: u64,
    event: Value<'static>,
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[a-zA-Z0-9:. \"\\\\'*?-]{1,12}",
        "[\u{0}\u{feff}e\u{301}İßςΣﬁ用户ไทย\u{10ffff}]{1,6}",
    ]
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        "-?(0|[1-9][0-9]{0,60})(\\.[0-9]{1,60})?([eE][+-]?[0-9]{1,40})?",
        any::<f64>().prop_filter("a number", |n| n.is_finite()).prop_map(|n| format!("{n:?}")),
        any::<i128>().prop_map(|n| n.to_string()),
        (1usize..5000).prop_map(|digits| "7".repeat(digits)),
        prop::sample::select(vec!["-0", "0.0", "1e400", "1E+999999999", "1.50"])
            .prop_map(str::to_owned),
    ]
}

/// A value as JSON, and as it is asked for.
fn value() -> impl Strategy<Value = (String, String)> {
    prop_oneof![
        number().prop_map(|number| (number.clone(), number)),
        text().prop_map(|text| {
            let typed = text.replace('\\', "\\\\").replace('"', "\\\"");
            (serde_json::to_string(&text).unwrap(), format!("\"{typed}\""))
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn values_are_shown_exported_and_found_as_they_were_sent(
        values in prop::collection::vec((text(), value()), 1..12),
    ) {
        let sent: Vec<String> = values
            .iter()
            .map(|(name, (json, _))| {
                let name = serde_json::to_string(name).unwrap();
                format!(r#"{{"time":"2026-03-01T12:00:00Z","action":"a.b","actor":{{"type":"user","id":"ada"}},"outcome":{{"result":"success"}},"metadata":{{{name}:{json}}}}}"#)
            })
            .collect();
        let folder = tempfile::tempdir().unwrap();
        let log = open_log(&folder.path().join("data"));
        append(&log, &sent);
        let mut exported = Vec::new();
        for (index, sent) in (0..).zip(&sent) {
            let record = log.record(index).unwrap();
            let envelope = Envelope::parse(&record).unwrap();
            let data = log.data(&envelope).unwrap();
            let event = format_named(NATIVE).unwrap().show(&data).unwrap();
            prop_assert_eq!(&event, &Value::parse(sent).unwrap(), "shown");
            let line = serde_json::to_string(&Line { index, event }).unwrap();
            let read: Line = serde_json::from_str(&line).unwrap();
            prop_assert_eq!(serde_json::to_string(&read).unwrap(), line, "exported");
            prop_assert_eq!(&read.event, &Value::parse(sent).unwrap(), "exported");
            exported.push(read.event.to_string());
        }
        append(&log, &exported);
        let index = LogIndex::open(Arc::clone(&log), &folder.path().join("index"), SMALL).unwrap();
        catch_up(&index);
        for (at, (name, (_, typed))) in values.iter().enumerate() {
            let name = name.replace('\\', "\\\\").replace('"', "\\\"");
            let text = format!("data.metadata.\"{name}\":{typed}");
            let query = match parse(&text, 0) {
                Ok(query) => query,
                Err(error) => { prop_assert!(text.len() > 8192, "{text}: {error}"); continue }
            };
            let found = search(&index, &query, Order::OldestFirst, 100);
            let (first, again) = (at as u64, (at + values.len()) as u64);
            prop_assert!(found.contains(&first) && found.contains(&again), "{text}: {found:?}");
        }
    }
}
