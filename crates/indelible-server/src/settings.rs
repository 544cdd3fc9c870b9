//! Settings of a server: plain values.

use crate::{
    access::{limits::Rates, oidc::OidcConfig},
    tls::TlsConfig,
};
use indelible_index::IndexOptions;
use indelible_log::Options;
use ipnet::IpNet;
use std::{net::SocketAddr, path::PathBuf, time::Duration};

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
    /// Open connections; past it, whoever has most loses one to a newcomer.
    pub connections: usize,
    /// Open connections of one IPv4 address or IPv6 /64.
    pub connections_per_address: usize,
    /// Compressed bodies unpacked at a time; more wait.
    pub large_bodies: usize,
    /// Bytes that bodies hold beyond the first MiB of each, until their records are
    /// committed. A credential has a quarter of it at most.
    pub body_memory: usize,
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
            connections_per_address: 256,
            large_bodies: 4,
            body_memory: 256 << 20,
            searches: 16,
            idle: Duration::from_secs(30),
            shutdown: Duration::from_secs(30),
        }
    }
}
