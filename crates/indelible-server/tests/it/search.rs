//! Search over HTTP: queries, cursors, counts, context, the live tail, and that nobody
//! learns through them what is not theirs.

use crate::{TestServer, config, event};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;

fn story(n: usize, actor: &str, action: &str, outcome: &str, tenant: &str) -> String {
    json!({
        "id": format!("e{n}"), "time": format!("2026-03-{:02}T{:02}:00:00Z", 1 + n / 24 % 28, n % 24),
        "action": action, "actor": { "type": "user", "id": actor }, "outcome": { "result": outcome },
        "tenant": tenant, "context": { "ip": format!("10.0.{}.7", n % 4), "trace_id": format!("trace-{}", n / 5) },
        "metadata": { "secret-of": tenant, "n": n },
    })
    .to_string()
}

/// 600 events, two tenants, all indexed.
async fn filled(data: &std::path::Path) -> TestServer {
    let server = TestServer::with_log(data).await;
    let events: Vec<String> = (0..600)
        .map(|n| {
            let (actor, tenant) = if n % 3 == 0 { ("ada", "a") } else { ("bob", "b") };
            let action = ["iam.role.granted", "s3.get", "s3.put"][n % 3];
            story(n, actor, action, if n % 10 == 0 { "denied" } else { "success" }, tenant)
        })
        .collect();
    server.append("", format!("[{}]", events.join(","))).await;
    let (status, page) = server.get("/v1/logs/prod/events?q=&consistency=head&limit=1").await;
    assert_eq!(status, StatusCode::OK, "{page}");
    let searched = &page["searched"]["logs"][0];
    assert_eq!((&searched["indexed"], &searched["size"]), (&600.into(), &600.into()));
    assert_eq!(page["searched"]["whole"], true);
    server
}

pub(crate) fn encode(q: &str) -> String {
    q.bytes().map(|b| format!("%{b:02X}")).collect()
}

async fn post(server: &TestServer, token: &str, what: &str, body: Value) -> (StatusCode, Value) {
    let path = format!("/v1/logs/prod/{what}");
    server.call(server.as_token(token, Method::POST, &path).json(&body)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_pages_and_cursors() {
    let folder = tempfile::tempdir().unwrap();
    let server = filled(folder.path()).await;
    let q = encode("actor:ada outcome:denied -data.metadata.n:<100");
    let expected: Vec<u64> = (100..600).filter(|n| n % 30 == 0).collect();
    for (order, limit) in [("asc", 4), ("desc", 7), ("asc", 1000)] {
        let (mut found, mut after) = (Vec::new(), String::new());
        loop {
            let path = format!("/v1/logs/prod/events?q={q}&order={order}&limit={limit}{after}");
            let (status, page) = server.get(&path).await;
            assert_eq!(status, StatusCode::OK, "{page}");
            found.extend(
                page["items"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|item| item["index"].as_u64().unwrap()),
            );
            // What comes meanwhile does not shift the pages.
            server
                .append(
                    "",
                    story(1000 + found.len() * 7 + limit, "ada", "x.y", "denied", "a")
                        .replace("\"n\":", "\"m\":"),
                )
                .await;
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        found.retain(|index| *index < 600);
        if order == "desc" {
            found.reverse();
        }
        assert_eq!(found, expected, "{order}");
    }
    let first = server.get(&format!("/v1/logs/prod/events?q={q}&limit=2")).await.1;
    let next = first["next"].as_str().unwrap();
    for (path, code) in [
        (format!("?q={}&after={next}", encode("actor:bob")), "invalid_cursor"),
        (format!("?q={q}&order=desc&after={next}"), "invalid_cursor"),
        (format!("?q={q}&after={}", next.replace("c1.", "c1.9")), "invalid_cursor"),
        (format!("?q={q}&after=17"), "invalid_cursor"),
        (format!("?after={next}"), "invalid_request"),
        (format!("?q={}", encode("acton:x")), "invalid_query"),
        (format!("?q={}", encode("(a")), "invalid_query"),
        (format!("?q={}", "a".repeat(9000)), "invalid_query"),
        (format!("?q={q}&consistency=soon"), "invalid_request"),
    ] {
        let answer = server.get(&format!("/v1/logs/prod/events{path}")).await;
        TestServer::check_error(&answer, 400, code);
    }
    let answer = server.get(&format!("/v1/logs/prod/events?q={}", encode("actor:a acton:x"))).await;
    let said = answer.1["message"].as_str().unwrap();
    assert!(said.contains("column 9") && said.contains("did you mean action?"), "{said}");
    // A query of a megabyte does not even get in as a URL.
    let request =
        server.request(Method::GET, &format!("/v1/logs/prod/events?q={}", "a".repeat(1 << 20)));
    if let Ok(answer) = request.send().await {
        assert_eq!(answer.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    assert_eq!(server.get("/healthz").await.0, StatusCode::OK);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_facets_histograms_and_context() {
    let folder = tempfile::tempdir().unwrap();
    let server = filled(folder.path()).await;
    let token = server.token.clone();
    let count = post(&server, &token, "count", json!({ "q": "outcome:denied" })).await.1;
    let log = json!({ "log": "prod", "indexed": 600, "size": 600 });
    let searched = json!({ "whole": true, "logs": [log] });
    assert_eq!(count, json!({ "count": 60, "searched": searched }));
    let facets = post(
        &server,
        &token,
        "facets",
        json!({ "q": "outcome:denied", "fields": ["actor", "action"], "limit": 2 }),
    )
    .await
    .1;
    assert_eq!(
        facets["facets"][0],
        json!({ "field": "actor", "distinct": 2,
        "values": [{ "value": "bob", "count": 40 }, { "value": "ada", "count": 20 }] })
    );
    assert_eq!(facets["facets"][1]["values"].as_array().unwrap().len(), 2);
    let histogram = post(
        &server,
        &token,
        "histogram",
        json!({ "q": "during:2026-03-02", "interval": "12h", "by": "action" }),
    )
    .await
    .1;
    let buckets = histogram["buckets"].as_array().unwrap();
    assert_eq!(buckets.len(), 2, "{histogram}");
    assert_eq!(buckets[0]["start"], "2026-03-02T00:00:00.000000Z");
    assert_eq!((&buckets[0]["count"], &buckets[0]["values"][0]["count"]), (&12.into(), &4.into()));
    for (what, body) in [
        ("facets", json!({ "fields": [] })),
        ("facets", json!({ "fields": ["request"] })),
        ("histogram", json!({ "interval": "often" })),
        ("histogram", json!({ "interval": "1h", "by": "target" })),
        ("count", json!({ "query": "x" })),
    ] {
        let answer = post(&server, &token, what, body).await;
        TestServer::check_error(&answer, 400, "invalid_request");
    }
    let around = |path: &str| {
        server.call(server.request(Method::GET, &format!("/v1/logs/prod/events/{path}")))
    };
    let indexes = |page: &Value| -> Vec<u64> {
        page["items"]
            .as_array()
            .unwrap_or_else(|| panic!("{page}"))
            .iter()
            .map(|item| item["index"].as_u64().unwrap())
            .collect()
    };
    assert_eq!(indexes(&around("300/context?n=2").await.1), [298, 299, 300, 301, 302]);
    assert_eq!(indexes(&around("id:e300/context?n=2&by=actor").await.1), [294, 297, 300, 303, 306]);
    assert_eq!(indexes(&around("302/context?by=trace").await.1), [300, 301, 302, 303, 304]);
    assert_eq!(indexes(&around("0/context?n=1").await.1), [0, 1]);
    TestServer::check_error(&around("3/context?by=shoe").await, 400, "invalid_request");
    TestServer::check_error(&around("3/context?by=session").await, 404, "record_not_found");
    server.stop().await;
}

/// A reader of one tenant neither sees nor counts nor infers another's values.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_do_not_leak_through_search() {
    let folder = tempfile::tempdir().unwrap();
    let server = filled(folder.path()).await;
    let token = server.issue(&["reader:prod@a"]).await;
    let get = |path: String| server.call(server.as_token(&token, Method::GET, &path));
    for q in [
        "",
        "tenant:b",
        "actor:bob OR actor:ada",
        "-tenant:a",
        "data.metadata.secret-of:b",
        "b",
        "bob OR tenant:*",
    ] {
        let (status, page) = get(format!("/v1/logs/prod/events?limit=1000&q={}", encode(q))).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        assert!(
            page["items"].as_array().unwrap().iter().all(|item| item["event"]["tenant"] == "a"),
            "{q}"
        );
        let found = page["items"].as_array().unwrap().len();
        let count = post(&server, &token, "count", json!({ "q": q })).await.1;
        assert_eq!(count["count"], found, "{q}");
        let facets = post(
            &server,
            &token,
            "facets",
            json!({ "q": q, "fields": ["actor", "tenant", "action", "ip"] }),
        )
        .await
        .1;
        assert!(
            !facets.to_string().contains("bob") && !facets.to_string().contains("\"b\""),
            "{q}: {facets}"
        );
        let histogram =
            post(&server, &token, "histogram", json!({ "q": q, "interval": "1d", "by": "actor" }))
                .await
                .1;
        assert!(!histogram.to_string().contains("bob"), "{q}: {histogram}");
        let total: u64 = histogram["buckets"]
            .as_array()
            .unwrap()
            .iter()
            .map(|bucket| bucket["count"].as_u64().unwrap())
            .sum();
        assert_eq!(total, found as u64, "{q}");
    }
    assert_eq!(get("/v1/logs/prod/events/1/context".into()).await.0, StatusCode::NOT_FOUND);
    let around = get("/v1/logs/prod/events/300/context?n=5".into()).await.1;
    assert!(around["items"].as_array().unwrap().iter().all(|item| item["event"]["tenant"] == "a"));
    // Each search is in the trail, with its query and how much it showed.
    let trail = server.get("/v1/logs/_access/events?order=desc&limit=1000").await.1.to_string();
    for part in [
        "access.event.count",
        "access.event.facets",
        "access.event.histogram",
        "access.event.context",
        "\"q\":\"tenant:b\"",
    ] {
        assert!(trail.contains(part), "{part}");
    }
    server.stop().await;
}

/// Reads server-sent events until there are `count`.
async fn sse(
    answer: &mut reqwest::Response,
    buffer: &mut String,
    count: usize,
) -> Vec<(u64, Value)> {
    let mut found = Vec::new();
    while found.len() < count {
        while let Some(end) = buffer.find("\n\n") {
            let block: String = buffer.drain(..end + 2).collect();
            let part =
                |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
            if let (Some(id), Some(data)) = (part("id:"), part("data:")) {
                found.push((id.parse().unwrap(), serde_json::from_str(data).unwrap()));
            }
        }
        if found.len() < count {
            let part = tokio::time::timeout(Duration::from_secs(20), answer.chunk())
                .await
                .unwrap()
                .unwrap();
            buffer.push_str(std::str::from_utf8(&part.expect("the stream ended")).unwrap());
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_live_tail_filters_resumes_and_ends_with_its_grant() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::with_log(folder.path()).await;
    server.append("", event("before")).await;
    let (id, token) = server.issue_named("follower", &["reader:prod@a"]).await;
    let open = |path: &str, last: Option<&str>| {
        let mut request =
            server.as_token(&token, Method::GET, &format!("/v1/logs/prod/tail{path}"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        request.send()
    };
    let mut live = open(&format!("?q={}", encode("outcome:denied")), None).await.unwrap();
    assert_eq!(live.headers()["content-type"], "text/event-stream");
    for n in 0..30 {
        let tenant = if n % 2 == 0 { "a" } else { "b" };
        server
            .append(
                "",
                story(n, "ada", "x.y", if n % 4 == 0 { "denied" } else { "success" }, tenant),
            )
            .await;
    }
    let mut buffer = String::new();
    let found = sse(&mut live, &mut buffer, 8).await;
    let indexes: Vec<u64> = found.iter().map(|(index, _)| *index).collect();
    assert_eq!(indexes, [1, 5, 9, 13, 17, 21, 25, 29]);
    assert!(found.iter().all(|(_, view)| view["event"]["tenant"] == "a"));
    // From where it stopped: nothing is missing, nothing comes twice.
    let mut again = open("", Some("5")).await.unwrap();
    let found = sse(&mut again, &mut String::new(), 12).await;
    assert_eq!(found.first().map(|(index, _)| *index), Some(7));
    // What is beyond every log is waited for.
    let never = open(&format!("?after={}", u64::MAX), None).await.unwrap();
    assert_eq!(never.status(), StatusCode::OK);
    drop(never);
    TestServer::check_error(
        &server
            .call(server.as_token(
                &token,
                Method::GET,
                &format!("/v1/logs/prod/tail?q={}", encode("a:")),
            ))
            .await,
        400,
        "invalid_query",
    );
    // Revoked: the stream ends before it shows anything more.
    let revoke = server.request(Method::DELETE, &format!("/v1/tokens/{id}"));
    assert_eq!(server.call(revoke).await.0, StatusCode::OK);
    server.append("", story(100, "ada", "x.y", "denied", "a")).await;
    let rest = async {
        let mut rest = String::new();
        while let Ok(Some(part)) = live.chunk().await {
            rest.push_str(&String::from_utf8_lossy(&part));
        }
        rest
    };
    let rest =
        tokio::time::timeout(Duration::from_secs(20), rest).await.expect("the stream goes on");
    assert!(!rest.contains("e100"), "{rest}");
    let trail = server.get("/v1/logs/_access/events?order=desc&limit=100").await.1.to_string();
    assert!(trail.contains("access.event.follow") && trail.contains("access.event.tail"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_index_comes_back_and_raw_logs_have_none() {
    let folder = tempfile::tempdir().unwrap();
    let server = filled(folder.path()).await;
    // The indexer may write a piece just now: then a folder is not empty, as for `rm -r`.
    while let Err(error) = std::fs::remove_dir_all(folder.path().join("index")) {
        assert_eq!(error.kind(), std::io::ErrorKind::DirectoryNotEmpty, "{error}");
    }
    for _ in 0..200 {
        let count = post(
            &server,
            &server.token,
            "count",
            json!({ "q": "actor:ada", "consistency": "now" }),
        )
        .await
        .1;
        assert!(count["count"].as_u64().unwrap() <= 200);
        // What is searched meanwhile may be the old piece, open and no longer on disk.
        let pieces = std::fs::read_dir(folder.path().join("index/prod")).into_iter().flatten();
        let is_last = |name: &std::ffi::OsStr| name.to_string_lossy().ends_with("-000000000600");
        let is_rebuilt = pieces.flatten().any(|piece| is_last(&piece.file_name()));
        if count["searched"]["whole"] == true && is_rebuilt {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let page = server.get("/v1/logs/prod/events?q=actor:ada&consistency=head&limit=1000").await.1;
    assert_eq!(page["items"].as_array().unwrap().len(), 200);
    server.stop().await;
    let server = TestServer::start(&config(folder.path())).await.unwrap();
    let count = post(&server, &server.token, "count", json!({ "q": "" })).await.1;
    assert_eq!(count["count"], 600, "opened, not rebuilt");
    let create = server.request(Method::POST, "/v1/logs").body(r#"{"name":"raw","raw_add":true}"#);
    assert_eq!(server.call(create).await.0, StatusCode::CREATED);
    let answer = server.get("/v1/logs/raw/events?q=x").await;
    TestServer::check_error(&answer, 409, "wrong_kind");
    server.stop().await;
}
