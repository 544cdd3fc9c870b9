//! Who may, and when that is decided: inside the act, for both persons where there are
//! two.

use crate::{TestClock, TestServer, config};
use indelible_server::StartError;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// A request that has begun: its head is admitted, the last byte of its body is missing.
struct Held {
    stream: TcpStream,
    last: u8,
}

impl Held {
    async fn begin(
        server: &TestServer,
        (id, token): &(String, String),
        method: &str,
        path: &str,
        body: &Value,
    ) -> Self {
        let body = body.to_string();
        let (last, rest) = body.as_bytes().split_last().unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(rest).await.unwrap();
        // The credential counts as used once the configuration it is judged by is taken.
        loop {
            let listed = server.get("/v1/tokens").await.1;
            let items = listed["items"].as_array().unwrap();
            let mine = items.iter().find(|entry| entry["id"] == **id).unwrap();
            if mine["last_used_at"].is_string() {
                return Self { stream, last: *last };
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// Sends the last byte; status and body of the answer.
    async fn end(mut self) -> (StatusCode, Value) {
        self.stream.write_all(&[self.last]).await.unwrap();
        let mut answer = String::new();
        self.stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap())
    }
}

async fn send(
    server: &TestServer,
    token: &str,
    method: Method,
    path: &str,
    body: Value,
) -> (StatusCode, Value) {
    server.call(server.as_token(token, method, path).json(&body)).await
}

/// Every act whose request has a body: method, path, body.
async fn acts(server: &TestServer) -> Vec<(&'static str, String, Value)> {
    let pending = async || {
        let (status, made) =
            send(server, &server.operator, Method::POST, "/v1/logs/prod/keys", json!({})).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{made}");
        made["pending"].as_str().unwrap().to_owned()
    };
    let reader = json!({ "role": "reader", "log": "prod" });
    let policy = server.get("/v1/policy").await.1;
    vec![
        ("POST", "/v1/logs".to_owned(), json!({ "name": "prod-2" })),
        ("PATCH", "/v1/logs/prod".to_owned(), json!({ "public": true })),
        ("POST", "/v1/logs/prod/keys".to_owned(), json!({})),
        ("PUT", "/v1/logs/prod/views/v".to_owned(), json!({ "q": "actor:ada" })),
        ("POST", "/v1/tokens".to_owned(), json!({ "name": "t", "grants": [reader] })),
        ("POST", "/v1/grants".to_owned(), json!({ "subject": "group:a", "grant": reader })),
        ("PUT", "/v1/policy".to_owned(), policy),
        ("POST", format!("/v1/pending/{}/approve", pending().await), json!({ "reason": "r" })),
        ("POST", format!("/v1/pending/{}/reject", pending().await), json!({ "reason": "r" })),
    ]
}

#[tokio::test]
async fn what_was_revoked_while_the_body_came_does_nothing_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::with_log(folder.path()).await;
    let rule = json!({ "two_person": ["replace_key"], "pending_hours": 24 });
    let set = send(&server, &server.operator, Method::PUT, "/v1/policy", rule).await;
    assert_eq!(set.0, StatusCode::OK, "{}", set.1);
    for (method, path, body) in acts(&server).await {
        // The credential is gone.
        let credential = server.issue_named("t", &["operator:*", "reader:*"]).await;
        let held = Held::begin(&server, &credential, method, &path, &body).await;
        let revoke = format!("/v1/tokens/{}", credential.0);
        let revoked = send(&server, &server.operator, Method::DELETE, &revoke, Value::Null).await;
        assert_eq!(revoked.0, StatusCode::OK, "{}", revoked.1);
        let before = server.get("/v1/logs/_control").await.1["size"].clone();
        TestServer::check_error(&held.end().await, 401, "unauthenticated");
        // The credential is there, its grants are not.
        let credential = server.issue_named("t", &["operator:*", "reader:*"]).await;
        let held = Held::begin(&server, &credential, method, &path, &body).await;
        let grants = server.get("/v1/grants").await.1;
        let subject = format!("token:{}", credential.0);
        let mine = grants["items"].as_array().unwrap().iter().filter(|g| g["subject"] == *subject);
        let mine: Vec<_> = mine.map(|grant| grant["id"].as_str().unwrap().to_owned()).collect();
        assert_eq!(mine.len(), 2);
        for id in mine {
            let path = format!("/v1/grants/{id}");
            let removed = send(&server, &server.operator, Method::DELETE, &path, Value::Null).await;
            assert_eq!(removed.0, StatusCode::OK, "{}", removed.1);
        }
        TestServer::check_error(&held.end().await, 403, "forbidden");
        // Issued, approved by the second person, two grants removed: nothing else.
        let after = server.get("/v1/logs/_control").await.1["size"].as_u64().unwrap();
        assert_eq!(after - before.as_u64().unwrap(), 4, "{method} {path}");
    }
    server.stop().await;
}

/// The rule for two persons covers itself, and who can be the second.
#[tokio::test]
async fn one_person_does_not_undo_the_rule_for_two() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::with_log(folder.path()).await;
    let first = server.operator.clone();
    let set = |acts: Value, hours: u32| {
        let body = json!({ "two_person": acts, "pending_hours": hours });
        send(&server, &first, Method::PUT, "/v1/policy", body)
    };
    assert_eq!(set(json!(["publish"]), 24).await.0, StatusCode::OK);
    let shown = server.get("/v1/policy").await.1;
    assert_eq!(shown["two_person"], json!(["grant_operator", "publish", "relax_policy"]));
    // Relaxing it, in any way.
    for (acts, hours) in [(json!([]), 24), (json!(["replace_key"]), 24), (json!(["publish"]), 48)] {
        let (status, asked) = set(acts.clone(), hours).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{acts} {hours}: {asked}");
    }
    // Leaving out what is implied relaxes nothing; being stricter takes one person.
    assert_eq!(set(json!(["publish"]), 24).await.0, StatusCode::OK);
    assert_eq!(set(json!(["publish", "replace_key"]), 12).await.0, StatusCode::OK);
    // Making the second person oneself.
    let operator = json!({ "role": "operator", "log": "prod" });
    let token = json!({ "name": "t", "grants": [operator] });
    let (status, _) = send(&server, &first, Method::POST, "/v1/tokens", token).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    let grant = json!({ "subject": "group:mine", "grant": operator });
    let (status, _) = send(&server, &first, Method::POST, "/v1/grants", grant).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    // Two persons do.
    let asked = set(json!([]), 24).await.1;
    let path = format!("/v1/pending/{}/approve", asked["pending"].as_str().unwrap());
    let (status, body) = send(&server, &server.token, Method::POST, &path, json!({})).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(server.get("/v1/policy").await.1["two_person"], json!([]));
    server.stop().await;
}

/// An operator gives nobody reading alone where that takes two, itself least of all.
#[tokio::test]
async fn operators_do_not_give_reading_to_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::with_log(folder.path()).await;
    let (id, mine) = server.issue_named("mine", &["operator:*"]).await;
    let rule = json!({ "two_person": ["grant_reading"], "pending_hours": 24 });
    assert_eq!(send(&server, &mine, Method::PUT, "/v1/policy", rule).await.0, StatusCode::OK);
    for role in ["reader", "auditor"] {
        let grant = json!({ "role": role, "log": "prod" });
        for subject in [format!("token:{id}"), "group:ops".into(), "oidc:me".into()] {
            let body = json!({ "subject": subject, "grant": grant });
            let (status, asked) = send(&server, &mine, Method::POST, "/v1/grants", body).await;
            assert_eq!(status, StatusCode::ACCEPTED, "{subject}: {asked}");
        }
        let body = json!({ "name": "own", "grants": [grant] });
        let (status, asked) = send(&server, &mine, Method::POST, "/v1/tokens", body).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{asked}");
        let own = asked["token"].as_str().unwrap();
        let read = send(&server, own, Method::GET, "/v1/logs/prod/events", Value::Null).await;
        TestServer::check_error(&read, 401, "unauthenticated");
        // Nor does it approve what it asked for.
        let path = format!("/v1/pending/{}/approve", asked["pending"].as_str().unwrap());
        let own = send(&server, &mine, Method::POST, &path, json!({})).await;
        TestServer::check_error(&own, 403, "forbidden");
    }
    server.stop().await;
}

#[tokio::test]
async fn what_a_revoked_operator_asked_for_waits_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::with_log(folder.path()).await;
    let rule = json!({ "two_person": ["grant_operator"], "pending_hours": 24 });
    let ask = async |who: &str| {
        let body = json!({ "name": "back door", "grants": [{ "role": "operator", "log": "*" }] });
        let (status, asked) = send(&server, who, Method::POST, "/v1/tokens", body).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{asked}");
        asked["pending"].as_str().unwrap().to_owned()
    };
    let approve = async |id: &str| {
        let path = format!("/v1/pending/{id}/approve");
        send(&server, &server.token, Method::POST, &path, json!({})).await
    };
    let set = send(&server, &server.operator, Method::PUT, "/v1/policy", rule).await;
    assert_eq!(set.0, StatusCode::OK);
    let (id, leaver) = server.issue_named("leaver", &["operator:*"]).await;
    let (mut asked, kept) = (Vec::new(), ask(&server.operator).await);
    for _ in 0..2 {
        asked.push(ask(&leaver).await);
    }
    let revoke = format!("/v1/tokens/{id}");
    let done = send(&server, &server.operator, Method::DELETE, &revoke, Value::Null).await;
    assert_eq!(done.0, StatusCode::OK);
    let pending = server.get("/v1/pending").await.1;
    let ids: Vec<_> = pending["items"].as_array().unwrap().iter().map(|act| &act["id"]).collect();
    assert_eq!(ids, [&json!(kept)]);
    for id in &asked {
        TestServer::check_error(&approve(id).await, 404, "entry_not_found");
    }
    // The story says so.
    let path = format!("/v1/logs/_control/events/{}", done.1["control_index"]);
    let event = server.get(&path).await.1["event"].clone();
    asked.sort();
    assert_eq!(event["metadata"]["lapsed"], json!(asked), "{event}");
    let summary = event["metadata"]["summary"].as_str().unwrap();
    assert_eq!(summary, format!("revoke token {id}; with it 2 waiting acts lapsed"));
    assert_eq!(approve(&kept).await.0, StatusCode::OK);
    server.stop().await;
}

#[tokio::test]
async fn at_an_approval_both_persons_must_still_have_leave() {
    let folder = tempfile::tempdir().unwrap();
    let clock = TestClock::at("2026-03-01T12:00:00Z");
    let mut config = config(folder.path());
    config.log.clock = clock.clone();
    let server = TestServer::start(&config).await.unwrap();
    let first = server.operator.clone();
    send(&server, &first, Method::POST, "/v1/logs", json!({ "name": "prod" })).await;
    let issue = async |grant: Value, expires: Option<&str>| {
        let body = json!({ "name": "t", "grants": [grant], "expires_at": expires });
        let made = send(&server, &first, Method::POST, "/v1/tokens", body).await.1;
        made["token"].as_str().unwrap().to_owned()
    };
    let until =
        |end: &str| json!({ "role": "operator", "log": "*", "not_after": format!("{end}Z") });
    let brief = issue(until("2026-03-02T12:00:00"), None).await;
    let expiring =
        issue(json!({ "role": "operator", "log": "*" }), Some("2026-03-02T12:00:00Z")).await;
    let short = issue(until("2026-04-01T00:00:00"), None).await;
    let rule = json!({ "two_person": ["publish"], "pending_hours": 720 });
    assert_eq!(send(&server, &first, Method::PUT, "/v1/policy", rule).await.0, StatusCode::OK);
    let publish = async |who: &str| {
        let body = json!({ "public": true });
        let asked = send(&server, who, Method::PATCH, "/v1/logs/prod", body).await.1;
        format!("/v1/pending/{}/approve", asked["pending"].as_str().unwrap())
    };
    let asked = [publish(&brief).await, publish(&expiring).await];
    // Nobody gives operator for longer than they have it: the second person neither.
    let lasting = json!({ "name": "t", "grants": [until("2026-05-01T00:00:00")] });
    let lasting = send(&server, &first, Method::POST, "/v1/tokens", lasting).await.1;
    let lasting = format!("/v1/pending/{}/approve", lasting["pending"].as_str().unwrap());
    let refused = send(&server, &short, Method::POST, &lasting, json!({})).await;
    let said = TestServer::check_error(&refused, 403, "forbidden");
    assert!(said["message"].as_str().unwrap().contains("set not_after"), "{said}");
    clock.set("2026-03-02T12:00:00Z");
    for path in asked {
        let stale = send(&server, &first, Method::POST, &path, json!({})).await;
        let said = TestServer::check_error(&stale, 409, "conflict");
        assert!(said["message"].as_str().unwrap().contains("any more"), "{said}");
    }
    let log = send(&server, &first, Method::GET, "/v1/logs/prod", Value::Null).await.1;
    assert_eq!(log["public"], false);
    // Both have leave: it is done.
    let path = publish(&first).await;
    assert_eq!(send(&server, &short, Method::POST, &path, json!({})).await.0, StatusCode::OK);
    server.stop().await;
}

/// Nor does a token that ends give operator for longer than it works itself.
#[tokio::test]
async fn a_token_that_ends_gives_operator_until_then() {
    let folder = tempfile::tempdir().unwrap();
    let clock = TestClock::at("2026-03-01T12:00:00Z");
    let mut config = config(folder.path());
    config.log.clock = clock.clone();
    let server = TestServer::start(&config).await.unwrap();
    let operator = json!({ "role": "operator", "log": "team-*" });
    let with = |end: &str| json!({ "role": "operator", "log": "team-*", "not_after": end });
    let (soon, late) = ("2026-03-02T12:00:00Z", "2026-03-02T12:00:01Z");
    let body = json!({ "name": "brief", "grants": [operator], "expires_at": soon });
    let brief = send(&server, &server.operator, Method::POST, "/v1/tokens", body).await.1;
    let (id, brief) = (brief["id"].clone(), brief["token"].as_str().unwrap().to_owned());
    let own = format!("token:{}", id.as_str().unwrap());
    for (path, body, status) in [
        ("/v1/tokens", json!({ "name": "t", "grants": [operator] }), 403),
        ("/v1/tokens", json!({ "name": "t", "grants": [operator], "expires_at": late }), 403),
        ("/v1/tokens", json!({ "name": "t", "grants": [operator], "expires_at": soon }), 201),
        ("/v1/tokens", json!({ "name": "t", "grants": [with(soon)] }), 201),
        ("/v1/grants", json!({ "subject": "group:a", "grant": operator }), 403),
        ("/v1/grants", json!({ "subject": "group:a", "grant": with(late) }), 403),
        ("/v1/grants", json!({ "subject": "group:a", "grant": with(soon) }), 201),
        // Its own token ends anyway.
        ("/v1/grants", json!({ "subject": own, "grant": operator }), 201),
        (
            "/v1/grants",
            json!({ "subject": "group:a", "grant": { "role": "reader", "log": "team-a" } }),
            201,
        ),
    ] {
        let (found, answer) = send(&server, &brief, Method::POST, path, body.clone()).await;
        assert_eq!(found.as_u16(), status, "{body}: {answer}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_revoked_token_never_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    let file = config.access.bootstrap_token_file.clone().unwrap();
    let server = TestServer::start(&config).await.unwrap();
    let leaked = server.operator.clone();
    let path = format!("/v1/tokens/{}", &leaked[4..16]);
    let revoke = server.call(server.request(Method::DELETE, &path)).await;
    assert_eq!(revoke.0, StatusCode::OK, "{}", revoke.1);
    server.stop().await;
    config.access.new_operator_token = true;
    let refused = TestServer::start(&config).await.err().unwrap();
    let StartError::Bootstrap(said) = refused else { panic!("{refused}") };
    let said = said.to_string();
    assert!(said.contains("remove the file") && !said.contains(&leaked), "{said}");
    std::fs::remove_file(&file).unwrap();
    let server = TestServer::start(&config).await.unwrap();
    assert_ne!(server.operator, leaked);
    let whoami = server.call(server.as_token(&leaked, Method::GET, "/v1/whoami")).await;
    TestServer::check_error(&whoami, 401, "unauthenticated");
    server.stop().await;
}

/// What is in `_control` stays there: no credential gets into it.
#[tokio::test]
async fn credentials_do_not_get_into_control() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::with_log(folder.path()).await;
    let secret = server.issue(&["reader:prod"]).await;
    let size = server.get("/v1/logs/_control").await.1["size"].clone();
    let encoded = secret.replace('_', "%5F");
    for text in [secret.clone(), format!("x {encoded}")] {
        let reader = json!({ "role": "reader", "log": "prod" });
        for (method, path, member, body) in [
            (Method::PUT, "/v1/logs/prod/views/v", "q", json!({ "q": text })),
            (
                Method::PUT,
                "/v1/logs/prod/views/v",
                "description",
                json!({ "q": "x", "description": text }),
            ),
            (Method::POST, "/v1/tokens", "name", json!({ "name": text, "grants": [reader] })),
            (
                Method::POST,
                "/v1/grants",
                "subject",
                json!({ "subject": format!("group:{text}"), "grant": reader }),
            ),
        ] {
            let answer = send(&server, &server.token, method, path, body).await;
            let said = TestServer::check_error(&answer, 400, "invalid_request");
            assert_eq!(said["member"], member, "{said}");
            assert!(!said.to_string().contains(&secret), "{said}");
        }
    }
    assert_eq!(server.get("/v1/logs/_control").await.1["size"], size);
    server.stop().await;
}

#[tokio::test]
async fn views_are_bounded_for_each_principal() {
    let folder = tempfile::tempdir().unwrap();
    let clock = TestClock::at("2026-03-01T12:00:00Z");
    let mut config = config(folder.path());
    config.log.clock = clock.clone();
    let server = TestServer::start(&config).await.unwrap();
    send(&server, &server.operator, Method::POST, "/v1/logs", json!({ "name": "prod" })).await;
    let (reader, other) =
        (server.issue(&["reader:prod"]).await, server.issue(&["reader:prod"]).await);
    let save = |who: &str, name: &str, q: &str| {
        let path = format!("/v1/logs/prod/views/{name}");
        let request = server.as_token(who, Method::PUT, &path).json(&json!({ "q": q }));
        server.call(request)
    };
    let delete = |name: &str| {
        let path = format!("/v1/logs/prod/views/{name}");
        server.call(server.as_token(&reader, Method::DELETE, &path))
    };
    // The same again is no act.
    let made = save(&reader, "v0", "actor:ada").await;
    assert_eq!(made.0, StatusCode::OK);
    assert_eq!(save(&reader, "v0", "actor:ada").await, made);
    let changed = save(&reader, "v0", "actor:ben").await.1;
    assert_eq!(
        changed["control_index"].as_u64(),
        made.1["control_index"].as_u64().map(|index| index + 1)
    );
    for n in 1..50 {
        assert_eq!(save(&reader, &format!("v{n}"), "x").await.0, StatusCode::OK);
    }
    TestServer::check_error(&save(&reader, "v50", "x").await, 409, "conflict");
    assert_eq!(save(&other, "v50", "x").await.0, StatusCode::OK);
    // 51 saves so far; deleting makes room for names, not for saves.
    clock.set("2026-03-01T12:30:00Z");
    for n in 51..100 {
        assert_eq!(delete("v0").await.0, StatusCode::OK, "{n}");
        assert_eq!(save(&reader, "v0", &format!("x{n}")).await.0, StatusCode::OK, "{n}");
    }
    let path = "/v1/logs/prod/views/v0";
    let request = server.as_token(&reader, Method::PUT, path).json(&json!({ "q": "y" }));
    let answer = request.send().await.unwrap();
    let wait: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=1801).contains(&wait), "{wait}");
    let found = (answer.status(), answer.json().await.unwrap());
    TestServer::check_error(&found, 429, "rate_limited");
    // It is counted from `_control`: a restart forgets nothing.
    server.stop().await;
    let server = TestServer::start(&config).await.unwrap();
    let save = |q: &str| {
        let request = server.as_token(&reader, Method::PUT, path).json(&json!({ "q": q }));
        server.call(request)
    };
    TestServer::check_error(&save("y").await, 429, "rate_limited");
    assert_eq!(save("x99").await.0, StatusCode::OK, "it is saved so already");
    clock.set("2026-03-01T13:00:00Z");
    assert_eq!(save("y").await.0, StatusCode::OK);
    server.stop().await;
}
