//! `indelible serve`.

use crate::output::{FAINT, STRONG, say};
use anyhow::Context as _;
use indelible_log::Options;
use indelible_server::{Config, Limits, Server};
use std::{net::SocketAddr, path::PathBuf, process::ExitCode};
use tracing_subscriber::EnvFilter;

/// Run the server.
#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    /// Data directory; created if it does not exist
    #[arg(long, env = "INDELIBLE_DATA", default_value = "indelible-data", value_name = "DIR")]
    data: PathBuf,
    /// Address to listen on; only loopback until there is access control
    #[arg(
        long,
        env = "INDELIBLE_LISTEN",
        default_value = "127.0.0.1:7070",
        value_name = "ADDRESS"
    )]
    listen: SocketAddr,
    /// Name of the site, the first part of every log's origin; fixed at the first start [default: indelible- and eight random hex digits]
    #[arg(long, env = "INDELIBLE_SITE", value_name = "NAME")]
    site: Option<String>,
    /// Folder on other storage that remembers the newest checkpoints, so that an older copy of the data is refused
    #[arg(long, env = "INDELIBLE_GUARD", value_name = "DIR")]
    guard: Option<PathBuf>,
    /// What to log on standard error: error, warn, info, debug, or a tracing filter
    #[arg(long, env = "INDELIBLE_LOG_LEVEL", default_value = "info", value_name = "FILTER")]
    log_level: String,
}

impl Serve {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let filter = EnvFilter::try_new(&self.log_level).context("--log-level is not a filter")?;
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
        let config = Config {
            data: self.data,
            listen: self.listen,
            site: self.site,
            guard: self.guard,
            limits: Limits::default(),
            log: Options::default(),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            let server = Server::bind(&config).await?;
            announce(&server, &config);
            server.run(stop_signal()).await;
            say("stopped; everything acknowledged is durable");
            Ok(ExitCode::SUCCESS)
        })
    }
}

fn announce(server: &Server, config: &Config) {
    let app = server.app();
    let address = server.address().unwrap_or(config.listen);
    say(format_args!("{STRONG}indelible{STRONG:#} listens on http://{address}"));
    say(format_args!("  data   {} (site {})", config.data.display(), app.site()));
    for (name, log) in app.logs() {
        say(format_args!("  log    {name}: {} records", crate::output::count(log.head().size)));
    }
    if config.guard.is_none() {
        say(format_args!(
            "  {FAINT}no --guard: an older copy of the data would not be noticed at start{FAINT:#}"
        ));
    }
    say(format_args!(
        "  {FAINT}there is no access control yet: only this machine can connect{FAINT:#}"
    ));
}

/// Resolves on Ctrl-C or SIGTERM.
pub(crate) async fn stop_signal() {
    let interrupt = tokio::signal::ctrl_c();
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = interrupt => {}
                _ = terminate.recv() => {}
            }
        }
        Err(error) => {
            tracing::warn!(%error, "SIGTERM cannot be caught");
            drop(interrupt.await);
        }
    }
}
