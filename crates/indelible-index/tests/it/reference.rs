//! docs/query.md is what the parser says, and its examples find what they say.

use crate::{SMALL, append, catch_up, open_log, search};
use indelible_index::{LogIndex, Order};
use indelible_query::{EXAMPLES, parse, reference_markdown};
use serde_json::{Value, json};
use std::{path::Path, sync::Arc};

#[test]
fn the_reference_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/query.md");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, reference_markdown()).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == reference_markdown(),
        "docs/query.md is not current: run the tests with UPDATE_GOLDEN=1"
    );
}

fn event(day: u32, actor: &str, action: &str, outcome: &str, more: Value) -> String {
    let mut event = json!({
        "time": format!("2026-03-{day:02}T10:00:00Z"), "action": action,
        "actor": { "type": "user", "id": actor }, "outcome": { "result": outcome },
    });
    for (name, value) in more.as_object().unwrap() {
        event[name] = value.clone();
    }
    event.to_string()
}

#[test]
fn every_example_finds_what_it_says() {
    let from = |ip: &str| json!({ "context": { "ip": ip } });
    let events = [
        event(1, "alice", "iam.role.granted", "success", from("10.0.0.1")),
        event(1, "alice", "s3.get", "denied", from("10.1.0.1")),
        event(2, "bob", "iam.role.revoked", "failure", json!({ "tenant": "acme" })),
        event(
            2,
            "bob",
            "s3.put",
            "success",
            json!({ "targets": [{ "type": "bucket", "id": "b-1", "name": "Payroll" }] }),
        ),
        event(3, "carol", "key.used", "success", json!({ "metadata": { "key": "id=akia1234;x" } })),
        event(
            3,
            "carol",
            "deploy",
            "success",
            json!({ "metadata": { "note": "in the Change Window" } }),
        ),
        event(
            4,
            "carol",
            "iam.get",
            "success",
            json!({ "requestParameters": [{ "roleName": "Admin" }] }),
        ),
        event(
            4,
            "dave",
            "k8s.get",
            "denied",
            json!({ "responseStatus": { "code": 403 }, "annotations": { "authorization.k8s.io/decision": "forbid" } }),
        ),
        event(
            20,
            "dave",
            "x",
            "success",
            json!({ "context": { "request_id": "REQ-77" }, "metadata": { "cost": 1500, "aws:SourceVpce": "vpce-0a1b", "msg": "用户登录失败密码错误" } }),
        ),
    ];
    let expected: &[&[u64]] = &[
        &[1],
        &[0, 2],
        &[0, 2],
        &[1, 2],
        &[0],
        &[0, 1, 2, 3, 4, 5, 6, 7, 8],
        &[2, 3, 4, 5],
        &[2, 3, 4, 5],
        &[8],
        &[2, 3],
        &[0, 1, 2, 3, 4, 5, 6, 7, 8],
        &[3],
        &[3],
        &[2],
        &[0, 1, 3, 4, 5, 6, 7, 8],
        &[4],
        &[5],
        &[8],
        &[3],
        &[6],
        &[7],
        &[8],
        &[8],
        &[7],
        &[8],
        &[5, 6, 7],
    ];
    assert_eq!(expected.len(), EXAMPLES.len());
    let folder = tempfile::tempdir().unwrap();
    let log = open_log(folder.path());
    append(&log, &events);
    let index = LogIndex::open(Arc::clone(&log), &folder.path().join("index"), SMALL).unwrap();
    catch_up(&index);
    let now: indelible_event::Timestamp = "2026-03-21T00:00:00Z".parse().unwrap();
    for ((text, _), expected) in EXAMPLES.iter().zip(expected) {
        let query = parse(text, now.as_micros()).unwrap();
        let found = search(&index, &query, Order::OldestFirst, 100);
        assert_eq!(found, *expected, "{text}");
    }
}
