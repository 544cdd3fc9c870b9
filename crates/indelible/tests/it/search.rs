//! Finding events with the built binary: on a small log, and on the real events beside
//! this checkout (docs/investigating.md).

use crate::{Process, event, text};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
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
    assert_eq!(server.ok(&["search", "prod", "--count", "actor:bob"]), "15\n");
    let found = server.ok(&["search", "prod", "actor:bob", "outcome:denied", "--oldest"]);
    assert_eq!(found.lines().count(), 3, "{found}");
    assert!(found.lines().all(|line| line.contains("denied") && line.contains("bob")), "{found}");
    assert_eq!(server.ok(&["search", "prod", "-n", "4"]).lines().count(), 4);
    assert_eq!(server.ok(&["search", "prod", "nothing"]), "nothing found\n");
    let facet = server.ok(&["search", "prod", "--facet", "actor,outcome"]);
    assert!(facet.contains("15     ada") && facet.contains("27     success"), "{facet}");
    let histogram = server.ok(&["search", "prod", "--histogram", "12h"]);
    assert_eq!(histogram.lines().count(), 2, "{histogram}");
    assert!(histogram.contains("2026-03-01T00:00:00Z          18  █"), "{histogram}");
    let by_actor = server.ok(&["search", "prod", "--histogram", "1d", "--facet", "actor"]);
    assert!(by_actor.contains("█  ada 15, bob 15\n"), "{by_actor}");
    let two = server.run(&["search", "prod", "--histogram", "1d", "--facet", "actor,ip"]);
    assert!(!two.status.success() && text(&two.stderr).contains("one field"));
    // Around a record: next to it, and by the same actor.
    let around = server.ok(&["context", "prod", "id:e7", "-n", "2"]);
    let indexes = |shown: &str| -> Vec<String> {
        shown.lines().map(|line| line.split("  2026").next().unwrap().trim().to_owned()).collect()
    };
    assert_eq!(indexes(&around), ["5", "6", ">        7", "8", "9"], "{around}");
    let of_bob = server.ok(&["context", "prod", "7", "--by", "actor", "-n", "1"]);
    assert_eq!(indexes(&of_bob), ["5", ">        7", "9"], "{of_bob}");
    let refused = server.run(&["search", "prod", "acton:x"]);
    let said = text(&refused.stderr);
    assert!(
        !refused.status.success()
            && said.contains("column 1")
            && said.contains("did you mean action?"),
        "{said}"
    );
    // What somebody sent does not steer the reader's terminal.
    server.ok(&["log", "create", "hostile"]);
    let steering = event("h").replace("ada", "a\\u001b[2Jb");
    fs::write(folder.path().join("hostile"), steering).unwrap();
    server.ok(&["append", "hostile", &folder.path().join("hostile").display().to_string()]);
    for arguments in
        [&["search", "hostile", "", "--facet", "actor"][..], &["search", "hostile", ""]]
    {
        let shown = server.ok(arguments);
        assert!(shown.contains("a\u{fffd}[2Jb") && !shown.contains('\u{1b}'), "{shown:?}");
    }
    // Several logs at once.
    server.ok(&["log", "create", "stage"]);
    server.ok(&["append", "stage", &file]);
    let found = server.ok(&["search", "prod,stage", "--json", "actor:bob", "-n", "99"]);
    let of = |log: &str| found.matches(&format!("\"log\":\"{log}\"")).count();
    assert_eq!((of("prod"), of("stage")), (15, 15), "{found}");
    let found = server.ok(&["search", "*", "actor:bob", "outcome:denied", "--oldest"]);
    assert!(found.starts_with("prod ") && found.contains("\nstage "), "{found}");
    assert_eq!(server.ok(&["search", "*", "actor:bob", "--count"]), "30\n");
    let facets = server.ok(&["search", "prod,stage", "actor:bob", "--facet", "outcome"]);
    let denied = facets.lines().find(|line| line.contains("denied")).unwrap();
    assert!(denied.trim_start().starts_with('6'), "{facets}");
    let days = server.ok(&["search", "prod,st*", "actor:bob", "--histogram", "1d", "--json"]);
    let days: Value = serde_json::from_str(&days).unwrap();
    assert_eq!(
        (&days["buckets"][0]["count"], &days["searched"]["logs"][1]["log"]),
        (&Value::from(30), &Value::from("stage"))
    );
    let refused = server.run(&["search", "*", "--view", "x"]);
    assert!(text(&refused.stderr).contains("about one log"));
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
    assert_eq!(server.ok(&["search", "prod", "--count"]), "2153\n".replace("2153", "2,153"));
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

/// An export with proofs is evidence: it verifies without a server, in every format, and
/// whatever is changed, cut or slipped in is found.
#[test]
fn exports_verify_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let path = |name: &str| here.join(name).display().to_string();
    let server = Process::serve(&here.join("data"));
    server.ok(&["log", "create", "prod"]);
    let mut lines: Vec<String> = (0..1200)
        .map(|n| event(&format!("e{n}")).replace("ada", if n % 3 == 0 { "ada" } else { "=cmd()" }))
        .collect();
    // Too long for a record: an attachment, which is evidence too.
    let long = format!(r#""metadata":{{"text":"{}"}},"action""#, "long ".repeat(20_000));
    lines[3] = lines[3].replace(r#""action""#, &long);
    fs::write(path("events"), lines.join("\n")).unwrap();
    server.ok(&["append", "prod", &path("events")]);
    fs::write(path("vkey"), server.ok(&["key", "show", "prod"])).unwrap();
    for name in ["ada.ndjson", "ada.parquet", "ada.ocsf", "ada.csv"] {
        let said = server.ok(&["export", "prod", "actor:ada", "--proofs", "-o", &path(name)]);
        assert!(said.contains("exported 400 events"), "{said}");
        assert!(!here.join(format!("{name}.part.json")).exists());
    }
    server.ok(&["export", "prod", "actor:nobody", "--proofs", "-o", &path("none.ndjson")]);
    server.ok(&["export", "prod", "actor:nobody", "--proofs", "-o", &path("none.parquet")]);
    server.ok(&["export", "prod", "actor:nobody", "--proofs", "-o", &path("none.csv")]);
    server.ok(&["export", "prod", "--proofs", "-o", &path("formulas.csv")]);
    server.ok(&["export", "prod", "-o", &path("plain.ndjson")]);
    let csv = server.ok(&["export", "prod", "-o", &path("all.csv")]);
    assert!(csv.contains("exported 1,200 events"), "{csv}");
    let rows = fs::read_to_string(path("all.csv")).unwrap();
    assert!(
        rows.starts_with("index,leaf_hash,id,time,") && rows.contains(",'=cmd(),"),
        "{}",
        &rows[..300]
    );
    let refused = server.run(&["export", "prod", "-o", &path("all.csv")]);
    assert!(text(&refused.stderr).contains("exists already"));
    let trail = server.ok(&["trail", "--action", "access.export.finish"]);
    assert!(trail.contains("access.export.finish"), "{trail}");
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
    for name in ["ada.ndjson", "ada.parquet", "ada.ocsf", "ada.csv"] {
        let (code, verdict) = verify(name, "vkey");
        assert_eq!(code, 0, "{name}: {verdict}");
        let (count, origin) = (&verdict["manifest"]["count"], &verdict["manifest"]["origin"]);
        assert_eq!((count, origin), (&400.into(), &"test.example/prod".into()), "{verdict}");
        assert_eq!(verdict["coverage"]["records"], 400, "{verdict}");
        assert_eq!(verify(name, "stranger").0, 12, "{name}");
    }
    assert_eq!(verify("none.ndjson", "vkey").0, 0);
    assert_eq!(verify("none.parquet", "vkey").0, 0);
    assert_eq!(verify("none.csv", "vkey").0, 0);
    assert_eq!(verify("formulas.csv", "vkey").0, 0);
    for name in ["plain.ndjson", "all.csv"] {
        let (code, verdict) = verify(name, "vkey");
        assert_eq!(code, 0, "{name}: {verdict}");
        let words = verdict["not_proven"].as_array().unwrap().iter().map(|what| &what["what"]);
        assert_eq!(words.collect::<Vec<_>>(), ["records", "others"], "{verdict}");
    }
    fs::write(path("all.csv"), rows.replacen("a.b", "c.d", 1)).unwrap();
    assert_eq!(verify("all.csv", "vkey").0, 10);
    for name in ["ada.ndjson", "ada.ocsf"] {
        check_alterations(here, name, &verify);
    }
    check_csv(here, &verify);
    check_parquet(here, &verify);
    // Whoever changes the manifest too has not the key that signed it.
    let manifest = fs::read_to_string(path("ada.ndjson.manifest")).unwrap();
    let more = manifest.replace("\"count\":400", "\"count\":401");
    assert_ne!(more, manifest);
    fs::write(path("ada.ndjson.manifest"), more).unwrap();
    assert_eq!(verify("ada.ndjson", "vkey").0, 10);
    fs::remove_file(path("ada.ndjson.manifest")).unwrap();
    let alone = crate::indelible()
        .args(["verify", &path("ada.ndjson"), "--key", &path("vkey")])
        .output()
        .unwrap();
    assert!(text(&alone.stderr).contains("FILE.manifest beside it"), "{}", text(&alone.stderr));
}

/// Every kind of alteration of an export of lines is found.
fn check_alterations(here: &Path, name: &str, verify: &dyn Fn(&str, &str) -> (i32, Value)) {
    let sound = fs::read_to_string(here.join(name)).unwrap();
    let lines: Vec<&str> = sound.lines().collect();
    let without = |at: usize| {
        let mut rest = lines.clone();
        rest.remove(at);
        rest.join("\n") + "\n"
    };
    let mut twice = lines.clone();
    twice.insert(5, lines[5]);
    let shown = if name.ends_with("ocsf") { "\"uid\":\"ada\"" } else { "\"id\":\"ada\"" };
    let attachment = sound.find("\"attachment\":\"").unwrap();
    let (before, after) = sound.split_at(attachment);
    for (what, altered, expected) in [
        (
            "a record's actor",
            sound.replacen("\\\"id\\\":\\\"ada\\\"", "\\\"id\\\":\\\"eve\\\"", 1),
            10,
        ),
        ("the shown actor", sound.replacen(shown, &shown.replace("ada", "eve"), 1), 10),
        (
            "who recorded it",
            sound.replacen("\"recorded_by\":\"token:", "\"recorded_by\":\"taken:", 1),
            10,
        ),
        ("an attachment", before.to_owned() + &after.replacen("long", "lang", 1), 10),
        ("an event taken out", without(7), 10),
        ("the last event taken out", without(lines.len() - 1), 10),
        ("an event twice", twice.join("\n"), 10),
        ("the first half", sound[..sound.len() / 2].to_owned(), 10),
        ("an empty line more", sound.clone() + "\n", 10),
        ("spaces in between", sound.replacen("\":\"", "\": \"", 1), 10),
    ] {
        assert_ne!(altered, sound, "{name}: {what}");
        fs::write(here.join(name), altered).unwrap();
        let (code, verdict) = verify(name, "vkey");
        assert_eq!(code, expected, "{name}: {what}: {verdict}");
    }
    fs::write(here.join(name), sound).unwrap();
}

/// A Parquet file that is not as it was written is not read; and one whose manifest was
/// changed with it never brings the reader down.
fn check_parquet(here: &Path, verify: &dyn Fn(&str, &str) -> (i32, Value)) {
    let (file, manifest) = (here.join("ada.parquet"), here.join("ada.parquet.manifest"));
    let sound = fs::read(&file).unwrap();
    let said = fs::read_to_string(&manifest).unwrap();
    let hash = |bytes: &[u8]| {
        Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let was = hash(&sound);
    assert!(said.contains(&was));
    let last = sound.len() - 1;
    // The pages, and more often the end, where the reader begins.
    let places = (0..30).map(|n| n * last / 30).chain((0..60).map(|n| last - n * 17));
    for at in places {
        let mut altered = sound.clone();
        altered[at] ^= 0xff;
        fs::write(&file, &altered).unwrap();
        fs::write(&manifest, &said).unwrap();
        let (code, verdict) = verify("ada.parquet", "vkey");
        assert_eq!(code, 10, "{at}: {verdict}");
        fs::write(&manifest, said.replace(&was, &hash(&altered))).unwrap();
        let (code, verdict) = verify("ada.parquet", "vkey");
        assert_eq!(code, 10, "{at}: {verdict}");
    }
    fs::write(&manifest, &said).unwrap();
    fs::write(&file, &sound[..last / 2]).unwrap();
    assert_eq!(verify("ada.parquet", "vkey").0, 10);
}

/// Every kind of alteration of an export as CSV is found.
fn check_csv(here: &Path, verify: &dyn Fn(&str, &str) -> (i32, Value)) {
    let name = "ada.csv";
    let sound = fs::read_to_string(here.join(name)).unwrap();
    let heading = sound.lines().next().unwrap();
    let (second, last) = (sound.find("\n3,").unwrap(), sound.rfind("\n1197,").unwrap());
    for (what, altered, expected) in [
        ("a shown actor", sound.replacen(",ada,", ",eve,", 1), 10),
        (
            "a record's actor",
            sound.replacen("\"\"id\"\":\"\"ada\"\"", "\"\"id\"\":\"\"eve\"\"", 1),
            10,
        ),
        ("a column called otherwise", sound.replacen(",actor,", ",subject,", 1), 10),
        ("the first event taken out", format!("{heading}{}", &sound[second..]), 10),
        ("the last event taken out", sound[..=last].to_owned(), 10),
        ("the last event cut", sound[..last + 200].to_owned(), 10),
        ("a cell more", sound.replacen(",ada,", ",ada,ada,", 1), 10),
    ] {
        assert_ne!(altered, sound, "{what}");
        fs::write(here.join(name), altered).unwrap();
        let (code, verdict) = verify(name, "vkey");
        assert_eq!(code, expected, "{name}: {what}: {verdict}");
    }
    fs::write(here.join(name), sound).unwrap();
}

/// A download that breaks goes on where it was, also in another process.
#[test]
fn an_interrupted_export_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let path = |name: &str| here.join(name).display().to_string();
    let server = Process::serve(&here.join("data"));
    server.ok(&["log", "create", "prod"]);
    let lines: Vec<String> = (0..500).map(|n| event(&format!("e{n}"))).collect();
    fs::write(path("events"), lines.join("\n")).unwrap();
    server.ok(&["append", "prod", &path("events")]);
    server.ok(&["export", "prod", "-o", &path("whole.ndjson")]);
    let whole = fs::read(path("whole.ndjson")).unwrap();
    // As a command leaves it that is killed in the middle of the download.
    let client = server.client();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let request = indelible_api::ExportRequest::default();
    let started = runtime.block_on(async {
        let log = client.log("prod", None).await.unwrap();
        log.start_export(&request).await.unwrap().id
    });
    let state = serde_json::json!({ "id": started, "log": "prod", "request": request });
    fs::write(path("half.ndjson.part.json"), state.to_string()).unwrap();
    fs::write(path("half.ndjson.part"), &whole[..1000]).unwrap();
    let other = server.run(&["export", "prod", "actor:ada", "-o", &path("half.ndjson")]);
    assert!(text(&other.stderr).contains("another export"), "{}", text(&other.stderr));
    server.ok(&["export", "prod", "-o", &path("half.ndjson")]);
    assert_eq!(fs::read(path("half.ndjson")).unwrap(), whole);
    // What does not go together is found, and not kept.
    let started = runtime.block_on(async {
        client.log("prod", None).await.unwrap().start_export(&request).await.unwrap().id
    });
    let state = serde_json::json!({ "id": started, "log": "prod", "request": request });
    fs::write(path("bad.ndjson.part.json"), state.to_string()).unwrap();
    fs::write(path("bad.ndjson.part"), vec![b'x'; 1000]).unwrap();
    let bad = server.run(&["export", "prod", "-o", &path("bad.ndjson")]);
    assert!(text(&bad.stderr).contains("not what the server wrote"), "{}", text(&bad.stderr));
    server.ok(&["export", "prod", "-o", &path("bad.ndjson")]);
    assert_eq!(fs::read(path("bad.ndjson")).unwrap(), whole);
    // One that the server no longer has is begun anew.
    let state = serde_json::json!({ "id": "exp-gone", "log": "prod", "request": request });
    fs::write(path("gone.ndjson.part.json"), state.to_string()).unwrap();
    fs::write(path("gone.ndjson.part"), b"x").unwrap();
    server.ok(&["export", "prod", "-o", &path("gone.ndjson")]);
    assert_eq!(fs::read(path("gone.ndjson")).unwrap(), whole);
}

/// Programs of others read what is exported: DuckDB the Parquet, models of the Open
/// Cybersecurity Schema Framework the OCSF.
#[test]
fn exports_are_read_by_others() {
    let judges = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/judges");
    let python = judges.join("venv/bin/python");
    assert!(
        python.exists(),
        "the judges are not installed: run `cargo xtask test`, or make {} with python3 -m venv and install requirements.txt there",
        judges.join("venv").display()
    );
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let server = Process::serve(&folder.path().join("data"));
    server.ok(&["log", "create", "prod"]);
    let kinds = [
        ("auth", "session.signed_in"),
        ("auth", "session.checked"),
        ("permission", "iam.role.granted"),
        ("data", "customer.updated"),
        ("access", "customer.viewed"),
        ("system", "disk.full"),
    ];
    let types = ["user", "service", "system"];
    let mut lines: Vec<String> = (0..600usize)
        .map(|n| {
            let (category, action) = kinds[n % kinds.len()];
            serde_json::json!({
                "id": format!("e{n}"), "time": format!("2026-03-01T12:{:02}:00.5Z", n % 60),
                "action": action, "category": category,
                "actor": { "type": types[n % 3], "id": format!("a{}", n % 3), "roles": ["r"], "session_id": "s" },
                "targets": [{ "type": "customer", "id": "c1", "name": "Mühle" }],
                "outcome": { "result": if n % 100 == 7 { "denied" } else { "success" }, "reason": "why" },
                "context": { "ip": if n % 2 == 0 { "10.0.0.1" } else { "no address" }, "user_agent": "x", "trace_id": "t" },
                "metadata": { "n": n },
            })
            .to_string()
        })
        .collect();
    lines.push(event("plain"));
    fs::write(path("events"), lines.join("\n")).unwrap();
    server.ok(&["append", "prod", &path("events")]);
    server.ok(&["export", "prod", "--proofs", "-o", &path("all.parquet")]);
    server.ok(&["export", "prod", "--proofs", "-o", &path("all.ocsf")]);
    server.ok(&["export", "_access", "--format", "ocsf", "-o", &path("access.json")]);
    let judge = |ocsf: &str| {
        let output = Command::new(&python)
            .arg(judges.join("judge.py"))
            .args([path("all.parquet"), path(ocsf)])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let found = judge("all.ocsf");
    let rows = serde_json::json!([601, 0, 600, "TIMESTAMP WITH TIME ZONE"]);
    assert_eq!(found["rows"].as_array().unwrap()[..4], rows.as_array().unwrap()[..], "{found}");
    assert!(found["rows"][4].as_str().unwrap().starts_with("2026-03-01 "), "{found}");
    assert_eq!(found["rows"].as_array().unwrap()[5..], [601, 601, 601].map(Value::from), "{found}");
    assert_eq!(found["denied"], serde_json::json!([["a0", 2], ["a1", 2], ["a2", 2]]));
    assert_eq!(found["classes"], serde_json::json!({ "3002": 200, "3004": 100, "6003": 301 }));
    let access = judge("access.json");
    assert!(access["classes"]["1008"].as_u64().unwrap() > 2, "{access}");
}

/// `verify DIR --index`: an index that was altered is found, though the log itself holds;
/// not while a server runs.
#[test]
fn verify_compares_the_index_with_the_records() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let file = folder.path().join("events").display().to_string();
    let lines: Vec<String> = (0..50).map(|n| event(&format!("e{n}"))).collect();
    fs::write(&file, lines.join("\n")).unwrap();
    let server = Process::serve(&data);
    server.ok(&["log", "create", "prod"]);
    server.ok(&["append", "prod", &file]);
    assert_eq!(server.ok(&["search", "prod", "--count"]), "50\n");
    let key = server.ok(&["key", "show", "prod"]).trim().to_owned();
    let at = data.display().to_string();
    let verify = || {
        let arguments = ["verify", &at, "--log", "prod", "--key", &key, "--index"];
        crate::indelible().args(arguments).output().unwrap()
    };
    let running = verify();
    assert!(text(&running.stderr).contains("needs the server to be stopped"));
    assert_eq!(running.status.code(), Some(1));
    drop(server);
    let sound = verify();
    assert_eq!(sound.status.code(), Some(0), "{}{}", text(&sound.stdout), text(&sound.stderr));
    // What was compared is not told as unproven.
    assert!(!text(&sound.stdout).contains("that the search index"));
    let piece = fs::read_dir(data.join("index/prod"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.is_dir())
        .unwrap();
    let terms = fs::read_dir(piece)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|end| end == "idx"))
        .unwrap();
    let mut bytes = fs::read(&terms).unwrap();
    bytes[3] ^= 1;
    fs::write(&terms, bytes).unwrap();
    let altered = verify();
    assert_eq!(altered.status.code(), Some(10), "{}", text(&altered.stdout));
    assert!(text(&altered.stdout).contains("index/prod/"), "{}", text(&altered.stdout));
}
