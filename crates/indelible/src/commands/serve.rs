//! `indelible serve`.

use crate::{
    output::{FAINT, STRONG, say},
    when::span,
};
use anyhow::Context as _;
use indelible_log::{KeyStore, Options};
use indelible_server::{
    AccessConfig, Config, IndexOptions, Limits, OidcConfig, Pkcs11, Rates, ScrubOptions, Server,
    TlsConfig,
};
use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Run the server.
#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    /// Data directory; created if it does not exist
    #[arg(long, env = "INDELIBLE_DATA", default_value = "indelible-data", value_name = "DIR")]
    data: PathBuf,
    /// Address to listen on: IP:PORT, NAME:PORT, or :PORT and PORT for this machine alone
    #[arg(
        long,
        env = "INDELIBLE_LISTEN",
        default_value = "127.0.0.1:7070",
        value_name = "ADDRESS",
        value_parser = crate::listen::address
    )]
    listen: SocketAddr,
    /// Name of the site, the first part of every log's origin; fixed at the first start [default: indelible- and eight random hex digits]
    #[arg(long, env = "INDELIBLE_SITE", value_name = "NAME")]
    site: Option<String>,
    /// Folder on other storage that remembers the newest checkpoints, so that an older copy of the data is refused
    #[arg(long, env = "INDELIBLE_GUARD", value_name = "DIR")]
    guard: Option<PathBuf>,
    /// Certificate chain for TLS, PEM; replaced files are used without a restart
    #[arg(long, env = "INDELIBLE_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key of the certificate, PEM; must be readable by its owner alone
    #[arg(long, env = "INDELIBLE_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Authorities whose client certificates are taken, PEM; grants name them cert:CN=…
    #[arg(long, env = "INDELIBLE_TLS_CLIENT_CA", value_name = "FILE", requires = "tls_cert")]
    tls_client_ca: Option<PathBuf>,
    /// File with the first operator's token; made, readable by its owner alone, if it does not exist, and then nothing is printed
    #[arg(long, env = "INDELIBLE_BOOTSTRAP_TOKEN_FILE", value_name = "FILE")]
    bootstrap_token_file: Option<PathBuf>,
    /// Issue another operator's token at this start, for when all are lost; the trail tells
    #[arg(long)]
    new_operator_token: bool,
    /// OpenID Connect issuer whose tokens are taken; grants name group:NAME and oidc:SUBJECT
    #[arg(long, env = "INDELIBLE_OIDC_ISSUER", value_name = "URL", requires = "oidc_audience")]
    oidc_issuer: Option<String>,
    /// Audience that those tokens must be for
    #[arg(long, env = "INDELIBLE_OIDC_AUDIENCE", value_name = "NAME", requires = "oidc_issuer")]
    oidc_audience: Option<String>,
    /// Claim of those tokens that lists groups
    #[arg(
        long,
        env = "INDELIBLE_OIDC_GROUPS_CLAIM",
        default_value = "groups",
        value_name = "NAME"
    )]
    oidc_groups_claim: String,
    /// Networks of proxies whose X-Forwarded-For is believed, such as 10.0.0.0/8
    #[arg(
        long = "trusted-proxy",
        env = "INDELIBLE_TRUSTED_PROXY",
        value_delimiter = ',',
        value_name = "CIDR"
    )]
    trusted_proxies: Vec<ipnet::IpNet>,
    /// Most requests a second of one credential; 0: no limit
    #[arg(long, env = "INDELIBLE_RATE_PER_CREDENTIAL", default_value_t = 0, value_name = "N")]
    rate_per_credential: u32,
    /// Most requests a second from one address; 0: no limit
    #[arg(long, env = "INDELIBLE_RATE_PER_ADDRESS", default_value_t = 0, value_name = "N")]
    rate_per_address: u32,
    /// Most refused sign-ins a second from one address, each of which writes to the trail; 0: no limit
    #[arg(long, env = "INDELIBLE_RATE_REFUSED", default_value_t = 10, value_name = "N")]
    rate_refused: u32,
    /// PKCS#11 module that keeps the signing keys of new logs
    #[arg(long, env = "INDELIBLE_PKCS11_MODULE", value_name = "FILE", requires_all = ["pkcs11_token", "pkcs11_pin_file"])]
    pkcs11_module: Option<PathBuf>,
    /// Label of the PKCS#11 token
    #[arg(long, env = "INDELIBLE_PKCS11_TOKEN", value_name = "LABEL")]
    pkcs11_token: Option<String>,
    /// File with the PIN of the PKCS#11 token
    #[arg(long, env = "INDELIBLE_PKCS11_PIN_FILE", value_name = "FILE")]
    pkcs11_pin_file: Option<PathBuf>,
    /// How often everything that is kept is read again from the disk, and compared; 0: never
    #[arg(
        long,
        env = "INDELIBLE_SCRUB_PERIOD",
        default_value = "7d",
        value_parser = span,
        value_name = "TIME"
    )]
    scrub_period: Duration,
    /// Most MiB a second that this reads, unless half the period would not do; 0: no limit
    #[arg(long, env = "INDELIBLE_SCRUB_RATE", default_value_t = 16, value_name = "MIB")]
    scrub_rate: u32,
    /// What to log on standard error: error, warn, info, debug, or a tracing filter
    #[arg(long, env = "INDELIBLE_LOG_LEVEL", default_value = "info", value_name = "FILTER")]
    log_level: String,
}

impl Serve {
    pub(crate) fn run(self, plain_http: bool) -> anyhow::Result<ExitCode> {
        let filter = EnvFilter::try_new(&self.log_level).context("--log-level is not a filter")?;
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
        let config = self.config(plain_http)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            let server = Server::bind(&config).await?;
            announce(&server, &config);
            reload_on_hangup(&server)?;
            server.run(stop_signal()).await;
            say("stopped; everything acknowledged is durable");
            Ok(ExitCode::SUCCESS)
        })
    }
}

impl Serve {
    fn config(self, plain_http: bool) -> anyhow::Result<Config> {
        let tls = match (self.tls_cert, self.tls_key) {
            (Some(certificates), Some(key)) => {
                Some(TlsConfig { certificates, key, client_authorities: self.tls_client_ca })
            }
            _ => None,
        };
        let oidc = match (self.oidc_issuer, self.oidc_audience) {
            (Some(issuer), Some(audience)) => {
                let oidc = OidcConfig::new(&issuer, &audience);
                Some(OidcConfig { groups_claim: self.oidc_groups_claim, ..oidc })
            }
            _ => None,
        };
        let key_store: Option<Arc<dyn KeyStore>> =
            match (self.pkcs11_module, self.pkcs11_token, self.pkcs11_pin_file) {
                (Some(module), Some(token), Some(pin)) => {
                    Some(Arc::new(Pkcs11::open(&module, &token, &pin)?))
                }
                _ => None,
            };
        let first = ScrubOptions::default().first.min(self.scrub_period);
        let rate = u64::from(self.scrub_rate) << 20;
        let scrub = ScrubOptions { period: self.scrub_period, first, rate };
        Ok(Config {
            data: self.data,
            listen: self.listen,
            site: self.site,
            guard: self.guard,
            access: AccessConfig {
                bootstrap_token_file: self.bootstrap_token_file,
                new_operator_token: self.new_operator_token,
                tls,
                plain_http,
                oidc,
                trusted_proxies: self.trusted_proxies,
                rates: Rates {
                    per_credential: self.rate_per_credential,
                    per_address: self.rate_per_address,
                    refused: self.rate_refused,
                },
            },
            limits: Limits::default(),
            log: Options { key_store, ..Options::default() },
            index: IndexOptions::default(),
            scrub,
        })
    }
}

fn announce(server: &Server, config: &Config) {
    let app = server.app();
    let address = server.address().unwrap_or(config.listen);
    let scheme = if config.access.tls.is_some() { "https" } else { "http" };
    say(format_args!("{STRONG}indelible{STRONG:#} listens on {scheme}://{address}"));
    say(format_args!("  data   {} (site {})", config.data.display(), app.site()));
    for (name, log) in app.logs().iter().filter(|(name, _)| !name.starts_with('_')) {
        say(format_args!("  log    {name}: {} records", crate::output::count(log.head().size)));
    }
    if config.guard.is_none() {
        say(format_args!(
            "  {FAINT}no --guard: an older copy of the data would not be noticed at start{FAINT:#}"
        ));
    }
    if let Some(token) = server.operator_token() {
        say("");
        say(format_args!("  {STRONG}operator token{STRONG:#}, shown this once:"));
        say("");
        say(format_args!("  {token}"));
        say("");
        say(format_args!(
            "  {FAINT}`indelible login` stores it; `indelible token create` makes narrower ones{FAINT:#}"
        ));
    }
}

/// Loads on SIGHUP what can be loaded again: the certificates. A terminal that closes or a
/// rotation of logs that sends it ends nothing.
fn reload_on_hangup(server: &Server) -> anyhow::Result<()> {
    let reload = server.reloading();
    let mut hangup = signal(SignalKind::hangup()).context("SIGHUP cannot be caught")?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            tracing::info!("SIGHUP: what was replaced is loaded again; the server goes on");
            let reload = reload.clone();
            drop(tokio::task::spawn_blocking(reload).await);
        }
    });
    Ok(())
}

/// Resolves on Ctrl-C, SIGTERM or SIGQUIT.
pub(crate) async fn stop_signal() {
    let interrupt = tokio::signal::ctrl_c();
    match (signal(SignalKind::terminate()), signal(SignalKind::quit())) {
        (Ok(mut terminate), Ok(mut quit)) => {
            tokio::select! {
                _ = interrupt => {}
                _ = terminate.recv() => {}
                _ = quit.recv() => {}
            }
        }
        (Err(error), _) | (_, Err(error)) => {
            tracing::warn!(%error, "SIGTERM and SIGQUIT cannot be caught");
            drop(interrupt.await);
        }
    }
}
