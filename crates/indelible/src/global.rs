//! Options of every command.

use std::path::PathBuf;

/// Options of every command.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Global {
    /// The server that commands talk to
    #[arg(
        long,
        global = true,
        env = "INDELIBLE_URL",
        default_value = "http://127.0.0.1:7070",
        value_name = "URL"
    )]
    pub(crate) url: String,
    /// File with the token to use [default: INDELIBLE_TOKEN, or what `indelible login` stored]
    #[arg(long, global = true, env = "INDELIBLE_TOKEN_FILE", value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Authorities to trust besides the system's, PEM
    #[arg(long, global = true, env = "INDELIBLE_CA", value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Client certificate and its private key, PEM, in one file
    #[arg(long, global = true, env = "INDELIBLE_CLIENT_CERT", value_name = "FILE")]
    pub(crate) client_cert: Option<PathBuf>,
    /// Plain HTTP between machines: send the token so, or (serve) listen so
    #[arg(long, global = true, env = "INDELIBLE_PLAIN_HTTP")]
    pub(crate) plain_http: bool,
    /// Print JSON instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Show times in UTC: the default
    #[arg(long, global = true, conflicts_with = "local")]
    pub(crate) utc: bool,
    /// Show times in the zone of this machine instead of UTC
    #[arg(long, global = true)]
    pub(crate) local: bool,
}
