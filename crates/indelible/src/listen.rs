//! Addresses to listen on, as people write them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _};

/// `IP:PORT`, `NAME:PORT`, or, for this machine alone, `:PORT` and `PORT`.
///
/// # Errors
/// What it is not.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let here = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    if let Ok(port) = text.strip_prefix(':').unwrap_or(text).parse() {
        return Ok(here(port));
    }
    let expected = "expected an address with a port, such as 127.0.0.1:7070, localhost:7070, :7070 (this machine alone) or 0.0.0.0:7070 (every interface)";
    let Some((name, port)) = text.rsplit_once(':') else { return Err(expected.to_owned()) };
    if name.is_empty()
        || port.parse::<u16>().is_err()
        || (name.contains(':') && !name.starts_with('['))
    {
        return Err(expected.to_owned());
    }
    let found =
        text.to_socket_addrs().map_err(|error| format!("{name} has no address: {error}"))?;
    // Where a name has both, what most clients try first.
    let mut found: Vec<SocketAddr> = found.collect();
    found.sort_by_key(SocketAddr::is_ipv6);
    found.first().copied().ok_or_else(|| format!("{name} has no address"))
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn addresses_as_people_write_them() {
        for (text, found) in [
            ("127.0.0.1:7070", "127.0.0.1:7070"),
            ("[::1]:7070", "[::1]:7070"),
            (":7070", "127.0.0.1:7070"),
            ("7070", "127.0.0.1:7070"),
            ("localhost:7070", "127.0.0.1:7070"),
            ("0.0.0.0:0", "0.0.0.0:0"),
        ] {
            assert_eq!(
                address(text).map(|found| found.to_string()),
                Ok(found.to_owned()),
                "{text}"
            );
        }
        for wrong in ["", "localhost", "::1", ":", "localhost:", ":70700", "a b:1", "http://x:1/"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }
}
