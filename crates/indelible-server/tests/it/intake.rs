//! What is sent, as it comes: recognised, taken apart, and refused by its place.

use crate::{TestServer, event, receipt};
use flate2::{Compression, write::GzEncoder};
use indelible_api::ReceiptItem;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use std::io::Write as _;

const TRAIL: &str = r#"{"eventID":"ct-1","eventTime":"2026-03-01T12:00:00","eventSource":"iam.amazonaws.com","eventName":"CreateUser"}"#;
const KUBE: &str = r#"{"kind":"Event","auditID":"k-1","stage":"ResponseComplete","verb":"get","stageTimestamp":"never"}"#;

async fn posted(
    server: &TestServer,
    kind: Option<&str>,
    body: impl Into<reqwest::Body>,
) -> (StatusCode, Value) {
    let request = server.request(Method::POST, "/v1/logs/prod/events").body(body);
    server
        .call(match kind {
            Some(kind) => request.header("content-type", kind),
            None => request,
        })
        .await
}

#[tokio::test]
async fn what_it_is_is_told_by_the_content() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::with_log(folder.path()).await;
    let mixed = format!("[{},{TRAIL},{KUBE}]", event("n-1"));
    let appended = server.append("", mixed).await;
    assert_eq!(appended.receipts.len(), 3);
    for (index, format) in
        ["indelible.v1", "aws.cloudtrail.v1", "kubernetes.audit.v1"].iter().enumerate()
    {
        let (_, view) = server.get(&format!("/v1/logs/prod/events/{index}")).await;
        assert_eq!(view["envelope"]["format"], **format);
    }
    // A time that its source documents to be UTC, and one that cannot be read.
    let (_, view) = server.get("/v1/logs/prod/events/1").await;
    assert_eq!(view["event"]["time"], "2026-03-01T12:00:00Z");
    let (_, view) = server.get("/v1/logs/prod/events/2").await;
    assert_eq!(view["event"]["time_unreadable"], true);
    for (q, count) in [("time:unreadable", 1), ("time:*", 2), ("during:2026-03-01", 2)] {
        let (_, found) = server.get(&format!("/v1/logs/prod/events?consistency=head&q={q}")).await;
        assert_eq!(found["items"].as_array().map(Vec::len), Some(count), "{q}: {found}");
    }
    // Compressed, wide, marked: without a word of it.
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(format!("{{\"Records\":[{}]}}", TRAIL.replace("ct-1", "ct-2")).as_bytes())
        .unwrap();
    let wide: Vec<u8> =
        format!("\u{feff}{}", event("wide")).encode_utf16().flat_map(u16::to_be_bytes).collect();
    let zstd = zstd::encode_all(event("zstd").as_bytes(), 1).unwrap();
    for body in
        [gzip.finish().unwrap(), wide, zstd, format!("\u{feff}{}\r\n", event("bom")).into_bytes()]
    {
        let (status, body) = posted(&server, None, body).await;
        assert!(status.is_success() && body["receipts"][0]["status"] == "created", "{body}");
    }
    let list = r#"{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":null}"#;
    for nothing in [list, "[]"] {
        let (status, body) = posted(&server, Some("application/json"), nothing).await;
        assert_eq!(
            (status, body["receipts"].as_array().map(Vec::len)),
            (StatusCode::OK, Some(0)),
            "{body}"
        );
    }
    for (body, said) in [
        ("", "the body is empty"),
        (r#"{"digestS3Object":"o","logFiles":[]}"#, "a CloudTrail digest file"),
    ] {
        let body = TestServer::check_error(&server.post("", body).await, 400, "invalid_request");
        assert!(body["message"].as_str().unwrap().contains(said), "{body}");
    }
    let zip = posted(&server, None, &b"PK\x03\x04rest"[..]).await;
    TestServer::check_error(&zip, 415, "unsupported_media_type");
    server.stop().await;
}

#[tokio::test]
async fn content_types_that_people_send_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::with_log(folder.path()).await;
    for (n, kind) in [
        "application/json; charset=utf-8",
        "application/x-ndjson",
        "application/jsonlines",
        "application/x-jsonlines",
        "text/json",
        "text/plain",
        "application/x-www-form-urlencoded",
    ]
    .iter()
    .enumerate()
    {
        let (status, body) = posted(&server, Some(kind), event(&format!("t-{n}"))).await;
        assert!(status.is_success(), "{kind}: {body}");
    }
    for kind in ["multipart/form-data; boundary=x", "application/xml", "text/csv"] {
        TestServer::check_error(
            &posted(&server, Some(kind), event("x")).await,
            415,
            "unsupported_media_type",
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn what_is_wrong_is_named_by_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::with_log(folder.path()).await;
    let wrong = event("w").replace("\"user\"", "\"robot\"");
    let body = format!("{}\n{wrong}\n{{\"torn\n  {}\n{{\"b\":tru}}", event("a"), event("b"));
    let appended = server.append("?partial=true", body.clone()).await;
    let found: Vec<String> = appended
        .receipts
        .iter()
        .map(|item| match item {
            ReceiptItem::Receipt(receipt) => receipt.id.clone(),
            ReceiptItem::Refused { error } => {
                format!("{} {}:{}", error.code, error.line.unwrap(), error.column.unwrap())
            }
        })
        .collect();
    assert_eq!(found, ["a", "invalid_event 2:1", "invalid_json 3:7", "b", "invalid_json 5:9"]);
    let refused = TestServer::check_error(&server.post("", body).await, 400, "invalid_event");
    assert_eq!(
        (&refused["position"], &refused["line"], &refused["column"]),
        (&1.into(), &2.into(), &1.into())
    );
    // An id that is taken, in a batch as a whole and in part.
    let taken = format!("[{},\n {}]", event("c"), event("a").replace("a.b", "a.c"));
    let refused =
        TestServer::check_error(&server.post("", taken.clone()).await, 409, "id_conflict");
    assert_eq!((&refused["line"], &refused["column"]), (&2.into(), &2.into()));
    let appended = server.append("?partial=true", taken).await;
    assert_eq!(receipt(&appended.receipts[0]).id, "c");
    assert!(
        matches!(&appended.receipts[1], ReceiptItem::Refused { error } if error.line == Some(2))
    );
    server.stop().await;
}

#[tokio::test]
async fn a_format_is_forced_by_parameter_or_header() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::with_log(folder.path()).await;
    let unknown = r#"{"foo":"bar","timestamp":1772366400}"#;
    let refused = TestServer::check_error(&server.post("", unknown).await, 400, "invalid_event");
    assert!(refused["message"].as_str().unwrap().contains("format=json"), "{refused}");
    server.append("?format=json", unknown).await;
    let with = |header: &str, query: &str| {
        let request = server.request(Method::POST, &format!("/v1/logs/prod/events{query}"));
        server.call(request.header("indelible-format", header).body(unknown))
    };
    assert!(with("json", "").await.0.is_success());
    TestServer::check_error(&with("json", "?format=indelible.v1").await, 400, "invalid_request");
    TestServer::check_error(&with("nope", "").await, 400, "unknown_format");
    let (_, view) = server.get("/v1/logs/prod/events/0").await;
    assert_eq!(view["event"]["time"], "2026-03-01T12:00:00.000000Z");
    server.stop().await;
}

/// Whoever is still sending reads why it was refused.
#[tokio::test]
async fn a_refusal_is_read_by_a_client_that_sends_first() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::with_log(folder.path()).await;
    for (token, status) in [(server.token.as_str(), "413"), ("ind_wrong", "401")] {
        let head = format!(
            "POST /v1/logs/prod/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-length: {}\r\n\r\n",
            70 << 20
        );
        let address = server.address;
        let sent = tokio::task::spawn_blocking(move || {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            stream.write_all(head.as_bytes())?;
            let part = vec![b' '; 1 << 20];
            for _ in 0..70 {
                stream.write_all(&part)?;
            }
            let mut answer = [0; 12];
            std::io::Read::read_exact(&mut stream, &mut answer)?;
            std::io::Result::Ok(String::from_utf8_lossy(&answer).into_owned())
        });
        assert_eq!(sent.await.unwrap().unwrap(), format!("HTTP/1.1 {status}"));
    }
    server.stop().await;
}
