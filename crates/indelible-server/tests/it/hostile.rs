//! Whatever comes in, the answer is a clear error with the right status.

use crate::{TestServer, config, event};
use flate2::{Compression, write::GzEncoder};
use indelible_server::Limits;
use reqwest::Method;
use std::{io::Write as _, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

#[tokio::test]
async fn malformed_events_are_refused_with_position_and_member() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::with_log(folder.path()).await;
    let cases: [(Vec<u8>, &str, Option<&str>); 10] = [
        (b"".to_vec(), "invalid_request", None),
        (b"{".to_vec(), "invalid_json", None),
        (b"[{}".to_vec(), "invalid_event", Some("event")),
        (b"\xff\xfe".to_vec(), "invalid_request", None),
        (b"42".to_vec(), "invalid_json", None),
        (b"{}".to_vec(), "invalid_event", Some("event")),
        (event("x").replace("\"ada\"", "7").into_bytes(), "invalid_event", Some("actor.id")),
        (
            event("x").replace("2026-03-01T12:00:00Z", "yesterday").into_bytes(),
            "invalid_event",
            Some("time"),
        ),
        (event(&"i".repeat(129)).into_bytes(), "invalid_event", Some("id")),
        (
            event("x")
                .replace(
                    "\"a.b\"",
                    &format!("\"a.b\",\"deep\":{}{}", "[".repeat(50_000), "]".repeat(50_000)),
                )
                .into_bytes(),
            "invalid_json",
            None,
        ),
    ];
    for (body, code, member) in cases {
        let shown = String::from_utf8_lossy(&body).chars().take(60).collect::<String>();
        let answer = server.post("", body).await;
        assert_eq!(answer.0.as_u16(), 400, "{shown}");
        let body = TestServer::check_error(&answer, 400, code);
        assert_eq!(body["member"].as_str(), member, "{shown}: {body}");
    }
    let answer = server
        .post("", format!("[{},{}]", event("good"), event("bad").replace("success", "fine")))
        .await;
    let body = TestServer::check_error(&answer, 400, "invalid_event");
    assert_eq!(
        (body["position"].as_u64(), body["member"].as_str()),
        (Some(1), Some("outcome.result"))
    );
    assert_eq!(server.info().await.size, 0);
    server.stop().await;
}

#[tokio::test]
async fn unknown_paths_parameters_and_types_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::with_log(folder.path()).await;
    server.append("", event("e")).await;
    let post = |path: &str| server.request(Method::POST, path);
    let checks = [
        (server.get("/nowhere").await, 404, "not_found"),
        (server.get("/v1/logs/nope").await, 404, "log_not_found"),
        (server.get("/v1/logs/nope/events").await, 404, "log_not_found"),
        (server.get("/v1/logs/prod/events/7").await, 404, "record_not_found"),
        (server.get("/v1/logs/prod/records/id:nobody").await, 404, "record_not_found"),
        (server.get("/v1/logs/prod/receipts/0?size=9").await, 404, "record_not_found"),
        (server.get("/v1/logs/prod/receipts/0?size=x").await, 400, "invalid_request"),
        (server.get("/v1/logs/prod/events?limit=0").await, 400, "invalid_request"),
        (server.get("/v1/logs/prod/events?limit=1001").await, 400, "invalid_request"),
        (server.get("/v1/logs/prod/events?sort=up").await, 400, "invalid_request"),
        (server.get("/v1/logs/prod/consistency").await, 400, "invalid_request"),
        (server.get("/v1/logs/prod/consistency?from=2&to=1").await, 400, "invalid_request"),
        (server.get("/v1/logs/prod/attachments/zz").await, 404, "record_not_found"),
        (server.get("/tlog/prod/tile/0/001").await, 404, "not_found"),
        (server.get("/tlog/prod/tile/9/x/y").await, 404, "not_found"),
        (
            server.call(server.request(Method::DELETE, "/v1/logs/prod")).await,
            405,
            "method_not_allowed",
        ),
        (server.call(post("/v1/logs").body("{")).await, 400, "invalid_json"),
        (
            server.call(post("/v1/logs").body(r#"{"name":"prod","size":1}"#)).await,
            400,
            "invalid_request",
        ),
        (server.call(post("/v1/logs").body(r#"{"name":"Prod!"}"#)).await, 400, "invalid_log_name"),
        (
            server.call(post("/v1/logs").body(r#"{"name":"_control"}"#)).await,
            400,
            "invalid_log_name",
        ),
        (server.call(post("/v1/logs").body(r#"{"name":"prod"}"#)).await, 409, "log_exists"),
        (
            server
                .call(post("/v1/logs/prod/events").header("content-type", "text/csv").body("a,b"))
                .await,
            415,
            "unsupported_media_type",
        ),
        (
            server
                .call(post("/v1/logs/prod/events").header("content-encoding", "br").body("x"))
                .await,
            415,
            "unsupported_media_type",
        ),
        (
            server
                .call(
                    post("/v1/logs/prod/events")
                        .header("content-encoding", "gzip")
                        .body("not gzip"),
                )
                .await,
            400,
            "invalid_request",
        ),
        (
            server
                .call(
                    post("/v1/logs/prod/events")
                        .header("content-encoding", "zstd")
                        .body("not zstd"),
                )
                .await,
            400,
            "invalid_request",
        ),
    ];
    for (answer, status, code) in checks {
        TestServer::check_error(&answer, status, code);
    }
    server.stop().await;
}

#[tokio::test]
async fn bodies_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::with_log(folder.path()).await;
    // Two GiB announced: refused before a byte of it is read.
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "POST /v1/logs/prod/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: 2147483648\r\n\r\n",
        server.token
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let read = stream.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("too_large"), "{answer}");
    // Sixty-five MiB that nobody announced, as a bomb of a few KiB.
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    let zeros = vec![b' '; 1 << 20];
    (0..65).for_each(|_| gzip.write_all(&zeros).unwrap());
    let bomb = gzip.finish().unwrap();
    assert!(bomb.len() < 100_000);
    let request = server
        .request(Method::POST, "/v1/logs/prod/events")
        .header("content-encoding", "gzip")
        .body(bomb);
    TestServer::check_error(&server.call(request).await, 413, "too_large");
    // Ten million events: refused at the hundred-thousandth, not read to the end.
    let array = format!("[{}0]", "0,".repeat(9_999_999));
    let answer = server.post("?partial=true", array).await;
    let body = TestServer::check_error(&answer, 413, "too_large");
    assert!(body["message"].as_str().unwrap().contains("100000"));
    // One event over the limit for one.
    let answer = server.post("", event("big").replace("a.b", &"x".repeat(17 << 20))).await;
    TestServer::check_error(&answer, 413, "too_large");
    assert_eq!(server.info().await.size, 0);
    server.stop().await;
}

#[tokio::test]
async fn slow_clients_are_let_go() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.limits = Limits { idle: Duration::from_millis(300), ..config.limits };
    let server = TestServer::start(&config).await.unwrap();
    let (status, _) =
        server.call(server.request(Method::POST, "/v1/logs").body(r#"{"name":"prod"}"#)).await;
    assert!(status.is_success());
    // A head that never ends: the connection is closed.
    let mut slow_head = TcpStream::connect(server.address).await.unwrap();
    slow_head.write_all(b"GET /v1/logs HTTP/1.1\r\nx: ").await.unwrap();
    // A body that stops: 408.
    let mut slow_body = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "POST /v1/logs/prod/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: 100\r\n\r\n{{",
        server.token
    );
    slow_body.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), slow_body.read_to_end(&mut answer))
        .await
        .unwrap();
    assert!(read.is_ok());
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("\"timeout\""), "{answer}");
    let mut rest = Vec::new();
    let closed =
        tokio::time::timeout(Duration::from_secs(20), slow_head.read_to_end(&mut rest)).await;
    assert!(closed.is_ok(), "the connection is still open");
    // Others were served meanwhile.
    assert_eq!(server.info().await.size, 0);
    server.stop().await;
}

/// Nothing that a caller chooses becomes a label.
#[tokio::test]
async fn made_up_methods_are_one() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::with_log(folder.path()).await;
    for n in 0..50 {
        let method: Method = format!("{}{n}", "B".repeat(1000)).parse().unwrap();
        let answer = server.call(server.bare(method, "/healthz")).await;
        TestServer::check_error(&answer, 501, "not_implemented");
    }
    let metrics = server.text("/metrics").await;
    assert!(metrics.len() < 20_000 && !metrics.contains("BBB"), "{}", metrics.len());
    assert!(metrics.contains("method=\"other\",route=\"\",status=\"501\""), "{metrics}");
    server.stop().await;
}

#[tokio::test]
async fn a_head_has_a_limit() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::with_log(folder.path()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    let filler = format!("x-filler: {}\r\n", "f".repeat(8000));
    for _ in 0..20 {
        // The server answers and closes before it has read all of it.
        if stream.write_all(filler.as_bytes()).await.is_err() {
            break;
        }
    }
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer).await);
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    assert_eq!(server.info().await.size, 0);
    server.stop().await;
}

/// Connections that never read, from other addresses, keep nobody out.
#[tokio::test]
async fn who_never_reads_shuts_nobody_out() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.limits = Limits { connections: 48, connections_per_address: 20, ..config.limits };
    let server = TestServer::start(&config).await.unwrap();
    let requests = b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n".repeat(50);
    let mut held = Vec::new();
    for n in 0..120_u8 {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(2048).unwrap();
        socket.bind(([127, 0, 0, 2 + n % 6], 0).into()).unwrap();
        let mut stream = socket.connect(server.address).await.unwrap();
        drop(stream.write_all(&requests).await);
        held.push(stream);
    }
    for _ in 0..10 {
        // A new connection each time.
        let mut fresh = TcpStream::connect(server.address).await.unwrap();
        fresh
            .write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut answer = Vec::new();
        let read = fresh.read_to_end(&mut answer);
        tokio::time::timeout(Duration::from_secs(20), read).await.unwrap().unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    }
    drop(held);
    server.stop().await;
}

/// Authority is that of the moment a body is there, not of its first byte.
#[tokio::test]
async fn a_credential_revoked_meanwhile_appends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::with_log(folder.path()).await;
    let (id, token) = server.issue_named("slow", &["writer:prod"]).await;
    let body = event("late");
    let (most, last) = body.split_at(body.len() - 1);
    let head = format!(
        "POST /v1/logs/prod/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{most}",
        body.len()
    );
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    // Its sign-in is recorded when its head was let in.
    let signed_in = async || {
        let trail = server.get("/v1/logs/_access/events?limit=1000").await.1.to_string();
        trail.contains(&format!("token:{id}"))
    };
    while !signed_in().await {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let revoke = server.request(Method::DELETE, &format!("/v1/tokens/{id}"));
    assert!(server.call(revoke).await.0.is_success());
    stream.write_all(last.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    assert_eq!(server.info().await.size, 0);
    server.stop().await;
}

/// Metrics name no log that the caller may not know of.
#[tokio::test]
async fn metrics_are_of_the_callers_logs() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::with_log(folder.path()).await;
    let create = server.request(Method::POST, "/v1/logs").body(r#"{"name":"secret-merger"}"#);
    assert!(server.call(create).await.0.is_success());
    let verifier = server.issue(&["verifier:prod"]).await;
    let seen = server.call(server.as_token(&verifier, Method::GET, "/metrics")).await.1;
    let seen = seen.as_str().unwrap();
    assert!(seen.contains("indelible_log_size{log=\"prod\"} 0"), "{seen}");
    assert!(!seen.contains("merger") && !seen.contains("http_requests"), "{seen}");
    let all = server.text("/metrics").await;
    assert!(all.contains("merger") && all.contains("http_requests"), "{all}");
    for figure in [
        "indelible_control_misfits 0",
        "indelible_index_panics 0",
        "indelible_index_stopped{log=\"prod\"} 0",
        "indelible_log_unsealed_segments{log=\"prod\"} 0",
    ] {
        assert!(all.contains(figure), "{figure} in {all}");
    }
    server.stop().await;
}
