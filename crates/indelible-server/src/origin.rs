//! Where a request came from: the peer's address is a fact, the forwarded chain a claim
//! that is believed from trusted proxies only.

use crate::redact::redact;
use axum::http::HeaderMap;
use ipnet::IpNet;
use serde_json::{Value, json};
use std::net::{IpAddr, SocketAddr};

/// Hops kept of a chain from a trusted proxy, and of what anybody else claims.
const MAX_CHAIN: usize = 20;
const MAX_CLAIMED: usize = 3;

/// Where a request came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The client: the peer, or what a trusted proxy says.
    pub(crate) client: IpAddr,
    /// The other end of the connection.
    pub(crate) peer: SocketAddr,
    /// The end of the chain as it was sent.
    pub(crate) forwarded_for: Vec<String>,
    pub(crate) user_agent: Option<String>,
    pub(crate) request_id: String,
}

impl Origin {
    pub(crate) fn of(
        peer: SocketAddr,
        headers: &HeaderMap,
        trusted: &[IpNet],
        request_id: String,
    ) -> Self {
        let chain: Vec<String> = headers
            .get_all("x-forwarded-for")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(|hop| redact(hop.trim()).chars().take(64).collect::<String>())
            .filter(|hop| !hop.is_empty())
            .collect();
        let peer_ip = peer.ip().to_canonical();
        let is_trusted = |ip: IpAddr| trusted.iter().any(|network| network.contains(&ip));
        let kept = if is_trusted(peer_ip) { MAX_CHAIN } else { MAX_CLAIMED };
        let chain = chain.get(chain.len().saturating_sub(kept)..).unwrap_or_default();
        // From the peer backwards, the first that is no proxy of ours.
        let mut client = peer_ip;
        for hop in chain.iter().rev() {
            if !is_trusted(client) {
                break;
            }
            let Ok(ip) = hop.parse::<IpAddr>() else { break };
            client = ip.to_canonical();
        }
        let text = |name: &str| {
            let value = headers.get(name)?.to_str().ok()?;
            // First what must not be kept, then what is too long: half a credential is one.
            Some(redact(value).chars().take(256).collect())
        };
        Self {
            client,
            peer,
            forwarded_for: chain.to_vec(),
            user_agent: text("user-agent"),
            request_id,
        }
    }

    /// As the `context` of an event.
    pub(crate) fn context(&self) -> Value {
        let mut context = json!({ "ip": self.client.to_string(), "request_id": self.request_id });
        if self.client != self.peer.ip().to_canonical() {
            context["peer_ip"] = self.peer.ip().to_canonical().to_string().into();
        }
        if !self.forwarded_for.is_empty() {
            context["forwarded_for"] = json!(self.forwarded_for);
        }
        if let Some(agent) = &self.user_agent {
            context["user_agent"] = agent.as_str().into();
        }
        context
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests state their expectations by failing")]
mod tests {
    use super::*;

    fn client(peer: &str, chain: &str, trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", chain.parse().unwrap());
        let trusted: Vec<IpNet> = trusted.iter().map(|text| text.parse().unwrap()).collect();
        let peer = SocketAddr::new(peer.parse().unwrap(), 1);
        Origin::of(peer, &headers, &trusted, String::new()).client.to_string()
    }

    #[test]
    fn claims_are_believed_from_proxies_only() {
        assert_eq!(client("10.0.0.1", "6.6.6.6", &[]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", "6.6.6.6", &["10.0.0.0/8"]), "6.6.6.6");
        // What the client itself put in front is no more than a claim.
        assert_eq!(client("10.0.0.1", "1.1.1.1, 6.6.6.6", &["10.0.0.0/8"]), "6.6.6.6");
        assert_eq!(client("10.0.0.1", "1.1.1.1, 6.6.6.6, 10.0.0.2", &["10.0.0.0/8"]), "6.6.6.6");
        assert_eq!(client("10.0.0.1", "6.6.6.6, unknown", &["10.0.0.0/8"]), "10.0.0.1");
        assert_eq!(client("::ffff:10.0.0.1", "6.6.6.6", &["10.0.0.0/8"]), "6.6.6.6");
    }
}
