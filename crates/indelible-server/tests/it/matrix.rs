//! The authorisation matrix: every route of the table × every role × own log, another
//! log, another tenant × no, unknown, expired and revoked credentials. What each cell
//! must answer is written here by hand; a route without a row fails the test.

use crate::{TestClock, TestServer, config, event};
use indelible_server::{Permission, ROUTES, Rule};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

/// What a narrowed credential meets at a route.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tenant {
    /// The tenant makes no difference.
    Same,
    /// Another tenant's record does not exist.
    Hidden,
    /// The route shows more than a tenant's part: refused.
    Refused,
}

/// What a route must answer.
struct Row {
    /// Roles that may, on the log of their grant.
    roles: &'static [&'static str],
    /// What they get.
    status: u16,
    tenant: Tenant,
}

const ALL: &[&str] = &["writer", "reader", "auditor", "operator", "verifier"];
const READ: &[&str] = &["reader", "auditor"];
const PROVE: &[&str] = &["reader", "auditor", "verifier"];
const OPERATE: &[&str] = &["operator"];

fn rows() -> BTreeMap<&'static str, Row> {
    use Tenant::{Hidden, Refused, Same};
    let row = |roles, status, tenant| Row { roles, status, tenant };
    [
        // Of logs that the caller may read: perhaps none.
        ("GET /v1/events", row(ALL, 200, Same)),
        ("POST /v1/count", row(ALL, 200, Same)),
        ("POST /v1/facets", row(ALL, 200, Same)),
        ("POST /v1/histogram", row(ALL, 200, Same)),
        ("GET /v1/logs", row(ALL, 200, Same)),
        // The name is taken: whoever may create logs is told so.
        ("POST /v1/logs", row(OPERATE, 409, Same)),
        ("GET /v1/logs/{log}", row(ALL, 200, Same)),
        ("PATCH /v1/logs/{log}", row(OPERATE, 200, Same)),
        ("POST /v1/logs/{log}/keys", row(OPERATE, 201, Same)),
        ("GET /v1/logs/{log}/events", row(READ, 200, Same)),
        ("POST /v1/logs/{log}/events", row(&["writer"], 200, Refused)),
        ("GET /v1/logs/{log}/events/{record}", row(READ, 200, Hidden)),
        ("GET /v1/logs/{log}/events/{record}/context", row(READ, 200, Hidden)),
        ("POST /v1/logs/{log}/count", row(READ, 200, Same)),
        ("POST /v1/logs/{log}/facets", row(READ, 200, Same)),
        ("POST /v1/logs/{log}/histogram", row(READ, 200, Same)),
        ("GET /v1/logs/{log}/tail", row(READ, 200, Same)),
        ("GET /v1/logs/{log}/exports", row(READ, 200, Same)),
        ("POST /v1/logs/{log}/exports", row(READ, 202, Same)),
        // Of the caller's own: nobody sees those of others.
        ("GET /v1/logs/{log}/exports/{export}", row(READ, 200, Same)),
        ("DELETE /v1/logs/{log}/exports/{export}", row(READ, 200, Same)),
        ("GET /v1/logs/{log}/exports/{export}/file", row(READ, 200, Same)),
        ("GET /v1/logs/{log}/views", row(READ, 200, Same)),
        ("PUT /v1/logs/{log}/views/{view}", row(READ, 200, Same)),
        ("DELETE /v1/logs/{log}/views/{view}", row(READ, 200, Same)),
        ("GET /v1/logs/{log}/records/{record}", row(READ, 200, Hidden)),
        ("GET /v1/logs/{log}/attachments/{sha256}", row(READ, 200, Refused)),
        ("GET /v1/logs/{log}/receipts/{record}", row(PROVE, 200, Hidden)),
        ("GET /v1/logs/{log}/consistency", row(ALL, 200, Same)),
        ("GET /v1/logs/{log}/checkpoint", row(ALL, 200, Same)),
        ("GET /tlog/{log}/checkpoint", row(ALL, 200, Same)),
        ("GET /tlog/{log}/tile/{*path}", row(PROVE, 200, Refused)),
        ("GET /tlog/{log}/tile/entries/{*path}", row(READ, 200, Refused)),
        // The log takes events: whoever may append is told so.
        ("POST /tlog/{log}/add", row(&["writer"], 409, Refused)),
        ("GET /v1/tokens", row(OPERATE, 200, Same)),
        ("POST /v1/tokens", row(OPERATE, 201, Same)),
        ("DELETE /v1/tokens/{id}", row(OPERATE, 200, Same)),
        ("GET /v1/grants", row(OPERATE, 200, Same)),
        ("POST /v1/grants", row(OPERATE, 201, Same)),
        ("DELETE /v1/grants/{id}", row(OPERATE, 200, Same)),
        ("GET /v1/pending", row(OPERATE, 200, Same)),
        ("POST /v1/pending/{id}/approve", row(OPERATE, 200, Same)),
        ("POST /v1/pending/{id}/reject", row(OPERATE, 200, Same)),
        ("GET /v1/policy", row(OPERATE, 200, Same)),
        // It concerns all logs: an operator of one may not.
        ("PUT /v1/policy", row(&[], 200, Same)),
        ("GET /v1/whoami", row(ALL, 200, Same)),
        ("GET /metrics", row(&["operator", "verifier"], 200, Same)),
        ("GET /healthz", row(ALL, 200, Same)),
        ("GET /readyz", row(ALL, 200, Same)),
        ("GET /openapi.json", row(ALL, 200, Same)),
    ]
    .into()
}

/// A server with logs `prod` and `other`, in each record 0 of tenant a, record 1 of
/// tenant b, record 2 an attachment, and three persons who manage everything.
struct Fixture {
    server: TestServer,
    sha256: String,
}

fn of_tenant(id: &str, tenant: &str) -> String {
    event(id).replace("\"action\"", &format!("\"tenant\":\"{tenant}\",\"action\""))
}

impl Fixture {
    async fn new(server: TestServer) -> Self {
        let mut sha256 = String::new();
        for log in ["prod", "other"] {
            let create =
                server.request(Method::POST, "/v1/logs").body(json!({ "name": log }).to_string());
            assert_eq!(server.call(create).await.0, StatusCode::CREATED);
            let large = of_tenant("large", "a").replace("a.b", &"x".repeat(70_000));
            let events = format!("[{},{},{large}]", of_tenant("a", "a"), of_tenant("b", "b"));
            let append =
                server.request(Method::POST, &format!("/v1/logs/{log}/events")).body(events);
            let (status, body) = server.call(append).await;
            assert_eq!(status, StatusCode::OK, "{body}");
            let record = server.get(&format!("/v1/logs/{log}/records/2")).await.1;
            sha256 = record["attachment"]["sha256"].as_str().unwrap().to_owned();
        }
        let policy = json!({ "two_person": ["publish"], "pending_hours": 1 });
        let change = server.request(Method::PUT, "/v1/policy").body(policy.to_string());
        let (status, body) = server.call(change).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        Self { server, sha256 }
    }

    /// The request of one cell, on `log` and `record`.
    async fn request(
        &self,
        token: Option<&str>,
        route: &Rule,
        log: &str,
        record: u64,
    ) -> RequestBuilder {
        let id = self.entry(route, log).await;
        // Views belong to whoever saved them: each credential has its own name.
        let view = format!(
            "of-{}",
            token
                .and_then(|token| token.get(4..12))
                .filter(|id| id.is_ascii() && !id.contains('.'))
                .unwrap_or("nobody")
        );
        if let ("DELETE", Some(token), true) = (route.method, token, route.path.ends_with("{view}"))
        {
            // One of the caller's own; who may not save one has none to delete.
            let path = format!("/v1/logs/{log}/views/{view}");
            let save = self.server.as_token(token, Method::PUT, &path).json(&json!({ "q": "x" }));
            self.server.call(save).await;
        }
        let export = match token {
            Some(token) if route.path.contains("{export}") => self.export(token, log).await,
            _ => "exp-none".to_owned(),
        };
        let path = route
            .path
            .replace("{log}", log)
            .replace("{export}", &export)
            .replace("{record}", &record.to_string())
            .replace("{sha256}", &self.sha256)
            .replace("entries/{*path}", "entries/000.p/1")
            .replace("{*path}", "0/000.p/1")
            .replace("{view}", &view)
            .replace("{id}", &id);
        let query = if route.path.ends_with("consistency") { "?from=1" } else { "" };
        let method: Method = route.method.parse().unwrap();
        let path = format!("{path}{query}");
        let request = match token {
            Some(token) => self.server.as_token(token, method, &path),
            None => self.server.bare(method, &path),
        };
        let tenant = if record == 1 { "b" } else { "a" };
        let body = match (route.method, route.path) {
            ("POST", "/v1/logs") => json!({ "name": log }).to_string(),
            ("PATCH", _) => json!({ "public": false }).to_string(),
            ("POST", "/v1/logs/{log}/events") => of_tenant(&format!("{tenant}-again"), tenant),
            ("POST", "/v1/facets" | "/v1/logs/{log}/facets") => {
                json!({ "fields": ["tenant"] }).to_string()
            }
            ("POST", "/v1/histogram" | "/v1/logs/{log}/histogram") => {
                json!({ "interval": "1d" }).to_string()
            }
            ("POST", "/v1/tokens") => {
                json!({ "name": "cell", "grants": [{ "role": "reader", "log": log }] }).to_string()
            }
            ("POST", "/v1/grants") => {
                json!({ "subject": "group:cell", "grant": { "role": "reader", "log": log } })
                    .to_string()
            }
            ("PUT", "/v1/logs/{log}/views/{view}") => json!({ "q": "actor:ada" }).to_string(),
            ("PUT", _) => json!({ "two_person": ["publish"], "pending_hours": 1 }).to_string(),
            _ => String::new(),
        };
        request.body(body)
    }

    /// An export of the caller's own, if it may have one.
    async fn export(&self, token: &str, log: &str) -> String {
        let path = format!("/v1/logs/{log}/exports");
        let start = self.server.as_token(token, Method::POST, &path).json(&json!({}));
        let (_, started) = self.server.call(start).await;
        let Some(id) = started["id"].as_str() else { return "exp-none".to_owned() };
        loop {
            let look = self.server.as_token(token, Method::GET, &format!("{path}/{id}"));
            let (status, export) = self.server.call(look).await;
            assert_eq!(status, StatusCode::OK, "{export}");
            match export["state"].as_str() {
                Some("running") => tokio::time::sleep(Duration::from_millis(5)).await,
                state => {
                    assert_eq!(state, Some("done"), "{export}");
                    return id.to_owned();
                }
            }
        }
    }

    /// Makes what a path with an id is about, concerning `log`.
    async fn entry(&self, route: &Rule, log: &str) -> String {
        let server = &self.server;
        if route.path.starts_with("/v1/tokens/{id}") {
            return server.issue_named("cell", &[&format!("reader:{log}")]).await.0;
        }
        let (method, path, body) = if route.path.starts_with("/v1/grants/{id}") {
            let body = json!({ "subject": "group:x", "grant": { "role": "reader", "log": log } });
            (Method::POST, "/v1/grants".to_owned(), body)
        } else if route.path.starts_with("/v1/pending/{id}") {
            (Method::PATCH, format!("/v1/logs/{log}"), json!({ "public": true }))
        } else {
            return String::new();
        };
        let (status, made) =
            server.call(server.request(method, &path).body(body.to_string())).await;
        assert!(status.is_success(), "{made}");
        let id = if made["pending"].is_string() { &made["pending"] } else { &made["id"] };
        id.as_str().unwrap().to_owned()
    }

    async fn answer(
        &self,
        token: Option<&str>,
        route: &Rule,
        log: &str,
        record: u64,
    ) -> (u16, Value) {
        let request = self.request(token, route, log, record).await;
        if route.path.ends_with("/tail") {
            // It has no end: what counts is that it begins, or why it does not.
            let answer = request.send().await.unwrap();
            return match answer.status().as_u16() {
                200 => (200, answer.headers()["content-type"].to_str().unwrap().into()),
                status => (status, answer.json().await.unwrap()),
            };
        }
        let (status, body) = self.server.call(request).await;
        (status.as_u16(), body)
    }
}

fn check(cell: &str, found: &(u16, Value), status: u16, code: Option<&str>) {
    assert_eq!(found.0, status, "{cell}: {}", found.1);
    if let Some(code) = code {
        assert_eq!(found.1["code"], code, "{cell}: {}", found.1);
        let said = found.1["message"].as_str().unwrap_or_default();
        assert!(said.len() > 10 && found.1["request_id"].is_string(), "{cell}: {}", found.1);
    }
}

fn name(route: &Rule) -> String {
    format!("{} {}", route.method, route.path)
}

/// Answers are the same whether a log is not the caller's business or does not exist.
fn anonymous(body: &Value, log: &str) -> String {
    let mut body = body.clone();
    body["request_id"] = Value::Null;
    body.to_string().replace(log, "LOG")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_has_a_row_and_every_row_a_route() {
    let rows = rows();
    let mut routes: Vec<String> = ROUTES.iter().map(|route| &route.rule).map(name).collect();
    routes.sort();
    let rows: Vec<String> = rows.keys().map(|name| (*name).to_owned()).collect();
    assert_eq!(routes, rows);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_on_their_log_and_on_another() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = Fixture::new(TestServer::start(&config(folder.path())).await.unwrap()).await;
    let mut tokens = BTreeMap::new();
    for role in ALL {
        tokens.insert(*role, fixture.server.issue(&[&format!("{role}:prod")]).await);
    }
    let nothing = fixture.server.issue(&["reader:elsewhere"]).await;
    let everything = fixture.server.operator.clone();
    for route in ROUTES.iter().map(|route| &route.rule) {
        let rows = rows();
        let row = &rows[name(route).as_str()];
        let public = route.permission == Permission::Public;
        // Of whoever asks: nothing, if it may see nothing.
        let known = matches!(route.permission, Permission::Known | Permission::Public);
        let names_log = route.path.contains("{log}");
        for role in ALL {
            let cell = format!("{} as {role}", name(route));
            let token = Some(tokens[role].as_str());
            let own = fixture.answer(token, route, "prod", 0).await;
            match row.roles.contains(role) || public {
                true if row.status == 409 => check(&cell, &own, 409, own.1["code"].as_str()),
                true => {
                    check(&cell, &own, row.status, None);
                    let empty = own.1.is_null() || own.1 == "" || own.1["code"].is_string();
                    assert!(!empty, "{cell}: {}", own.1);
                }
                false => check(&cell, &own, 403, Some("forbidden")),
            }
            if names_log {
                let other = fixture.answer(token, route, "other", 0).await;
                check(&format!("{cell}, another log"), &other, 404, Some("log_not_found"));
                let missing = fixture.answer(token, route, "missing", 0).await;
                assert_eq!(
                    anonymous(&other.1, "other"),
                    anonymous(&missing.1, "missing"),
                    "{cell}"
                );
            } else if route.method != "GET" && *role == "operator" && !known {
                // What is about another log is refused, or not there.
                let other = fixture.answer(token, route, "other", 0).await;
                assert!(matches!(other.0, 403 | 404), "{cell}, another log: {other:?}");
            }
        }
        // Who manages everything still sees no events; who has nothing here, nothing.
        let cell = format!("{} as operator of everything", name(route));
        let found = fixture.answer(Some(&everything), route, "other", 0).await;
        let may = public || row.roles.contains(&"operator") || route.path == "/v1/policy";
        match may {
            true => check(&cell, &found, row.status, None),
            false => check(&cell, &found, 403, Some("forbidden")),
        }
        let cell = format!("{} as nobody's reader", name(route));
        let found = fixture.answer(Some(&nothing), route, "prod", 0).await;
        match (known, names_log) {
            (true, _) => check(&cell, &found, 200, None),
            (false, true) => check(&cell, &found, 404, Some("log_not_found")),
            (false, false) => check(&cell, &found, 403, Some("forbidden")),
        }
    }
    fixture.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_are_apart() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = Fixture::new(TestServer::start(&config(folder.path())).await.unwrap()).await;
    for role in ["writer", "reader", "auditor"] {
        let token = fixture.server.issue(&[&format!("{role}:prod@a")]).await;
        for route in ROUTES.iter().map(|route| &route.rule) {
            let rows = rows();
            let row = &rows[name(route).as_str()];
            if !row.roles.contains(&role) {
                continue;
            }
            let cell = format!("{} as {role}@a", name(route));
            let own = fixture.answer(Some(&token), route, "prod", 0).await;
            let other = fixture.answer(Some(&token), route, "prod", 1).await;
            let appends = route.permission == Permission::Append;
            match row.tenant {
                // Raw entries have no tenant.
                Tenant::Refused if route.path.starts_with("/tlog/") => {
                    check(&cell, &own, 403, Some("forbidden"));
                }
                Tenant::Refused if appends => {
                    check(&cell, &own, row.status, None);
                    check(&cell, &other, 403, Some("forbidden"));
                    assert_eq!(other.1["member"], "tenant");
                }
                Tenant::Refused => check(&cell, &own, 403, Some("forbidden")),
                Tenant::Hidden => {
                    check(&cell, &own, row.status, None);
                    check(&cell, &other, 404, Some("record_not_found"));
                    // By its id it does not exist either.
                    let path = route.path.replace("{log}", "prod").replace("{record}", "id:b");
                    let by_id = fixture.server.as_token(&token, Method::GET, &path);
                    let by_id = fixture.server.call(by_id).await;
                    check(&cell, &(by_id.0.as_u16(), by_id.1), 404, Some("record_not_found"));
                }
                Tenant::Same => {
                    check(&cell, &own, row.status, None);
                    check(&cell, &other, row.status, None);
                }
            }
            if route.path == "/v1/logs/{log}/events" && route.method == "GET" {
                for order in ["asc", "desc"] {
                    let path = format!("/v1/logs/prod/events?order={order}");
                    let page = fixture.server.as_token(&token, Method::GET, &path);
                    let page = fixture.server.call(page).await.1;
                    let tenants: Vec<_> = page["items"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .map(|item| &item["event"]["tenant"])
                        .collect();
                    assert!(
                        tenants.len() >= 2 && tenants.iter().all(|tenant| *tenant == "a"),
                        "{page}"
                    );
                }
            }
        }
    }
    fixture.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_that_do_not_work() {
    let folder = tempfile::tempdir().unwrap();
    let clock = TestClock::at("2026-03-01T12:00:00Z");
    let mut config = config(folder.path());
    config.log.clock = clock.clone();
    let fixture = Fixture::new(TestServer::start(&config).await.unwrap()).await;
    // Operator would take a second person here.
    let every = ALL.iter().filter(|role| **role != "operator");
    let every: Vec<_> = every.map(|role| json!({ "role": role, "log": "*" })).collect();
    let body = json!({ "name": "short", "grants": every, "expires_at": "2026-03-01T13:00:00Z" });
    let request = fixture.server.request(Method::POST, "/v1/tokens").body(body.to_string());
    let expiring = fixture.server.call(request).await.1["token"].as_str().unwrap().to_owned();
    let (id, revoked) =
        fixture.server.issue_named("gone", &["reader:*", "writer:*", "verifier:*"]).await;
    let works = |token: String| {
        let request = fixture.server.as_token(&token, Method::GET, "/v1/whoami");
        async { fixture.server.call(request).await.0 == StatusCode::OK }
    };
    assert!(works(expiring.clone()).await && works(revoked.clone()).await);
    let revoke = fixture.server.request(Method::DELETE, &format!("/v1/tokens/{id}"));
    assert_eq!(fixture.server.call(revoke).await.0, StatusCode::OK);
    clock.set("2026-03-01T13:00:00Z");
    let unknown = format!("ind_{}", "0".repeat(76));
    let altered = format!("{}0", &fixture.server.operator[..79]);
    let altered =
        if altered == fixture.server.operator { format!("{}1", &altered[..79]) } else { altered };
    let jwt = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.";
    let long = "x".repeat(50_000);
    let credentials = [
        ("none", None),
        ("unknown", Some(unknown.as_str())),
        ("altered", Some(altered.as_str())),
        ("malformed", Some("ind_short")),
        ("expired", Some(expiring.as_str())),
        ("revoked", Some(revoked.as_str())),
        ("a JWT where no issuer is configured", Some(jwt)),
        ("50 kB of nothing", Some(long.as_str())),
    ];
    for route in ROUTES.iter().map(|route| &route.rule) {
        for (what, token) in &credentials {
            let cell = format!("{} with {what} credential", name(route));
            let found = fixture.answer(*token, route, "prod", 0).await;
            if route.permission == Permission::Public {
                check(&cell, &found, 200, None);
            } else {
                check(&cell, &found, 401, Some("unauthenticated"));
            }
        }
    }
    fixture.server.stop().await;
}

#[tokio::test]
async fn a_public_log_shows_hashes_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&config(folder.path())).await.unwrap();
    let create = server.request(Method::POST, "/v1/logs").body(r#"{"name":"prod"}"#);
    assert_eq!(server.call(create).await.0, StatusCode::CREATED);
    server.append("", event("e")).await;
    let publish = server.request(Method::PATCH, "/v1/logs/prod").body(r#"{"public":true}"#);
    assert_eq!(server.call(publish).await.0, StatusCode::OK);
    let fixture = Fixture { server, sha256: "0".repeat(64) };
    let stranger = fixture.server.issue(&["reader:elsewhere"]).await;
    for route in ROUTES.iter().map(|route| &route.rule).filter(|route| route.path.contains("{log}"))
    {
        let found = fixture.answer(None, route, "prod", 0).await;
        let shown = [
            "GET /v1/logs/{log}/consistency",
            "GET /v1/logs/{log}/checkpoint",
            "GET /tlog/{log}/checkpoint",
            "GET /tlog/{log}/tile/{*path}",
        ];
        let (cell, is_shown) = (name(route), shown.contains(&name(route).as_str()));
        check(&cell, &found, if is_shown { 200 } else { 401 }, None);
        let found = fixture.answer(Some(&stranger), route, "prod", 0).await;
        check(&cell, &found, if is_shown { 200 } else { 404 }, None);
    }
    fixture.server.stop().await;
}
