//! What others wrote does not steer the reader's terminal, whatever the command; and a
//! token goes to the server that it is for alone.

use crate::{Process, event, indelible, text, write_private};
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    process::Output,
    sync::mpsc,
    thread,
};

/// Clears the line and pretends; the same with the one-byte introducer of C1; turns the
/// order of letters around, in each of the ways there are; begins lines.
const STEERING: &str = "x\u{1b}[2K\u{1b}[1Gholds\u{9b}31m\u{85}\u{202e}\u{202a}\u{2066}\u{2069}\u{200e}\u{200f}\u{61c}\u{2028}\u{7}\u{7f}\r\nholds y";

#[track_caller]
fn assert_plain(what: &[&str], output: &Output) {
    for shown in [text(&output.stdout), text(&output.stderr)] {
        let steers = |c: char| {
            (c.is_control() && c != '\n')
                || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}')
                || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        };
        assert!(!shown.chars().any(steers), "{what:?}: {shown:?}");
        let pretends = shown.lines().any(|line| line.starts_with("holds y"));
        assert!(!pretends, "{what:?}: {shown}");
    }
}

fn hostile_event(id: &str) -> String {
    let mut event: Value = serde_json::from_str(&event(id)).unwrap();
    event["actor"] =
        json!({ "type": "user", "id": STEERING, "name": STEERING, "session_id": STEERING });
    event["action"] = STEERING.into();
    event["tenant"] = STEERING.into();
    event["outcome"] = json!({ "result": "failure", "code": STEERING, "reason": STEERING });
    event["targets"] = json!([{ "type": STEERING, "id": STEERING, "name": STEERING }]);
    event["context"] = json!({ "ip": STEERING, "user_agent": STEERING });
    event["metadata"] = json!({ STEERING: STEERING });
    event.to_string()
}

#[test]
fn no_command_lets_what_others_wrote_steer_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::serve(&folder.path().join("data"));
    let file = |name: &str| folder.path().join(name).display().to_string();
    server.ok(&["log", "create", "prod"]);
    let key = server.ok(&["key", "show", "prod"]).trim().to_owned();
    fs::write(file("events"), format!("{}\n{}", hostile_event("e0"), event("e1"))).unwrap();
    assert_plain(&["append"], &server.run(&["append", "prod", &file("events")]));
    // Refused, with the text of the event and of the error.
    fs::write(file("bad"), json!({ "id": STEERING, "action": STEERING }).to_string()).unwrap();
    assert_plain(&["append"], &server.run(&["append", "prod", &file("bad")]));
    assert_eq!(server.ok(&["search", "prod", "--count"]), "2\n");
    let escaped = STEERING.replace(['\n', '\r'], " ");
    let (name, described) = (escaped.as_str(), STEERING);
    for made in [
        &["view", "save", "prod", "v", "action:a.b", "--description", described][..],
        &["token", "create", name, "--grant", "reader:prod", "--reason", described],
        &["grant", "add", "group:g", "reader:prod", "--reason", described],
        &["grant", "add", name, "reader:prod"],
        &["log", "publish", "prod", "--reason", described],
        &["policy", "set", "--two-person", "grant_operator"],
        &["token", "create", "waits", "--grant", "operator:*", "--reason", described],
    ] {
        assert_plain(made, &server.run(made));
    }
    let exported = file("out.ndjson");
    for shown in [
        &["get", "prod", "0"][..],
        &["context", "prod", "0"],
        &["context", "prod", "0", "--by", "actor"],
        &["tail", "prod"],
        &["tail", "prod", "--query", "index:0"],
        &["search", "prod", "index:0"],
        &["search", "prod,p*", "index:0"],
        &["search", "prod", "--facet", "actor,action,tenant,target.type,ip"],
        &["search", "prod", "--histogram", "1d", "--facet", "actor"],
        &["search", "prod", STEERING],
        &["search", "prod", "--view", STEERING],
        &["get", "prod", STEERING],
        &["get", STEERING, "0"],
        &["view", "list", "prod"],
        &["token", "list"],
        &["grant", "list"],
        &["pending"],
        &["approve", STEERING],
        &["policy", "show"],
        &["trail"],
        &["control", "history", "--all"],
        &["control", "history", "--about", name],
        &["log", "list"],
        &["key", "show", "prod", "--all"],
        &["whoami"],
        &["prove", "prod", "0"],
        &["checkpoint", "prod"],
        &["export", "prod", "-o", &exported, "--proofs"],
        &["verify", &exported, "--key", &key],
        &["verify", &server.url, "--log", "prod", "--key", &key],
        &["verify", &server.url, "--log", STEERING, "--key", &key],
    ] {
        assert_plain(shown, &server.run(shown));
        let as_json: Vec<&str> = shown.iter().copied().chain(["--json"]).collect();
        if shown.first() != Some(&"export") {
            assert_plain(&as_json, &server.run(&as_json));
        }
    }
    // The same value, escaped.
    let view: Value = serde_json::from_str(&server.ok(&["get", "prod", "0", "--json"])).unwrap();
    assert_eq!(view["event"]["action"], STEERING);
    // An export whose manifest was made by somebody else.
    let manifest = format!("{exported}.manifest");
    let told = fs::read_to_string(&manifest).unwrap();
    let (steering, lines) = (Value::from(STEERING).to_string(), told.lines().count());
    for line in 0..lines {
        let mut lines: Vec<&str> = told.lines().collect();
        lines[line] = if line % 2 == 0 { &steering } else { STEERING };
        fs::write(&manifest, lines.join("\n") + "\n").unwrap();
        let verify = ["verify", &exported, "--key", &key];
        assert_plain(&verify, &server.run(&verify));
    }
}

/// A server that answers everything with an error of its own making, and tells what it
/// was sent.
fn stranger() -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sent, requests) = mpsc::sync_channel(64);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let head: Vec<String> =
                lines.map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
            let body = json!({ "code": STEERING, "message": STEERING, "request_id": STEERING });
            let body = body.to_string();
            let length = body.len();
            write!(
                stream,
                "HTTP/1.1 404 No\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
            )
            .unwrap();
            if sent.send(head.join("\n")).is_err() {
                return;
            }
        }
    });
    (url, requests)
}

#[test]
fn a_token_goes_only_to_the_server_that_it_is_for() {
    const KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    let folder = tempfile::tempdir().unwrap();
    let (url, requests) = stranger();
    let token_file = folder.path().join("token");
    write_private(&token_file, "ind_secret");
    let verify = ["verify", &url, "--log", "prod", "--key", KEY];
    let is_sent = |command: &mut std::process::Command| {
        let output = command.output().unwrap();
        assert_plain(&verify, &output);
        assert_eq!(output.status.code(), Some(11), "{}", text(&output.stderr));
        requests.recv().unwrap().to_lowercase().contains("authorization: bearer ind_secret")
    };
    let token = |command: &mut std::process::Command| -> bool {
        is_sent(command.env("INDELIBLE_TOKEN", "ind_secret"))
    };
    let file = |command: &mut std::process::Command| -> bool {
        is_sent(command.env("INDELIBLE_TOKEN_FILE", &token_file))
    };
    // It is for the server of the default URL, or of another.
    assert!(!token(indelible().args(verify)));
    assert!(!file(indelible().args(verify)));
    assert!(!token(indelible().args(verify).env("INDELIBLE_URL", "http://127.0.0.1:1")));
    assert!(!file(indelible().args(verify).args(["--url", "https://log.example.com"])));
    // It is for this one.
    assert!(token(indelible().args(verify).env("INDELIBLE_URL", &url)));
    assert!(file(indelible().args(verify).args(["--url", &format!("{url}/")])));
    // It was stored for this one; and what is stored for another stays.
    for (stored_for, expected) in [(url.as_str(), true), ("http://127.0.0.1:1", false)] {
        let config = folder.path().join("config");
        fs::create_dir_all(config.join("indelible")).unwrap();
        let tokens = json!({ stored_for: "ind_secret" }).to_string();
        write_private(&config.join("indelible/tokens.json"), &tokens);
        let sent = is_sent(indelible().args(verify).env("XDG_CONFIG_HOME", &config));
        assert_eq!(sent, expected, "stored for {stored_for}");
    }
}
