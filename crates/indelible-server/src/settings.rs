//! Settings of a server: plain values.

use crate::{random::hex, tls::TlsConfig};
use indelible_index::IndexOptions;
use indelible_log::Options;
use ipnet::IpNet;
use serde_json::json;
use sha2::{Digest as _, Sha256};
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
    /// How often everything is read again.
    pub scrub: ScrubOptions,
}

/// How everything that is kept is read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScrubOptions {
    /// Time from the end of a round to the begin of the next; zero: never.
    pub period: Duration,
    /// Time from a start to the first round, if one is due.
    pub first: Duration,
    /// Bytes read a second at most, unless so much is there that it takes more to be through
    /// in half a period.
    pub rate: u64,
}

impl Default for ScrubOptions {
    fn default() -> Self {
        let hours = |n: u64| Duration::from_secs(n * 3600);
        Self { period: hours(7 * 24), first: hours(1), rate: 16 << 20 }
    }
}

impl ScrubOptions {
    /// Bytes a second for so many bytes in all.
    pub(crate) fn rate_for(&self, bytes: u64) -> u64 {
        let half = (self.period.as_secs() / 2).max(1);
        if self.rate == 0 { 0 } else { self.rate.max(bytes / half) }
    }
}

impl Config {
    /// SHA-256 of the settings, hex: the same as long as they are. Of files there are the
    /// names, and nothing of what is in them.
    pub(crate) fn digest(&self) -> String {
        // Taken apart, so that a new setting is not forgotten.
        let Self { data, listen, site, guard, access, limits, log, index, scrub } = self;
        let AccessConfig {
            bootstrap_token_file,
            new_operator_token,
            tls,
            plain_http,
            oidc,
            trusted_proxies,
            rates,
        } = access;
        let Limits {
            connections,
            connections_per_address,
            large_bodies,
            body_memory,
            searches,
            idle,
            shutdown,
        } = limits;
        let Options {
            journal_capacity,
            max_commit_records,
            max_commit_bytes,
            queue_len,
            max_queued_bytes,
            max_unsealed_segments,
            max_sealing_wait,
            max_signing_wait,
            sealing_retry,
            known: _,
            clock: _,
            key_store,
        } = log;
        let IndexOptions { shard, step, fan_in } = index;
        let ScrubOptions { period, first, rate } = scrub;
        let tls = tls.as_ref().map(|TlsConfig { certificates, key, client_authorities }| {
            json!([certificates, key, client_authorities])
        });
        let oidc = oidc.as_ref().map(|OidcConfig { issuer, audience, groups_claim, refetch }| {
            json!([issuer, audience, groups_claim, refetch.as_millis()])
        });
        let Rates { per_credential, per_address, refused } = rates;
        let text = json!({
            "data": data, "listen": listen, "site": site, "guard": guard,
            "access": [bootstrap_token_file, new_operator_token, plain_http],
            "tls": tls, "oidc": oidc,
            "trusted_proxies": trusted_proxies.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "rates": [per_credential, per_address, refused],
            "connections": [connections, connections_per_address],
            "bodies": [large_bodies, body_memory], "searches": searches,
            "times_ms": [idle.as_millis(), shutdown.as_millis()],
            "log": [journal_capacity, max_commit_records, max_commit_bytes, queue_len,
                max_queued_bytes, max_unsealed_segments],
            "log_times_ms": [max_sealing_wait.as_millis(), sealing_retry.as_millis(), max_signing_wait.as_millis()],
            "key_store": key_store.is_some(), "index": [shard, step, fan_in],
            "scrub": [period.as_secs(), first.as_secs(), rate],
        });
        hex(&Sha256::digest(text.to_string()))
    }
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
    /// Bytes that bodies over 64 KiB hold, until their records are
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

/// Requests per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Of one credential; 0: no limit.
    pub per_credential: u32,
    /// From one address; 0: no limit.
    pub per_address: u32,
    /// Refused sign-ins from one address, each of which writes to the trail; 0: no limit.
    pub refused: u32,
}

impl Default for Rates {
    fn default() -> Self {
        Self { per_credential: 0, per_address: 0, refused: 10 }
    }
}

/// Whom to believe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcConfig {
    /// Issuer, as it stands in tokens; its discovery document is below it.
    pub issuer: String,
    /// Audience that tokens must be for.
    pub audience: String,
    /// Claim that lists a person's groups.
    pub groups_claim: String,
    /// Least time between two fetches of the issuer's keys: whoever sends tokens with
    /// made-up key ids makes no more requests than that.
    pub refetch: Duration,
}

impl OidcConfig {
    /// An issuer and the audience of its tokens; groups in the claim `groups`.
    #[must_use]
    pub fn new(issuer: &str, audience: &str) -> Self {
        Self {
            issuer: issuer.to_owned(),
            audience: audience.to_owned(),
            groups_claim: "groups".to_owned(),
            refetch: Duration::from_secs(30),
        }
    }
}
