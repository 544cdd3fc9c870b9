use crate::{TestServer, config, event, receipt};
use flate2::{Compression, write::GzEncoder};
use indelible_api::{NDJSON, ReceiptItem, ReceiptStatus};
use indelible_event::{Payload, RecordHeader};
use indelible_tlog::{Checkpoint, Hash, VerifyingKey, leaf_hash, verify_inclusion};
use reqwest::Method;
use std::io::Write as _;

#[tokio::test]
async fn an_object_an_array_and_ndjson_get_receipts_that_hold() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::with_log(folder.path()).await;
    let key: VerifyingKey = server.info().await.vkey.parse().unwrap();
    let one = server.append("?proof=true", event("e0")).await;
    let array = server.append("?proof=true", format!("[{}, {}]", event("e1"), event("e2"))).await;
    let lines = format!("{}\n\n  {}\r\n", event("e3"), event("e4"));
    let request = server
        .request(Method::POST, "/v1/logs/prod/events?proof=true")
        .header("content-type", NDJSON)
        .body(lines);
    let lines = serde_json::from_value(server.call(request).await.1).unwrap();
    let mut next = 0;
    for appended in [one, array, lines] {
        let checkpoint = Checkpoint::verify(appended.checkpoint.as_bytes(), &key).unwrap();
        let header = RecordHeader::new(
            appended.received_at.parse().unwrap(),
            &appended.recorded_by,
            "indelible.v1",
        );
        for item in &appended.receipts {
            let receipt = receipt(item);
            assert_eq!(
                (receipt.index, receipt.id.as_str(), receipt.status),
                (next, format!("e{next}").as_str(), ReceiptStatus::Created)
            );
            // The sender can compute the record, and so the leaf, from what it sent.
            let mut record = Vec::new();
            header.encode(&receipt.id, Payload::Inline(&event(&receipt.id)), &mut record);
            assert_eq!(receipt.leaf_hash, leaf_hash(&record).to_string());
            let proof: Vec<Hash> = receipt
                .inclusion_proof
                .iter()
                .flatten()
                .map(|hash| hash.parse().unwrap())
                .collect();
            verify_inclusion(
                leaf_hash(&record).as_ref(),
                next,
                checkpoint.size,
                &proof,
                checkpoint.root.as_ref(),
            )
            .unwrap();
            next += 1;
        }
    }
    let plain = server.append("", event("e5")).await;
    assert_eq!(receipt(&plain.receipts[0]).inclusion_proof, None);
    server.stop().await;
}

#[tokio::test]
async fn compressed_bodies_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::with_log(folder.path()).await;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(event("gzip").as_bytes()).unwrap();
    let bodies = [
        ("gzip", gzip.finish().unwrap()),
        ("zstd", zstd::encode_all(event("zstd").as_bytes(), 1).unwrap()),
    ];
    for (encoding, body) in bodies {
        let request = server
            .request(Method::POST, "/v1/logs/prod/events")
            .header("content-encoding", encoding)
            .body(body);
        let (status, body) = server.call(request).await;
        assert!(status.is_success(), "{encoding}: {body}");
        assert_eq!(body["receipts"][0]["id"], encoding);
    }
    server.stop().await;
}

#[tokio::test]
async fn duplicates_and_conflicts() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::with_log(folder.path()).await;
    let first = server.append("", event("same")).await;
    let again = server.append("?proof=true", event("same")).await;
    let (first, again) = (receipt(&first.receipts[0]), receipt(&again.receipts[0]));
    assert_eq!(
        (again.index, &again.leaf_hash, again.status),
        (first.index, &first.leaf_hash, ReceiptStatus::Duplicate)
    );
    let other = event("same").replace("a.b", "a.c");
    let refused = server.post("", format!("[{},{}]", event("new"), other)).await;
    let body = TestServer::check_error(&refused, 409, "id_conflict");
    assert_eq!(body["position"], 1);
    assert_eq!(server.info().await.size, 1);

    let wrong = event("w").replace("\"user\"", "\"robot\"");
    let partial = server
        .append("?partial=true", format!("[{},{wrong},{other},{}]", event("n1"), event("n2")))
        .await;
    let codes: Vec<&str> = partial
        .receipts
        .iter()
        .map(|item| match item {
            ReceiptItem::Receipt(_) => "ok",
            ReceiptItem::Refused { error } => &error.code,
        })
        .collect();
    assert_eq!(codes, ["ok", "invalid_event", "id_conflict", "ok"]);
    assert_eq!(server.info().await.size, 3);
    server.stop().await;
}

#[tokio::test]
async fn foreign_formats_are_kept_verbatim_and_shown_natively() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::with_log(folder.path()).await;
    let record = r#"{ "eventID":"ct-1", "eventTime":"2026-03-01T12:00:00Z","eventSource":"iam.amazonaws.com","eventName":"CreateUser","errorCode":"AccessDenied" }"#;
    server.append("?format=aws.cloudtrail.v1", format!("{{\"Records\":[{record}]}}")).await;
    let raw = server.text("/v1/logs/prod/records/id:ct-1").await;
    assert!(
        raw.ends_with(&format!("\"format\":\"aws.cloudtrail.v1\",\"data\":{record}}}")),
        "{raw}"
    );
    let (_, view) = server.get("/v1/logs/prod/events/id:ct-1").await;
    assert_eq!(view["event"]["action"], "aws.iam.CreateUser");
    assert_eq!(view["event"]["outcome"]["result"], "denied");
    let refused = server.post("?format=nope", event("x")).await;
    let body = TestServer::check_error(&refused, 400, "unknown_format");
    assert!(body["message"].as_str().unwrap().contains("kubernetes.audit.v1"));
    server.stop().await;
}

#[tokio::test]
async fn raw_logs_take_entries_and_events_logs_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&config(folder.path())).await.unwrap();
    for (name, raw) in [("prod", false), ("raw", true)] {
        let body = format!(r#"{{"name":"{name}","raw_add":{raw}}}"#);
        assert!(
            server.call(server.request(Method::POST, "/v1/logs").body(body)).await.0.is_success()
        );
    }
    for n in 0..3 {
        let request = server.request(Method::POST, "/tlog/raw/add").body(vec![n; 10]);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.text().await.unwrap(), n.to_string());
    }
    let bundle = server
        .request(Method::GET, "/tlog/raw/tile/entries/000.p/3")
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    assert_eq!(bundle.len(), 3 * 12);
    let refused = server.call(server.request(Method::POST, "/tlog/prod/add").body("x")).await;
    TestServer::check_error(&refused, 409, "wrong_kind");
    let refused =
        server.call(server.request(Method::POST, "/v1/logs/raw/events").body(event("x"))).await;
    TestServer::check_error(&refused, 409, "wrong_kind");
    let refused =
        server.call(server.request(Method::POST, "/tlog/raw/add").body(vec![0; 65_536])).await;
    TestServer::check_error(&refused, 413, "too_large");
    let (_, view) = server.get("/v1/logs/raw/events/0").await;
    assert!(view["envelope"].is_null() && view["note"].is_string(), "{view}");
    server.stop().await;
}
