//! Rate limits: a bucket per credential and per address, and a small one per address
//! for callers that are not known. All in memory, bounded.

use crate::{settings::Rates, trail::network};
use governor::{DefaultKeyedRateLimiter, Quota, clock::Clock as _};
use std::{hash::Hash, net::IpAddr, num::NonZeroU32};

/// Keys after which a table drops those whose buckets are full again.
const SWEEP: usize = 100_000;

struct Table<K: Hash + Eq + Clone>(Option<DefaultKeyedRateLimiter<K>>);

impl<K: Hash + Eq + Clone> Table<K> {
    /// `per_second` on average; a burst of five seconds' worth.
    fn new(per_second: u32) -> Self {
        Self(NonZeroU32::new(per_second).map(|rate| {
            let burst = NonZeroU32::new(per_second.saturating_mul(5)).unwrap_or(rate);
            DefaultKeyedRateLimiter::keyed(Quota::per_second(rate).allow_burst(burst))
        }))
    }

    /// Takes one; else the seconds after which there is one again.
    fn take(&self, key: &K) -> Result<(), u64> {
        let Some(limiter) = &self.0 else { return Ok(()) };
        if limiter.len() > SWEEP {
            limiter.retain_recent();
        }
        limiter.check_key(key).map_err(|refused| {
            refused.wait_time_from(limiter.clock().now()).as_secs().saturating_add(1)
        })
    }
}

/// All buckets of a server.
pub(crate) struct Limiter {
    credentials: Table<String>,
    addresses: Table<IpAddr>,
    refused: Table<IpAddr>,
}

impl std::fmt::Debug for Limiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Limiter")
    }
}

impl Limiter {
    pub(crate) fn new(rates: Rates) -> Self {
        Self {
            credentials: Table::new(rates.per_credential),
            addresses: Table::new(rates.per_address),
            refused: Table::new(rates.refused),
        }
    }

    pub(crate) fn credential(&self, principal: &str) -> Result<(), u64> {
        match self.credentials.0 {
            // No allocation for a limit that is not set.
            None => Ok(()),
            Some(_) => self.credentials.take(&principal.to_owned()),
        }
    }

    pub(crate) fn address(&self, address: IpAddr) -> Result<(), u64> {
        self.addresses.take(&network(address))
    }

    pub(crate) fn refused(&self, address: IpAddr) -> Result<(), u64> {
        self.refused.take(&network(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_and_names_the_time_to_wait() {
        let limiter = Limiter::new(Rates { per_credential: 2, ..Rates::default() });
        let taken = (0..50).take_while(|_| limiter.credential("a").is_ok()).count();
        assert!((10..=12).contains(&taken), "{taken}");
        assert!(limiter.credential("a").is_err_and(|wait| (1..=2).contains(&wait)));
        assert!(limiter.credential("b").is_ok());
        let open = Limiter::new(Rates { refused: 0, ..Rates::default() });
        assert!((0..1000).all(|_| open.refused(IpAddr::from([1, 2, 3, 4])).is_ok()));
    }

    #[test]
    fn a_site_shares_its_bucket() {
        let limiter = Limiter::new(Rates { per_address: 1, ..Rates::default() });
        let address = |n: u16| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, n]);
        let taken = (0..50).take_while(|n| limiter.address(address(*n)).is_ok()).count();
        assert!((5..=6).contains(&taken), "{taken}");
    }
}
