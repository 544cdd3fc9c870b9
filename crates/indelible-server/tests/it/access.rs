//! Tokens, grants, two persons, limits: what their users meet.

use crate::{TestClock, TestServer, config, event};
use indelible_server::{Rates, StartError};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;

impl TestServer {
    async fn send(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: Value,
    ) -> (StatusCode, Value) {
        self.call(self.as_token(token, method, path).json(&body)).await
    }
}

fn ago(grants: &[&str]) -> Value {
    let grants: Vec<Value> = grants
        .iter()
        .map(|text| {
            let (role, log) = text.split_once(':').unwrap();
            json!({ "role": role, "log": log })
        })
        .collect();
    json!({ "name": "t", "grants": grants })
}

#[tokio::test]
async fn the_first_operator_is_made_once_and_its_file_is_private() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let file = config.access.bootstrap_token_file.clone().unwrap();
    let server = TestServer::start(&config).await.unwrap();
    let mode = std::fs::metadata(&file).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let operator = server.operator.clone();
    server.stop().await;
    // Another token in the file at a later start opens nothing.
    std::fs::write(&file, format!("ind_{}\n", "1".repeat(76))).unwrap();
    let mut plain = config.clone();
    plain.access.bootstrap_token_file = None;
    let later = indelible_server::Server::bind(&config).await.unwrap();
    assert_eq!(later.operator_token(), None);
    drop(later);
    std::fs::write(&file, format!("{operator}\n")).unwrap();
    let server = TestServer::start(&config).await.unwrap();
    let tokens = server.get("/v1/tokens").await.1;
    let named = |name: &str| {
        tokens["items"].as_array().unwrap().iter().filter(|token| token["name"] == name).count()
    };
    assert_eq!((named("first operator"), named("operator, made at start")), (1, 0));
    server.stop().await;
    // Lost for good: another is made on request, and the trail says so.
    plain.access.new_operator_token = true;
    let again = indelible_server::Server::bind(&plain).await.unwrap();
    assert!(again.operator_token().is_some_and(|token| token.starts_with("ind_")));
    drop(again);
}

#[tokio::test]
async fn a_bootstrap_file_that_others_can_read_or_that_holds_no_token_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let file = config.access.bootstrap_token_file.clone().unwrap();
    for (text, mode, said) in [
        (format!("ind_{}", "1".repeat(76)), 0o644, "can be read by others"),
        ("hunter2".to_owned(), 0o600, "does not hold a token"),
    ] {
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let refused = TestServer::start(&config).await.err().unwrap();
        let StartError::Bootstrap(problem) = refused else { panic!("{refused}") };
        assert!(
            problem.to_string().contains(said) && !problem.to_string().contains("hunter2"),
            "{problem}"
        );
    }
}

#[tokio::test]
async fn tokens_are_issued_listed_and_revoked_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::with_log(folder.path()).await;
    let (id, token) = server.issue_named("app", &["writer:prod"]).await;
    let append = |id: &str| {
        let request = server.as_token(&token, Method::POST, "/v1/logs/prod/events").body(event(id));
        server.call(request)
    };
    let (status, appended) = append("one").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(appended["recorded_by"], format!("token:{id}"));
    let listed = server.get("/v1/tokens").await.1;
    assert!(!listed.to_string().contains("ind_"), "{listed}");
    let mine = listed["items"].as_array().unwrap().iter().find(|entry| entry["id"] == *id).unwrap();
    assert_eq!(mine["name"], "app");
    assert_eq!(mine["grants"], json!([{ "role": "writer", "log": "prod" }]));
    assert!(mine["last_used_at"].is_string() && mine["created_by"].is_string(), "{mine}");
    let revoke = || server.call(server.request(Method::DELETE, &format!("/v1/tokens/{id}")));
    assert_eq!(revoke().await.0, StatusCode::OK);
    TestServer::check_error(&append("two").await, 401, "unauthenticated");
    TestServer::check_error(&revoke().await, 409, "conflict");
    let unknown = server.call(server.request(Method::DELETE, "/v1/tokens/nobody")).await;
    TestServer::check_error(&unknown, 404, "entry_not_found");
    // Last use survives a restart, the revocation too.
    server.stop().await;
    let server = TestServer::start(&config(folder.path())).await.unwrap();
    let listed = server.get("/v1/tokens").await.1;
    let mine = listed["items"].as_array().unwrap().iter().find(|entry| entry["id"] == *id).unwrap();
    assert!(mine["last_used_at"].is_string() && mine["revoked_at"].is_string(), "{mine}");
    server.stop().await;
}

#[tokio::test]
async fn requests_for_tokens_and_grants_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::with_log(folder.path()).await;
    let grant = |grant: Value| json!({ "name": "t", "grants": [grant] });
    let many: Vec<Value> = (0..101).map(|_| json!({ "role": "reader", "log": "prod" })).collect();
    for (body, member) in [
        (json!({ "name": "", "grants": [{ "role": "reader", "log": "prod" }] }), "name"),
        (json!({ "name": "t", "grants": [] }), "grants"),
        (json!({ "name": "t", "grants": many }), "grants"),
        (grant(json!({ "role": "reader", "log": "Prod" })), "grants[0]"),
        (grant(json!({ "role": "writer", "log": "_access" })), "grants[0]"),
        (grant(json!({ "role": "operator", "log": "*", "tenant": "a" })), "grants[0]"),
        (grant(json!({ "role": "reader", "log": "prod", "not_after": "soon" })), "grants[0]"),
    ] {
        let answer = server.send(&server.operator, Method::POST, "/v1/tokens", body).await;
        let body = TestServer::check_error(&answer, 400, "invalid_request");
        assert_eq!(body["member"], member, "{body}");
    }
    let past = json!({ "name": "t", "grants": [{ "role": "reader", "log": "prod" }], "expires_at": "2020-01-01T00:00:00Z" });
    for body in [past, grant(json!({ "role": "admin", "log": "prod" })), json!({ "grants": 1 })] {
        let answer = server.send(&server.operator, Method::POST, "/v1/tokens", body).await;
        TestServer::check_error(&answer, 400, "invalid_request");
    }
    let reader = json!({ "role": "reader", "log": "prod" });
    for subject in ["", "ada", "group:", "robot:x", "token:nobody", "group:a\nb"] {
        let body = json!({ "subject": subject, "grant": reader });
        let answer = server.send(&server.operator, Method::POST, "/v1/grants", body).await;
        TestServer::check_error(&answer, 400, "invalid_request");
    }
    server.stop().await;
}

#[tokio::test]
async fn grants_have_windows_and_operators_have_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let clock = TestClock::at("2026-06-01T00:00:00Z");
    let mut config = config(folder.path());
    config.log.clock = clock.clone();
    let server = TestServer::start(&config).await.unwrap();
    server.send(&server.operator, Method::POST, "/v1/logs", json!({ "name": "team-a" })).await;
    let body = json!({ "name": "until June", "grants": [{ "role": "auditor", "log": "team-*",
        "not_before": "2026-06-02T00:00:00Z", "not_after": "2026-07-01T00:00:00Z" }] });
    let made = server.send(&server.operator, Method::POST, "/v1/tokens", body).await.1;
    let auditor = made["token"].as_str().unwrap();
    for (now, status) in [
        ("2026-06-01T23:59:59Z", 404),
        ("2026-06-02T00:00:00Z", 200),
        ("2026-06-30T23:59:59Z", 200),
        ("2026-07-01T00:00:00Z", 404),
    ] {
        clock.set(now);
        let request = server.as_token(auditor, Method::GET, "/v1/logs/team-a/events");
        assert_eq!(server.call(request).await.0.as_u16(), status, "{now}");
    }
    // An operator of some logs gives away no more than that, and not for longer.
    let body = json!({ "name": "deputy", "grants": [{ "role": "operator", "log": "team-*", "not_after": "2026-08-01T00:00:00Z" }] });
    let made = server.send(&server.operator, Method::POST, "/v1/tokens", body).await.1;
    let deputy = made["token"].as_str().unwrap();
    let create =
        |name: &str| server.send(deputy, Method::POST, "/v1/logs", json!({ "name": name }));
    assert_eq!(create("team-b").await.0, StatusCode::CREATED);
    TestServer::check_error(&create("prod").await, 403, "forbidden");
    let give = |grants: &[&str]| server.send(deputy, Method::POST, "/v1/tokens", ago(grants));
    assert_eq!(give(&["reader:team-*"]).await.0, StatusCode::CREATED);
    // Nor does it learn of other logs from the tokens and grants there are.
    let (other, _) = server.issue_named("payroll", &["reader:payroll"]).await;
    server.issue_named("both", &["reader:team-a", "reader:payroll"]).await;
    for path in ["/v1/tokens", "/v1/grants"] {
        let listed = server.send(deputy, Method::GET, path, Value::Null).await.1.to_string();
        assert!(listed.contains("team-") && !listed.contains("payroll"), "{path}: {listed}");
    }
    let path = format!("/v1/tokens/{other}");
    let revoke = server.send(deputy, Method::DELETE, &path, Value::Null).await;
    TestServer::check_error(&revoke, 403, "forbidden");
    assert_eq!(give(&["writer:team-a"]).await.0, StatusCode::CREATED);
    for grants in [
        &["reader:*"][..],
        &["reader:team-a", "reader:prod"],
        &["auditor:_access"],
        &["operator:team-a"],
    ] {
        TestServer::check_error(&give(grants).await, 403, "forbidden");
    }
    server.stop().await;
}

#[tokio::test]
async fn nobody_locks_everybody_out() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    let file = config.access.bootstrap_token_file.take().unwrap();
    drop(file);
    let server = indelible_server::Server::bind(&config).await.unwrap();
    let (address, operator) =
        (server.address().unwrap(), server.operator_token().unwrap().to_owned());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let task = tokio::spawn(server.run(async move { drop(stopped.await) }));
    let http = reqwest::Client::new();
    let id = &operator[4..16];
    let revoke = http.delete(format!("http://{address}/v1/tokens/{id}")).bearer_auth(&operator);
    let answer = revoke.send().await.unwrap();
    let found = (answer.status(), answer.json().await.unwrap());
    TestServer::check_error(&found, 409, "conflict");
    drop(stop);
    task.await.unwrap();
}

#[tokio::test]
async fn dangerous_acts_take_two_persons() {
    let folder = tempfile::tempdir().unwrap();
    let clock = TestClock::at("2026-03-01T12:00:00Z");
    let mut config = config(folder.path());
    config.log.clock = clock.clone();
    let server = TestServer::start(&config).await.unwrap();
    let first = server.operator.clone();
    let policy = json!({ "two_person": ["grant_operator", "publish", "replace_key", "relax_policy"], "pending_hours": 24 });
    let (_, second) = server.issue_named("second", &["operator:*"]).await;
    server.send(&first, Method::POST, "/v1/logs", json!({ "name": "prod" })).await;
    assert_eq!(
        server.send(&first, Method::PUT, "/v1/policy", policy.clone()).await.0,
        StatusCode::OK
    );
    // Granting operator waits; the token is shown but does not work.
    let (status, made) =
        server.send(&first, Method::POST, "/v1/tokens", ago(&["operator:*"])).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    let (token, act) = (made["token"].as_str().unwrap(), made["pending"].as_str().unwrap());
    let whoami = || server.call(server.as_token(token, Method::GET, "/v1/whoami"));
    TestServer::check_error(&whoami().await, 401, "unauthenticated");
    let pending = server.send(&second, Method::GET, "/v1/pending", Value::Null).await.1;
    let summary = pending["items"][0]["summary"].as_str().unwrap();
    assert!(summary.contains("operator:*"), "{pending}");
    let settle = |who: &str, act: &str, verb: &str| {
        let path = format!("/v1/pending/{act}/{verb}");
        let request = server.as_token(who, Method::POST, &path).json(&json!({ "reason": "seen" }));
        server.call(request)
    };
    TestServer::check_error(&settle(&first, act, "approve").await, 403, "forbidden");
    assert_eq!(settle(&second, act, "approve").await.0, StatusCode::OK);
    assert_eq!(whoami().await.0, StatusCode::OK);
    TestServer::check_error(&settle(&second, act, "approve").await, 404, "entry_not_found");
    // Rejected: nothing came of it. Lapsed: it cannot be approved any more.
    let publish = || server.send(&first, Method::PATCH, "/v1/logs/prod", json!({ "public": true }));
    let (status, proposed) = publish().await;
    assert_eq!(status, StatusCode::ACCEPTED);
    assert_eq!(
        settle(&second, proposed["pending"].as_str().unwrap(), "reject").await.0,
        StatusCode::OK
    );
    let proposed = publish().await.1;
    clock.set("2026-03-02T12:00:00Z");
    let lapsed = settle(&second, proposed["pending"].as_str().unwrap(), "approve").await;
    TestServer::check_error(&lapsed, 409, "conflict");
    let pending = server.send(&second, Method::GET, "/v1/pending", Value::Null).await.1;
    assert_eq!(pending["items"], json!([]));
    let log = server.send(&second, Method::GET, "/v1/logs/prod", Value::Null).await.1;
    assert_eq!(log["public"], false);
    // Taking back what was public, and what makes the rule stricter, takes one.
    let hide =
        server.send(&first, Method::PATCH, "/v1/logs/prod", json!({ "public": false })).await;
    assert_eq!(hide.0, StatusCode::OK);
    // A key waits, and signs once approved.
    let before = server.send(&first, Method::GET, "/v1/logs/prod", Value::Null).await.1;
    let (status, rotated) =
        server.send(&first, Method::POST, "/v1/logs/prod/keys", json!({})).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    let after = server.send(&first, Method::GET, "/v1/logs/prod", Value::Null).await.1;
    assert_eq!(before["vkey"], after["vkey"]);
    assert_eq!(
        settle(&second, rotated["pending"].as_str().unwrap(), "approve").await.0,
        StatusCode::OK
    );
    let after = server.send(&first, Method::GET, "/v1/logs/prod", Value::Null).await.1;
    assert_eq!(after["vkey"], rotated["id"]);
    // So does relaxing the rule itself.
    let relaxed = json!({ "two_person": [], "pending_hours": 24 });
    assert_eq!(
        server.send(&first, Method::PUT, "/v1/policy", relaxed).await.0,
        StatusCode::ACCEPTED
    );
    let now = server.send(&first, Method::GET, "/v1/policy", Value::Null).await.1;
    assert_eq!(now, policy);
    server.stop().await;
    // All of it is the fold of the log: the same after a restart.
    let server = indelible_server::Server::bind(&config).await.unwrap();
    let address = server.address().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let task = tokio::spawn(server.run(async move { drop(stopped.await) }));
    let request = reqwest::Client::new().get(format!("http://{address}/v1/policy"));
    let again: Value = request.bearer_auth(&first).send().await.unwrap().json().await.unwrap();
    assert_eq!(again, policy);
    drop(stop);
    task.await.unwrap();
}

#[tokio::test]
async fn a_rule_that_nobody_could_fulfil_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.access.bootstrap_token_file = None;
    let server = indelible_server::Server::bind(&config).await.unwrap();
    let (address, operator) =
        (server.address().unwrap(), server.operator_token().unwrap().to_owned());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let task = tokio::spawn(server.run(async move { drop(stopped.await) }));
    let request = reqwest::Client::new()
        .put(format!("http://{address}/v1/policy"))
        .bearer_auth(&operator)
        .json(&json!({ "two_person": ["publish"], "pending_hours": 24 }));
    let answer = request.send().await.unwrap();
    let found = (answer.status(), answer.json().await.unwrap());
    TestServer::check_error(&found, 409, "conflict");
    drop(stop);
    task.await.unwrap();
}

#[tokio::test]
async fn ten_thousand_grants_are_folded_and_decided() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::with_log(folder.path()).await;
    let grants: Vec<Value> =
        (0..100).map(|n| json!({ "role": "reader", "log": format!("log-{n}") })).collect();
    let mut last = String::new();
    for n in 0..100 {
        let body = json!({ "name": format!("t{n}"), "grants": grants });
        let (status, made) = server.send(&server.operator, Method::POST, "/v1/tokens", body).await;
        assert_eq!(status, StatusCode::CREATED, "{made}");
        last = made["token"].as_str().unwrap().to_owned();
    }
    let listed = server.get("/v1/grants").await.1;
    assert!(listed["items"].as_array().unwrap().len() > 10_000);
    let request = server.as_token(&last, Method::GET, "/v1/logs/prod/events");
    TestServer::check_error(&server.call(request).await, 404, "log_not_found");
    server.stop().await;
    let server = TestServer::start(&config(folder.path())).await.unwrap();
    let again = server.get("/v1/grants").await.1;
    // The second start issued one more token, with four grants.
    let count = |page: &Value| page["items"].as_array().unwrap().len();
    assert_eq!(count(&again), count(&listed) + 4);
    server.stop().await;
}

#[tokio::test]
async fn rates_are_limited_per_credential_and_per_address() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.access.rates = Rates { per_credential: 4, per_address: 0, refused: 0 };
    let server = TestServer::start(&config).await.unwrap();
    let (busy, calm) = (server.issue(&["reader:a"]).await, server.issue(&["reader:a"]).await);
    let mut limited = 0;
    for _ in 0..60 {
        let answer = server.as_token(&busy, Method::GET, "/v1/whoami").send().await.unwrap();
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            assert!(answer.headers().contains_key("retry-after"));
            limited += 1;
        }
    }
    assert!(limited > 20, "{limited}");
    let other = server.call(server.as_token(&calm, Method::GET, "/v1/whoami")).await;
    assert_eq!(other.0, StatusCode::OK);
    server.stop().await;
}

#[tokio::test]
async fn forwarded_addresses_are_believed_from_proxies_only() {
    let folder = tempfile::tempdir().unwrap();
    for (proxies, expected) in [("10.0.0.0/8", "127.0.0.1"), ("127.0.0.0/8", "203.0.113.7")] {
        let data = folder.path().join(expected);
        std::fs::create_dir(&data).unwrap();
        let mut config = config(&data);
        config.access.trusted_proxies = vec![proxies.parse().unwrap()];
        let server = TestServer::start(&config).await.unwrap();
        let request = server
            .request(Method::GET, "/v1/whoami")
            .header("x-forwarded-for", "198.51.100.1, 203.0.113.7");
        assert_eq!(server.call(request).await.0, StatusCode::OK);
        let trail = server.get("/v1/logs/_access/events?order=desc&limit=5").await.1;
        let items = trail["items"].as_array().unwrap();
        let context = items
            .iter()
            .map(|item| &item["event"])
            .find(|event| event["action"] == "access.whoami")
            .map(|event| event["context"].clone())
            .unwrap();
        assert_eq!(context["ip"], expected);
        assert_eq!(context["forwarded_for"], json!(["198.51.100.1", "203.0.113.7"]));
        let peer = (expected != "127.0.0.1").then_some("127.0.0.1");
        assert_eq!(context["peer_ip"].as_str(), peer);
        server.stop().await;
    }
}

#[tokio::test]
async fn answers_carry_security_headers() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::with_log(folder.path()).await;
    for path in ["/v1/logs/prod", "/nowhere", "/healthz"] {
        let answer = server.request(Method::GET, path).send().await.unwrap();
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("x-frame-options"), "DENY");
        assert_eq!(header("referrer-policy"), "no-referrer");
        assert_eq!(header("cache-control"), "no-store");
        assert!(header("content-security-policy").contains("default-src 'none'"));
        assert!(!header("x-request-id").is_empty());
        assert!(answer.headers().get("server").is_none());
    }
    server.stop().await;
}
