//! Acts whose caller goes away: whatever the moment, what is in force is what
//! `_control` says, and the world agrees with both.
#![expect(clippy::unwrap_used, reason = "tests state their expectations by failing")]

use super::{
    Controller,
    effects::Effects,
    error::ControlError,
    event::Author,
    fold::{Control, LogEntry},
    fold_rest,
    key::KeyReplaced,
    log::LogCreated,
    principal::{Asker, Principal},
    system::ServerStopped,
};
use crate::{
    AccessConfig, Config, IndexOptions, Limits, Rates, ScrubOptions, app::App, http::wrap::wrap,
    table,
};
use axum::{Router, body::Body, http::Request};
use http_body_util::BodyExt as _;
use indelible_log::{Batch, Kind, LogError, Options};
use serde_json::{Value, json};
use std::{
    path::Path,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
};
use tower::ServiceExt as _;

fn config(data: &Path) -> Config {
    Config {
        data: data.to_owned(),
        listen: ([127, 0, 0, 1], 0).into(),
        site: Some("test.example".into()),
        guard: None,
        access: AccessConfig {
            bootstrap_token_file: Some(data.join("operator-token")),
            rates: Rates { refused: 0, ..Rates::default() },
            ..AccessConfig::default()
        },
        limits: Limits::default(),
        log: Options { journal_capacity: (4096, 1 << 20), ..Options::default() },
        index: IndexOptions { shard: 256, step: 32, fan_in: 4 },
        scrub: ScrubOptions::default(),
    }
}

fn router_of(app: &Arc<App>) -> Router {
    wrap(Arc::clone(app), table::build(app))
}

/// A server without its sockets.
struct Site {
    app: Arc<App>,
    router: Router,
    /// Tokens that manage everything; the first also reads.
    first: String,
    second: String,
}

impl Site {
    async fn open(data: &Path) -> Self {
        let config = config(data);
        let app = Arc::new(App::open(&config).unwrap());
        app.begin(&config, None).await.unwrap();
        let router = router_of(&app);
        let operator = std::fs::read_to_string(data.join("operator-token")).unwrap();
        let mut site = Self { app, router, first: operator.trim().into(), second: String::new() };
        let every = json!([{ "role": "operator", "log": "*" }, { "role": "reader", "log": "*" }]);
        for name in ["second", "first"] {
            let body = json!({ "name": name, "grants": every });
            let made = site.call("POST", "/v1/tokens", &body).await;
            let token = made["token"].as_str().unwrap().to_owned();
            *(if name == "first" { &mut site.first } else { &mut site.second }) = token;
        }
        site
    }

    fn request(&self, token: &str, method: &str, path: &str, body: &Value) -> Request<Body> {
        Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()))
            .unwrap()
    }

    /// A request by the first operator that is answered and does what it says.
    async fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let request = self.request(&self.first, method, path, body);
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let status = answer.status();
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&bytes).unwrap();
        assert!(status.is_success(), "{method} {path}: {status} {body}");
        body
    }

    /// What is in force is the fold, and every log is open and signs with its newest key.
    async fn agrees(&self, about: &str) -> Control {
        // What has begun holds the lock until it is done, and what is in the log's queue
        // comes before an empty batch. Nothing here may make up for what is missing.
        drop(self.app.control.writer.lock().await);
        self.app.log("_control").unwrap().submit(Batch::new()).await.unwrap();
        let control = Control::clone(&self.app.control.current());
        let mut fold = Control::default();
        fold_rest(&self.app.log("_control").unwrap(), &mut fold).unwrap();
        assert_eq!(fold, control, "{about}");
        assert_eq!(self.app.control.misfits(), super::Misfits::default(), "{about}");
        for (name, entry) in &control.logs {
            let log = self.app.log(name).unwrap_or_else(|_| panic!("{about}: {name} is not open"));
            let keys: Vec<_> = log.verifying_keys().iter().map(ToString::to_string).collect();
            let said: Vec<_> = entry.keys.iter().map(|(vkey, _)| vkey.clone()).collect();
            assert_eq!(keys, said, "{about}: {name}");
        }
        control
    }

    /// Starts again on the same directory; the configuration must be the same.
    async fn restart(self, data: &Path, expected: &Control) -> Self {
        let Self { app, router, first, second } = self;
        app.close();
        drop((app, router));
        let app = Arc::new(App::open(&config(data)).unwrap());
        assert_eq!(*app.control.current(), *expected);
        let router = router_of(&app);
        let site = Self { app, router, first, second };
        site.agrees("after a restart").await;
        site
    }

    fn close(self) {
        self.app.close();
    }
}

/// Polls a future at most `polls` times, and drops it then. Whether it ended.
async fn drop_after<F: Future>(future: F, polls: usize) -> bool {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(move |context| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(_) => Poll::Ready(true),
            // Dropped at once, without waiting for what it waits for.
            Poll::Pending if left == 0 => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Everything that can be asked for. What it is about is made first, anew each time.
const ACTS: &[&str] = &[
    "create log",
    "publish",
    "rotate key",
    "issue",
    "revoke",
    "grant",
    "remove grant",
    "policy",
    "save view",
    "delete view",
    "propose",
    "approve",
    "approve key",
    "reject",
];

/// The request of an act, number `n` of its kind.
async fn prepared(site: &Site, act: &str, n: usize) -> Request<Body> {
    let reader = json!({ "role": "reader", "log": "prod" });
    let operator = json!({ "name": "t", "grants": [{ "role": "operator", "log": "prod" }] });
    let none = json!({});
    let two = |acts: Value| json!({ "two_person": acts, "pending_hours": 24 });
    let view = format!("/v1/logs/prod/views/v{n}");
    let pending = async |path: &str, body: &Value| {
        let made = site.call("POST", path, body).await;
        format!("/v1/pending/{}", made["pending"].as_str().unwrap())
    };
    let (method, path, body) = match act {
        "create log" => ("POST", "/v1/logs".to_owned(), json!({ "name": format!("log-{n}") })),
        "publish" => {
            ("PATCH", "/v1/logs/prod".to_owned(), json!({ "public": n.is_multiple_of(2) }))
        }
        "rotate key" => ("POST", "/v1/logs/prod/keys".to_owned(), none),
        "issue" => ("POST", "/v1/tokens".to_owned(), json!({ "name": "t", "grants": [reader] })),
        "revoke" => {
            let body = json!({ "name": "t", "grants": [reader] });
            let made = site.call("POST", "/v1/tokens", &body).await;
            ("DELETE", format!("/v1/tokens/{}", made["id"].as_str().unwrap()), none)
        }
        "grant" => {
            ("POST", "/v1/grants".to_owned(), json!({ "subject": "group:a", "grant": reader }))
        }
        "remove grant" => {
            let body = json!({ "subject": "group:a", "grant": reader });
            let made = site.call("POST", "/v1/grants", &body).await;
            ("DELETE", format!("/v1/grants/{}", made["id"].as_str().unwrap()), none)
        }
        "policy" => {
            ("PUT", "/v1/policy".to_owned(), json!({ "two_person": [], "pending_hours": n + 1 }))
        }
        "save view" => ("PUT", view, json!({ "q": "actor:ada" })),
        "delete view" => {
            site.call("PUT", &view, &json!({ "q": "actor:ada" })).await;
            ("DELETE", view, none)
        }
        _ => {
            // From here on two persons are needed.
            site.call("PUT", "/v1/policy", &two(json!(["replace_key"]))).await;
            match act {
                "propose" => ("POST", "/v1/tokens".to_owned(), operator),
                "approve" => {
                    let path = pending("/v1/tokens", &operator).await;
                    ("POST", format!("{path}/approve"), none)
                }
                "approve key" => {
                    let path = pending("/v1/logs/prod/keys", &none).await;
                    ("POST", format!("{path}/approve"), none)
                }
                "reject" => {
                    let path = pending("/v1/tokens", &operator).await;
                    ("POST", format!("{path}/reject"), none)
                }
                other => panic!("no act {other}"),
            }
        }
    };
    let who = if path.starts_with("/v1/pending") { &site.second } else { &site.first };
    site.request(who, method, &path, &body)
}

#[tokio::test]
async fn whoever_asked_may_go_away_at_any_moment() {
    let folder = tempfile::tempdir().unwrap();
    let mut site = Site::open(folder.path()).await;
    site.call("POST", "/v1/logs", &json!({ "name": "prod" })).await;
    for act in ACTS {
        let mut begun = 0;
        for polls in 0.. {
            let request = prepared(&site, act, polls).await;
            let before = site.app.control.current().size;
            let ended = drop_after(site.router.clone().oneshot(request), polls).await;
            let control = site.agrees(&format!("{act}, dropped after {polls} polls")).await;
            begun += usize::from(control.size > before);
            if ended {
                break;
            }
        }
        // At the latest the poll before the end found the act begun.
        assert!(begun >= 2, "{act}: the request was never dropped in the middle of the act");
        // And so it is after a restart.
        let control = site.agrees(act).await;
        site = site.restart(folder.path(), &control).await;
    }
    site.close();
}

/// What stands in `_control` and is not in force, because the end of its write was not
/// seen, is in force before the next act is looked at.
#[tokio::test]
async fn what_is_behind_is_folded_first() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::open(folder.path()).await;
    let control: &Controller = &site.app.control;
    let behind = control.current();
    let made = site.call("POST", "/v1/logs", &json!({ "name": "prod" })).await;
    site.call("POST", "/v1/logs/prod/keys", &json!({})).await;
    assert_eq!(made["name"], "prod");
    *control.state.control.write() = behind;
    assert!(!control.current().logs.contains_key("prod"));
    site.call("PATCH", "/v1/logs/prod", &json!({ "public": true })).await;
    let control = site.agrees("behind").await;
    assert!(control.logs["prod"].public && control.logs["prod"].keys.len() == 2);
    site.close();
}

/// Effects that fail while they are told to.
#[derive(Debug)]
struct Failing {
    site: Arc<crate::site::Site>,
    fails: AtomicBool,
}

impl Failing {
    fn fail(&self) -> Result<(), LogError> {
        match self.fails.load(Ordering::SeqCst) {
            true => Err(LogError::Invalid("told to fail".into())),
            false => Ok(()),
        }
    }
}

impl Effects for Failing {
    fn new_log(&self, log: &str, kind: Kind) -> Result<String, LogError> {
        self.site.new_log(log, kind)
    }

    fn new_key(&self, log: &str) -> Result<String, LogError> {
        self.fail()?;
        self.site.new_key(log)
    }

    fn agree(&self, log: &str, entry: &LogEntry) -> Result<(), LogError> {
        self.fail()?;
        self.site.agree(log, entry)
    }
}

/// An effect that fails leaves the act done, says so, and is made with the next act;
/// what cannot be prepared is not done.
#[tokio::test]
async fn effects_that_fail_are_made_later() {
    let folder = tempfile::tempdir().unwrap();
    let server = Site::open(folder.path()).await;
    let effects =
        Arc::new(Failing { site: Arc::clone(&server.app.site), fails: AtomicBool::new(false) });
    let log = server.app.log("_control").unwrap();
    let control = Controller::open(log, Arc::<Failing>::clone(&effects)).unwrap();
    let id = |token: &str| token.get(4..16).unwrap_or_default().to_owned();
    let principal = Principal {
        id: format!("token:{}", id(&server.first)),
        name: None,
        groups: Vec::new(),
        expires_at: None,
    };
    let asker = Asker { principal, author: Author::system() };
    effects.fails.store(true, Ordering::SeqCst);
    let made = control.act(asker.clone(), LogCreated::new("prod".into(), Kind::Events)).await;
    let Err(ControlError::NotCarriedOut { log, .. }) = made else { panic!("{made:?}") };
    assert_eq!(log, "prod");
    assert!(control.current().logs.contains_key("prod"));
    assert!(server.app.log("prod").is_err());
    // Other acts go on meanwhile; a key that cannot be made replaces none.
    let rotate = KeyReplaced::new("prod".into(), control.now());
    let rotated = control.act(asker.clone(), rotate.clone()).await;
    assert!(matches!(rotated, Err(ControlError::NotPrepared { .. })), "{rotated:?}");
    control.record(ServerStopped {}).await.unwrap();
    assert_eq!(control.current().logs["prod"].keys.len(), 1);
    assert!(server.app.log("prod").is_err());
    effects.fails.store(false, Ordering::SeqCst);
    control.record(ServerStopped {}).await.unwrap();
    assert!(server.app.log("prod").is_ok());
    control.act(asker, rotate).await.unwrap();
    assert_eq!(server.app.log("prod").unwrap().verifying_keys().len(), 2);
    server.close();
}

/// Where nobody knows whether an event is durable, the log that it may refer to keeps its
/// key: asking again makes no other.
#[tokio::test]
async fn a_log_whose_event_may_be_durable_keeps_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let server = Site::open(folder.path()).await;
    server.app.log("_control").unwrap().close();
    let key = folder.path().join("logs/prod/key");
    let mut kept = None;
    for _ in 0..2 {
        let body = json!({ "name": "prod" });
        let request = server.request(&server.first, "POST", "/v1/logs", &body);
        let answer = server.router.clone().oneshot(request).await.unwrap();
        assert!(answer.status().is_server_error(), "{}", answer.status());
        let found = std::fs::read(&key).unwrap();
        assert_eq!(kept.get_or_insert_with(|| found.clone()), &found);
    }
    server.close();
}
