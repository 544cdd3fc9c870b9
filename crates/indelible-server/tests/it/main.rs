//! The HTTP API from outside, over real sockets.
#![expect(clippy::unwrap_used, reason = "tests state their expectations by failing")]

mod access;
mod appending;
mod authority;
mod crash;
mod exports;
mod hostile;
mod life;
mod lifecycle;
mod matrix;
mod oidc;
mod reading;
mod search;
mod spelling;
mod tls;
mod trail;

use indelible_api::{Appended, LogInfo, ReceiptItem};
use indelible_event::Timestamp;
use indelible_log::{Clock, Options};
use indelible_server::{
    AccessConfig, Config, IndexOptions, Limits, Rates, ScrubOptions, Server, StartError,
};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;
use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};
use tokio::{sync::oneshot, task::JoinHandle};

/// A clock that stands where it is put.
#[derive(Debug)]
pub(crate) struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now_us(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

impl TestClock {
    pub(crate) fn at(time: &str) -> Arc<Self> {
        let clock = Arc::new(Self(AtomicI64::new(0)));
        clock.set(time);
        clock
    }

    pub(crate) fn set(&self, time: &str) {
        self.0.store(time.parse::<Timestamp>().unwrap().as_micros(), Ordering::SeqCst);
    }
}

/// A server on a folder, stopped when asked.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    http: reqwest::Client,
    /// A token with every role on every log, and the operator's alone.
    pub(crate) token: String,
    pub(crate) operator: String,
    stop: std::sync::Mutex<Option<oneshot::Sender<()>>>,
    task: JoinHandle<()>,
}

pub(crate) fn config(data: &Path) -> Config {
    Config {
        data: data.to_owned(),
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        site: Some("test.example".into()),
        guard: None,
        access: AccessConfig {
            bootstrap_token_file: Some(data.join("operator-token")),
            // Tests are refused on purpose.
            rates: Rates { refused: 0, ..Rates::default() },
            ..AccessConfig::default()
        },
        limits: Limits { idle: Duration::from_secs(5), ..Limits::default() },
        log: Options { journal_capacity: (4096, 1 << 20), ..Options::default() },
        index: IndexOptions { shard: 256, step: 32, fan_in: 4 },
        scrub: ScrubOptions::default(),
    }
}

impl TestServer {
    pub(crate) async fn start(config: &Config) -> Result<Self, StartError> {
        let server = Server::bind(config).await?;
        let address = server.address().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(server.run(async move { drop(stopped.await) }));
        let file = config.access.bootstrap_token_file.as_ref().unwrap();
        let operator = std::fs::read_to_string(file).unwrap().trim().to_owned();
        let mut server = Self {
            address,
            http: reqwest::Client::new(),
            token: operator.clone(),
            operator,
            stop: std::sync::Mutex::new(Some(stop)),
            task,
        };
        server.token = server.issue(&["writer:*", "auditor:*", "operator:*", "verifier:*"]).await;
        Ok(server)
    }

    /// Issues a token with these grants, as the operator.
    pub(crate) async fn issue(&self, grants: &[&str]) -> String {
        self.issue_named("test", grants).await.1
    }

    /// The same with a name; returns the id too.
    pub(crate) async fn issue_named(&self, name: &str, grants: &[&str]) -> (String, String) {
        let grants: Vec<indelible_api::Grant> =
            grants.iter().map(|text| text.parse().unwrap()).collect();
        let body = serde_json::json!({ "name": name, "grants": grants });
        let request = self.as_token(&self.operator, Method::POST, "/v1/tokens").json(&body);
        let (status, body) = self.call(request).await;
        let text = |member: &str| body[member].as_str().unwrap().to_owned();
        if status == StatusCode::ACCEPTED {
            // Two persons are needed: the other operator approves.
            let path = format!("/v1/pending/{}/approve", text("pending"));
            let (status, body) = self.call(self.request(Method::POST, &path)).await;
            assert_eq!(status, StatusCode::OK, "{body}");
        } else {
            assert_eq!(status, StatusCode::CREATED, "{body}");
        }
        (text("id"), text("token"))
    }

    /// A request with this token.
    pub(crate) fn as_token(&self, token: &str, method: Method, path: &str) -> RequestBuilder {
        self.bare(method, path).bearer_auth(token)
    }

    /// A request without a credential.
    pub(crate) fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("http://{}{path}", self.address))
    }

    /// A server with a log `prod`.
    pub(crate) async fn with_log(data: &Path) -> Self {
        let server = Self::start(&config(data)).await.unwrap();
        let (status, body) =
            server.call(server.request(Method::POST, "/v1/logs").body(r#"{"name":"prod"}"#)).await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
        server
    }

    /// Asks the server to stop, without waiting for it.
    pub(crate) fn request_stop(&self) {
        drop(self.stop.lock().unwrap().take());
    }

    pub(crate) async fn stop(self) {
        self.request_stop();
        self.task.await.unwrap();
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.as_token(&self.token, method, path)
    }

    pub(crate) async fn call(&self, request: RequestBuilder) -> (StatusCode, Value) {
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.call(self.request(Method::GET, path)).await
    }

    pub(crate) async fn text(&self, path: &str) -> String {
        let answer = self.request(Method::GET, path).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.text().await.unwrap()
    }

    pub(crate) async fn info(&self) -> LogInfo {
        serde_json::from_value(self.get("/v1/logs/prod").await.1).unwrap()
    }

    pub(crate) async fn post(
        &self,
        query: &str,
        body: impl Into<reqwest::Body>,
    ) -> (StatusCode, Value) {
        self.call(self.request(Method::POST, &format!("/v1/logs/prod/events{query}")).body(body))
            .await
    }

    /// Appends and expects receipts.
    pub(crate) async fn append(&self, query: &str, body: impl Into<reqwest::Body>) -> Appended {
        let (status, body) = self.post(query, body).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        serde_json::from_value(body).unwrap()
    }

    /// Sends a request and expects an error with this code.
    #[track_caller]
    pub(crate) fn check_error(answer: &(StatusCode, Value), status: u16, code: &str) -> Value {
        let (found, body) = answer;
        assert_eq!((found.as_u16(), body["code"].as_str()), (status, Some(code)), "{body}");
        assert!(body["message"].as_str().is_some_and(|text| text.len() > 10), "{body}");
        assert!(body["request_id"].as_str().is_some_and(|id| !id.is_empty()), "{body}");
        body.clone()
    }
}

pub(crate) fn event(id: &str) -> String {
    format!(
        r#"{{"id":"{id}","time":"2026-03-01T12:00:00Z","action":"a.b","actor":{{"type":"user","id":"ada"}},"outcome":{{"result":"success"}}}}"#
    )
}

pub(crate) fn receipt(item: &ReceiptItem) -> &indelible_api::Receipt {
    match item {
        ReceiptItem::Receipt(receipt) => receipt,
        ReceiptItem::Refused { error } => panic!("refused: {error:?}"),
    }
}
