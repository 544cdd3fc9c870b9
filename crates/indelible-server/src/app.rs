//! The logs a server has open, and its settings.

use crate::{
    error::{ApiError, Result},
    guard::Guard,
    metrics::Metrics,
};
use indelible_api::Code;
use indelible_log::{DataDir, Kind, KnownCheckpoint, Log, LogError, Options};
use indelible_store::StoreError;
use parking_lot::RwLock;
use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::Semaphore;

/// Settings of a server.
#[derive(Debug, Clone)]
pub struct Config {
    /// Data directory; created if it does not exist.
    pub data: PathBuf,
    /// Address to listen on; loopback only until there is access control.
    pub listen: SocketAddr,
    /// Name of the site, the first part of its logs' origins; set at the first start.
    pub site: Option<String>,
    /// Folder, on other storage than the data, that remembers the newest checkpoint of
    /// each log, so that an older copy of the data is refused.
    pub guard: Option<PathBuf>,
    /// Bounds on what a request may take.
    pub limits: Limits,
    /// Settings of each log.
    pub log: Options,
}

/// Bounds on what a request may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Open connections; more wait to be accepted.
    pub connections: usize,
    /// Requests at a time whose body is over 1 MiB; more wait.
    pub large_bodies: usize,
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
            idle: Duration::from_secs(30),
            shutdown: Duration::from_secs(30),
        }
    }
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is not a loopback one.
    #[error(
        "{0} is not a loopback address, and there is no access control yet: listen on 127.0.0.1 or [::1]"
    )]
    NotLoopback(SocketAddr),
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
}

/// What all requests share.
#[derive(Debug)]
pub struct App {
    pub(crate) data: DataDir,
    pub(crate) limits: Limits,
    pub(crate) metrics: Metrics,
    pub(crate) large_bodies: Arc<Semaphore>,
    /// Told to long polls when the server stops.
    pub(crate) stopping: tokio::sync::watch::Sender<bool>,
    options: Options,
    guard: Option<Guard>,
    logs: RwLock<BTreeMap<String, Arc<Log>>>,
}

impl App {
    /// Opens the data directory and every log in it.
    ///
    /// # Errors
    /// [`StartError`] names the log that does not open.
    pub fn open(config: &Config) -> std::result::Result<Self, StartError> {
        let data = DataDir::open_or_create(&config.data, config.site.as_deref())
            .map_err(|e| StartError::Data(config.data.clone(), e))?;
        let guard = match &config.guard {
            Some(path) => Some(Guard::open(path).map_err(|e| StartError::Guard(path.clone(), e))?),
            None => None,
        };
        let app = Self {
            limits: config.limits,
            metrics: Metrics::new(),
            large_bodies: Arc::new(Semaphore::new(config.limits.large_bodies)),
            stopping: tokio::sync::watch::channel(false).0,
            options: config.log.clone(),
            guard,
            logs: RwLock::default(),
            data,
        };
        let names = app.data.logs().map_err(|e| StartError::Data(config.data.clone(), e))?;
        for name in names {
            let log = app.open_log(&name).map_err(|e| StartError::Log(name.clone(), e))?;
            app.logs.write().insert(name, Arc::new(log));
        }
        Ok(app)
    }

    fn open_log(&self, name: &str) -> indelible_log::Result<Log> {
        let known = match &self.guard {
            Some(guard) => guard.known(&self.data.origin(name))?,
            None => None,
        };
        let known =
            known.into_iter().map(|(note, origin)| KnownCheckpoint { note, origin }).collect();
        let options = Options { known, ..self.options.clone() };
        let log = Log::open(self.data.store(name)?, &options)?;
        if let Some(guard) = &self.guard {
            guard.follow(&log);
        }
        Ok(log)
    }

    /// Creates a log and opens it.
    pub(crate) fn create_log(&self, name: &str, kind: Kind) -> Result<Arc<Log>> {
        if name.starts_with('_') {
            return Err(ApiError::new(
                Code::InvalidLogName,
                format!("{name:?} is the system's: names of yours do not begin with _"),
            ));
        }
        let mut logs = self.logs.write();
        match self.data.create_log(name, kind, &self.options) {
            Ok(()) => {}
            Err(LogError::Invalid(message)) => {
                return Err(ApiError::new(Code::InvalidLogName, message));
            }
            Err(LogError::Store(StoreError::AlreadyExists { .. } | StoreError::Locked { .. })) => {
                return Err(ApiError::new(
                    Code::LogExists,
                    format!("there is a log {name:?} already; choose another name"),
                ));
            }
            Err(error) => return Err(error.into()),
        }
        let log = Arc::new(self.open_log(name)?);
        logs.insert(name.to_owned(), Arc::clone(&log));
        Ok(log)
    }

    /// The log of that name.
    pub(crate) fn log(&self, name: &str) -> Result<Arc<Log>> {
        let found = self.logs.read().get(name).map(Arc::clone);
        found.ok_or_else(|| ApiError::new(Code::LogNotFound, format!("there is no log {name:?}; create it with POST /v1/logs or `indelible log create`")))
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

    /// Stops every log: what was accepted is committed first.
    pub fn close(&self) {
        self.stopping.send_replace(true);
        for (_, log) in self.logs() {
            log.close();
            if let Some(guard) = &self.guard {
                guard.remember(log.verifying_key().name(), &log.head().note);
            }
        }
    }
}
