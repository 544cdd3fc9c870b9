//! Inputs and what is found in them, whatever the parts they come in.

use super::*;
use crate::{Format, format_named};
use proptest::prelude::*;

/// What is found in an input that comes in parts of so many bytes, a line each.
fn read_in(input: &[u8], part: usize, forced: Option<&'static dyn Format>) -> Vec<String> {
    let (mut splitter, mut places) = (Splitter::default(), Places::default());
    let (mut buffer, mut seen, mut out) = (Vec::new(), 0, Vec::new());
    loop {
        let next = (seen + part).min(input.len());
        buffer.extend_from_slice(&input[seen..next]);
        seen = next;
        while let Some(piece) = splitter.next(&buffer, seen == input.len()) {
            let place = |at: usize| {
                let Place { line, column } = places.of(&buffer, at);
                format!("{line}:{column}")
            };
            let mut visit = |item: Item<'_>| {
                out.push(match item {
                    Item::Event { format, data, offset } => {
                        let short = format.name().split('.').next().unwrap_or_default();
                        format!("{} {short} {data}", place(offset))
                    }
                    Item::Bad { start, at, error } => {
                        let (start, at) = (place(start), place(at));
                        format!("{start} bad at {at}: {error}")
                    }
                    Item::Nothing { offset, why } => format!("{} nothing: {why}", place(offset)),
                });
                Ok::<(), std::convert::Infallible>(())
            };
            match piece {
                Piece::Value { start, end } => {
                    events_of(&buffer[start..end], start, forced, &mut visit).unwrap();
                }
                Piece::Bad { start, at, problem } => {
                    let error = crate::EventError::json(problem, at - start);
                    visit(Item::Bad { start, at, error }).unwrap();
                }
            }
        }
        if seen == input.len() {
            return out;
        }
        let passed = splitter.kept_from();
        places.forget(&buffer, passed);
        splitter.forget(passed);
        buffer.drain(..passed);
    }
}

#[track_caller]
fn check(input: impl AsRef<[u8]>, found: &[&str]) {
    let input = input.as_ref();
    for part in [1, 2, 7, 64, 1 << 20] {
        assert_eq!(
            read_in(input, part, None),
            found,
            "{part} bytes at a time of\n{}",
            String::from_utf8_lossy(input)
        );
    }
}

/// A native event; short, as recognition asks for no more than its members.
fn event(id: u32) -> String {
    format!(r#"{{"id":{id},"time":0,"action":0,"actor":0,"outcome":0}}"#)
}

fn native(place: &str, id: u32) -> String {
    format!("{place} indelible {}", event(id))
}

const TRAIL: &str = r#"{"eventID":"e","eventSource":"s","eventTime":"t","eventName":"n"}"#;
const KUBE: &str = r#"{"kind":"Event","auditID":"a","stage":"s","verb":"v"}"#;

#[test]
fn one_a_line_one_behind_the_other_pretty_and_in_arrays() {
    let (a, b) = (event(1), event(2));
    check(format!("{a}\n{b}\n"), &[&native("1:1", 1), &native("2:1", 2)]);
    check(format!("\u{feff}{a}\r\n\r\n  {b}"), &[&native("1:1", 1), &native("3:3", 2)]);
    check(format!("{a}{b}"), &[&native("1:1", 1), &native("1:51", 2)]);
    check(format!("{a}\n\u{feff}{b}\n"), &[&native("1:1", 1), &native("2:2", 2)]);
    check(format!("[{a},\n{b}]"), &[&native("1:2", 1), &native("2:1", 2)]);
    check(
        format!("[\n  {a}\n  ,{b}\n]\n[]\n{a}"),
        &[&native("2:3", 1), &native("3:4", 2), &native("6:1", 1)],
    );
    check(format!("\x1e{a}\n\x1e{b}\n"), &[&native("1:2", 1), &native("2:2", 2)]);
    check(format!("{a},\n{b},\n"), &[&native("1:1", 1), &native("2:1", 2)]);
    let pretty = a.replace(',', ",\n  ").replace('{', "{\n  ").replace('}', "\n}");
    let found = [format!("1:1 indelible {pretty}"), format!("7:1 indelible {pretty}")];
    check(format!("{pretty}\n{pretty}\n"), &[&found[0], &found[1].replace("7:1", "8:1")]);
    for nothing in ["", "\n\n", "\u{feff}", "[]", " [ ] \n", "\u{feff}\r\n"] {
        check(nothing, &[]);
    }
}

#[test]
fn formats_are_told_by_each_item_and_containers_are_opened() {
    let trail = format!("aws {TRAIL}");
    let kube = format!("kubernetes {KUBE}");
    check(
        format!("[{TRAIL},{KUBE},{}]", event(3)),
        &[&format!("1:2 {trail}"), &format!("1:68 {kube}"), &native("1:122", 3)],
    );
    check(
        format!("{{\"Records\":[{TRAIL}, {TRAIL}]}}"),
        &[&format!("1:13 {trail}"), &format!("1:80 {trail}")],
    );
    check(
        format!("{{\"Records\": [\n{TRAIL}\n] }}\n{KUBE}"),
        &[&format!("2:1 {trail}"), &format!("4:1 {kube}")],
    );
    check(r#"{"Records":[]}"#, &[]);
    check(r#"{"Records":[{"eventID":1},2]}"#, &["1:13 aws {\"eventID\":1}", "1:27 aws 2"]);
    check(r#"{"Records":7,"time":1}"#, &["1:1 indelible {\"Records\":7,\"time\":1}"]);
    check(
        format!(r#"{{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[{KUBE}]}}"#),
        &[&format!("1:61 {kube}")],
    );
    check(
        format!(r#"{{"apiVersion":"v1","items":[{KUBE}],"kind":"List"}}"#),
        &[&format!("1:29 {kube}")],
    );
    for list in [r#"{"kind":"EventList","items":null}"#, r#"{"kind":"EventList"}"#] {
        check(list, &["1:1 nothing: an EventList without events"]);
    }
    let envelope = format!(
        r#"{{"version":"0","id":"x","detail-type":"AWS API Call via CloudTrail","source":"aws.iam","detail":{TRAIL}}}"#
    );
    check(&envelope, &[&format!("1:97 {trail}")]);
    let text = serde_json::to_string(TRAIL).unwrap();
    check(
        format!(r#"{{"Events":[{{"EventId":"e","CloudTrailEvent":{text}}}],"NextToken":"x"}}"#),
        &[&format!("1:45 {trail}")],
    );
    check(
        format!(
            r#"{{"messageType":"DATA_MESSAGE","logEvents":[{{"id":"1","timestamp":1,"message":{text}}}]}}"#
        ),
        &[&format!("1:78 {trail}")],
    );
    check(
        format!(
            r#"{{"QueryStatus":"FINISHED","QueryResultRows":[[{{"eventID":"e"}},{{"eventJson":{text}}}]]}}"#
        ),
        &[&format!("1:76 {trail}")],
    );
    check(
        r#"{"QueryResultRows":[[{"eventID":"e"}]]}"#,
        &[
            "1:21 bad at 1:21: event: a row of a CloudTrail Lake query holds columns and not the event: select eventJson",
        ],
    );
    check(
        r#"{"awsAccountId":"1","digestS3Object":"o","logFiles":[{"hashValue":"x"}]}"#,
        &["1:1 nothing: a CloudTrail digest file: it holds hashes of log files, and no events"],
    );
    // A native event may have members of any name.
    let odd = event(1)
        .replace("\"id\":1", "\"Records\":[1],\"eventID\":1,\"eventSource\":1,\"auditID\":1");
    check(&odd, &[&format!("1:1 indelible {odd}")]);
}

#[test]
fn what_nobody_knows_is_refused_with_what_it_looks_like() {
    for (input, looks) in [
        (r#"{"specversion":"1.0","type":"t","id":"1"}"#, "it looks like a CloudEvent"),
        (r#"{"class_uid":3002}"#, "it looks like an OCSF event"),
        (r#"{"kind":"Event","involvedObject":{}}"#, "kubectl get events"),
        (
            r#"{"detail-type":"x","detail":{"a":1}}"#,
            "an EventBridge event whose detail is no CloudTrail record",
        ),
        (r#"{"foo":1}"#, "the nearest is the native format"),
        ("[[1]]", "an array within an array"),
    ] {
        let found = read_in(input.as_bytes(), 1000, None);
        assert!(found.len() == 1 && found[0].contains(looks), "{found:?}");
    }
    let json = format_named("json").ok();
    assert_eq!(read_in(br#"[{"foo":1}]"#, 9, json), ["1:2 json {\"foo\":1}"]);
    assert_eq!(read_in(br#"{"Records":[]}"#, 9, json), ["1:1 json {\"Records\":[]}"]);
}

#[test]
fn a_format_that_is_asked_for_is_taken() {
    let kubernetes = format_named("kubernetes.audit.v1").ok();
    let list = format!(r#"{{"kind":"EventList","items":[{KUBE},{{"a":1}}]}}"#);
    let found = read_in(list.as_bytes(), 9, kubernetes);
    assert_eq!(found, [format!("1:30 kubernetes {KUBE}"), "1:84 kubernetes {\"a\":1}".to_owned()]);
    let none = r#"{"kind":"EventList","items":null}"#;
    assert_eq!(
        read_in(none.as_bytes(), 9, kubernetes),
        ["1:1 nothing: an EventList without events"]
    );
    let other = format!("{{\"Records\":[{TRAIL}]}}");
    assert_eq!(read_in(other.as_bytes(), 9, kubernetes), [format!("1:1 kubernetes {other}")]);
    let native = format_named("indelible.v1").ok();
    assert_eq!(read_in(TRAIL.as_bytes(), 9, native), [format!("1:1 indelible {TRAIL}")]);
}

#[test]
fn a_torn_line_costs_itself_only() {
    let (a, b, c) = (event(1), event(2), event(3));
    let torn = "1:1 bad at 1:12: not valid JSON: the line ends within a string";
    check(format!("{{\"id\":\"torn\n{a}\n{b}\n"), &[torn, &native("2:1", 1), &native("3:1", 2)]);
    // Torn where the next line could be a part of it.
    let torn = "2:1 bad at 2:6: not valid JSON: the line ends here, within an event";
    check(
        format!("{a}\n{{\"x\":\n{b}\n{c}\n"),
        &[&native("1:1", 1), torn, &native("3:1", 2), &native("4:1", 3)],
    );
    let torn = torn.replace("2:6", "2:7");
    check(
        format!("{a}\n{{\"x\":[\n{b}\n{c}\n"),
        &[&native("1:1", 1), &torn, &native("3:1", 2), &native("4:1", 3)],
    );
    let torn = "1:1 bad at 1:7: not valid JSON: the line ends here, within an event";
    check(
        format!("{{\"x\":1\n{a}"),
        &[
            &torn.replace("the line ends here, within an event", "a comma or } is expected here"),
            &native("2:1", 1),
        ],
    );
    // At the end of the input.
    check(
        format!("{a}\n{{\"x\":\"y"),
        &[
            &native("1:1", 1),
            "2:1 bad at 2:8: not valid JSON: the input ends here, within an event",
        ],
    );
    check(
        format!("{{\"x\":\n{a}"),
        &["1:1 bad at 1:6: not valid JSON: the line ends here, within an event", &native("2:1", 1)],
    );
    check(
        format!("[{a},"),
        &[
            &native("1:2", 1),
            "1:53 bad at 1:53: not valid JSON: the input ends here, within an array of events",
        ],
    );
}

#[test]
fn what_is_no_json_costs_its_line_only() {
    let a = event(1);
    let text = "this is not JSON: an object or an array of objects is expected here";
    check(
        format!("Mar 1 host sshd: x\n{a}\n7\n\"s\"\n{a}"),
        &[
            &format!("1:1 bad at 1:1: not valid JSON: {text}"),
            &native("2:1", 1),
            &format!("3:1 bad at 3:1: not valid JSON: {text}"),
            &format!("4:1 bad at 4:1: not valid JSON: {text}"),
            &native("5:1", 1),
        ],
    );
    let nul = "bad at 2:1: not valid JSON: NUL bytes stand here (as after a loss of power); they were passed over";
    check(
        format!("{a}\n{}{a}", "\0".repeat(5000)),
        &[&native("1:1", 1), &format!("2:1 {nul}"), &native("2:5001", 1)],
    );
    check(format!("{a}\n{}", "\0".repeat(50)), &[&native("1:1", 1), &format!("2:1 {nul}")]);
    check(
        format!("{{\"id\":\"x\0\0\0{a}\n"),
        &["1:1 bad at 1:9: not valid JSON: a NUL byte stands here"],
    );
}

#[test]
fn an_element_that_is_broken_costs_itself_only() {
    let a = event(1);
    let b = event(2);
    check(
        format!("[{a},{{\"b\":tru}},{b}]"),
        &[&native("1:2", 1), "1:53 indelible {\"b\":tru}", &native("1:63", 2)],
    );
    check(
        format!("[{a},{{\"b\" 1,\"c\":[]}},{b}]"),
        &[
            &native("1:2", 1),
            "1:53 bad at 1:58: not valid JSON: a colon is expected here",
            &native("1:68", 2),
        ],
    );
    check(
        format!("[\n  {a},\n  {{\n    \"x\": \"torn\n  {b}\n]"),
        &[
            &native("2:3", 1),
            "3:3 bad at 4:15: not valid JSON: the line ends within a string",
            &native("5:3", 2),
        ],
    );
    check(
        format!("[{a} {b}]"),
        &[
            &native("1:2", 1),
            "1:53 bad at 1:53: not valid JSON: a comma is missing before this",
            &native("1:53", 2),
        ],
    );
    check(
        format!("[{a},]"),
        &[
            &native("1:2", 1),
            "1:53 bad at 1:53: not valid JSON: a comma stands before the end of the array",
        ],
    );
    check(
        format!("[,{a}]"),
        &[
            "1:2 bad at 1:2: not valid JSON: an event is expected before this comma",
            &native("1:3", 1),
        ],
    );
    // A container that breaks off, or holds something broken.
    check(
        format!("{{\"Records\":[{TRAIL},{TRAIL},{{\"eventVer"),
        &[
            &format!("1:13 aws {TRAIL}"),
            &format!("1:79 aws {TRAIL}"),
            "1:145 bad at 1:155: not valid JSON: the input ends here, within an event",
            "1:155 bad at 1:155: not valid JSON: the input ends here, within an array of events",
        ],
    );
    check(
        format!("{{\"Records\":[{TRAIL},{{\"a\":tru}},{TRAIL}]}}\n{a}"),
        &[
            &format!("1:13 aws {TRAIL}"),
            "1:79 indelible {\"a\":tru}",
            &format!("1:89 aws {TRAIL}"),
            &native("2:1", 1),
        ],
    );
}

#[test]
fn bytes_that_are_not_utf8_are_named() {
    let a = event(1);
    let mut latin = format!("{a}\n{{\"id\":\"caf").into_bytes();
    latin.extend_from_slice(b"\xe9\"}\n");
    latin.extend_from_slice(a.as_bytes());
    let bad = "2:1 bad at 2:11: not valid JSON: byte 0xe9 is not UTF-8; if the input is Latin-1, 'é': convert it (iconv -f latin1 -t utf-8)";
    check(latin, &[&native("1:1", 1), bad, &native("3:1", 1)]);
}

#[test]
fn a_container_that_is_long_is_not_held() {
    let count = 200_000;
    let mut input = b"{\"kind\":\"EventList\",\"items\":[".to_vec();
    for n in 0..count {
        input.extend_from_slice(if n == 0 { b"" } else { b"," });
        input.extend_from_slice(KUBE.as_bytes());
    }
    input.extend_from_slice(b"],\"metadata\":{\"a\":[\"]}\"]}}\n");
    input.extend_from_slice(KUBE.as_bytes());
    assert!(input.len() > 10 << 20);
    let mut splitter = Splitter::default();
    let (mut found, mut held, mut buffer) = (0, 0, Vec::new());
    for part in input.chunks(1 << 20) {
        buffer.extend_from_slice(part);
        while let Some(piece) = splitter.next(&buffer, false) {
            assert!(matches!(piece, Piece::Value { .. }), "{piece:?}");
            found += 1;
        }
        let passed = splitter.kept_from();
        splitter.forget(passed);
        buffer.drain(..passed);
        held = held.max(buffer.len());
    }
    assert_eq!((found, splitter.next(&buffer, true)), (count + 1, None));
    assert!(held < 10 << 20, "{held} bytes were held");
}

proptest! {
    /// However an input is cut, the same is found, and good lines around anything at all
    /// are found.
    #[test]
    fn good_lines_are_found_around_anything(
        noise in r#"[\[\]{}",:a1\\ \n\x00]{0,40}"#,
        part in 1usize..50,
    ) {
        let (a, b) = (event(1), event(2));
        let input = format!("{a}\n{noise}\n{b}\n{b}\n");
        let found = read_in(input.as_bytes(), part, None);
        prop_assert_eq!(&found, &read_in(input.as_bytes(), 1 << 20, None));
        prop_assert_eq!(&found[0], &native("1:1", 1));
        let whole = serde_json::Deserializer::from_str(&noise).into_iter::<serde_json::Value>();
        if !noise.contains('[') && whole.last().is_none_or(|last| last.is_err()) {
            prop_assert!(found.last().unwrap().ends_with(&b), "{:?}", found);
        }
    }

    #[test]
    fn any_bytes_are_read(bytes: Vec<u8>, part in 1usize..9) {
        prop_assert_eq!(read_in(&bytes, part, None), read_in(&bytes, 1 << 20, None));
    }
}
