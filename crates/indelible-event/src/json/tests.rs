use super::Value;
use proptest::prelude::*;

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,40})?([eE][+-]?[0-9]{1,12})?",
        any::<f64>()
            .prop_filter("a number", |number| number.is_finite())
            .prop_map(|n| format!("{n:e}")),
        any::<i128>().prop_map(|number| number.to_string()),
        Just("-0".to_owned()),
    ]
}

/// Values as text, with white space and escapes here and there.
fn json() -> impl Strategy<Value = String> {
    let text = any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap());
    let escaped = any::<String>().prop_map(|text| {
        let units = text.encode_utf16().map(|unit| format!("\\u{unit:04X}"));
        format!("\"{}\"", units.collect::<String>())
    });
    let leaf = prop_oneof![
        number(),
        text.clone(),
        escaped,
        prop::sample::select(vec!["null", "true", "false"]).prop_map(str::to_owned)
    ];
    leaf.prop_recursive(4, 30, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5)
                .prop_map(|items| format!("[ {} ]", items.join(" ,\n"))),
            prop::collection::vec((text.clone(), inner), 0..5).prop_map(|members| {
                let members = members.iter().map(|(name, value)| format!("{name} :{value}"));
                format!("{{{}}}", members.collect::<Vec<_>>().join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_what_was_read(text in json()) {
        let value = Value::parse(&text).unwrap();
        let written = value.to_string();
        prop_assert_eq!(&Value::parse(&written).unwrap(), &value);
        let pretty = format!("{value:#}");
        prop_assert_eq!(&Value::parse(&pretty).unwrap(), &value);
        prop_assert_eq!(&serde_json::to_string(&value).unwrap(), &written);
        prop_assert_eq!(serde_json::from_str::<Value<'static>>(&text).unwrap(), value);
        // The same texts between the same signs, as another reader sees them.
        if let Ok(other) = serde_json::from_str::<serde_json::Value>(&text) {
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&written).unwrap(), other);
        }
    }

    #[test]
    fn what_another_reader_refuses_is_refused(text in "[\\[\\]{}:,\"\\\\a0-9eE+.u \\-\u{0}\u{7f}tnf]{0,12}") {
        let ours = Value::parse(&text).is_ok();
        let theirs = serde_json::from_str::<&serde_json::value::RawValue>(&text);
        match theirs {
            // It does not look into escapes, which the next does.
            Ok(raw) => prop_assert_eq!(ours, serde_json::from_str::<serde_json::Value>(raw.get()).map_or_else(|error| error.to_string().contains("out of range"), |_| true), "{}", text),
            Err(_) => prop_assert!(!ours, "{}", text),
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text: String) {
        drop(Value::parse(&text));
        drop(super::check(&text));
    }
}

#[test]
fn nothing_is_taken_for_something_else() {
    for text in [
        r#"{"$serde_json::private::Number":"1"}"#,
        r#"{"$serde_json::private::RawValue":"[1]"}"#,
        r#"{"a":1,"a":2}"#,
        "[-0,1.0,1E5,1e+5,0.1000000000000000055511151231257827]",
    ] {
        let value = Value::parse(text).unwrap();
        assert_eq!(value.to_string(), text);
        assert_eq!(serde_json::to_string(&value).unwrap(), text);
        let read: Value<'static> = serde_json::from_str(text).unwrap();
        assert_eq!(read.to_string(), text);
    }
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert!(Value::parse(&deep(300)).is_ok() && Value::parse(&deep(301)).is_err());
    assert!(super::check(&deep(128)).is_ok() && super::check(&deep(129)).is_err());
    assert!(super::check(r#"{"b":[{"a":1,"\u0061":2}]}"#).is_err());
}
