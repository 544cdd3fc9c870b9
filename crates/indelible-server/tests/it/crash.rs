//! A crash at each step of an act of control: what is on disk then is made here by
//! hand, and the next start must agree with it.

use crate::{TestServer, config, event};
use indelible_log::{DataDir, Kind, Log, Options};
use indelible_server::StartError;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::path::Path;

fn options() -> Options {
    Options { journal_capacity: (4096, 1 << 20), ..Options::default() }
}

fn open(data: &Path, log: &str) -> Log {
    Log::open(DataDir::open(data).unwrap().store(log).unwrap(), &options()).unwrap()
}

/// Appends an event of control as the server would (docs/control-events.md), and stops there.
fn append_control(data: &Path, change: Value) {
    let mut control = change;
    control["v"] = 1.into();
    let event = json!({
        "time": "2026-03-01T12:00:00.000000Z",
        "action": format!("control.{}", control["type"].as_str().unwrap()),
        "actor": { "type": "service", "id": "token:000000000000" },
        "targets": [],
        "outcome": { "result": "success" },
        "control": control,
    });
    append(&open(data, "_control"), &event.to_string());
}

/// Appends from a thread of its own, as the engine's plain way in must be called.
fn append(log: &Log, event: &str) {
    std::thread::scope(|scope| {
        scope.spawn(|| log.append_event("token:000000000000", event).unwrap());
    });
    log.close();
}

/// A data directory with a log `prod`, no server running.
async fn stopped() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::with_log(folder.path()).await;
    server.append("", event("a")).await;
    server.stop().await;
    folder
}

async fn names(server: &TestServer) -> Vec<String> {
    let page = server.get("/v1/logs").await.1;
    let items = page["items"].as_array().unwrap().iter();
    items.map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn after_a_logs_folder_and_before_its_event_there_is_no_log() {
    let folder = stopped().await;
    DataDir::open(folder.path()).unwrap().create_log("half", Kind::Raw, &options()).unwrap();
    let server = TestServer::start(&config(folder.path())).await.unwrap();
    assert_eq!(names(&server).await, ["_access", "_control", "prod"]);
    // Its name is free, whatever kind was to be made.
    let create = server.request(Method::POST, "/v1/logs").body(r#"{"name":"half"}"#);
    let (status, made) = server.call(create).await;
    assert_eq!((status, &made["kind"]), (StatusCode::CREATED, &"events".into()));
    let append = server.request(Method::POST, "/v1/logs/half/events").body(event("a"));
    assert_eq!(server.call(append).await.0, StatusCode::OK);
    server.stop().await;
}

#[tokio::test]
async fn after_a_logs_event_the_log_exists() {
    let folder = stopped().await;
    let data = DataDir::open(folder.path()).unwrap();
    data.create_log("late", Kind::Events, &options()).unwrap();
    let vkey = data.verifying_key("late", &options()).unwrap().to_string();
    append_control(
        folder.path(),
        json!({ "type": "log_created", "log": "late", "raw": false, "vkey": vkey }),
    );
    let server = TestServer::start(&config(folder.path())).await.unwrap();
    assert_eq!(names(&server).await, ["_access", "_control", "late", "prod"]);
    let append = server.request(Method::POST, "/v1/logs/late/events").body(event("a"));
    assert_eq!(server.call(append).await.0, StatusCode::OK);
    assert_eq!(server.get("/v1/logs/late").await.1["vkey"], vkey);
    // It is searched, too.
    let found = server.get("/v1/logs/late/events?q=actor:ada&consistency=head").await.1;
    assert_eq!(found["items"].as_array().unwrap().len(), 1, "{found}");
    server.stop().await;
}

/// A log that the configuration refers to is never made anew: its records and its key
/// were there, and are gone.
#[tokio::test]
async fn a_log_that_was_lost_is_not_made_again() {
    for lost in ["prod", "_access", "_control"] {
        let folder = stopped().await;
        std::fs::remove_dir_all(folder.path().join("logs").join(lost)).unwrap();
        let refused = TestServer::start(&config(folder.path())).await.err().unwrap();
        let StartError::Log(name, error) = refused else { panic!("{lost}: {refused}") };
        assert_eq!(name, lost, "{error}");
        assert!(!folder.path().join("logs").join(lost).join("key").exists(), "{lost}");
    }
}

#[tokio::test]
async fn before_a_keys_event_nothing_signs_with_it_and_after_it_it_does() {
    let folder = stopped().await;
    let log = open(folder.path(), "prod");
    let (old, staged, announced) =
        (log.verifying_key(), log.stage_key().unwrap(), log.stage_key().unwrap());
    log.close();
    let server = TestServer::start(&config(folder.path())).await.unwrap();
    let info = server.get("/v1/logs/prod").await.1;
    assert_eq!(info["vkey"], old.to_string());
    server.stop().await;
    append_control(
        folder.path(),
        json!({ "type": "key_replaced", "log": "prod", "vkey": announced.to_string(), "overlap_until": "2999-01-01T00:00:00Z" }),
    );
    let server = TestServer::start(&config(folder.path())).await.unwrap();
    let info = server.get("/v1/logs/prod").await.1;
    assert_eq!(info["vkey"], announced.to_string());
    assert_eq!(info["keys"].as_array().unwrap().len(), 2);
    let appended = server.append("", event("b")).await;
    for key in [&old, &announced] {
        indelible_tlog::Checkpoint::verify(appended.checkpoint.as_bytes(), key).unwrap();
    }
    assert!(indelible_tlog::Checkpoint::verify(appended.checkpoint.as_bytes(), &staged).is_err());
    server.stop().await;
}

/// Nobody gives a log a key behind the back of `_control`.
#[tokio::test]
async fn a_key_that_control_does_not_name_is_refused() {
    let folder = stopped().await;
    let log = open(folder.path(), "prod");
    let staged = log.stage_key().unwrap();
    log.replace_key(&staged, "2999-01-01T00:00:00Z".parse().unwrap()).unwrap();
    log.close();
    let refused = TestServer::start(&config(folder.path())).await.err().unwrap();
    let StartError::Log(name, error) = refused else { panic!("{refused}") };
    assert_eq!(name, "prod");
    assert!(error.to_string().contains("not the 1 that _control names"), "{error}");
}

#[tokio::test]
async fn after_a_tokens_event_the_token_exists_and_after_its_revocation_it_does_not() {
    let folder = stopped().await;
    let token = format!("ind_{}", "5".repeat(76));
    let sha256 = {
        use sha2::Digest as _;
        let digest = sha2::Sha256::digest(token.as_bytes());
        digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let issued = json!({ "type": "token_issued", "token": "555555555555", "name": "t", "sha256": sha256,
        "expires_at": null, "grants": { "g1": { "role": "reader", "log": "prod" } } });
    append_control(folder.path(), issued);
    let read = async |server: &TestServer| {
        server.call(server.as_token(&token, Method::GET, "/v1/logs/prod/events")).await.0
    };
    let server = TestServer::start(&config(folder.path())).await.unwrap();
    assert_eq!(read(&server).await, StatusCode::OK);
    server.stop().await;
    append_control(folder.path(), json!({ "type": "token_revoked", "token": "555555555555" }));
    let server = TestServer::start(&config(folder.path())).await.unwrap();
    assert_eq!(read(&server).await, StatusCode::UNAUTHORIZED);
    server.stop().await;
}

#[tokio::test]
async fn what_is_not_understood_stops_the_start() {
    for (change, said) in [
        (json!({ "type": "world_peace" }), "unknown variant"),
        (json!({ "type": "grant_removed" }), "missing field"),
        (json!({ "type": "grant_removed", "id": "x", "whose": "mine" }), "unknown field"),
        (
            json!({ "type": "key_replaced", "log": "prod", "vkey": "v", "overlap_until": "soon" }),
            "RFC 3339",
        ),
    ] {
        let folder = stopped().await;
        append_control(folder.path(), change);
        let refused = TestServer::start(&config(folder.path())).await.err().unwrap();
        let said_in_full = indelible_log::chain(&refused);
        assert!(
            said_in_full.contains("of _control cannot be followed") && said_in_full.contains(said),
            "{said_in_full}"
        );
    }
}

/// What does not apply has no effect, and keeps no server from starting: so a directory
/// opens in which the same thing was removed twice.
#[tokio::test]
async fn what_does_not_apply_has_no_effect() {
    let folder = stopped().await;
    let view = |q: &str| json!({ "type": "view_saved", "log": "prod", "view": "v", "q": q, "description": null });
    for change in [
        view("actor:ada"),
        json!({ "type": "view_deleted", "log": "prod", "view": "v" }),
        json!({ "type": "view_deleted", "log": "prod", "view": "v" }),
        json!({ "type": "grant_removed", "id": "nobody" }),
        json!({ "type": "act_approved", "id": "nobody" }),
        json!({ "type": "act_rejected", "id": "nobody" }),
        json!({ "type": "token_revoked", "token": "nobody" }),
        json!({ "type": "log_published", "log": "nobody", "public": true }),
        json!({ "type": "log_created", "log": "prod", "raw": true, "vkey": "another" }),
        view("actor:ben"),
    ] {
        append_control(folder.path(), change);
    }
    for _ in 0..2 {
        let server = TestServer::start(&config(folder.path())).await.unwrap();
        assert_eq!(names(&server).await, ["_access", "_control", "prod"]);
        assert_eq!(server.info().await.kind, "events");
        let views = server.get("/v1/logs/prod/views").await.1;
        assert_eq!(views["items"].as_array().unwrap().len(), 1, "{views}");
        assert_eq!(views["items"][0]["q"], "actor:ben");
        server.stop().await;
    }
}
