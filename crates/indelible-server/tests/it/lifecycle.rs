use crate::{TestServer, config, event, receipt};
use indelible_api::Appended;
use indelible_server::{ROUTES, StartError, openapi_json, permissions_markdown};
use reqwest::Method;
use std::{net::SocketAddr, path::Path, sync::Arc};

#[tokio::test]
async fn only_loopback_addresses_are_listened_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.listen = SocketAddr::from(([0, 0, 0, 0], 0));
    let refused = TestServer::start(&config).await.err().unwrap();
    assert!(matches!(refused, StartError::PlainHttp(_)), "{refused}");
}

#[tokio::test]
async fn stopping_loses_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let server = Arc::new(TestServer::with_log(folder.path()).await);
    let mut tasks = Vec::new();
    for task in 0..8 {
        let server = Arc::clone(&server);
        tasks.push(tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            for n in 0.. {
                let request = server
                    .request(Method::POST, "/v1/logs/prod/events")
                    .body(event(&format!("t{task}-{n}")));
                let Ok(answer) = request.send().await else { break };
                if !answer.status().is_success() {
                    break;
                }
                let Ok(appended) = answer.json::<Appended>().await else { break };
                let receipt = receipt(&appended.receipts[0]).clone();
                acknowledged.push((receipt.index, receipt.leaf_hash));
            }
            acknowledged
        }));
    }
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    server.request_stop();
    let mut acknowledged = Vec::new();
    for task in tasks {
        acknowledged.extend(task.await.unwrap());
    }
    Arc::into_inner(server).unwrap().stop().await;
    assert!(acknowledged.len() > 20, "{}", acknowledged.len());
    let server = TestServer::start(&config(folder.path())).await.unwrap();
    for (index, leaf) in acknowledged {
        let (_, view) = server.get(&format!("/v1/logs/prod/events/{index}")).await;
        assert_eq!(view["leaf_hash"].as_str(), Some(leaf.as_str()));
    }
    server.stop().await;
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test]
async fn a_guard_notices_an_older_copy_of_the_data() {
    let (folder, backup, guard) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let guarded = |data: &Path| {
        let mut config = config(data);
        config.guard = Some(guard.path().to_owned());
        config
    };
    let server = TestServer::with_log(folder.path()).await;
    server.append("", event("old")).await;
    server.stop().await;
    copy_folder(folder.path(), backup.path());
    let server = TestServer::start(&guarded(folder.path())).await.unwrap();
    server.append("", event("new")).await;
    server.stop().await;
    let refused = TestServer::start(&guarded(backup.path())).await.err().unwrap();
    let StartError::Log(name, source) = refused else { panic!("{refused}") };
    // The configuration's own log went back too, and is opened first.
    assert_eq!(name, "_control");
    let said = source.to_string();
    assert!(said.contains("but a signed checkpoint of"), "{said}");
    // The newest copy starts.
    TestServer::start(&guarded(folder.path())).await.unwrap().stop().await;
}

#[tokio::test]
async fn health_readiness_and_metrics() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::with_log(folder.path()).await;
    server.append("", format!("[{},{}]", event("a"), event("b"))).await;
    assert_eq!(server.text("/healthz").await, "ok\n");
    assert_eq!(server.text("/readyz").await, "ready\n");
    let metrics = server.text("/metrics").await;
    for line in [
        "indelible_log_size{log=\"prod\"} 2",
        "indelible_appended_events_total 2",
        "indelible_log_accepting{log=\"prod\"} 1",
        "indelible_append_seconds_count 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    assert!(metrics.contains("route=\"/v1/logs/{log}/events\",status=\"200\""), "{metrics}");
    server.stop().await;
}

/// Compares a committed file with what is generated; `UPDATE_GOLDEN=1` writes it.
fn check_golden(name: &str, generated: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, generated).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == generated,
        "docs/{name} is not current: run the tests with UPDATE_GOLDEN=1 and commit it"
    );
}

#[test]
fn the_openapi_document_is_current() {
    check_golden("openapi.json", &format!("{}\n", openapi_json()));
}

#[test]
fn the_permissions_are_current() {
    check_golden("permissions.md", &permissions_markdown());
}

/// Every route of the table is described, and nothing else is.
#[test]
fn the_openapi_document_has_the_routes_of_the_table() {
    let document: serde_json::Value = serde_json::from_str(&openapi_json()).unwrap();
    let mut described = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            described.push(format!("{} {path}", method.to_uppercase()));
        }
    }
    let mut routes: Vec<String> = ROUTES
        .iter()
        .map(|route| &route.rule)
        .map(|rule| format!("{} {}", rule.method, rule.path.replace("{*path}", "{path}")))
        .collect();
    routes.sort();
    described.sort();
    assert_eq!(described, routes);
}

/// The committed table of error codes is the generated one.
#[test]
fn the_error_reference_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors.md");
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    for code in indelible_api::Code::ALL {
        let row = format!("| `{}` | {} |", code.name(), code.status());
        assert!(committed.contains(&row), "docs/errors.md lacks {row}");
    }
}
