//! Exports over HTTP, and searches over several logs: what is in them, whose they are,
//! and what happens when they cannot be made.

use crate::{TestServer, config, event};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;

const EXPORTS: &str = "/v1/logs/prod/exports";

async fn start(server: &TestServer, token: &str, wanted: Value) -> (StatusCode, Value) {
    server.call(server.as_token(token, Method::POST, EXPORTS).json(&wanted)).await
}

/// Waits until an export is no longer running.
async fn ended(server: &TestServer, token: &str, id: &str) -> Value {
    loop {
        let look = server.as_token(token, Method::GET, &format!("{EXPORTS}/{id}"));
        let (status, export) = server.call(look).await;
        assert_eq!(status, StatusCode::OK, "{export}");
        if export["state"] != "running" {
            return export;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn with_events(data: &std::path::Path) -> TestServer {
    let server = TestServer::with_log(data).await;
    let events: Vec<String> = (0..300)
        .map(|n| {
            let tenant = if n % 3 == 0 { "a" } else { "b" };
            event(&format!("e{n}")).replacen('{', &format!("{{\"tenant\":\"{tenant}\","), 1)
        })
        .collect();
    server.append("", format!("[{}]", events.join(","))).await;
    server
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_is_its_makers_and_only_what_it_may_see() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_events(folder.path()).await;
    let whole = server.issue(&["auditor:prod"]).await;
    let (narrowed_id, narrowed) = server.issue_named("narrowed", &["reader:prod@a"]).await;
    let (status, started) = start(&server, &whole, json!({})).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{started}");
    let id = started["id"].as_str().unwrap().to_owned();
    let done = ended(&server, &whole, &id).await;
    let manifest = &done["manifest"];
    assert_eq!((&done["state"], &manifest["count"]), (&json!("done"), &json!(300)), "{done}");
    assert_eq!((&manifest["first"], &manifest["last"]), (&json!(0), &json!(299)));
    assert_eq!(manifest["narrowed"], json!(false));
    let file = format!("{EXPORTS}/{id}/file");
    let get = |token: &str, range: Option<&str>| {
        let request = server.as_token(token, Method::GET, &file);
        match range {
            Some(range) => request.header("range", range).send(),
            None => request.send(),
        }
    };
    let answer = get(&whole, None).await.unwrap();
    assert_eq!(answer.headers()["etag"], format!("\"{}\"", manifest["sha256"].as_str().unwrap()));
    assert_eq!(answer.headers()["accept-ranges"], "bytes");
    let bytes = answer.bytes().await.unwrap();
    assert_eq!(json!(bytes.len()), manifest["bytes"]);
    let part = get(&whole, Some("bytes=1000-")).await.unwrap();
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.bytes().await.unwrap(), bytes[1000..]);
    let beyond = get(&whole, Some("bytes=99999999-")).await.unwrap();
    assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    // Somebody else's does not exist.
    assert_eq!(get(&narrowed, None).await.unwrap().status(), StatusCode::NOT_FOUND);
    let list = server.as_token(&narrowed, Method::GET, EXPORTS);
    assert_eq!(server.call(list).await.1["items"], json!([]));
    let (_, own) = start(&server, &narrowed, json!({ "format": "ocsf" })).await;
    let own = own["id"].as_str().unwrap().to_owned();
    let done = ended(&server, &narrowed, &own).await;
    assert_eq!(done["manifest"]["count"], json!(100), "{done}");
    assert_eq!(done["manifest"]["narrowed"], json!(true));
    let path = format!("{EXPORTS}/{own}/file");
    let text = server.as_token(&narrowed, Method::GET, &path).send().await.unwrap();
    let text = text.text().await.unwrap();
    assert!(text.contains("\"tenant_uid\":\"a\"") && !text.contains("\"tenant_uid\":\"b\""));
    // Finished exports are there after a restart; they end with their credential.
    server.stop().await;
    let server = TestServer::start(&config(folder.path())).await.unwrap();
    let list = server.as_token(&whole, Method::GET, EXPORTS);
    let (_, exports) = server.call(list).await;
    assert_eq!(exports["items"].as_array().unwrap().len(), 1, "{exports}");
    let revoke = server.request(Method::DELETE, &format!("/v1/tokens/{narrowed_id}"));
    assert_eq!(server.call(revoke).await.0, StatusCode::OK);
    let gone = server.as_token(&narrowed, Method::GET, &path).send().await.unwrap();
    assert_eq!(gone.status(), StatusCode::UNAUTHORIZED);
    let delete = server.as_token(&whole, Method::DELETE, &format!("{EXPORTS}/{id}"));
    assert_eq!(server.call(delete).await.0, StatusCode::OK);
    let look = server.as_token(&whole, Method::GET, &format!("{EXPORTS}/{id}"));
    assert_eq!(server.call(look).await.0, StatusCode::NOT_FOUND);
    let left = std::fs::read_dir(folder.path().join("exports")).unwrap().count();
    assert_eq!(left, 1, "that of the revoked credential expires");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exports_that_cannot_be_made_say_why() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_events(folder.path()).await;
    let reader = server.issue(&["reader:prod"]).await;
    for (wanted, said) in [
        (json!({ "format": "xml" }), "ndjson"),
        (json!({ "proof": true }), "unknown field"),
        (json!({ "q": "acton:x" }), "did you mean action?"),
    ] {
        let (status, refused) = start(&server, &reader, wanted).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{refused}");
        assert!(refused["message"].as_str().unwrap().contains(said), "{refused}");
    }
    // Nothing to find is an export too.
    let (_, none) = start(&server, &reader, json!({ "q": "actor:nobody", "format": "csv" })).await;
    let none = ended(&server, &reader, none["id"].as_str().unwrap()).await;
    assert_eq!((&none["state"], &none["manifest"]["count"]), (&json!("done"), &json!(0)));
    // The folder cannot be written: that export fails, and nothing else.
    let exports = folder.path().join("exports");
    std::fs::remove_dir_all(&exports).unwrap();
    std::fs::write(&exports, "in the way").unwrap();
    let (status, started) = start(&server, &reader, json!({})).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{started}");
    let failed = ended(&server, &reader, started["id"].as_str().unwrap()).await;
    assert_eq!(failed["state"], "failed", "{failed}");
    assert!(failed["error"].as_str().unwrap().contains("could not be written"), "{failed}");
    let file = format!("{EXPORTS}/{}/file", failed["id"].as_str().unwrap());
    let (status, refused) = server.call(server.as_token(&reader, Method::GET, &file)).await;
    assert_eq!(status, StatusCode::CONFLICT, "{refused}");
    server.append("", event("after")).await;
    let (_, trail) = server
        .get("/v1/logs/_access/events?q=action:access.export.finish&consistency=head&order=desc")
        .await;
    let outcomes: Vec<&str> = trail["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["event"]["outcome"]["result"].as_str().unwrap())
        .collect();
    assert_eq!(outcomes, ["failure", "success"], "{trail}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_logs_are_searched_in_the_order_of_receipt() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::with_log(folder.path()).await;
    for log in ["stage", "other"] {
        let create =
            server.request(Method::POST, "/v1/logs").body(json!({ "name": log }).to_string());
        assert_eq!(server.call(create).await.0, StatusCode::CREATED);
    }
    let append = async |log: &str, id: &str, actor: &str, tenant: &str| {
        let event = event(id).replace("ada", actor).replacen(
            '{',
            &format!("{{\"tenant\":\"{tenant}\","),
            1,
        );
        let path = format!("/v1/logs/{log}/events");
        let (status, body) = server.call(server.request(Method::POST, &path).body(event)).await;
        assert_eq!(status, StatusCode::OK, "{body}");
    };
    for n in 0..60usize {
        let log = ["prod", "stage", "other"][n * 7 % 5 % 3];
        let (actor, tenant) = (["ada", "bob"][n % 2], ["a", "b"][n / 2 % 2]);
        append(log, &format!("e{n}"), actor, tenant).await;
    }
    let pages = async |token: &str, query: &str, limit: usize| {
        let (mut ids, mut after) = (Vec::new(), "&consistency=head".to_owned());
        loop {
            let path = format!("/v1/events?{query}&limit={limit}{after}");
            let (status, page) = server.call(server.as_token(token, Method::GET, &path)).await;
            assert_eq!(status, StatusCode::OK, "{page}");
            let items = page["items"].as_array().unwrap();
            assert!(items.len() <= limit);
            ids.extend(
                items.iter().map(|item| item["envelope"]["id"].as_str().unwrap().to_owned()),
            );
            // What comes meanwhile is newer than all of it.
            append("prod", &format!("later-{limit}-{}-{query}", ids.len()), "bob", "b").await;
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return ids,
            }
        }
    };
    let all = server.issue(&["reader:*"]).await;
    let expected: Vec<String> = (0..60).step_by(2).map(|n| format!("e{n}")).collect();
    let newest: Vec<String> = expected.iter().rev().cloned().collect();
    for limit in [1, 4, 1000] {
        let query = "q=actor:ada";
        assert_eq!(pages(&all, &format!("{query}&order=asc"), limit).await, expected, "{limit}");
        assert_eq!(pages(&all, &format!("{query}&order=desc"), limit).await, newest, "{limit}");
    }
    // A reader of some logs, of one only a tenant, finds that and no more.
    let some = server.issue(&["reader:prod@a", "reader:stage"]).await;
    let visible = |n: &usize| match ["prod", "stage", "other"][n * 7 % 5 % 3] {
        "prod" => (n / 2).is_multiple_of(2),
        log => log == "stage",
    };
    let expected: Vec<String> =
        (0..60).step_by(2).filter(visible).map(|n| format!("e{n}")).collect();
    let query = "q=actor:ada&order=asc";
    assert_eq!(pages(&some, query, 7).await, expected);
    let call = async |token: &str, query: &str| {
        server.call(server.as_token(token, Method::GET, &format!("/v1/events?{query}"))).await
    };
    let (status, refused) = call(&some, "logs=stage,other").await;
    assert_eq!((status, &refused["code"]), (StatusCode::NOT_FOUND, &json!("log_not_found")));
    let writer = server.issue(&["writer:*"]).await;
    let (_, nothing) = call(&writer, "q=").await;
    assert_eq!((&nothing["items"], &nothing["searched"]["logs"]), (&json!([]), &json!([])));
    // The system's logs are meant only where they are named.
    let (_, page) = call(&server.token, "limit=1").await;
    let names: Vec<&str> = page["searched"]["logs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|log| log["log"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["other", "prod", "stage"], "{page}");
    let (_, page) = call(&server.token, "logs=_*,prod&limit=1").await;
    assert_eq!(page["searched"]["logs"].as_array().unwrap().len(), 3, "{page}");
    // Cursors of another query, order or set of logs.
    let (_, page) = call(&all, "q=actor:ada&limit=1").await;
    let next = page["next"].as_str().unwrap();
    for other in ["q=actor:bob", "q=actor:ada&order=desc", "q=actor:ada&logs=prod"] {
        let (status, refused) = call(&all, &format!("{other}&after={next}")).await;
        assert_eq!((status, &refused["code"]), (StatusCode::BAD_REQUEST, &json!("invalid_cursor")));
    }
    for forged in ["m1.x", "m1..", "x", "m1.0.0.prod:1", "c1.1.1.1"] {
        let (status, _) = call(&all, &format!("q=actor:ada&after={forged}")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{forged}");
    }
    // Counted together: what each may see, in the trail of each log.
    let counted = async |token: &str, what: &str, wanted: Value| {
        let request = server.as_token(token, Method::POST, &format!("/v1/{what}"));
        server.call(request.json(&wanted)).await
    };
    for (token, found) in [(&all, 30), (&some, expected.len()), (&writer, 0)] {
        let (_, count) = counted(token, "count", json!({ "q": "actor:ada" })).await;
        assert_eq!(count["count"], json!(found), "{count}");
        let wanted = json!({ "q": "actor:ada", "interval": "1w" });
        let (_, histogram) = counted(token, "histogram", wanted).await;
        let buckets = histogram["buckets"].as_array().unwrap().iter();
        assert_eq!(
            buckets.map(|bucket| bucket["count"].as_u64().unwrap()).sum::<u64>(),
            found as u64
        );
        let wanted = json!({ "q": "actor:ada", "fields": ["actor", "tenant"] });
        let (_, facets) = counted(token, "facets", wanted).await;
        let actors: Vec<Value> =
            if found == 0 { Vec::new() } else { vec![json!({ "value": "ada", "count": found })] };
        assert_eq!(facets["facets"][0]["values"], json!(actors), "{facets}");
    }
    let (_, tenants) = counted(&some, "facets?logs=prod", json!({ "fields": ["tenant"] })).await;
    assert_eq!(tenants["facets"][0]["values"].as_array().unwrap().len(), 1, "{tenants}");
    assert_eq!(tenants["searched"]["logs"][0]["log"], "prod");
    let (status, refused) = counted(&some, "count?logs=other", json!({})).await;
    assert_eq!((status, &refused["code"]), (StatusCode::NOT_FOUND, &json!("log_not_found")));
    let (status, refused) = counted(&some, "facets", json!({ "fields": ["agent"] })).await;
    assert_eq!((status, &refused["code"]), (StatusCode::BAD_REQUEST, &json!("invalid_request")));
    // In the trail of each log, refusals too.
    let trail = async |action: &str, log: &str, outcome: &str| {
        let q = format!("action:access.event.{action} target:{log} outcome:{outcome}");
        let path =
            format!("/v1/logs/_access/events?q={}&consistency=head", crate::search::encode(&q));
        server.get(&path).await.1["items"].as_array().unwrap().len()
    };
    assert!(trail("list", "stage", "success").await > 5);
    assert_eq!(trail("list", "other", "denied").await, 1);
    assert_eq!(trail("count", "stage", "success").await, 2);
    assert_eq!(trail("count", "other", "success").await, 1);
    assert_eq!(trail("count", "other", "denied").await, 1);
    assert_eq!(trail("histogram", "prod", "success").await, 2);
    assert_eq!(trail("facets", "prod", "success").await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exports_that_are_kept_are_bounded_for_each_principal() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::with_log(folder.path()).await;
    let greedy = server.issue(&["reader:prod"]).await;
    let nothing = json!({ "q": "actor:nobody", "format": "csv" });
    let mut ids = Vec::new();
    for _ in 0..100 {
        let (status, started) = start(&server, &greedy, nothing.clone()).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{started}");
        let id = started["id"].as_str().unwrap().to_owned();
        assert_eq!(ended(&server, &greedy, &id).await["state"], "done");
        ids.push(id);
    }
    let refused = start(&server, &greedy, nothing.clone()).await;
    let refused = TestServer::check_error(&refused, 429, "rate_limited");
    assert!(refused["message"].as_str().unwrap().contains("delete some"), "{refused}");
    assert_eq!(std::fs::read_dir(folder.path().join("exports")).unwrap().count(), 100);
    // It is its own limit, also after a restart, and ends when some are deleted.
    let other = server.issue(&["reader:prod"]).await;
    assert_eq!(start(&server, &other, nothing.clone()).await.0, StatusCode::ACCEPTED);
    server.stop().await;
    let server = TestServer::start(&config(folder.path())).await.unwrap();
    assert_eq!(start(&server, &greedy, nothing.clone()).await.0, StatusCode::TOO_MANY_REQUESTS);
    let delete = server.as_token(&greedy, Method::DELETE, &format!("{EXPORTS}/{}", ids[0]));
    assert_eq!(server.call(delete).await.0, StatusCode::OK);
    assert_eq!(start(&server, &greedy, nothing).await.0, StatusCode::ACCEPTED);
    server.stop().await;
}
