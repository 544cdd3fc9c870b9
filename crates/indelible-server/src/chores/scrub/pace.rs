//! How fast is read.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// How often a rest looks whether the server stops.
const LOOK: Duration = Duration::from_millis(50);

/// Keeps reading below a rate, over a whole round.
#[derive(Debug)]
pub(super) struct Pace {
    began: Instant,
    /// Bytes a second; 0: as fast as it goes.
    rate: u64,
    done: AtomicU64,
    total: u64,
}

impl Pace {
    pub(super) fn new(total: u64, rate: u64) -> Self {
        Self { began: Instant::now(), rate, done: AtomicU64::new(0), total }
    }

    /// Bytes read so far.
    pub(super) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Bytes there were to read when the round began.
    pub(super) const fn total(&self) -> u64 {
        self.total
    }

    /// So much was read: rests until it may have taken that long, or the server stops.
    pub(super) fn read(&self, bytes: u64, stopping: &dyn Fn() -> bool) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let micros = u128::from(done).saturating_mul(1_000_000).checked_div(self.rate.into());
        let due =
            Duration::from_micros(u64::try_from(micros.unwrap_or_default()).unwrap_or(u64::MAX));
        while !stopping() {
            match due.checked_sub(self.began.elapsed()) {
                Some(left) if !left.is_zero() => std::thread::sleep(left.min(LOOK)),
                _ => break,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_rests_until_it_is_slow_enough_and_no_longer_than_the_server_runs() {
        let pace = Pace::new(300, 1000);
        (0..3).for_each(|_| pace.read(100, &|| false));
        assert!(pace.began.elapsed() >= Duration::from_millis(300));
        let endless = Pace::new(0, 1);
        endless.read(1 << 60, &|| true);
        assert!(endless.began.elapsed() < Duration::from_secs(60));
        Pace::new(0, 0).read(u64::MAX, &|| false);
    }
}
