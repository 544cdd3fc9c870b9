//! Addresses, in the forms that programs write them in.

use std::net::IpAddr;

/// The address that a text is: `192.0.2.44`, `::ffff:192.0.2.44`, `2001:DB8::9`, with a
/// zone (`fe80::1%eth0`), in brackets, with a port. Zone and port are not of the address.
/// `None` for what is none, octets with leading zeros included: some read those as octal.
#[must_use]
pub fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    if let Some(rest) = text.strip_prefix('[') {
        let (inside, after) = rest.split_once(']')?;
        let is_port = after.is_empty() || after.strip_prefix(':').is_some_and(is_port);
        let address = plain(inside).filter(IpAddr::is_ipv6);
        return address.filter(|_| is_port).map(|ip| ip.to_canonical());
    }
    let with_port = || {
        let (before, port) = text.rsplit_once(':')?;
        plain(before).filter(|_| is_port(port))
    };
    plain(text).or_else(with_port).map(|ip| ip.to_canonical())
}

/// A value of a field of addresses as it is compared: the address, if it is one.
pub(crate) fn normal(text: &str) -> Option<String> {
    address(text).map(|ip| ip.to_string())
}

fn plain(text: &str) -> Option<IpAddr> {
    match text.split_once('%') {
        Some((address, zone)) if !zone.is_empty() => address.parse().ok().filter(IpAddr::is_ipv6),
        _ => text.parse().ok(),
    }
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

/// A network; one of addresses that stand for IPv4 ones is a network of those.
pub(crate) fn network(text: &str) -> Option<ipnet::IpNet> {
    let (address, length) = text.trim().rsplit_once('/')?;
    let address =
        address.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(address);
    let (ip, length) = (plain(address)?, length.parse::<u8>().ok()?);
    let (ip, length) = match (ip.to_canonical(), length.checked_sub(96)) {
        (v4 @ IpAddr::V4(_), Some(rest)) if ip.is_ipv6() => (v4, rest),
        _ => (ip, length),
    };
    ipnet::IpNet::new(ip, length).ok().map(|network| network.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_however_it_is_written() {
        for (texts, is) in [
            (
                &[
                    "192.0.2.44",
                    "::ffff:192.0.2.44",
                    "::FFFF:C000:022C",
                    "192.0.2.44:52110",
                    "[::ffff:192.0.2.44]:443",
                    "0:0:0:0:0:ffff:192.0.2.44",
                ][..],
                Some("192.0.2.44"),
            ),
            (
                &[
                    "2001:db8::9",
                    "2001:DB8:0:0:0:0:0:9",
                    "[2001:db8::9]",
                    "[2001:db8::9]:443",
                    "2001:0db8:0000:0000:0000:0000:0000:0009",
                    "2001:db8:0:0:0:0:0:9:443",
                ],
                Some("2001:db8::9"),
            ),
            (&["fe80::1%eth0", "[fe80::1%eth0]:22", "FE80::1%25eth0"], Some("fe80::1")),
            (
                &[
                    "",
                    "localhost",
                    "010.0.0.1",
                    "10.0.0",
                    "10.0.0.1:99999",
                    "10.0.0.1:",
                    "10.0.0.1%eth0",
                    "[10.0.0.1]:80",
                    "10.0.0.1/8",
                    "AWS Internal",
                    "1.2.3.4.5",
                    "2001:db8::1::2",
                    "[::1",
                    "::1%",
                ],
                None,
            ),
        ] {
            for text in texts {
                assert_eq!(normal(text).as_deref(), is, "{text:?}");
            }
        }
        let network = |text| network(text).map(|network| network.to_string());
        assert_eq!(network("::ffff:192.0.2.0/120").as_deref(), Some("192.0.2.0/24"));
        assert_eq!(network("2001:DB8::5/32").as_deref(), Some("2001:db8::/32"));
        assert_eq!(network("10.1.2.3/8").as_deref(), Some("10.0.0.0/8"));
        assert_eq!(network("10.0.0.0/33"), None);
    }
}
