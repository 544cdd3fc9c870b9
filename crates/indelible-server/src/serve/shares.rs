//! Shares of the connections: nobody shuts others out by opening many. Where all places
//! are taken, whoever has most of them loses its oldest to a newcomer that has fewer.

use crate::trail::network;
use parking_lot::Mutex;
use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    sync::Arc,
};
use tokio::sync::Notify;

/// Places for connections.
#[derive(Debug)]
pub(super) struct Shares {
    /// Places in all, and of one network (an IPv4 address, an IPv6 /64).
    places: usize,
    per_network: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    next: u64,
    /// Connections of each network, oldest first, and what ends them.
    of: HashMap<IpAddr, VecDeque<(u64, Arc<Notify>)>>,
}

/// A place that a connection has, given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    shares: Arc<Shares>,
    network: IpAddr,
    number: u64,
    /// Notified when the connection must give way.
    pub(super) lost: Arc<Notify>,
}

impl Shares {
    pub(super) fn new(places: usize, per_network: usize) -> Arc<Self> {
        Arc::new(Self { places, per_network, taken: Mutex::default() })
    }

    /// A place for a connection from `address`; `None` if its network has its share, or
    /// if all places are taken and nobody has more than it. A proxy stands for many.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr, is_proxy: bool) -> Option<Place> {
        let network = network(address);
        let mut taken = self.taken.lock();
        let own = taken.of.get(&network).map_or(0, VecDeque::len);
        if own >= self.per_network && !is_proxy {
            return None;
        }
        if taken.all >= self.places {
            taken.give_way(own)?;
        }
        let (number, lost) = (taken.next, Arc::new(Notify::new()));
        taken.next = number.wrapping_add(1);
        taken.all = taken.all.saturating_add(1);
        taken.of.entry(network).or_default().push_back((number, Arc::clone(&lost)));
        drop(taken);
        Some(Place { shares: Arc::clone(self), network, number, lost })
    }
}

impl Taken {
    /// Ends the oldest connection of the network with most, if that has more than `own`
    /// and one.
    fn give_way(&mut self, own: usize) -> Option<()> {
        let most = self.of.values_mut().max_by_key(|connections| connections.len())?;
        if most.len() <= own.saturating_add(1) {
            return None;
        }
        let (_, lost) = most.pop_front()?;
        self.all = self.all.saturating_sub(1);
        lost.notify_one();
        Some(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.shares.taken.lock();
        let Some(connections) = taken.of.get_mut(&self.network) else { return };
        let before = connections.len();
        connections.retain(|(number, _)| *number != self.number);
        let left = connections.len();
        if left == 0 {
            taken.of.remove(&self.network);
        }
        // One that gave way has been counted out already.
        taken.all = taken.all.saturating_sub(before.saturating_sub(left));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u8) -> IpAddr {
        IpAddr::from([127, 0, 0, n])
    }

    #[test]
    fn a_newcomer_finds_a_place_however_many_others_have() {
        let shares = Shares::new(100, 40);
        let held: Vec<Place> =
            (0..200).filter_map(|n| shares.take(address(2 + n % 5), false)).collect();
        assert!(held.len() >= 100, "{}", held.len());
        assert_eq!(shares.taken.lock().all, 100);
        let newcomer = shares.take(address(1), false);
        assert!(newcomer.is_some());
        assert_eq!(shares.taken.lock().all, 100);
        drop((held, newcomer));
        let taken = shares.taken.lock();
        assert!(taken.all == 0 && taken.of.is_empty(), "{taken:?}");
    }

    #[test]
    fn a_network_has_its_share_and_no_more() {
        let shares = Shares::new(100, 40);
        let held: Vec<Place> = (0..60).filter_map(|_| shares.take(address(2), false)).collect();
        assert_eq!(held.len(), 40);
        assert!(shares.take(address(2), true).is_some());
        // Where all have the same, nobody gives way.
        let full = Shares::new(2, 2);
        let held = (full.take(address(2), false), full.take(address(3), false));
        assert!(full.take(address(2), false).is_none() && full.take(address(4), false).is_none());
        drop(held);
    }
}
