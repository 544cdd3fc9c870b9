//! The trail of accesses: what is in it, what never is, and that no answer leaves
//! without it.

use crate::{TestServer, config, event};
use indelible_server::Rates;
use reqwest::{Method, StatusCode};
use serde_json::Value;

/// Everything in `_access`, oldest first.
async fn trail(server: &TestServer) -> Vec<Value> {
    let auditor = server.issue(&["auditor:_*"]).await;
    let request = server.as_token(&auditor, Method::GET, "/v1/logs/_access/events?limit=1000");
    let (status, body) = server.call(request).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let items = body["items"].as_array().unwrap().clone();
    items.into_iter().map(|item| item["event"].clone()).collect()
}

fn of<'a>(trail: &'a [Value], action: &str) -> Vec<&'a Value> {
    trail.iter().filter(|event| event["action"] == action).collect()
}

#[tokio::test]
async fn every_look_is_recorded_with_who_what_and_how_much() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::with_log(folder.path()).await;
    server.append("", format!("[{},{},{}]", event("a"), event("b"), event("c"))).await;
    let (id, reader) = server.issue_named("ada's reader", &["reader:prod"]).await;
    for path in [
        "/v1/logs/prod/events?limit=2&order=desc",
        "/v1/logs/prod/events/id:b",
        "/v1/logs/prod/records/1",
        "/v1/logs/prod/receipts/2",
        "/tlog/prod/tile/entries/000.p/3",
        "/v1/logs/prod/events/id:nobody",
    ] {
        let request = server.as_token(&reader, Method::GET, path).header("user-agent", "it/1");
        drop(server.call(request).await);
    }
    for _ in 0..5 {
        let request = server.as_token(&reader, Method::GET, "/tlog/prod/tile/0/000.p/3");
        assert_eq!(server.call(request).await.0, StatusCode::OK);
    }
    let append = server.as_token(&reader, Method::POST, "/v1/logs/prod/events").body(event("x"));
    assert_eq!(server.call(append).await.0, StatusCode::FORBIDDEN);
    let trail = trail(&server).await;
    let mine: Vec<&Value> =
        trail.iter().filter(|event| event["actor"]["id"] == format!("token:{id}")).collect();
    let actions: Vec<&str> = mine.iter().map(|event| event["action"].as_str().unwrap()).collect();
    assert_eq!(
        actions,
        [
            "access.sign_in",
            "access.event.list",
            "access.event.read",
            "access.record.read",
            "access.receipt.read",
            "access.bundle.read",
            "access.event.read",
            // Five fetches of tiles: the first is recorded, the others are counted.
            "access.tile.read",
            "access.append",
        ]
    );
    let list = mine[1];
    assert_eq!(list["actor"]["name"], "ada's reader");
    assert_eq!(list["context"]["ip"], "127.0.0.1");
    assert_eq!(list["context"]["user_agent"], "it/1");
    assert!(list["context"]["request_id"].is_string());
    assert_eq!(list["targets"][0]["id"], "prod");
    assert_eq!(list["outcome"]["result"], "success");
    let metadata = &list["metadata"];
    assert_eq!(metadata["query"], "limit=2&order=desc");
    assert_eq!(
        (&metadata["records"], &metadata["first"], &metadata["last"]),
        (&2.into(), &1.into(), &2.into())
    );
    assert_eq!(mine[2]["targets"][1]["id"], "id:b");
    assert_eq!(
        mine[6]["outcome"],
        serde_json::json!({ "result": "failure", "code": "record_not_found" })
    );
    assert_eq!(mine[8]["outcome"]["result"], "denied");
    assert_eq!(mine[8]["outcome"]["code"], "forbidden");
    server.stop().await;
}

#[tokio::test]
async fn reading_the_trail_is_in_the_trail() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::with_log(folder.path()).await;
    trail(&server).await;
    let second = trail(&server).await;
    let looks = of(&second, "access.event.list");
    assert!(looks.iter().any(|event| event["targets"][0]["id"] == "_access"), "{looks:?}");
    // Counts are written when the server stops.
    let request = || server.request(Method::GET, "/v1/logs/prod/checkpoint");
    for _ in 0..7 {
        assert_eq!(server.call(request()).await.0, StatusCode::OK);
    }
    server.stop().await;
    let server = TestServer::start(&config(folder.path())).await.unwrap();
    let third = trail(&server).await;
    let checkpoints = of(&third, "access.checkpoint.read");
    assert_eq!(checkpoints.len(), 2, "{checkpoints:?}");
    assert_eq!(checkpoints[1]["metadata"]["more"], 6);
    server.stop().await;
}

#[tokio::test]
async fn an_auditor_of_one_log_sees_who_looked_into_that_one() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::with_log(folder.path()).await;
    let create = server.request(Method::POST, "/v1/logs").body(r#"{"name":"other"}"#);
    assert_eq!(server.call(create).await.0, StatusCode::CREATED);
    server.get("/v1/logs/prod/events").await;
    server.get("/v1/logs/other/events").await;
    let auditor = server.issue(&["auditor:prod"]).await;
    let get = |path: &'static str| server.call(server.as_token(&auditor, Method::GET, path));
    let (status, page) = get("/v1/logs/_access/events").await;
    assert_eq!(status, StatusCode::OK, "{page}");
    let items = page["items"].as_array().unwrap();
    assert!(!items.is_empty());
    for item in items {
        let targets = item["event"]["targets"].as_array().unwrap();
        assert!(targets.iter().any(|target| target["id"] == "prod"), "{item}");
    }
    assert_eq!(get("/v1/logs/_control/events").await.0, StatusCode::NOT_FOUND);
    assert_eq!(get("/tlog/_access/tile/entries/000.p/1").await.0, StatusCode::FORBIDDEN);
    // Readers and operators of everything see nothing of it.
    for grant in ["reader:*", "operator:*", "writer:*"] {
        let token = server.issue(&[grant]).await;
        let request = server.as_token(&token, Method::GET, "/v1/logs/_access/events");
        assert_eq!(server.call(request).await.0, StatusCode::NOT_FOUND, "{grant}");
    }
    server.stop().await;
}

/// Credentials reach neither the trail, nor the configuration's log, nor errors.
#[tokio::test]
async fn no_credential_is_ever_written() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::with_log(folder.path()).await;
    let (_, secret) = server.issue_named("secret", &["reader:prod"]).await;
    let hidden = &secret[16..];
    let wrong = format!("ind_{}", "ab".repeat(38));
    let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJyb290In0.c2lnbmF0dXJl";
    let mut answers = Vec::new();
    for (token, path) in [
        (secret.as_str(), format!("/v1/logs/prod/events?token={secret}")),
        (secret.as_str(), format!("/v1/logs/prod/events/{secret}")),
        (secret.as_str(), format!("/v1/logs/{jwt}/events")),
        (secret.as_str(), "/v1/logs/prod/events?limit=1".to_owned()),
        (wrong.as_str(), "/v1/logs/prod/events".to_owned()),
        (jwt, "/v1/logs/prod/events".to_owned()),
    ] {
        let request = server
            .as_token(token, Method::GET, &path)
            .header("user-agent", format!("agent {secret}"))
            .header("x-forwarded-for", &secret);
        answers.push(server.call(request).await.1.to_string());
    }
    let body = serde_json::json!({ "name": "n", "grants": [{ "role": "reader", "log": "prod" }], "reason": format!("replaces {secret}") });
    let create = server.request(Method::POST, "/v1/tokens").json(&body);
    assert_eq!(server.call(create).await.0, StatusCode::CREATED);
    // An error may quote what was asked for to whoever asked; headers never.
    assert!(answers.iter().skip(3).all(|answer| !answer.contains(hidden)), "{answers:?}");
    server.stop().await;
    let mut files = vec![folder.path().to_owned()];
    let mut seen = 0;
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let contains = |text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
        assert!(
            !contains(hidden) && !contains(&wrong[16..]) && !contains(jwt),
            "{}",
            path.display()
        );
        seen += usize::from(contains("[redacted]"));
    }
    assert!(seen > 0, "nothing was redacted: is the trail where it was?");
}

/// A trail that cannot be written closes the door: no read, and no refusal either,
/// while appends, which are records themselves, go on.
#[tokio::test]
async fn without_the_trail_nothing_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::with_log(folder.path()).await;
    server.append("", event("a")).await;
    assert_eq!(server.get("/v1/logs/prod/events/id:a").await.0, StatusCode::OK);
    // A real fault: the journals' folder is no folder any more. The next journal
    // cannot be made, and journals are small here.
    let journals = folder.path().join("logs/_access/journal");
    std::fs::rename(&journals, folder.path().join("moved")).unwrap();
    std::fs::write(&journals, "").unwrap();
    let mut refused = None;
    for _ in 0..2000 {
        let answer = server.get("/v1/logs/prod/events/id:a").await;
        if answer.0 != StatusCode::OK {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("the trail never ran out of room");
    TestServer::check_error(&refused, 503, "trail_unavailable");
    assert!(!refused.1.to_string().contains("ada"), "{}", refused.1);
    // Refusals are answered no more than reads are.
    let nobody = server.call(server.bare(Method::GET, "/v1/logs/prod/events")).await;
    TestServer::check_error(&nobody, 503, "trail_unavailable");
    server.append("", event("b")).await;
    let ready = server.call(server.bare(Method::GET, "/readyz")).await;
    TestServer::check_error(&ready, 503, "log_stopped");
    server.stop().await;
}

#[tokio::test]
async fn a_flood_of_refusals_is_counted_not_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.access.rates = Rates { refused: 2, ..Rates::default() };
    let server = TestServer::start(&config).await.unwrap();
    let mut limited = 0;
    for n in 0..100 {
        let wrong = format!("ind_{n:076}");
        let answer = server.as_token(&wrong, Method::GET, "/v1/whoami").send().await.unwrap();
        match answer.status().as_u16() {
            401 => assert_eq!(answer.headers()["www-authenticate"], "Bearer realm=\"indelible\""),
            429 => {
                let wait: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
                assert!((1..=5).contains(&wait), "{wait}");
                limited += 1;
            }
            other => panic!("{other}"),
        }
    }
    assert!(limited > 80, "{limited}");
    // Who is known is served all the same.
    let trail = trail(&server).await;
    let refused: Vec<&Value> =
        trail.iter().filter(|event| event["outcome"]["result"] == "denied").collect();
    assert!(refused.len() < 20, "{}", refused.len());
    assert!(refused.iter().any(|event| event["outcome"]["reason"] == "unknown token"));
    assert!(refused.iter().all(|event| event["actor"]["type"] == "anonymous"));
    server.stop().await;
}

/// What strangers choose is in no row: made-up logs, tokens and agents cost nothing more.
#[tokio::test]
async fn strangers_cannot_fill_the_trail() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::with_log(folder.path()).await;
    let before = trail(&server).await.len();
    for n in 0..300 {
        let path = format!("/v1/logs/made-up-{n}/events?q=x{n}");
        let request = match n % 3 {
            0 => server.bare(Method::GET, &path),
            1 => server.as_token(&format!("ind_{n:076}"), Method::GET, &path),
            _ => server.bare(Method::GET, &path).header("authorization", format!("Basic {n}")),
        };
        let answer = server.call(request.header("user-agent", format!("agent {n}"))).await;
        TestServer::check_error(&answer, 401, "unauthenticated");
    }
    let after = trail(&server).await;
    let denied: Vec<&Value> =
        after[before..].iter().filter(|event| event["outcome"]["result"] == "denied").collect();
    assert_eq!(denied.len(), 3, "{denied:?}");
    server.stop().await;
    let server = TestServer::start(&config(folder.path())).await.unwrap();
    let counts = trail(&server).await;
    let more: u64 = counts
        .iter()
        .filter(|event| event["actor"]["type"] == "anonymous")
        .filter_map(|event| event["metadata"]["more"].as_u64())
        .sum();
    assert_eq!(more, 297);
    server.stop().await;
}

#[tokio::test]
async fn a_revoked_token_is_named_whatever_else_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::with_log(folder.path()).await;
    let (id, token) = server.issue_named("leaked", &["reader:prod"]).await;
    let revoke = server.request(Method::DELETE, &format!("/v1/tokens/{id}"));
    assert_eq!(server.call(revoke).await.0, StatusCode::OK);
    for _ in 0..90 {
        drop(server.call(server.bare(Method::GET, "/v1/whoami")).await);
    }
    let answer = server.call(server.as_token(&token, Method::GET, "/v1/whoami")).await;
    TestServer::check_error(&answer, 401, "unauthenticated");
    let trail = trail(&server).await;
    let named: Vec<&Value> =
        trail.iter().filter(|event| event["outcome"]["reason"] == "revoked token").collect();
    assert_eq!(named.len(), 1, "{named:?}");
    assert_eq!(named[0]["actor"]["id"], format!("token:{id}"));
    server.stop().await;
}

/// A query cannot be hidden behind its own length, nor a token behind its spelling.
#[tokio::test]
async fn what_was_asked_is_kept_whole_and_without_credentials() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::with_log(folder.path()).await;
    server.append("", event("rebind_ceo-salary")).await;
    let q = format!("{}actor:u4711", " ".repeat(2_100));
    let body = serde_json::json!({ "q": q });
    let count = server.request(Method::POST, "/v1/logs/prod/count").json(&body);
    assert_eq!(server.call(count).await.0, StatusCode::OK);
    let spelled = server.operator.replace('_', "%5F");
    let search = format!("/v1/logs/prod/events?q={spelled}");
    assert_eq!(server.get(&search).await.0, StatusCode::OK);
    let record = server.get("/v1/logs/prod/records/id:rebind_ceo-salary").await;
    assert_eq!(record.0, StatusCode::OK, "{record:?}");
    let trail = trail(&server).await;
    assert_eq!(of(&trail, "access.event.count")[0]["metadata"]["q"], q);
    let read = of(&trail, "access.record.read")[0];
    assert_eq!(read["targets"][1]["id"], "id:rebind_ceo-salary");
    let hidden = &server.operator[10..];
    assert!(trail.iter().all(|event| !event.to_string().contains(hidden)));
    server.stop().await;
}

/// Writers for one tenant are refused in the trail too.
#[tokio::test]
async fn a_narrowed_writer_adds_no_raw_entry() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&config(folder.path())).await.unwrap();
    let create = server.request(Method::POST, "/v1/logs").body(r#"{"name":"raw","raw_add":true}"#);
    assert_eq!(server.call(create).await.0, StatusCode::CREATED);
    let (id, writer) = server.issue_named("narrow", &["writer:raw@t1"]).await;
    let add = server.as_token(&writer, Method::POST, "/tlog/raw/add").body("entry");
    TestServer::check_error(&server.call(add).await, 403, "forbidden");
    let trail = trail(&server).await;
    let denied = of(&trail, "access.append");
    assert_eq!(denied[0]["actor"]["id"], format!("token:{id}"));
    assert_eq!(denied[0]["outcome"]["code"], "forbidden");
    server.stop().await;
}

/// What a narrowed writer tried with other tenants is seen, and tells it little.
#[tokio::test]
async fn what_a_batch_was_refused_is_in_the_trail() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::with_log(folder.path()).await;
    let of = |id: &str, tenant: &str| {
        event(id).replace("\"action\"", &format!("\"tenant\":\"{tenant}\",\"action\""))
    };
    server.append("", of("order-77", "t2")).await;
    let (id, writer) = server.issue_named("narrow", &["writer:prod@t1"]).await;
    let post = |query: &str, body: String| {
        let path = format!("/v1/logs/prod/events{query}");
        server.as_token(&writer, Method::POST, &path).body(body)
    };
    let batch = format!("[{},{},{}]", of("mine", "t1"), of("x", "t2"), of("y", "t3"));
    let (status, body) = server.call(post("?partial=true", batch)).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let taken = server.call(post("", of("order-77", "t1"))).await;
    let taken = TestServer::check_error(&taken, 409, "id_conflict");
    assert!(!taken["message"].as_str().unwrap().contains("index"), "{taken}");
    let trail = trail(&server).await;
    let mine: Vec<&Value> = trail
        .iter()
        .filter(|event| event["actor"]["id"] == format!("token:{id}"))
        .filter(|event| event["action"] == "access.append")
        .collect();
    let found: Vec<_> = mine
        .iter()
        .map(|event| (event["outcome"]["code"].as_str(), event["metadata"]["refused"].as_u64()))
        .collect();
    assert_eq!(found, [(Some("forbidden"), Some(2)), (Some("id_conflict"), None)]);
    server.stop().await;
}
