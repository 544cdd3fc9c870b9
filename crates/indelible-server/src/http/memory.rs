//! Memory counted in bytes: a pool that large things are held from, with a share of a
//! quarter for each who asks. Who waits too long is told to come back.

use crate::error::{ApiError, Result};
use indelible_api::Code;
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of one permit: the pool is counted in these.
const UNIT: usize = 4 << 10;
/// How long somebody waits for memory that others hold.
const PATIENCE: Duration = Duration::from_secs(10);

/// A pool of memory.
#[derive(Debug)]
pub(crate) struct Memory {
    pool: Arc<Semaphore>,
    /// Units of one caller's share.
    share: usize,
    shares: Mutex<HashMap<String, Share>>,
}

/// What one caller may hold, and how many of its requests know of it.
#[derive(Debug)]
struct Share {
    units: Arc<Semaphore>,
    known: usize,
}

/// Memory that somebody holds, given back when dropped.
#[derive(Debug)]
pub(crate) struct Hold {
    memory: Arc<Memory>,
    who: String,
    share: Arc<Semaphore>,
    own: Option<OwnedSemaphorePermit>,
    all: Option<OwnedSemaphorePermit>,
}

impl Memory {
    /// A pool of `bytes`.
    pub(crate) fn new(bytes: usize) -> Arc<Self> {
        let units = (bytes / UNIT).clamp(4, Semaphore::MAX_PERMITS);
        Arc::new(Self {
            pool: Arc::new(Semaphore::new(units)),
            share: units / 4,
            shares: Mutex::default(),
        })
    }

    /// A hold of nothing yet.
    pub(crate) fn hold(self: &Arc<Self>, who: &str) -> Hold {
        let mut shares = self.shares.lock();
        let share = shares
            .entry(who.to_owned())
            .or_insert_with(|| Share { units: Arc::new(Semaphore::new(self.share)), known: 0 });
        share.known = share.known.saturating_add(1);
        let share = Arc::clone(&share.units);
        Hold { memory: Arc::clone(self), who: who.to_owned(), share, own: None, all: None }
    }
}

impl Hold {
    /// Bytes that are held.
    pub(crate) fn bytes(&self) -> usize {
        self.all.as_ref().map_or(0, |held| held.num_permits().saturating_mul(UNIT))
    }

    /// Holds `bytes` in all. What would be more than a whole share holds a whole share:
    /// the limits of bodies and pages are below that.
    ///
    /// # Errors
    /// When others hold it for too long.
    pub(crate) async fn grow(&mut self, bytes: usize) -> Result<()> {
        let wanted = bytes.div_ceil(UNIT).min(self.memory.share);
        let have = self.all.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let Ok(more) = u32::try_from(wanted.saturating_sub(have)) else { return Ok(()) };
        if more == 0 {
            return Ok(());
        }
        let both = async {
            let own = Arc::clone(&self.share).acquire_many_owned(more).await.ok()?;
            let all = Arc::clone(&self.memory.pool).acquire_many_owned(more).await.ok()?;
            Some((own, all))
        };
        let both = tokio::time::timeout(PATIENCE, both).await.ok().flatten();
        let (own, all) = both.ok_or_else(|| {
            ApiError::new(
                Code::Overloaded,
                "too much large data at once; try again, or in smaller parts",
            )
            .retry_after(2)
        })?;
        merge(&mut self.own, own);
        merge(&mut self.all, all);
        Ok(())
    }
}

fn merge(held: &mut Option<OwnedSemaphorePermit>, more: OwnedSemaphorePermit) {
    match held {
        Some(held) => held.merge(more),
        None => *held = Some(more),
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        drop((self.own.take(), self.all.take()));
        let mut shares = self.memory.shares.lock();
        if let Some(share) = shares.get_mut(&self.who) {
            share.known = share.known.saturating_sub(1);
            if share.known == 0 {
                shares.remove(&self.who);
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests state their expectations by failing")]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nobody_holds_more_than_a_quarter() {
        let memory = Memory::new(64 << 20);
        let mut holds = Vec::new();
        for n in 0..16 {
            let mut hold = memory.hold("greedy");
            let grown = hold.grow(4 << 20).await;
            assert_eq!(grown.is_ok(), n < 4, "{n}");
            holds.push(hold);
        }
        let mut other = memory.hold("other");
        other.grow(16 << 20).await.unwrap();
        assert_eq!(other.bytes(), 16 << 20);
        drop((holds, other));
        assert!(memory.shares.lock().is_empty());
        assert_eq!(memory.pool.available_permits(), (64 << 20) / UNIT);
    }
}
