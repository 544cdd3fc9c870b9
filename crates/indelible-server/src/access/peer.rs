//! The other end of a connection.

use super::Principal;
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

/// The other end of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    /// The principal of its client certificate, as verified at the handshake.
    pub(crate) certificate: Option<Arc<Principal>>,
}

impl Default for Peer {
    fn default() -> Self {
        Self { address: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)), certificate: None }
    }
}
