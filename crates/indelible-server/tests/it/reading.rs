use crate::{TestServer, event};
use indelible_api::{Consistency, EventView, Page, ReceiptView};
use indelible_tlog::{Checkpoint, Hash, OfflineProof, VerifyingKey, verify_consistency};
use reqwest::{Method, StatusCode};
use std::time::Duration;

async fn filled(folder: &std::path::Path, count: usize) -> TestServer {
    let server = TestServer::with_log(folder).await;
    let events: Vec<String> = (0..count).map(|n| event(&format!("e{n}"))).collect();
    server.append("", format!("[{}]", events.join(","))).await;
    server
}

async fn page(server: &TestServer, query: &str) -> Page<EventView> {
    serde_json::from_value(server.get(&format!("/v1/logs/prod/events?{query}")).await.1).unwrap()
}

#[tokio::test]
async fn lists_page_in_both_directions() {
    let folder = tempfile::tempdir().unwrap();
    let server = filled(folder.path(), 600).await;
    for (order, expected) in
        [("asc", (0..600).collect::<Vec<u64>>()), ("desc", (0..600).rev().collect())]
    {
        let mut seen = Vec::new();
        let mut after = String::new();
        loop {
            let page = page(&server, &format!("order={order}&limit=250{after}")).await;
            seen.extend(page.items.iter().map(|item| item.index));
            match page.next {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        assert_eq!(seen, expected, "{order}");
    }
    let view = &page(&server, "after=41&limit=1").await.items[0];
    assert_eq!((view.index, view.envelope.as_ref().unwrap().id.as_str()), (42, "e42"));
    assert_eq!(view.event["actor"]["id"], "ada");
    assert!(page(&server, "after=599").await.items.is_empty());
    assert!(page(&server, "after=18446744073709551615").await.items.is_empty());
    server.stop().await;
}

#[tokio::test]
async fn a_long_poll_is_answered_by_the_next_event() {
    let folder = tempfile::tempdir().unwrap();
    let server = filled(folder.path(), 3).await;
    let (polled, _) = tokio::join!(page(&server, "after=2&wait=30"), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        server.append("", event("late")).await
    });
    assert_eq!(polled.items.iter().map(|item| item.index).collect::<Vec<_>>(), [3]);
    server.stop().await;
}

#[tokio::test]
async fn receipts_checkpoints_and_consistency_hold_offline() {
    let folder = tempfile::tempdir().unwrap();
    let server = filled(folder.path(), 123).await;
    let events: Vec<String> = (123..300).map(|n| event(&format!("e{n}"))).collect();
    server.append("", format!("[{}]", events.join(","))).await;
    let key: VerifyingKey = server.info().await.vkey.parse().unwrap();
    let record = server.text("/v1/logs/prod/records/17").await;
    for path in [
        "/v1/logs/prod/receipts/17",
        "/v1/logs/prod/receipts/e17",
        "/v1/logs/prod/receipts/17?size=123",
    ] {
        let proof = OfflineProof::parse(server.text(path).await.as_bytes()).unwrap();
        let checkpoint = proof.verify(record.as_bytes(), &key).unwrap();
        assert_eq!(
            (proof.index, checkpoint.size),
            (17, if path.contains("size") { 123 } else { 300 })
        );
    }
    let request = server
        .request(Method::GET, "/v1/logs/prod/receipts/17")
        .header("accept", "application/json");
    let json: ReceiptView = serde_json::from_value(server.call(request).await.1).unwrap();
    let hashes = json.inclusion_proof.iter().map(|hash| hash.parse().unwrap()).collect();
    let proof =
        OfflineProof { extra: None, index: json.index, hashes, checkpoint: json.checkpoint };
    assert!(proof.verify(record.as_bytes(), &key).is_ok());

    // Sizes that were never heads are not signed, and which were is told.
    for size in ["0", "122"] {
        for path in ["checkpoint", "receipts/17"] {
            let (status, body) = server.get(&format!("/v1/logs/prod/{path}?size={size}")).await;
            assert_eq!((status.as_u16(), &body["code"]), (404, &"record_not_found".into()));
        }
    }
    let (_, body) = server.get("/v1/logs/prod/checkpoint?size=122").await;
    assert!(body["message"].as_str().unwrap().ends_with("the nearest are of 123"), "{body}");
    let older =
        Checkpoint::verify(server.text("/v1/logs/prod/checkpoint?size=123").await.as_bytes(), &key)
            .unwrap();
    let newer =
        Checkpoint::verify(server.text("/v1/logs/prod/checkpoint").await.as_bytes(), &key).unwrap();
    let answer: Consistency =
        serde_json::from_value(server.get("/v1/logs/prod/consistency?from=123").await.1).unwrap();
    let proof: Vec<Hash> = answer.proof.iter().map(|hash| hash.parse().unwrap()).collect();
    verify_consistency(123, 300, &proof, older.root.as_ref(), newer.root.as_ref()).unwrap();
    assert_eq!(
        server.text("/tlog/prod/checkpoint").await,
        server.text("/v1/logs/prod/checkpoint").await
    );
    server.stop().await;
}

#[tokio::test]
async fn tiles_have_the_headers_that_caches_need() {
    let folder = tempfile::tempdir().unwrap();
    let server = filled(folder.path(), 300).await;
    let get = |path: &str| server.request(Method::GET, path).send();
    // Only what anybody may see is kept by caches that many share.
    let tile = get("/tlog/prod/tile/0/000").await.unwrap();
    assert_eq!(tile.headers()["cache-control"], "private, max-age=604800, immutable");
    let publish = server.request(Method::PATCH, "/v1/logs/prod").body(r#"{"public":true}"#);
    assert_eq!(server.call(publish).await.0, StatusCode::OK);
    let tile = get("/tlog/prod/tile/0/000").await.unwrap();
    assert_eq!(tile.headers()["cache-control"], "public, max-age=604800, immutable");
    assert_eq!(tile.headers()["access-control-allow-origin"], "*");
    assert_eq!(tile.bytes().await.unwrap().len(), 8192);
    for (path, len) in
        [("tile/0/001.p/44", 44 * 32), ("tile/0/001.p/1", 32), ("tile/1/000.p/1", 32)]
    {
        assert_eq!(
            get(&format!("/tlog/prod/{path}")).await.unwrap().bytes().await.unwrap().len(),
            len
        );
    }
    for absent in [
        "tile/0/001",
        "tile/0/001.p/45",
        "tile/0/002.p/1",
        "tile/1/000",
        "tile/0/1",
        "tile/entries/002.p/1",
    ] {
        assert_eq!(
            get(&format!("/tlog/prod/{absent}")).await.unwrap().status(),
            StatusCode::NOT_FOUND,
            "{absent}"
        );
    }
    let checkpoint = get("/tlog/prod/checkpoint").await.unwrap();
    assert_eq!(checkpoint.headers()["cache-control"], "no-cache");
    assert!(checkpoint.headers()["content-type"].to_str().unwrap().starts_with("text/plain"));
    assert_eq!(checkpoint.headers()["x-content-type-options"], "nosniff");
    server.stop().await;
}
