//! OpenID Connect: a real provider (npm `oidc-provider`), and an issuer of our own that
//! can do everything wrong.

use crate::{TestClock, TestServer, config};
use axum::{Json, Router, routing::get};
use indelible_server::{Config, OidcConfig};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, jwk::Jwk};
use parking_lot::Mutex;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::{path::Path, process::Stdio, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

const AUDIENCE: &str = "https://log.example.com";

fn with_issuer(data: &Path, issuer: &str) -> Config {
    let mut config = config(data);
    let oidc = OidcConfig::new(issuer, AUDIENCE);
    config.access.oidc = Some(OidcConfig { refetch: Duration::from_millis(200), ..oidc });
    config
}

/// A server that lets investigators read `prod`.
async fn server_for(config: &Config) -> TestServer {
    let server = TestServer::start(config).await.unwrap();
    let create = server.request(Method::POST, "/v1/logs").body(r#"{"name":"prod"}"#);
    assert_eq!(server.call(create).await.0, StatusCode::CREATED);
    let grant =
        json!({ "subject": "group:investigators", "grant": { "role": "reader", "log": "prod" } });
    let add = server.request(Method::POST, "/v1/grants").json(&grant);
    assert_eq!(server.call(add).await.0, StatusCode::CREATED);
    server
}

async fn read_with(server: &TestServer, token: &str) -> (StatusCode, Value) {
    server.call(server.as_token(token, Method::GET, "/v1/logs/prod/events")).await
}

/// The provider of tests/oidc, in a process of its own.
struct Provider {
    _child: Child,
    issuer: String,
}

impl Provider {
    async fn start(port: u16, kind: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oidc");
        assert!(
            folder.join("node_modules").exists(),
            "the OpenID provider is not installed: run `cargo xtask test`, or `npm ci` in {}",
            folder.display()
        );
        let mut child = Command::new("node")
            .args(["provider.mjs", &port.to_string(), kind])
            .current_dir(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let issuer = lines.next_line().await.unwrap().unwrap();
        Self { _child: child, issuer }
    }

    async fn token(&self) -> String {
        let answer: Value = reqwest::Client::new()
            .post(format!("{}/token", self.issuer))
            .basic_auth("ada", Some("a-secret-of-the-test"))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!("grant_type=client_credentials&scope=log&resource={AUDIENCE}"))
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        answer["access_token"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    fn port(&self) -> u16 {
        self.issuer.rsplit(':').next().unwrap().parse().unwrap()
    }
}

#[tokio::test]
async fn a_real_provider_its_groups_and_its_new_keys() {
    let folder = tempfile::tempdir().unwrap();
    let provider = Provider::start(0, "RS256").await;
    let server = server_for(&with_issuer(folder.path(), &provider.issuer)).await;
    let token = provider.token().await;
    let (status, body) = read_with(&server, &token).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let me = server.call(server.as_token(&token, Method::GET, "/v1/whoami")).await.1;
    assert_eq!(me["principal"], "oidc:ada");
    assert_eq!(me["groups"], json!(["group:investigators", "group:staff"]));
    // Only what its groups may: not append, not see other logs.
    let append = server.as_token(&token, Method::POST, "/v1/logs/prod/events").body("{}");
    TestServer::check_error(&server.call(append).await, 403, "forbidden");
    let trail = server.get("/v1/logs/_access/events?order=desc&limit=20").await.1;
    assert!(
        trail.to_string().contains("\"oidc:ada\"") && !trail.to_string().contains(&token[..20])
    );
    // The provider comes back with other keys, and of another kind.
    let port = provider.port();
    drop(provider);
    let (status, body) = read_with(&server, &token).await;
    assert_eq!(status, StatusCode::OK, "keys that were fetched go on working: {body}");
    let provider = Provider::start(port, "ES256").await;
    let renewed = provider.token().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(read_with(&server, &renewed).await.0, StatusCode::OK);
    // What the old key signed is of a key unknown to the issuer now.
    TestServer::check_error(&read_with(&server, &token).await, 401, "unauthenticated");
    server.stop().await;
}

/// An issuer whose documents can be changed.
struct Issuer {
    url: String,
    documents: Arc<Mutex<(Value, Value)>>,
    key: EncodingKey,
    jwk: Value,
    task: tokio::task::JoinHandle<()>,
}

fn new_key(kid: &str) -> (EncodingKey, Value) {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let key = EncodingKey::from_ec_der(pair.serialized_der());
    let mut jwk =
        serde_json::to_value(Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap()).unwrap();
    jwk["kid"] = kid.into();
    (key, jwk)
}

impl Issuer {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (key, jwk) = new_key("k1");
        let discovery = json!({ "issuer": url, "jwks_uri": format!("{url}/jwks") });
        let documents = Arc::new(Mutex::new((discovery, json!({ "keys": [jwk] }))));
        let (first, second) = (Arc::clone(&documents), Arc::clone(&documents));
        let router = Router::new()
            .route(
                "/.well-known/openid-configuration",
                get(async move || Json(first.lock().0.clone())),
            )
            .route("/jwks", get(async move || Json(second.lock().1.clone())));
        let service = hyper_util::service::TowerToHyperService::new(router);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let io = hyper_util::rt::TokioIo::new(stream);
                let connection = hyper::server::conn::http1::Builder::new();
                tokio::spawn(connection.serve_connection(io, service.clone()));
            }
        });
        Self { url, documents, key, jwk, task }
    }

    fn claims(&self) -> Value {
        // 2026-03-01T12:00:00Z, valid for ten minutes.
        json!({ "iss": self.url, "aud": AUDIENCE, "sub": "ada", "iat": 1_772_366_400,
            "exp": 1_772_367_000, "groups": ["investigators"] })
    }

    fn header(kid: &str) -> Header {
        Header { kid: Some(kid.into()), ..Header::new(Algorithm::ES256) }
    }

    fn sign(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut claims = self.claims();
        change(&mut claims);
        encode(&Self::header("k1"), &claims, &self.key).unwrap()
    }
}

fn base64(value: &Value) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string())
}

#[tokio::test]
async fn tokens_that_must_not_be_taken() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = Issuer::start().await;
    let mut config = with_issuer(folder.path(), &issuer.url);
    let clock = TestClock::at("2026-03-01T12:05:00Z");
    config.log.clock = clock.clone();
    let server = server_for(&config).await;
    let good = issuer.sign(|_| {});
    assert_eq!(read_with(&server, &good).await.0, StatusCode::OK);
    let (other_key, _) = new_key("k1");
    let secret = EncodingKey::from_secret(issuer.jwk["x"].as_str().unwrap().as_bytes());
    let confused = Header { kid: Some("k1".into()), ..Header::new(Algorithm::HS256) };
    let none =
        format!("{}.{}.", base64(&json!({ "alg": "none", "kid": "k1" })), base64(&issuer.claims()));
    let (head, rest) = good.split_once('.').unwrap();
    let (body, signature) = rest.split_once('.').unwrap();
    let mut root = issuer.claims();
    root["sub"] = "root".into();
    let without = |member: &'static str| {
        move |claims: &mut Value| drop(claims.as_object_mut().unwrap().remove(member))
    };
    let set = |member: &'static str, value: Value| move |claims: &mut Value| claims[member] = value;
    let cases = [
        ("alg none", none),
        ("no signature", format!("{head}.{body}.")),
        ("altered claims", format!("{head}.{}.{signature}", base64(&root))),
        (
            "another key with the same kid",
            encode(&Issuer::header("k1"), &issuer.claims(), &other_key).unwrap(),
        ),
        ("algorithm confusion", encode(&confused, &issuer.claims(), &secret).unwrap()),
        ("unknown kid", encode(&Issuer::header("k9"), &issuer.claims(), &issuer.key).unwrap()),
        ("no kid", encode(&Header::new(Algorithm::ES256), &issuer.claims(), &issuer.key).unwrap()),
        ("another audience", issuer.sign(set("aud", "https://else".into()))),
        ("another issuer", issuer.sign(set("iss", "https://else".into()))),
        ("no audience", issuer.sign(without("aud"))),
        ("no subject", issuer.sign(without("sub"))),
        ("a subject with control characters", issuer.sign(set("sub", "a\u{7}b".into()))),
        (
            "critical members",
            encode(
                &Header { crit: Some(vec!["x".to_owned()]), ..Issuer::header("k1") },
                &issuer.claims(),
                &issuer.key,
            )
            .unwrap(),
        ),
        ("empty subject", issuer.sign(set("sub", "".into()))),
        ("no expiry", issuer.sign(without("exp"))),
        ("expired", issuer.sign(set("exp", (1_772_366_640).into()))),
        ("not valid yet", issuer.sign(set("nbf", (1_772_366_800).into()))),
        ("huge", issuer.sign(set("padding", "x".repeat(20_000).into()))),
        ("three dots", "eyJ.eyJ.eyJ".to_owned()),
        ("bytes", "\u{7f}eyJ".replace('\u{7f}', "~")),
    ];
    for (what, token) in cases {
        let (status, body) = read_with(&server, &token).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{what}: {body}");
        assert_eq!(body["code"], "unauthenticated", "{what}");
    }
    // Times are numbers of any form (RFC 7519 §2), and optional claims of any type.
    for (member, value) in [
        ("exp", json!(1_772_367_000.25)),
        ("exp", json!(1.772_367e9)),
        ("iat", json!(1_772_366_400.123_456)),
        ("nbf", json!(1_772_366_400.5)),
        ("name", json!(5)),
        ("email", json!(["a", "b"])),
        ("groups", json!("investigators")),
    ] {
        let token = issuer.sign(set(member, value.clone()));
        assert_eq!(read_with(&server, &token).await.0, StatusCode::OK, "{member}: {value}");
    }
    for (member, value) in [("exp", json!("soon")), ("exp", json!(1_772_366_639.9))] {
        let token = issuer.sign(set(member, value.clone()));
        assert_eq!(
            read_with(&server, &token).await.0,
            StatusCode::UNAUTHORIZED,
            "{member}: {value}"
        );
    }
    // The reasons are in the trail, for whoever must find out why.
    let trail = server.get("/v1/logs/_access/events?order=desc&limit=100").await.1.to_string();
    for reason in [
        "expired JWT",
        "not valid yet",
        "unknown to the issuer",
        "algorithm",
        "more than 16384",
        "InvalidAudience",
    ] {
        assert!(trail.contains(reason), "{reason}");
    }
    // A minute of difference between the clocks is forgiven, no more.
    for (now, status) in [
        ("2026-03-01T11:59:01Z", 200),
        ("2026-03-01T11:58:59Z", 401),
        ("2026-03-01T12:10:59Z", 200),
        ("2026-03-01T12:11:00Z", 401),
    ] {
        clock.set(now);
        assert_eq!(read_with(&server, &good).await.0.as_u16(), status, "{now}");
    }
    issuer.task.abort();
    server.stop().await;
}

#[tokio::test]
async fn an_issuer_that_cannot_be_reached_or_lies() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = Issuer::start().await;
    let mut config = with_issuer(folder.path(), &issuer.url);
    config.log.clock = TestClock::at("2026-03-01T12:05:00Z");
    let sound = issuer.documents.lock().clone();
    let server = server_for(&config).await;
    let good = issuer.sign(|_| {});
    for documents in [
        (
            json!({ "issuer": "https://else", "jwks_uri": format!("{}/jwks", issuer.url) }),
            sound.1.clone(),
        ),
        (json!("nothing"), sound.1.clone()),
        (sound.0.clone(), json!({ "keys": "none" })),
    ] {
        *issuer.documents.lock() = documents;
        tokio::time::sleep(Duration::from_millis(250)).await;
        let answer = read_with(&server, &good).await;
        TestServer::check_error(&answer, 503, "issuer_unavailable");
    }
    *issuer.documents.lock() = sound;
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert_eq!(read_with(&server, &good).await.0, StatusCode::OK);
    // Gone: what was fetched goes on working, and tokens of ours do not need it.
    issuer.task.abort();
    *issuer.documents.lock() = (Value::Null, Value::Null);
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert_eq!(read_with(&server, &good).await.0, StatusCode::OK);
    assert_eq!(server.get("/v1/logs/prod/events").await.0, StatusCode::OK);
    server.stop().await;
}
