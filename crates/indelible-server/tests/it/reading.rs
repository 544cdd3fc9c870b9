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
        "/v1/logs/prod/receipts/id:e17",
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

/// An event of so many bytes, and some: one long text, or many small numbers.
fn large(id: usize, bytes: usize) -> String {
    let filling = match id % 10 {
        3 => format!("[0{}]", ",0".repeat(bytes / 2)),
        _ => format!("\"{}\"", "x".repeat(bytes)),
    };
    event(&format!("e{id}")).replacen('{', &format!("{{\"metadata\":{{\"filling\":{filling}}},"), 1)
}

const PAGE_BYTES: usize = 4 << 20;
const LARGE: usize = 600_000;
/// The last but one is larger than a page.
const EVENTS: usize = 300;
const HUGE: usize = EVENTS - 2;

async fn with_large_events(folder: &std::path::Path) -> TestServer {
    let server = TestServer::with_log(folder).await;
    for start in (0..EVENTS).step_by(60) {
        let events: Vec<String> = (start..start + 60)
            .map(|n| large(n, if n == HUGE { 5_000_000 } else { LARGE }))
            .collect();
        server.append("", format!("[{}]", events.join(","))).await;
    }
    let (status, page) = server.get("/v1/logs/prod/events?q=e0&consistency=head").await;
    assert_eq!(status, StatusCode::OK, "{page}");
    server
}

/// The indexes on at most `pages` pages; every page is bounded in bytes.
async fn bounded(server: &TestServer, path: &str, pages: usize) -> Vec<u64> {
    let (mut seen, mut after) = (Vec::new(), String::new());
    for _ in 0..pages {
        let answer = server.request(Method::GET, &format!("{path}{after}")).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}{after}");
        let length = answer.headers()["content-length"].to_str().unwrap().parse::<usize>().unwrap();
        let text = answer.text().await.unwrap();
        assert_eq!(text.len(), length, "{path}{after}");
        let page: serde_json::Value = serde_json::from_str(&text).unwrap();
        let items = page["items"].as_array().unwrap();
        assert!(!items.is_empty(), "{path}{after}: nothing, and no end");
        assert!(length < PAGE_BYTES + 10_000 || items.len() == 1, "{path}{after}: {length}");
        seen.extend(items.iter().map(|item| item["index"].as_u64().unwrap()));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_bounded_in_bytes_and_nothing_is_lost_between_them() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_large_events(folder.path()).await;
    let all: Vec<u64> = (0..EVENTS as u64).collect();
    assert_eq!(bounded(&server, "/v1/logs/prod/events?limit=1000", 1000).await, all);
    let around: Vec<u64> = (10..31).collect();
    assert_eq!(bounded(&server, "/v1/logs/prod/events/20/context?n=10", 1000).await, around);
    let newest: Vec<u64> = all.iter().rev().copied().collect();
    for (path, expected) in [
        ("/v1/logs/prod/events?limit=1000&order=desc", &newest),
        ("/v1/logs/prod/events?limit=1000&order=desc&q=actor:ada", &newest),
        ("/v1/logs/prod/events?limit=1000&q=actor:ada", &all),
        ("/v1/events?limit=1000&q=actor:ada&logs=prod", &all),
        ("/v1/events?limit=1000&order=desc&logs=prod", &newest),
    ] {
        let seen = bounded(&server, path, 4).await;
        assert_eq!(seen, expected[..seen.len()], "{path}");
        assert!(seen.len() >= 8, "{path}: {seen:?}");
    }
    // Many at once take turns at memory, or are told to come again.
    let many = (0..12).map(|_| async {
        let path = "/v1/logs/prod/events?limit=1000";
        let answer = server.request(Method::GET, path).send().await.unwrap();
        let is_told = answer.headers().contains_key("retry-after");
        match answer.status() {
            StatusCode::OK => assert!(answer.bytes().await.unwrap().len() < PAGE_BYTES + 10_000),
            StatusCode::SERVICE_UNAVAILABLE => assert!(is_told),
            other => panic!("{other}"),
        }
    });
    futures_util::future::join_all(many).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_of_large_events_shows_every_one() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::with_log(folder.path()).await;
    let events: Vec<String> = (0..40).map(|n| large(n, LARGE)).collect();
    server.append("", format!("[{}]", events.join(","))).await;
    let path = "/v1/logs/prod/tail?after=4&q=actor:ada";
    let mut answer = server.request(Method::GET, path).send().await.unwrap();
    let (mut text, mut ids) = (String::new(), Vec::new());
    while ids.len() < 35 {
        let part = answer.chunk().await.unwrap().expect("the stream ended");
        text.push_str(std::str::from_utf8(&part).unwrap());
        while let Some(end) = text.find("\n\n") {
            let block: String = text.drain(..end + 2).collect();
            let id = block.lines().find_map(|line| line.strip_prefix("id:"));
            ids.extend(id.map(|id| id.trim().parse::<u64>().unwrap()));
        }
    }
    assert_eq!(ids, (5..40).collect::<Vec<u64>>());
    drop(answer);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_poll_shows_nothing_that_came_after_its_credential_was_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let server = filled(folder.path(), 3).await;
    // The credential, and the grant of one that stays.
    for (what, status, code) in
        [("tokens", 401, "unauthenticated"), ("grants", 404, "log_not_found")]
    {
        let (id, token) = server.issue_named("poller", &["reader:prod"]).await;
        let taken = match what {
            "tokens" => id.clone(),
            _ => {
                let grants = server.get("/v1/grants").await.1;
                let own = grants["items"].as_array().unwrap().iter();
                let own = own.filter(|grant| grant["subject"] == format!("token:{id}"));
                own.map(|grant| grant["id"].as_str().unwrap().to_owned()).next().unwrap()
            }
        };
        let size = server.info().await.size;
        let path = format!("/v1/logs/prod/events?after={}&wait=60", size - 1);
        let polled = server.as_token(&token, Method::GET, &path);
        let (answer, ()) = tokio::join!(server.call(polled), async {
            // It waits when its sign-in is in the trail.
            let q = format!("actor:\"token:{id}\" action:access.sign_in");
            let q = crate::search::encode(&q);
            let trail = format!("/v1/logs/_access/events?consistency=head&q={q}");
            while server.get(&trail).await.1["items"].as_array().unwrap().is_empty() {}
            let revoke = server.request(Method::DELETE, &format!("/v1/{what}/{taken}"));
            assert_eq!(server.call(revoke).await.0, StatusCode::OK);
            server.append("", event(&format!("after-{what}"))).await;
        });
        TestServer::check_error(&answer, status, code);
    }
    server.stop().await;
}

/// Everything in `_access` with this action, oldest first: what it says beside who.
async fn seen(server: &TestServer, action: &str) -> Vec<serde_json::Value> {
    let path = format!(
        "/v1/logs/_access/events?consistency=head&limit=1000&q={}",
        crate::search::encode(&format!("action:{action} outcome:success"))
    );
    let (status, page) = server.get(&path).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    let items = page["items"].as_array().unwrap();
    items.iter().map(|item| item["event"]["metadata"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_trail_says_which_record_was_read_and_the_whole_of_what_was_asked() {
    let folder = tempfile::tempdir().unwrap();
    let server = filled(folder.path(), 3).await;
    // What looks like a credential is not kept of what was asked for.
    server.append("", event("ind_salary")).await;
    server.append("", large(4, 100_000)).await;
    for (path, action) in [
        ("records/id:ind_salary", "access.record.read"),
        ("receipts/id:ind_salary", "access.receipt.read"),
        ("events/id:ind_salary", "access.event.read"),
    ] {
        assert!(!server.text(&format!("/v1/logs/prod/{path}")).await.is_empty());
        let found = seen(&server, action).await;
        let found = found.last().unwrap();
        let facts = (&found["records"], &found["first"], &found["last"]);
        assert_eq!(facts, (&1.into(), &3.into(), &3.into()), "{path}: {found}");
    }
    let record = server.text("/v1/logs/prod/records/4").await;
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    let sha256 = record["attachment"]["sha256"].as_str().unwrap();
    let attachment = server.text(&format!("/v1/logs/prod/attachments/{sha256}")).await;
    let found = seen(&server, "access.attachment.read").await;
    assert_eq!(found[0]["attachment"], *sha256);
    assert_eq!(found[0]["bytes"], attachment.len());
    // A query that is long, and interesting only at its end.
    let q = format!("{}actor:ada", " ".repeat(4000));
    let body = serde_json::json!({ "q": q, "fields": ["actor", "by"], "limit": 7 });
    for path in ["/v1/logs/prod/facets", "/v1/facets?logs=prod"] {
        let request = server.request(Method::POST, path).json(&body);
        assert_eq!(server.call(request).await.0, StatusCode::OK);
    }
    for path in ["/v1/logs/prod/events?limit=2&order=desc", "/v1/events?limit=2&order=desc"] {
        let path = format!("{path}&q={}", q.replace(' ', "+"));
        let first = server.get(&path).await.1;
        let next = first["next"].as_str().unwrap_or_else(|| panic!("{first}"));
        assert_eq!(server.get(&format!("{path}&after={next}")).await.0, StatusCode::OK);
        let found = seen(&server, "access.event.list").await;
        let found = found.iter().rev().find(|found| found["q"] == q.as_str()).unwrap();
        assert_eq!((&found["after"], &found["order"]), (&next.into(), &"desc".into()));
        assert_eq!(found["limit"], 2);
    }
    let found = seen(&server, "access.event.facets").await;
    assert_eq!(found.len(), 2, "{found:?}");
    for found in found {
        assert_eq!((&found["q"], &found["limit"]), (&q.as_str().into(), &7.into()));
        assert_eq!(found["fields"], serde_json::json!(["actor", "by"]));
    }
    server.stop().await;
}

/// Clients are made from the document: what is not in a path is not asked for there.
#[test]
fn parameters_are_documented_where_they_are() {
    let document: serde_json::Value =
        serde_json::from_str(&indelible_server::openapi_json()).unwrap();
    let mut of_queries = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for parameter in
            methods.as_object().unwrap().values().flat_map(|method| method["parameters"].as_array())
        {
            for parameter in parameter {
                let name = parameter["name"].as_str().unwrap();
                let is_in_path = path.contains(&format!("{{{name}}}"));
                assert_eq!(parameter["in"] == "path", is_in_path, "{path}: {name}");
                of_queries += usize::from(parameter["in"] == "query");
                // `from` of a consistency proof has no default.
                let is_needed = is_in_path || name == "from";
                assert_eq!(parameter["required"], is_needed, "{path}: {name}");
            }
        }
    }
    assert!(of_queries > 20, "{of_queries}");
}

/// What is an index and what is an id is never guessed, and every id has a path.
#[tokio::test]
async fn digits_are_an_index_and_ids_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::with_log(folder.path()).await;
    let ids = ["1", "0", "+1", ".", "..", "a/b", "../x", "id:1", "é ü", "007"];
    for id in ids {
        server.append("", event(id)).await;
    }
    for (index, id) in ids.iter().enumerate() {
        let encoded: String = id
            .bytes()
            .map(|byte| match byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                true => char::from(byte).to_string(),
                false => format!("%{byte:02X}"),
            })
            .collect();
        let (status, view) = server.get(&format!("/v1/logs/prod/events/id:{encoded}")).await;
        assert_eq!((status.as_u16(), &view["index"]), (200, &index.into()), "{id}: {view}");
        let (_, view) = server.get(&format!("/v1/logs/prod/events/{index}")).await;
        assert_eq!(view["envelope"]["id"], *id);
        let receipt = server.text(&format!("/v1/logs/prod/receipts/id:{encoded}")).await;
        assert!(receipt.contains(&format!("index {index}\n")), "{receipt}");
    }
    for wrong in ["007", "+1", "e-5", "18446744073709551616", "1.0", "id:", "-1"] {
        for what in ["events", "records", "receipts"] {
            let answer = server.get(&format!("/v1/logs/prod/{what}/{wrong}")).await;
            TestServer::check_error(&answer, 400, "invalid_request");
        }
    }
    TestServer::check_error(&server.get("/v1/logs/prod/events/10").await, 404, "record_not_found");
    server.stop().await;
}
