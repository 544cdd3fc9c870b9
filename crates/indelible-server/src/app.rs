//! What all requests share.

use crate::{
    access::{
        admit::Entrance,
        bootstrap::{self, BootstrapError},
        limits::Limiter,
        oidc::Oidc,
    },
    chores::{life::Life, scrub::Scrub},
    control::{
        Controller, FoldError,
        effects::Effects,
        system::{Before, ServerStarted, ServerStopped},
        used::CredentialsUsed,
    },
    jobs::export::Exports,
    metrics::Metrics,
    reading::desk::Desk,
    settings::{Config, Limits},
    site::{Site, bodies::Bodies, guard::Guard, indexes::Indexes, memory::Memory, turns::Turns},
    tls::TlsError,
    trail::Trail,
    troubles::Troubles,
};
use indelible_log::{DataDir, Log, LogError, chain};
use indelible_store::StoreError;
use ipnet::IpNet;
use std::{
    net::{IpAddr, SocketAddr},
    ops::Deref,
    path::PathBuf,
    sync::Arc,
};

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
    #[error("could not make the operator's token")]
    Bootstrap(#[from] BootstrapError),
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
    pub(crate) limits: Limits,
    pub(crate) metrics: Metrics,
    pub(crate) bodies: Bodies,
    pub(crate) desk: Arc<Desk>,
    pub(crate) limiter: Limiter,
    pub(crate) oidc: Option<Oidc>,
    pub(crate) trusted_proxies: Vec<IpNet>,
    pub(crate) is_tls: bool,
    pub(crate) exports: Exports,
    pub(crate) life: Arc<Life>,
    pub(crate) scrub: Arc<Scrub>,
}

/// What is read with is at hand everywhere.
impl Deref for App {
    type Target = Desk;

    fn deref(&self) -> &Desk {
        &self.desk
    }
}

impl App {
    /// Opens the data directory, folds the configuration, and opens every log in it.
    ///
    /// # Errors
    /// [`StartError`] names the log that does not open.
    pub fn open(config: &Config) -> std::result::Result<Self, StartError> {
        let data_error = |e| StartError::Data(config.data.clone(), e);
        let log_error = |(name, error)| StartError::Log(name, error);
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
        let life = Life::new(Arc::clone(&config.log.clock), data.path());
        let scrub = Scrub::open(data.path().to_owned(), config.scrub);
        let exports = Exports::open(data.path().join("exports"));
        let indexes = Arc::new(Indexes::new(data.path().join("index"), config.index));
        let site = Arc::new(Site::new(data, config.log.clone(), guard, Arc::clone(&indexes)));
        let (control_log, access_log) = site.open_own().map_err(log_error)?;
        let effects: Arc<dyn Effects> = Arc::<Site>::clone(&site);
        let mut control = Controller::open(control_log, effects)?;
        control.catch_up().map_err(log_error)?;
        let troubles: Arc<Troubles> = Arc::default();
        let desk = Arc::new(Desk {
            site,
            indexes,
            control,
            trail: Trail::new(access_log, Arc::clone(&troubles)),
            troubles,
            searches: Turns::new(config.limits.searches),
            memory: Memory::new(),
            stopping: tokio::sync::watch::channel(false).0,
        });
        Ok(Self {
            limits: config.limits,
            metrics: Metrics::new(),
            bodies: Bodies::new(
                config.limits.idle,
                config.limits.body_memory,
                config.limits.large_bodies,
            ),
            desk,
            limiter: Limiter::new(config.access.rates),
            oidc,
            trusted_proxies: config.access.trusted_proxies.clone(),
            is_tls: config.access.tls.is_some(),
            exports,
            life: Arc::new(life),
            scrub: Arc::new(scrub),
        })
    }

    /// What every start leaves in `_control`; then the indexes begin to follow. Returns
    /// the operator's token if one was issued that is to be shown.
    pub(crate) async fn begin(
        &self,
        config: &Config,
        binary: Option<String>,
    ) -> std::result::Result<Option<String>, StartError> {
        self.life.resume(&self.desk);
        let shown = bootstrap::begin(&self.control, &config.access).await?;
        let started = ServerStarted {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            binary,
            settings: config.digest(),
            before: Before::of(&self.control.current().life),
        };
        self.control.record(started).await.map_err(BootstrapError::from)?;
        self.indexes.start();
        Ok(shown)
    }

    /// What decides who comes in.
    pub(crate) fn entrance(&self) -> Entrance<'_> {
        Entrance {
            control: &self.control,
            limiter: &self.limiter,
            oidc: self.oidc.as_ref(),
            trail: &self.trail,
        }
    }

    /// Whether an address is that of a proxy of ours.
    pub(crate) fn is_proxy(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted_proxies.iter().any(|network| network.contains(&address))
    }

    /// All logs by name.
    pub fn logs(&self) -> Vec<(String, Arc<Log>)> {
        self.desk.logs()
    }

    /// Name of the site.
    #[must_use]
    pub fn site(&self) -> &str {
        self.site.name()
    }

    /// Writes what is written now and then: counts of the trail whose minute is over,
    /// and, once an hour or at the `end`, when credentials were last used.
    pub(crate) async fn write_down(&self, last_uses: bool, end: bool) {
        self.trail.flush(end).await;
        self.exports.expire(self.control.now());
        if last_uses {
            let used = self.trail.take_used().into_iter();
            let used = used.filter_map(|(who, at)| Some((who, at.parse().ok()?)));
            let used = CredentialsUsed { used: used.collect() };
            if !used.used.is_empty()
                && let Err(error) = self.control.record(used).await
            {
                tracing::warn!(
                    error = chain(&error),
                    "could not write down when credentials were used"
                );
            }
        }
        if end {
            self.life.write(&self.desk).await;
        }
        if end && let Err(error) = self.control.record(ServerStopped {}).await {
            tracing::warn!(error = chain(&error), "could not write down that the server stopped");
        }
    }

    /// Stops every log: what was accepted is committed first.
    pub fn close(&self) {
        self.stopping.send_replace(true);
        self.indexes.stop();
        self.site.close();
    }
}
