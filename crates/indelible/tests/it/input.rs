//! What is appended as it comes: pipes, broken lines, compressed files, files of other
//! systems; and commands that keep what they are given.

use crate::{Process, event, indelible, text};
use serde_json::Value;
use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Output, Stdio},
    time::{Duration, Instant},
};

fn log(folder: &Path) -> Process {
    let server = Process::serve(&folder.join("D"));
    server.ok(&["log", "create", "prod"]);
    server
}

fn write(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) -> String {
    let path = folder.join(name);
    fs::write(&path, bytes).unwrap();
    path.display().to_string()
}

fn size(server: &Process) -> u64 {
    let info: Vec<Value> = serde_json::from_str(&server.ok(&["log", "list", "--json"])).unwrap();
    let prod = info.iter().find(|log| log["name"] == "prod").unwrap();
    prod["size"].as_u64().unwrap()
}

fn is_there(server: &Process, id: &str) -> bool {
    server.run(&["get", "prod", &format!("id:{id}")]).status.success()
}

fn wait_until(what: impl Fn() -> bool) -> Duration {
    let began = Instant::now();
    while !what() {
        assert!(began.elapsed() < Duration::from_secs(60), "it does not come true");
        std::thread::sleep(Duration::from_millis(20));
    }
    began.elapsed()
}

fn pipe(server: &Process, arguments: &[&str]) -> Child {
    let mut command = server.command_as(&server.token_file, arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args([name, &id]).status().unwrap().success());
}

#[test]
fn from_a_pipe_events_leave_soon_and_a_signal_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = log(folder.path());
    let receipts = folder.path().join("r.jsonl").display().to_string();
    let mut child = pipe(&server, &["append", "prod", "--receipts", &receipts]);
    let mut input = child.stdin.take().unwrap();
    // Not even a line's end is needed.
    write!(input, "{}\n{}", event("live-1"), event("live-2")).unwrap();
    input.flush().unwrap();
    wait_until(|| size(&server) == 2);
    write!(input, "\n{}\n{{\"id\":\"half", event("live-3")).unwrap();
    input.flush().unwrap();
    std::thread::sleep(Duration::from_millis(100));
    signal(&child, "-TERM");
    let output = child.wait_with_output().unwrap();
    drop(input);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(143), "{said}");
    assert!(text(&output.stdout).contains("appended 3 events"), "{said}");
    assert!(said.contains("stopping: what was read is sent"), "{said}");
    assert!(said.contains("not sent standard input, line 4, column 1: 11 bytes"), "{said}");
    assert!(is_there(&server, "live-3"));
    assert_eq!(fs::read_to_string(&receipts).unwrap().lines().count(), 3);
}

#[test]
fn a_server_that_is_away_is_waited_for_and_a_second_signal_says_what_was_not_sent() {
    let folder = tempfile::tempdir().unwrap();
    let server = log(folder.path());
    let mut child = pipe(&server, &["append", "prod"]);
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "{}", event("a-1")).unwrap();
    wait_until(|| size(&server) == 1);
    server.kill();
    writeln!(input, "{}", event("a-2")).unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    signal(&child, "-INT");
    std::thread::sleep(Duration::from_millis(300));
    signal(&child, "-INT");
    let output = child.wait_with_output().unwrap();
    drop(input);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(
        said.contains("waiting could not talk to") && said.contains("1 events are held"),
        "{said}"
    );
    assert!(
        said.contains("1 events from standard input, line 2, column 1 on were not sent"),
        "{said}"
    );
}

#[test]
fn one_bad_item_costs_itself_only_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let server = log(folder.path());
    let here = folder.path();
    let good: Vec<String> = (0..3).map(|n| event(&format!("good-{n}"))).collect();
    let good = write(here, "good.ndjson", good.join("\n"));
    let torn = format!("{}\n{{\"id\":\"torn\n{}\n", event("t-0"), event("t-1"));
    let torn = write(here, "torn.ndjson", torn);
    let empty = write(here, "empty.ndjson", "");
    let nul = write(here, "nul.ndjson", format!("{}\n\0\0\0\0", event("n-0")));
    let run = server.run(&["append", "prod", &good, &torn, &empty, &nul]);
    let said = text(&run.stderr);
    assert_eq!(run.status.code(), Some(1), "{said}");
    assert!(text(&run.stdout).contains("appended 6 events"), "{}{said}", text(&run.stdout));
    for part in [
        format!(
            "{torn}, line 2, column 12: (invalid_json) not valid JSON: the line ends within a string"
        ),
        format!("{nul}, line 2, column 1: (invalid_json) not valid JSON: NUL bytes"),
        "{\"id\":\"torn".to_owned(),
    ] {
        assert!(said.contains(&part), "{part:?} is not in\n{said}");
    }
    // Pretty, with a member that is wrong in the second.
    let pretty = |id: &str| event(id).replace(',', ",\n  ");
    let wrong = pretty("p-1").replace("\"user\"", "\"robot\"");
    let pretty = write(here, "p.json", format!("{}\n{wrong}\n{}", pretty("p-0"), pretty("p-2")));
    let run = server.run(&["append", "prod", &pretty, "--json"]);
    let counts: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!((counts["created"].as_u64(), counts["refused"].as_u64()), (Some(2), Some(1)));
    assert!(text(&run.stderr).contains("p.json, line 7, column 1: (invalid_event) actor.type"));
    // All or nothing.
    let bad = write(here, "bad.ndjson", format!("{}\nnonsense\n", event("b-0")));
    let before = size(&server);
    let run = server.run(&["append", "prod", &bad, "--all-or-nothing"]);
    assert_eq!((run.status.code(), size(&server)), (Some(1), before));
    assert!(text(&run.stderr).contains("nothing was"), "{}", text(&run.stderr));
    server.ok(&[
        "append",
        "prod",
        "--all-or-nothing",
        &write(here, "b.json", format!("[{},{}]", event("b-1"), event("b-2"))),
    ]);
    assert_eq!(size(&server), before + 2);
}

#[test]
fn what_it_is_is_told_by_the_content() {
    let folder = tempfile::tempdir().unwrap();
    let server = log(folder.path());
    let here = folder.path();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut files: Vec<PathBuf> = crate::files(&examples);
    files.extend(crate::files(&examples.join("cloudtrail")));
    files.extend(crate::files(&examples.join("kubernetes")));
    files.retain(|path| path.is_file() && path.extension().is_some_and(|end| end != "md"));
    let files: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
    let mut arguments = vec!["append", "prod"];
    arguments.extend(files.iter().map(String::as_str));
    let said = server.ok(&arguments);
    assert!(said.contains("appended 12 events"), "{said}");
    // UTF-16, zstd, and several members of zstd.
    let utf16: Vec<u8> = format!("\u{feff}{}\r\n", event("wide-é"))
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let mut zst = zstd::encode_all(event("z-0").as_bytes(), 1).unwrap();
    zst.extend(zstd::encode_all(format!("\n{}", event("z-1")).as_bytes(), 1).unwrap());
    let said =
        server.ok(&["append", "prod", &write(here, "w.json", utf16), &write(here, "z.zst", zst)]);
    assert!(said.contains("appended 3 events"), "{said}");
    assert!(is_there(&server, "wide-é"));
    // What holds no events, and what is none.
    let digest =
        write(here, "digest.json", r#"{"awsAccountId":"1","digestS3Object":"o","logFiles":[]}"#);
    let run = server.run(&["append", "prod", &digest]);
    assert!(run.status.success() && text(&run.stderr).contains("a CloudTrail digest file"));
    let zip = write(here, "a.zip", b"PK\x03\x04abcd");
    let run = server.run(&["append", "prod", &zip]);
    assert!(!run.status.success() && text(&run.stderr).contains("this is a zip archive"));
    let latin =
        write(here, "l.json", [event("l-0").as_bytes(), b"\n{\"id\":\"caf\xe9\"}\n"].concat());
    let run = server.run(&["append", "prod", &latin]);
    assert!(text(&run.stderr).contains(
        "l.json, line 2, column 11: (invalid_json) not valid JSON: byte 0xe9 is not UTF-8"
    ));
    assert!(is_there(&server, "l-0"));
}

#[test]
fn receipts_are_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let server = log(folder.path());
    let day = write(folder.path(), "day.json", event("day-1"));
    let receipts = write(folder.path(), "r.jsonl", "kept\n");
    let run = server.run(&["append", "prod", &day, "--receipts", &receipts]);
    assert!(!run.status.success() && text(&run.stderr).contains("exists already"));
    let run =
        server.run(&["append", "prod", "no-such-file", "--receipts", &format!("{receipts}2")]);
    assert!(!run.status.success() && text(&run.stderr).contains("nothing was appended"));
    assert_eq!(fs::read_to_string(&receipts).unwrap(), "kept\n");
    assert!(!Path::new(&format!("{receipts}2")).exists());
    let output: Output = server.run(&["append", "prod", &day, "--receipts", "-"]);
    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(line["id"], "day-1");
    assert!(text(&output.stderr).contains("appended 1 events"));
}

#[test]
fn a_server_stops_on_signals_that_say_so_and_goes_on_after_a_hangup() {
    for (name, ends) in [("-HUP", false), ("-INT", true), ("-QUIT", true), ("-TERM", true)] {
        let folder = tempfile::tempdir().unwrap();
        let mut child = indelible()
            .args(["serve", "--listen", ":0", "--data"])
            .arg(folder.path().join("D"))
            .arg("--bootstrap-token-file")
            .arg(folder.path().join("token"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        std::io::BufRead::read_line(&mut out, &mut said).unwrap();
        assert!(said.contains("listens on http://127.0.0.1:"), "{said}");
        std::thread::sleep(Duration::from_millis(300));
        signal(&child, name);
        if !ends {
            std::thread::sleep(Duration::from_millis(500));
            assert!(child.try_wait().unwrap().is_none(), "{name} ended it");
            signal(&child, "-TERM");
        }
        std::io::Read::read_to_string(&mut out, &mut said).unwrap();
        assert!(child.wait().unwrap().success(), "{name}");
        assert!(said.contains("stopped; everything acknowledged is durable"), "{name}: {said}");
    }
}
