//! The README's tour and the exit codes of `verify`.

use crate::{Process, event, files, indelible, text};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

/// Hand-written in the shape of the real files.
const CLOUDTRAIL: &str = r#"{"Records":[
  {"eventVersion":"1.08","userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::1:user/eve","userName":"eve"},"eventTime":"2026-03-01T12:00:00Z",
   "eventSource":"iam.amazonaws.com","eventName":"CreateAccessKey","errorCode":"AccessDenied","eventID":"ct-1"},
  {"eventTime":"2026-03-01T12:00:01Z","eventSource":"s3.amazonaws.com","eventName":"ListBuckets","eventID":"ct-2","readOnly":true}]}"#;
const KUBERNETES: &str = r#"{"kind":"EventList","items":[{"kind":"Event","auditID":"k-1","stage":"ResponseComplete","verb":"delete",
  "user":{"username":"ops"},"objectRef":{"resource":"secrets","namespace":"prod","name":"db"},"responseStatus":{"code":200},"stageTimestamp":"2026-03-01T12:00:00Z"}]}"#;

fn verify(arguments: &[&str]) -> (i32, Value) {
    judge(indelible().arg("verify").args(arguments).arg("--json").output().unwrap())
}

fn judge(output: Output) -> (i32, Value) {
    let verdict = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}{}", text(&output.stdout), text(&output.stderr)));
    (output.status.code().unwrap(), verdict)
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).display().to_string()
}

/// The real events beside this checkout, if they are there.
#[expect(clippy::print_stderr, reason = "a test says when its data is absent")]
fn shared_events() -> Vec<PathBuf> {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let found: Vec<PathBuf> =
        ["cloudtrail", "kubernetes"].iter().flat_map(|kind| files(&shared.join(kind))).collect();
    if found.is_empty() {
        eprintln!("../shared/data is absent: only the hand-written events were appended");
    }
    found
}

#[test]
fn the_tour() {
    let folder = tempfile::tempdir().unwrap();
    let (data, here) = (folder.path().join("D"), folder.path());
    let server = Process::serve(&data);
    server.ok(&["log", "create", "prod"]);
    fs::write(here.join("trail.json"), CLOUDTRAIL).unwrap();
    fs::write(here.join("k8s.json"), KUBERNETES).unwrap();
    let lines: Vec<String> = (0..40).map(|n| event(&format!("n{n}"))).collect();
    fs::write(here.join("native.ndjson"), lines.join("\n")).unwrap();
    let (trail, k8s, native) =
        (path(here, "trail.json"), path(here, "k8s.json"), path(here, "native.ndjson"));
    let said = server.ok(&[
        "append",
        "prod",
        &trail,
        &k8s,
        &native,
        "--receipts",
        &path(here, "receipts"),
    ]);
    assert!(
        said.contains("appended 43 events") && said.contains("every receipt checked"),
        "{said}"
    );
    let again = server.ok(&["append", "prod", &trail, &k8s, &native]);
    assert!(
        again.contains("appended 0 events") && again.contains("43 were there already"),
        "{again}"
    );
    let mut expected = 43;
    let shared = shared_events();
    if !shared.is_empty() {
        let shared: Vec<String> = shared.iter().map(|path| path.display().to_string()).collect();
        let arguments: Vec<&str> = ["append", "prod", "--json"]
            .into_iter()
            .chain(shared.iter().map(String::as_str))
            .collect();
        let counts: Value = serde_json::from_str(&server.ok(&arguments)).unwrap();
        assert_eq!(
            (counts["created"].as_u64(), counts["refused"].as_u64()),
            (Some(2153), Some(0)),
            "{counts}"
        );
        expected += 2153;
    }
    let key = path(here, "prod.vkey");
    fs::write(&key, server.ok(&["key", "show", "prod"])).unwrap();
    let checkpoint = path(here, "held");
    fs::write(&checkpoint, server.ok(&["checkpoint", "prod", "--key", &key])).unwrap();

    // The directory, with the server running, and the server.
    for target in [path(here, "D"), server.url.clone()] {
        let arguments = [&target, "--log", "prod", "--key", &key, "--since", &checkpoint, "--json"];
        let (code, verdict) = judge(server.run(&[["verify"].as_slice(), &arguments].concat()));
        assert_eq!((code, &verdict["verdict"]), (0, &"holds".into()), "{verdict}");
        assert_eq!(verdict["coverage"]["records"], expected, "{verdict}");
        assert_eq!(verdict["coverage"]["since"], expected, "{verdict}");
    }
    // One record, offline.
    let (proof, record) = (path(here, "p.tlog-proof"), path(here, "p.record"));
    fs::write(&proof, server.ok(&["prove", "prod", "17"])).unwrap();
    fs::write(&record, server.ok(&["get", "prod", "17", "--raw"])).unwrap();
    let view: Value =
        serde_json::from_str(&server.ok(&["get", "prod", "id:ct-1", "--json"])).unwrap();
    assert_eq!(view["event"]["outcome"]["result"], "denied");
    assert!(server.ok(&["get", "prod", "0"]).contains("attested by the server"));
    assert!(server.ok(&["tail", "prod", "-n", "3"]).lines().count() == 3);
    assert!(server.ok(&["log", "list"]).contains("prod"));
    drop(server);
    let (code, verdict) = verify(&[&proof, "--record", &record, "--key", &key]);
    assert_eq!((code, verdict["index"].as_u64()), (0, Some(17)), "{verdict}");
    // Each line of the receipts is a proof of its own.
    let receipts = fs::read_to_string(here.join("receipts")).unwrap();
    assert_eq!(receipts.lines().count(), 43);
    let first: Value = serde_json::from_str(receipts.lines().next().unwrap()).unwrap();
    assert!(first["proof"].as_str().unwrap().starts_with("c2sp.org/tlog-proof@v1\nindex 0\n"));
}

#[test]
fn verify_tells_kinds_of_trouble_apart() {
    let folder = tempfile::tempdir().unwrap();
    let (data, here) = (path(folder.path(), "D"), folder.path());
    let server = Process::serve(Path::new(&data));
    server.ok(&["log", "create", "prod"]);
    fs::write(here.join("e.json"), event("a")).unwrap();
    server.ok(&["append", "prod", &path(here, "e.json")]);
    let key = path(here, "key");
    fs::write(&key, server.ok(&["key", "show", "prod"])).unwrap();
    let early = path(here, "early");
    fs::write(&early, server.ok(&["checkpoint", "prod"])).unwrap();
    fs::write(here.join("e.json"), event("b")).unwrap();
    server.ok(&["append", "prod", &path(here, "e.json")]);
    let late = path(here, "late");
    fs::write(&late, server.ok(&["checkpoint", "prod"])).unwrap();
    let (proof, record) = (path(here, "proof"), path(here, "record"));
    fs::write(&proof, server.ok(&["prove", "prod", "0"])).unwrap();
    fs::write(&record, server.ok(&["get", "prod", "0", "--raw"])).unwrap();
    server.ok(&["log", "create", "other"]);
    let stranger = path(here, "stranger");
    fs::write(&stranger, server.ok(&["key", "show", "other"])).unwrap();
    drop(server);
    let check = |arguments: &[&str], code: i32, word: &str| {
        let (found, verdict) = verify(arguments);
        assert_eq!(
            (found, verdict["verdict"].as_str()),
            (code, Some(word)),
            "{arguments:?}: {verdict}"
        );
        verdict
    };
    check(&[&data, "--log", "prod", "--key", &key, "--since", &early], 0, "holds");
    check(&[&proof, "--record", &record, "--key", &key], 0, "holds");
    check(&[&proof, "--record", &record, "--key", &stranger], 12, "unverifiable");
    check(&[&data, "--log", "prod", "--key", &stranger], 12, "unverifiable");
    check(&[&data, "--log", "nope", "--key", &key], 11, "missing");
    check(&[&path(here, "nothing"), "--record", &record, "--key", &key], 13, "unreadable");
    check(&[&proof, "--record", &path(here, "nothing"), "--key", &key], 13, "unreadable");
    fs::write(&record, fs::read_to_string(&record).unwrap().replace("ada", "eve")).unwrap();
    check(&[&proof, "--record", &record, "--key", &key], 10, "altered");
    // Altered: one byte of the first record. Missing: the second commit cut off.
    let journal = files(&Path::new(&data).join("logs/prod/journal")).remove(0);
    let sound = fs::read(&journal).unwrap();
    let at = sound.windows(3).position(|window| window == b"ada").unwrap();
    let mut bytes = sound.clone();
    bytes[at] ^= 1;
    fs::write(&journal, &bytes).unwrap();
    let verdict = check(&[&data, "--log", "prod", "--key", &key], 10, "altered");
    assert_eq!(verdict["first_bad_index"], 0, "{verdict}");
    let second = sound.windows(8).rposition(|window| window == b"INDFRM2\n").unwrap();
    bytes = sound.clone();
    bytes[second..].fill(0);
    fs::write(&journal, &bytes).unwrap();
    check(&[&data, "--log", "prod", "--key", &key], 0, "holds");
    let verdict = check(&[&data, "--log", "prod", "--key", &key, "--since", &late], 11, "missing");
    assert_eq!(verdict["first_bad_index"], 1, "{verdict}");
    // The server refuses to start on the altered data, and says where.
    bytes = sound;
    bytes[at] ^= 1;
    fs::write(&journal, &bytes).unwrap();
    let refused =
        indelible().args(["serve", "--listen", "127.0.0.1:0", "--data", &data]).output().unwrap();
    let said = text(&refused.stderr);
    assert!(
        !refused.status.success()
            && said.contains("is damaged at offset")
            && said.contains("hint:"),
        "{said}"
    );
}

#[test]
fn the_demo_tells_its_story_and_finds_the_tampering() {
    let folder = tempfile::tempdir().unwrap();
    let data = path(folder.path(), "demo");
    let output: Output = indelible()
        .args(["demo", "--exit", "--listen", "127.0.0.1:0", "--data", &data])
        .output()
        .unwrap();
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    for part in [
        "every receipt checked",
        "grants Ben the role `admin`",
        "records hashed",
        "flipped a bit",
        "altered  first bad index",
        "does not match its checksum",
    ] {
        assert!(said.contains(part), "{part:?} is not in\n{said}");
    }
}

#[test]
fn mistakes_get_an_error_a_cause_and_a_hint() {
    let output = indelible().args(["--url", "http://127.0.0.1:9", "log", "list"]).output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    for part in
        ["error: could not talk to http://127.0.0.1:9", "because:", "hint: is the server running?"]
    {
        assert!(said.contains(part), "{part:?} is not in\n{said}");
    }
    let folder = tempfile::tempdir().unwrap();
    let server = Process::serve(folder.path());
    let refused = server.run(&["append", "nope", "/nonexistent"]);
    assert!(
        text(&refused.stderr).contains("there is no log \"nope\""),
        "{}",
        text(&refused.stderr)
    );
    server.ok(&["log", "create", "prod"]);
    let bad = path(folder.path(), "bad.json");
    fs::write(&bad, event("x").replace("success", "fine")).unwrap();
    let refused = server.run(&["append", "prod", &bad]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        text(&refused.stderr).contains("(invalid_event) outcome.result: unknown variant `fine`"),
        "{}",
        text(&refused.stderr)
    );
    let second = indelible()
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(folder.path())
        .output()
        .unwrap();
    let said = text(&second.stderr);
    assert!(
        said.contains("is in use by another process")
            && said.contains("hint: another indelible process"),
        "{said}"
    );
    assert_eq!(indelible().arg("verify").output().unwrap().status.code(), Some(2));
    assert!(
        text(&indelible().args(["completions", "bash"]).output().unwrap().stdout)
            .contains("indelible")
    );
}

#[test]
fn the_bench_measures_a_server_of_its_own_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("bench");
    // A setting of whoever runs it is not the bench's.
    let run = indelible()
        .args(["bench", "singles", "--seconds", "1", "--json", "--dir"])
        .arg(&dir)
        .env("INDELIBLE_TLS_CERT", "/nonexistent")
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", text(&run.stderr));
    let figures: Vec<serde_json::Value> = serde_json::from_slice(&run.stdout).unwrap();
    let rates: Vec<f64> = figures.iter().filter_map(|figure| figure["value"].as_f64()).collect();
    assert!(rates.len() == 3 && rates.iter().all(|rate| *rate > 1.0), "{figures:?}");
    assert!(!dir.exists());
}
