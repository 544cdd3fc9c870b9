//! The logs a server has open, its configuration in force, and its settings.

use crate::{
    access::{
        gate::no_such_log,
        limits::{Limiter, Rates},
        oidc::{Oidc, OidcConfig},
        token::Secret,
    },
    control::{
        CONTROL, Controller, FoldError,
        event::{Author, Change},
        fold::Control,
        new_id, no_random,
    },
    error::{ApiError, Result},
    guard::Guard,
    jobs::export::Exports,
    metrics::Metrics,
    site::{indexes::Indexes, memory::Memory, turns::Turns},
    tls::{TlsConfig, TlsError},
    trail::{ACCESS, Trail},
};
use indelible_api::{Code, Grant, Role};
use indelible_event::Timestamp;
use indelible_index::IndexOptions;
use indelible_log::{DataDir, Kind, KnownCheckpoint, Log, LogError, Options, chain};
use indelible_store::StoreError;
use ipnet::IpNet;
use parking_lot::RwLock;
use std::{
    collections::BTreeMap,
    io::Write as _,
    net::SocketAddr,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::sync::Semaphore;

/// Settings of a server.
#[derive(Debug, Clone)]
pub struct Config {
    /// Data directory; created if it does not exist.
    pub data: PathBuf,
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Name of the site, the first part of its logs' origins; set at the first start.
    pub site: Option<String>,
    /// Folder, on other storage than the data, that remembers the newest checkpoint of
    /// each log, so that an older copy of the data is refused.
    pub guard: Option<PathBuf>,
    /// Who is let in, and how.
    pub access: AccessConfig,
    /// Bounds on what a request may take.
    pub limits: Limits,
    /// Settings of each log.
    pub log: Options,
    /// Settings of each log's index.
    pub index: IndexOptions,
}

/// Who is let in, and how.
#[derive(Debug, Clone, Default)]
pub struct AccessConfig {
    /// File with the first operator's token; made, for its owner alone, if it does not
    /// exist. Without it the token is in [`crate::Server::operator_token`].
    pub bootstrap_token_file: Option<PathBuf>,
    /// Issue a new operator's token although there is one: for who lost theirs.
    pub new_operator_token: bool,
    /// TLS; without it, plain HTTP.
    pub tls: Option<TlsConfig>,
    /// Listen without TLS on addresses that other machines reach.
    pub plain_http: bool,
    /// Identity provider whose tokens are taken.
    pub oidc: Option<OidcConfig>,
    /// Networks of proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Requests per second.
    pub rates: Rates,
}

/// Bounds on what a request may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Open connections; more wait to be accepted.
    pub connections: usize,
    /// Requests at a time whose body is over 1 MiB; more wait.
    pub large_bodies: usize,
    /// Searches at a time; more wait for their turn.
    pub searches: usize,
    /// Time for a request's head, and between two parts of its body.
    pub idle: Duration,
    /// Time that running requests get when the server stops.
    pub shutdown: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            large_bodies: 4,
            searches: 16,
            idle: Duration::from_secs(30),
            shutdown: Duration::from_secs(30),
        }
    }
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Plain HTTP would leave the machine.
    #[error(
        "{0} can be reached from other machines, and without TLS tokens could be read on the way: give --tls-cert and --tls-key, or say --plain-http if something in front does TLS"
    )]
    PlainHttp(SocketAddr),
    /// The address cannot be listened on.
    #[error("could not listen on {0}")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// The data directory does not open.
    #[error("could not open the data directory {0}")]
    Data(PathBuf, #[source] LogError),
    /// A log does not open. The server does not start without it.
    #[error("could not open log {0}")]
    Log(String, #[source] LogError),
    /// The guard folder cannot be used.
    #[error("could not use the guard folder {0}")]
    Guard(PathBuf, #[source] StoreError),
    /// The configuration cannot be folded from `_control`.
    #[error("could not fold the configuration")]
    Control(#[from] FoldError),
    /// The first operator cannot be made.
    #[error("could not make the operator's token: {0}")]
    Bootstrap(String),
    /// Certificates or keys for TLS cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The HTTP client for the identity provider cannot be made.
    #[error("could not prepare for the identity provider: {0}")]
    Oidc(String),
}

/// What all requests share.
#[derive(Debug)]
pub struct App {
    pub(crate) data: DataDir,
    pub(crate) limits: Limits,
    pub(crate) metrics: Metrics,
    pub(crate) large_bodies: Arc<Semaphore>,
    pub(crate) searches: Turns,
    pub(crate) memory: Memory,
    pub(crate) control: Controller,
    pub(crate) trail: Trail,
    pub(crate) limiter: Limiter,
    pub(crate) oidc: Option<Oidc>,
    pub(crate) trusted_proxies: Vec<IpNet>,
    pub(crate) is_tls: bool,
    /// Told to long polls when the server stops.
    pub(crate) stopping: tokio::sync::watch::Sender<bool>,
    /// Held while a log is made, from its folder to its being open.
    creating: tokio::sync::Mutex<()>,
    options: Options,
    guard: Option<Guard>,
    logs: RwLock<BTreeMap<String, Arc<Log>>>,
    pub(crate) indexes: Indexes,
    pub(crate) exports: Exports,
}

impl App {
    /// Opens the data directory, folds the configuration, and opens every log in it.
    ///
    /// # Errors
    /// [`StartError`] names the log that does not open.
    pub fn open(config: &Config) -> std::result::Result<Self, StartError> {
        let data_error = |e| StartError::Data(config.data.clone(), e);
        let data =
            DataDir::open_or_create(&config.data, config.site.as_deref()).map_err(data_error)?;
        let guard = match &config.guard {
            Some(path) => Some(Guard::open(path).map_err(|e| StartError::Guard(path.clone(), e))?),
            None => None,
        };
        let oidc = match &config.access.oidc {
            Some(oidc) => Some(Oidc::new(oidc.clone()).map_err(|e| StartError::Oidc(chain(&e)))?),
            None => None,
        };
        // If we crash between these two, the next start makes what is missing.
        for name in [CONTROL, ACCESS] {
            match data.create_log(name, Kind::Events, &config.log) {
                Ok(()) | Err(LogError::Store(StoreError::AlreadyExists { .. })) => {}
                Err(error) => return Err(StartError::Log(name.to_owned(), error)),
            }
        }
        let open = |name: &str| {
            open_log(&data, guard.as_ref(), &config.log, name)
                .map(Arc::new)
                .map_err(|e| StartError::Log(name.to_owned(), e))
        };
        let (control_log, access_log) = (open(CONTROL)?, open(ACCESS)?);
        let control = Controller::open(Arc::clone(&control_log))?;
        let mut logs = BTreeMap::new();
        for (name, entry) in &control.current().logs {
            let kind = if entry.raw { Kind::Raw } else { Kind::Events };
            // A crash after a log's event and before its folder: catch up.
            match data.create_log(name, kind, &config.log) {
                Ok(()) | Err(LogError::Store(StoreError::AlreadyExists { .. })) => {}
                Err(error) => return Err(StartError::Log(name.clone(), error)),
            }
            let log = open(name)?;
            // A crash after a key's event and before the key signs: catch up.
            for pair in entry.keys.windows(2) {
                if let [(_, Some(until)), (vkey, _)] = pair {
                    replace_key(&log, vkey, until).map_err(|e| StartError::Log(name.clone(), e))?;
                }
            }
            logs.insert(name.clone(), log);
        }
        logs.insert(CONTROL.to_owned(), control_log);
        logs.insert(ACCESS.to_owned(), Arc::clone(&access_log));
        Ok(Self {
            limits: config.limits,
            metrics: Metrics::new(),
            large_bodies: Arc::new(Semaphore::new(config.limits.large_bodies)),
            searches: Turns::new(config.limits.searches),
            memory: Memory::new(),
            control,
            trail: Trail::new(access_log),
            limiter: Limiter::new(config.access.rates),
            oidc,
            trusted_proxies: config.access.trusted_proxies.clone(),
            is_tls: config.access.tls.is_some(),
            stopping: tokio::sync::watch::channel(false).0,
            creating: tokio::sync::Mutex::new(()),
            options: config.log.clone(),
            guard,
            exports: Exports::open(data.path().join("exports")),
            indexes: Indexes::new(data.path().join("index"), config.index),
            logs: RwLock::new(logs),
            data,
        })
    }

    /// What the first start, and every start, leaves in `_control`. Returns the
    /// operator's token if one was issued that is to be shown.
    pub(crate) async fn begin(
        self: &Arc<Self>,
        config: &AccessConfig,
    ) -> std::result::Result<Option<String>, StartError> {
        let failed = |error: ApiError| StartError::Bootstrap(error.message);
        if self.control.current().size == 0 {
            self.adopt_logs().await?;
        }
        let control = self.control.current();
        let is_first = control.tokens.is_empty() && control.grants.is_empty();
        let mut shown = None;
        if is_first || config.new_operator_token {
            let secret = match &config.bootstrap_token_file {
                Some(path) => bootstrap_token(path).map_err(StartError::Bootstrap)?,
                None => {
                    let secret = Secret::generate().map_err(|_| failed(no_random()))?;
                    shown = Some(secret.reveal().to_owned());
                    secret
                }
            };
            let change = Change::TokenIssued {
                token: secret.id().to_owned(),
                name: if is_first { "first operator" } else { "operator, made at start" }
                    .to_owned(),
                sha256: secret.sha256(),
                expires_at: None,
                grants: [(new_id("g").map_err(failed)?, Grant::new(Role::Operator, "*"))].into(),
            };
            self.control.record(change).await.map_err(failed)?;
        }
        for (name, log) in self.logs() {
            self.indexes.open(&name, &log);
        }
        self.indexes.start();
        let started = Change::ServerStarted { version: env!("CARGO_PKG_VERSION").to_owned() };
        self.control.record(started).await.map_err(failed)?;
        Ok(shown)
    }

    /// Takes over the logs of a directory that is older than `_control`.
    async fn adopt_logs(&self) -> std::result::Result<(), StartError> {
        let failed = |error: ApiError| StartError::Bootstrap(error.message);
        let names =
            self.data.logs().map_err(|e| StartError::Data(self.data.path().to_owned(), e))?;
        for name in names.iter().filter(|name| !name.starts_with('_')) {
            let log = self.open_log(name).map_err(|e| StartError::Log(name.clone(), e))?;
            let change = Change::LogCreated {
                log: name.clone(),
                raw: log.manifest().kind == Kind::Raw,
                vkey: log.verifying_key().to_string(),
            };
            self.control.record(change).await.map_err(failed)?;
            self.logs.write().insert(name.clone(), Arc::new(log));
        }
        Ok(())
    }

    fn open_log(&self, name: &str) -> indelible_log::Result<Log> {
        open_log(&self.data, self.guard.as_ref(), &self.options, name)
    }

    /// Creates a log and opens it: folder, event of control, open.
    pub(crate) async fn create_log(
        self: &Arc<Self>,
        name: &str,
        kind: Kind,
        author: &Author,
        allowed: impl FnOnce(&Control, Timestamp) -> Result<()>,
    ) -> Result<Arc<Log>> {
        if name.starts_with('_') {
            return Err(ApiError::new(
                Code::InvalidLogName,
                format!("{name:?} is the system's: names of yours do not begin with _"),
            ));
        }
        let _creating = self.creating.lock().await;
        allowed(&self.control.current(), self.control.now())?;
        if self.control.current().logs.contains_key(name) {
            return Err(log_exists(name));
        }
        let (app, owned) = (Arc::clone(self), name.to_owned());
        let vkey = crate::body::in_background(move || {
            // What a crash left here was never in force.
            app.data.discard_unused(&owned).map_err(|error| match error {
                LogError::Invalid(message) => ApiError::new(Code::InvalidLogName, message),
                LogError::Store(StoreError::AlreadyExists { .. }) => log_exists(&owned),
                error => error.into(),
            })?;
            app.data.create_log(&owned, kind, &app.options)?;
            Ok(app.data.verifying_key(&owned, &app.options)?.to_string())
        })
        .await?;
        // If we crash here there is a folder that nothing refers to.
        let change = Change::LogCreated { log: name.to_owned(), raw: kind == Kind::Raw, vkey };
        self.control.act(author, |_, _| Ok((change, Vec::new()))).await?;
        // If we crash here the next start opens the log.
        let (app, owned) = (Arc::clone(self), name.to_owned());
        let log = crate::body::in_background(move || Ok(Arc::new(app.open_log(&owned)?))).await?;
        self.logs.write().insert(name.to_owned(), Arc::clone(&log));
        self.indexes.open(name, &log);
        Ok(log)
    }

    /// Carries out what a change has outside the configuration.
    pub(crate) async fn take_effect(&self, change: &Change) -> Result<()> {
        let Change::KeyReplaced { log, vkey, overlap_until } = change else { return Ok(()) };
        let (log, vkey, until) = (self.log(log)?, vkey.clone(), overlap_until.clone());
        crate::body::in_background(move || Ok(replace_key(&log, &vkey, &until)?)).await
    }

    /// The log of that name.
    pub(crate) fn log(&self, name: &str) -> Result<Arc<Log>> {
        let found = self.logs.read().get(name).map(Arc::clone);
        found.ok_or_else(|| no_such_log(name))
    }

    /// All logs by name.
    pub fn logs(&self) -> Vec<(String, Arc<Log>)> {
        self.logs.read().iter().map(|(name, log)| (name.clone(), Arc::clone(log))).collect()
    }

    /// Name of the site.
    #[must_use]
    pub fn site(&self) -> &str {
        self.data.site()
    }

    /// Writes what is written now and then: counts of the trail whose minute is over,
    /// and, once an hour or at the `end`, when credentials were last used.
    pub(crate) async fn write_down(&self, last_uses: bool, end: bool) {
        self.trail.flush(end).await;
        self.exports.expire(self.control.now());
        if last_uses {
            let used = self.trail.take_used();
            if !used.is_empty()
                && let Err(error) = self.control.record(Change::CredentialsUsed { used }).await
            {
                tracing::warn!(
                    error = error.message,
                    "could not write down when credentials were used"
                );
            }
        }
        if end && let Err(error) = self.control.record(Change::ServerStopped).await {
            tracing::warn!(error = error.message, "could not write down that the server stopped");
        }
    }

    /// Stops every log: what was accepted is committed first.
    pub fn close(&self) {
        self.stopping.send_replace(true);
        self.indexes.stop();
        for (_, log) in self.logs() {
            log.close();
            if let Some(guard) = &self.guard {
                guard.remember(log.verifying_key().name(), &log.head().note);
            }
        }
    }
}

fn open_log(
    data: &DataDir,
    guard: Option<&Guard>,
    options: &Options,
    name: &str,
) -> indelible_log::Result<Log> {
    let known = match guard {
        Some(guard) => guard.known(&data.origin(name))?,
        None => None,
    };
    let known = known.into_iter().map(|(note, origin)| KnownCheckpoint { note, origin }).collect();
    let options = Options { known, ..options.clone() };
    let log = Log::open(data.store(name)?, &options)?;
    if let Some(guard) = guard {
        guard.follow(&log);
    }
    Ok(log)
}

/// Signs with a key that `_control` announces; nothing if it does already.
fn replace_key(log: &Log, vkey: &str, until: &str) -> indelible_log::Result<()> {
    let malformed = || LogError::Invalid(format!("{vkey} until {until}: not a key and a time"));
    let key = vkey.parse().map_err(|_| malformed())?;
    log.replace_key(&key, until.parse().map_err(|_| malformed())?)
}

fn log_exists(name: &str) -> ApiError {
    ApiError::new(Code::LogExists, format!("there is a log {name:?} already; choose another name"))
}

/// The token in a file; a new one is written there if there is no file.
fn bootstrap_token(path: &Path) -> std::result::Result<Secret, String> {
    let shown = path.display();
    match std::fs::metadata(path) {
        Ok(found) => {
            let mode = found.permissions().mode();
            if mode & 0o077 != 0 {
                return Err(format!(
                    "{shown} can be read by others (mode {:04o}): chmod 600 it",
                    mode & 0o7777
                ));
            }
            let text = std::fs::read_to_string(path)
                .map_err(|e| format!("could not read {shown}: {e}"))?;
            let text = zeroize::Zeroizing::new(text);
            Secret::parse(text.trim()).ok_or_else(|| {
                format!("{shown} does not hold a token: ind_ and 76 lower-case hex digits")
            })
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let secret =
                Secret::generate().map_err(|e| format!("the system gives no random bytes: {e}"))?;
            let written = std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)
                .and_then(|mut file| {
                    writeln!(file, "{}", secret.reveal())?;
                    file.sync_all()
                });
            written.map_err(|e| format!("could not write {shown}: {e}"))?;
            Ok(secret)
        }
        Err(error) => Err(format!("could not read {shown}: {error}")),
    }
}
