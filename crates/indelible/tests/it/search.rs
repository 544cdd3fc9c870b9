//! Finding events with the built binary: on a small log, and on the real events beside
//! this checkout (docs/investigating.md).

use crate::{Process, event, text};
use serde_json::Value;
use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::Stdio,
};

#[test]
fn search_count_facet_histogram_view_and_follow() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::serve(&folder.path().join("data"));
    server.ok(&["log", "create", "prod"]);
    let file = folder.path().join("events.ndjson");
    let lines: Vec<String> = (0..30)
        .map(|n| {
            let outcome = if n % 10 == 3 { "denied" } else { "success" };
            event(&format!("e{n}"))
                .replace("success", outcome)
                .replace("ada", if n % 2 == 0 { "ada" } else { "bob" })
                .replace("T12:", &format!("T{:02}:", n % 24))
        })
        .collect();
    fs::write(&file, lines.join("\n")).unwrap();
    let file = file.display().to_string();
    server.ok(&["append", "prod", &file]);
    assert_eq!(server.ok(&["search", "prod", "--head", "--count", "actor:bob"]), "15\n");
    let found = server.ok(&["search", "prod", "actor:bob", "outcome:denied", "--oldest"]);
    assert_eq!(found.lines().count(), 3, "{found}");
    assert!(found.lines().all(|line| line.contains("denied") && line.contains("bob")), "{found}");
    assert_eq!(server.ok(&["search", "prod", "-n", "4"]).lines().count(), 4);
    assert_eq!(server.ok(&["search", "prod", "nothing"]), "nothing found\n");
    let facet = server.ok(&["search", "prod", "--facet", "actor,outcome"]);
    assert!(facet.contains("15     ada") && facet.contains("27     success"), "{facet}");
    let histogram = server.ok(&["search", "prod", "--histogram", "12h"]);
    assert_eq!(histogram.lines().count(), 2, "{histogram}");
    assert!(histogram.contains("2026-03-01 00:00          18  █"), "{histogram}");
    let refused = server.run(&["search", "prod", "acton:x"]);
    let said = text(&refused.stderr);
    assert!(
        !refused.status.success()
            && said.contains("column 1")
            && said.contains("did you mean action?"),
        "{said}"
    );
    server.ok(&["view", "save", "prod", "refused", "outcome:denied", "--description", "daily"]);
    assert!(server.ok(&["view", "list", "prod"]).contains("outcome:denied"));
    assert_eq!(server.ok(&["search", "prod", "--view", "refused", "--count"]), "3\n");
    server.ok(&["view", "delete", "prod", "refused"]);
    assert!(!server.run(&["search", "prod", "--view", "refused"]).status.success());
    assert!(
        server.ok(&["control", "history"]).contains("save view refused of prod: outcome:denied")
    );
    // Follow: what was found, and what comes.
    let mut follow = server
        .command(&["tail", "prod", "-f", "-n", "1", "--query", "outcome:denied"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut rows = BufReader::new(follow.stdout.take().unwrap()).lines();
    assert!(rows.next().unwrap().unwrap().contains(" 23 "), "the newest that was there");
    fs::write(
        &file,
        format!("{}\n{}", event("late-1"), event("late-2").replace("success", "denied")),
    )
    .unwrap();
    server.ok(&["append", "prod", &file]);
    assert!(rows.next().unwrap().unwrap().contains(" 31 "));
    follow.kill().unwrap();
    follow.wait().unwrap();
}

/// The questions of docs/investigating.md, on real CloudTrail and Kubernetes events.
#[test]
#[expect(clippy::print_stderr, reason = "a test says when its data is absent")]
fn an_investigation() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let mut files = Vec::new();
    for kind in ["cloudtrail", "kubernetes"] {
        let entries = fs::read_dir(shared.join(kind)).into_iter().flatten();
        files.extend(entries.filter_map(|entry| Some(entry.ok()?.path().display().to_string())));
    }
    files.retain(|path| path.contains(".json"));
    if files.is_empty() {
        eprintln!("the shared events are absent: the investigation is not run");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let server = Process::serve(&folder.path().join("data"));
    server.ok(&["log", "create", "prod"]);
    let mut append = vec!["append", "prod"];
    append.extend(files.iter().map(String::as_str));
    server.ok(&append);
    assert_eq!(
        server.ok(&["search", "prod", "--head", "--count"]),
        "2153\n".replace("2153", "2,153")
    );
    let json = |arguments: &[&str]| -> Vec<Value> {
        let all = [&["search", "prod", "--json"], arguments].concat();
        server.ok(&all).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    // Who created or changed access keys?
    let keys = json(&[
        "action:aws.iam.CreateAccessKey OR action:aws.iam.DeleteAccessKey OR action:aws.iam.UpdateAccessKey",
    ]);
    assert!(keys.iter().all(|found| found["event"]["actor"]["name"] == "bert-jan"));
    let changed =
        |action: &str| keys.iter().filter(|found| found["event"]["action"] == action).count();
    assert_eq!(changed("aws.iam.DeleteAccessKey"), 2);
    // Everything one principal did in one hour.
    let hour = ["actor:bert-jan", "during:2023-07-10T11", "--count"];
    assert_eq!(json(&hour)[0]["count"], 645);
    // All denied calls by source network.
    let networks = json(&["outcome:denied", "--facet", "ip"]);
    assert_eq!(networks[0]["facets"][0]["values"][0]["value"], "192.168.10.20");
    assert_eq!(json(&["outcome:denied", "ip:192.168.0.0/16", "--count"])[0]["count"], 40);
    assert_eq!(json(&["outcome:denied -ip:192.168.0.0/16", "--count"])[0]["count"], 1);
    // Which roles were granted, and by whom?
    let granted = json(&["action:aws.iam.AttachRolePolicy", "outcome:success"]);
    assert_eq!(granted.len(), 4);
    assert!(granted.iter().any(|found| {
        found["event"]["targets"][0]["id"] == "stratus-red-team-usr-data-role"
            && found["event"]["actor"]["name"] == "bert-jan"
    }));
    // One request, wherever it left a trace: found by its id, and by a word of it.
    let request = "8465cbbd-6c45-4b21-b167-f12bb7ab862d";
    assert_eq!(json(&[&format!("request:{request}"), "--count"])[0]["count"], 1);
    assert_eq!(json(&[&format!("\"{request}\""), "--count"])[0]["count"], 1);
    // By a member of the sender's data.
    let secrets = json(&["data.requestParameters.withDecryption:true", "--count"]);
    assert!(secrets[0]["count"].as_u64().unwrap() > 0, "{secrets:?}");
    assert_eq!(
        json(&["data.objectRef.resource:secrets", "--facet", "action"])[0]["facets"][0]["field"],
        "action"
    );
}

/// An export with proofs is evidence: it verifies without a server, and whatever is
/// changed, cut or slipped in is found.
#[test]
fn exports_verify_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let path = |name: &str| here.join(name).display().to_string();
    let server = Process::serve(&here.join("data"));
    server.ok(&["log", "create", "prod"]);
    let lines: Vec<String> = (0..1200)
        .map(|n| event(&format!("e{n}")).replace("ada", if n % 3 == 0 { "ada" } else { "=cmd()" }))
        .collect();
    fs::write(path("events"), lines.join("\n")).unwrap();
    server.ok(&["append", "prod", &path("events")]);
    fs::write(path("vkey"), server.ok(&["key", "show", "prod"])).unwrap();
    let said = server.ok(&["export", "prod", "actor:ada", "--proofs", "-o", &path("ada.ndjson")]);
    assert!(said.contains("exported 400 events"), "{said}");
    server.ok(&["export", "prod", "actor:nobody", "--proofs", "-o", &path("none.ndjson")]);
    server.ok(&["export", "prod", "-o", &path("plain.ndjson")]);
    let csv = server.ok(&["export", "prod", "--format", "csv", "-o", &path("all.csv")]);
    assert!(csv.contains("exported 1,200 events"), "{csv}");
    let rows = fs::read_to_string(path("all.csv")).unwrap();
    assert!(
        rows.starts_with("index,leaf_hash,id,time,") && rows.contains(",'=cmd(),"),
        "{}",
        &rows[..300]
    );
    assert!(!server.run(&["export", "prod", "-o", &path("all.csv")]).status.success());
    assert!(server.ok(&["trail", "--action", "access.export"]).contains("access.export"));
    server.ok(&["log", "create", "other"]);
    fs::write(path("stranger"), server.ok(&["key", "show", "other"])).unwrap();
    drop(server);
    let verify = |file: &str, key: &str| {
        let output = crate::indelible()
            .args(["verify", &path(file), "--key", &path(key), "--json"])
            .output()
            .unwrap();
        let verdict: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
        (output.status.code().unwrap(), verdict)
    };
    let (code, verdict) = verify("ada.ndjson", "vkey");
    assert_eq!(code, 0, "{verdict}");
    assert!(verdict["message"].as_str().unwrap().starts_with("400 events of test.example/prod"));
    assert_eq!(verify("none.ndjson", "vkey").0, 0);
    assert_eq!(verify("plain.ndjson", "vkey").0, 12);
    assert_eq!(verify("ada.ndjson", "stranger").0, 12);
    let sound = fs::read_to_string(path("ada.ndjson")).unwrap();
    let lines: Vec<&str> = sound.lines().collect();
    let without = |at: usize| {
        let mut rest = lines.clone();
        rest.remove(at);
        rest.join("\n")
    };
    let mut twice = lines.clone();
    twice.insert(5, lines[5]);
    for (what, altered, expected) in [
        (
            "a record's actor",
            sound.replacen("\\\"id\\\":\\\"ada\\\"", "\\\"id\\\":\\\"eve\\\"", 1),
            10,
        ),
        ("the shown actor", sound.replacen("\"id\":\"ada\"", "\"id\":\"eve\"", 1), 10),
        (
            "who recorded it",
            sound.replacen("\"recorded_by\":\"token:", "\"recorded_by\":\"taken:", 1),
            10,
        ),
        ("an event taken out", without(7), 11),
        ("the end taken out", without(lines.len() - 1), 11),
        ("an event twice", twice.join("\n"), 11),
        ("the first half", sound[..sound.len() / 2].to_owned(), 11),
    ] {
        assert_ne!(altered, sound, "{what}");
        fs::write(path("altered.ndjson"), altered).unwrap();
        let (code, verdict) = verify("altered.ndjson", "vkey");
        assert_eq!(code, expected, "{what}: {verdict}");
    }
}
