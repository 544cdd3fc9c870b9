//! The log of the server's own life, the clock, and the scrub: what happens to the server
//! is told without anybody asking.

use crate::{TestServer, config, event};
use indelible_api::Status;
use indelible_event::Timestamp;
use indelible_log::{Clock, Options};
use indelible_server::{Config, ScrubOptions};
use serde_json::Value;
use std::{
    os::unix::fs::{FileExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

/// The system's clock, that a test can set; the count beside it goes on.
#[derive(Debug, Default)]
struct SetClock(AtomicI64);

impl Clock for SetClock {
    fn now_us(&self) -> i64 {
        indelible_log::SystemClock.now_us() + self.0.load(Ordering::SeqCst)
    }

    fn elapsed_us(&self) -> i64 {
        indelible_log::SystemClock.elapsed_us()
    }
}

/// Events of `_control` with this action, oldest first.
async fn told(server: &TestServer, action: &str) -> Vec<Value> {
    let (status, page) = server.get("/v1/logs/_control/events?limit=1000&order=asc").await;
    assert!(status.is_success(), "{page}");
    let items = page["items"].as_array().unwrap().iter().map(|item| item["event"].clone());
    items.filter(|event| event["action"] == action).collect()
}

/// Waits for an event of `_control`.
async fn wait_for(server: &TestServer, action: &str) -> Value {
    let started = Instant::now();
    loop {
        if let Some(found) = told(server, action).await.pop() {
            return found;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "no {action}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn status(server: &TestServer) -> Status {
    serde_json::from_value(server.get("/v1/status").await.1).unwrap()
}

#[tokio::test]
async fn starts_say_what_runs_and_how_the_run_before_ended() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::with_log(folder.path()).await;
    server.stop().await;
    let server = TestServer::start(&config(folder.path())).await.unwrap();
    server.stop().await;
    let mut other = config(folder.path());
    other.limits.searches = 3;
    let server = TestServer::start(&other).await.unwrap();
    let starts = told(&server, "system.started").await;
    let member =
        |name: &str| starts.iter().map(|event| event["control"][name].clone()).collect::<Vec<_>>();
    assert_eq!(member("before"), ["first", "stopped", "stopped"]);
    assert_eq!(member("version"), [env!("CARGO_PKG_VERSION"); 3]);
    let (binary, settings) = (member("binary"), member("settings"));
    assert!(binary[0].as_str().is_some_and(|text| text.len() == 64), "{binary:?}");
    assert!(binary.iter().all(|digest| *digest == binary[0]));
    assert!(settings[0] == settings[1] && settings[1] != settings[2], "{settings:?}");
    assert_eq!(told(&server, "system.stopped").await.len(), 2);
    // They are found as other events are, and are no misfits.
    let (_, found) =
        server.get("/v1/logs/_control/events?q=action:system.started&consistency=head").await;
    assert_eq!(found["items"].as_array().map(Vec::len), Some(3), "{found}");
    let status = status(&server).await;
    assert_eq!((status.control_misfits, status.ready), (Some(0), true));
    server.stop().await;
}

#[tokio::test]
async fn a_clock_that_is_set_is_told_and_times_stand_still() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(SetClock::default());
    let with = |folder: &Path| {
        let mut config = config(folder);
        config.log = Options { clock: Arc::<SetClock>::clone(&clock), ..config.log };
        config
    };
    let server = TestServer::start(&with(folder.path())).await.unwrap();
    let made = server.request(reqwest::Method::POST, "/v1/logs").body(r#"{"name":"prod"}"#);
    assert!(server.call(made).await.0.is_success());
    let first = server.append("", event("a")).await;
    // The first look has been taken when there is something to tell from.
    while status(&server).await.disk.is_none() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    clock.0.store(-7_200_000_000, Ordering::SeqCst);
    let second = server.append("", event("b")).await;
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    assert!(at(&second.received_at) >= at(&first.received_at));
    // The receipt is of the record that is there.
    let (_, view) = server.get("/v1/logs/prod/events/1").await;
    assert_eq!(view["envelope"]["received_at"], second.received_at);
    assert_eq!(
        view["leaf_hash"].as_str(),
        Some(crate::receipt(&second.receipts[0]).leaf_hash.as_str())
    );
    let stepped = wait_for(&server, "system.clock.stepped").await;
    let by = stepped["control"]["by_us"].as_i64().unwrap();
    assert!((-7_201_000_000..=-7_199_000_000).contains(&by), "{stepped}");
    let began = wait_for(&server, "system.failure.began").await;
    assert_eq!(began["control"]["part"], "clock", "{began}");
    let ready = server.text("/readyz").await;
    assert!(ready.starts_with("ready\n") && ready.contains("clock fails: times"), "{ready}");
    let seen = status(&server).await;
    assert_eq!(seen.clock.unwrap().steps, 1);
    assert!(seen.logs.iter().any(|log| log.ahead_s > 7000));
    let metrics = server.text("/metrics").await;
    assert!(metrics.contains("indelible_clock_steps 1"), "{metrics}");
    assert!(metrics.contains("indelible_failing{part=\"clock\"}"), "{metrics}");
    server.stop().await;
    // Between two runs nobody watches it; the log does.
    clock.0.store(-9_000_000_000, Ordering::SeqCst);
    let server = TestServer::start(&with(folder.path())).await.unwrap();
    let started = Instant::now();
    while told(&server, "system.clock.stepped").await.len() < 2 {
        assert!(started.elapsed() < Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let all = told(&server, "system.clock.stepped").await;
    assert_eq!(all[1]["control"]["between_runs"], true, "{all:?}");
    let (_, page) = server.get("/v1/logs/_control/events?limit=1000&order=asc").await;
    let times: Vec<&str> = page["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["envelope"]["received_at"].as_str().unwrap())
        .collect();
    assert!(times.is_sorted(), "{times:?}");
    server.stop().await;
}

/// A configuration that reads everything again all the time.
fn scrubbing(folder: &Path) -> Config {
    let mut config = config(folder);
    config.scrub = ScrubOptions { period: Duration::from_secs(1), first: Duration::ZERO, rate: 0 };
    config
}

/// Changes one byte of a file, whatever its mode.
fn flip(path: &Path, offset: u64) {
    let mode = std::fs::metadata(path).unwrap().permissions();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 1], offset).unwrap();
    file.sync_all().unwrap();
    std::fs::set_permissions(path, mode).unwrap();
}

async fn wait_until(server: &TestServer, what: &str, holds: impl Fn(&Status) -> bool) -> Status {
    let started = Instant::now();
    loop {
        let status = status(server).await;
        if holds(&status) {
            return status;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{what}: {status:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn newest_journal(folder: &Path, log: &str) -> PathBuf {
    let journals = std::fs::read_dir(folder.join("logs").join(log).join("journal")).unwrap();
    journals.map(|entry| entry.unwrap().path()).min().unwrap()
}

#[tokio::test]
async fn damage_under_a_running_server_is_found_without_anybody_asking() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&scrubbing(folder.path())).await.unwrap();
    let made = server.request(reqwest::Method::POST, "/v1/logs").body(r#"{"name":"prod"}"#);
    assert!(server.call(made).await.0.is_success());
    server.append("", event("a")).await;
    let finished = wait_for(&server, "system.scrub.finished").await;
    assert_eq!(finished["control"]["verdict"], "holds", "{finished}");
    assert_eq!(server.text("/readyz").await, "ready\n");
    // A byte of a record, on the disk; the server has it in memory still.
    let journal = newest_journal(folder.path(), "prod");
    flip(&journal, 150);
    let found = wait_for(&server, "system.scrub.found").await;
    assert_eq!(found["control"]["log"], "prod", "{found}");
    assert_eq!(found["control"]["kind"], "altered", "{found}");
    let seen = wait_until(&server, "a finding", |status| {
        !status.failures.is_empty() && status.scrub.as_ref().is_some_and(|s| !s.findings.is_empty())
    })
    .await;
    assert_eq!(seen.failures[0].part, "storage");
    assert!(server.text("/readyz").await.contains("storage fails"));
    assert!(server.text("/metrics").await.contains("indelible_scrub_findings 1"));
    // Told once, however often it is found again.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(told(&server, "system.scrub.found").await.len(), 1);
    // Repaired, it is found to hold.
    flip(&journal, 150);
    wait_until(&server, "sound again", |status| {
        status
            .scrub
            .as_ref()
            .is_some_and(|s| s.findings.is_empty() && s.verdict.as_deref() == Some("holds"))
    })
    .await;
    server.stop().await;
    // What was known is known after a start, before any round.
    let kept = std::fs::read_to_string(folder.path().join("scrub.json")).unwrap();
    assert!(kept.contains("\"verdict\":\"holds\""), "{kept}");
}

#[tokio::test]
async fn an_export_that_was_altered_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&scrubbing(folder.path())).await.unwrap();
    let made = server.request(reqwest::Method::POST, "/v1/logs").body(r#"{"name":"prod"}"#);
    assert!(server.call(made).await.0.is_success());
    server.append("", event("a")).await;
    let wanted = server
        .request(reqwest::Method::POST, "/v1/logs/prod/exports")
        .body(r#"{"format":"ndjson"}"#);
    let (status, export) = server.call(wanted).await;
    assert!(status.is_success(), "{export}");
    let path = format!("/v1/logs/prod/exports/{}", export["id"].as_str().unwrap());
    while server.get(&path).await.1["state"] != "done" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    flip(&folder.path().join("exports").join(export["id"].as_str().unwrap()).join("file"), 5);
    let found = wait_for(&server, "system.scrub.found").await;
    let message = found["control"]["message"].as_str().unwrap();
    assert!(message.starts_with("exports/") && message.contains("manifest"), "{found}");
    server.stop().await;
}

/// A stop in the middle of a round does not wait for its end, and the next start goes on.
#[tokio::test]
async fn a_round_that_is_cut_short_stops_at_once_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut slow = scrubbing(folder.path());
    slow.scrub.rate = 1;
    slow.scrub.period = Duration::from_secs(1 << 40);
    let server = TestServer::start(&slow).await.unwrap();
    wait_until(&server, "a round", |status| {
        status.scrub.as_ref().is_some_and(|scrub| scrub.since.is_some())
    })
    .await;
    let stopping = Instant::now();
    server.stop().await;
    assert!(stopping.elapsed() < Duration::from_secs(20), "{:?}", stopping.elapsed());
    let server = TestServer::start(&scrubbing(folder.path())).await.unwrap();
    let finished = wait_for(&server, "system.scrub.finished").await;
    assert_eq!(finished["control"]["verdict"], "holds", "{finished}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_was_altered_is_found_and_built_again() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&scrubbing(folder.path())).await.unwrap();
    let made = server.request(reqwest::Method::POST, "/v1/logs").body(r#"{"name":"prod"}"#);
    assert!(server.call(made).await.0.is_success());
    server.append("", event("a")).await;
    let search = "/v1/logs/prod/events?q=actor:ada";
    let count = async || server.get(search).await.1["items"].as_array().map_or(0, Vec::len);
    assert_eq!(count().await, 1);
    wait_for(&server, "system.scrub.finished").await;
    let piece = std::fs::read_dir(folder.path().join("index/prod"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.is_dir())
        .unwrap();
    // A file that no search has to read: only the scrub sees it.
    let store = std::fs::read_dir(&piece)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|end| end == "store"))
        .unwrap();
    flip(&store, 1);
    let found = wait_for(&server, "system.scrub.found").await;
    let message = found["control"]["message"].as_str().unwrap();
    assert!(message.starts_with("index/prod: the piece of records 0 to 0"), "{found}");
    assert_eq!(count().await, 1, "it is built again");
    server.stop().await;
}
