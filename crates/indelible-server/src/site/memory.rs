//! Memory for what is large, bodies that come in and answers that go out, in bytes: so
//! much in all, so much for one principal. Two pools: of bodies, held until their records
//! are committed, and of answers, held from before the reading until they have left.

use crate::error::{ApiError, Result};
use indelible_api::Code;
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::sync::Notify;

/// Bytes for all large answers together.
const TOTAL: usize = 256 << 20;
/// How long an answer waits until there is room for it.
pub(crate) const ROOM_WAIT: Duration = Duration::from_secs(10);

/// Hands out memory.
#[derive(Debug, Clone)]
pub(crate) struct Memory(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Most that one principal gets.
    share: usize,
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Debug)]
struct State {
    free: usize,
    /// Whether what is larger than a share is being read.
    has_huge: bool,
    held: HashMap<String, usize>,
}

/// Memory that is held; given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    memory: Memory,
    principal: String,
    bytes: usize,
    is_huge: bool,
}

impl Memory {
    pub(crate) fn new() -> Self {
        Self::of(TOTAL)
    }

    /// `total` bytes for all.
    pub(crate) fn of(total: usize) -> Self {
        let state = Mutex::new(State { free: total, has_huge: false, held: HashMap::new() });
        Self(Arc::new(Shared { share: total / 4, state, freed: Notify::new() }))
    }

    /// Waits, at most `wait`, for so many bytes. What needs more than a principal's
    /// share gets the whole of it, and there is one such at a time.
    pub(crate) async fn hold(&self, principal: &str, bytes: usize, wait: Duration) -> Result<Held> {
        let held = async {
            loop {
                let freed = self.0.freed.notified();
                let mut freed = std::pin::pin!(freed);
                // Before looking, so that nothing given back meanwhile is missed.
                freed.as_mut().enable();
                if let Some(held) = self.try_hold(principal, bytes) {
                    return held;
                }
                freed.await;
            }
        };
        tokio::time::timeout(wait, held).await.map_err(|_| {
            let message = "too much large data at once; try again, or in smaller parts";
            ApiError::new(Code::Overloaded, message).retry_after(2)
        })
    }

    fn try_hold(&self, principal: &str, wanted: usize) -> Option<Held> {
        let (bytes, is_huge) = (wanted.min(self.0.share), wanted > self.0.share);
        let mut state = self.0.state.lock();
        let own = state.held.get(principal).copied().unwrap_or(0);
        if bytes > state.free || own + bytes > self.0.share || (is_huge && state.has_huge) {
            return None;
        }
        state.free -= bytes;
        state.has_huge |= is_huge;
        state.held.insert(principal.to_owned(), own + bytes);
        Some(Held { memory: self.clone(), principal: principal.to_owned(), bytes, is_huge })
    }

    fn give_back(&self, principal: &str, bytes: usize, was_huge: bool) {
        let mut state = self.0.state.lock();
        state.free += bytes;
        state.has_huge &= !was_huge;
        if let Some(own) = state.held.get_mut(principal) {
            *own = own.saturating_sub(bytes);
            if *own == 0 {
                state.held.remove(principal);
            }
        }
        drop(state);
        self.0.freed.notify_waiters();
    }
}

impl Held {
    /// How much it allows; what is huge was waited for by itself.
    pub(crate) fn bytes(&self) -> usize {
        if self.is_huge { usize::MAX } else { self.bytes }
    }

    /// Gives back what is over `bytes`.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let over = self.bytes.saturating_sub(bytes);
        self.bytes -= over;
        self.memory.give_back(&self.principal, over, std::mem::take(&mut self.is_huge));
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.memory.give_back(&self.principal, self.bytes, self.is_huge);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests state their expectations by failing")]
mod tests {
    use super::*;

    async fn hold(memory: &Memory, principal: &str, bytes: usize) -> Result<Held> {
        memory.hold(principal, bytes, Duration::ZERO).await
    }

    #[tokio::test]
    async fn one_principal_gets_a_quarter_and_the_others_what_is_left() {
        let memory = Memory::of(400);
        let mut own = hold(&memory, "a", 70).await.unwrap();
        let refused = hold(&memory, "a", 40).await.unwrap_err();
        assert_eq!(refused.code, Code::Overloaded);
        own.shrink(60);
        let more = hold(&memory, "a", 40).await.unwrap();
        // More than a share is a whole share, one at a time.
        let huge = hold(&memory, "b", 1 << 30).await.unwrap();
        assert!(hold(&memory, "c", 1 << 30).await.is_err());
        let others = [Ok(huge), hold(&memory, "c", 100).await];
        let last = hold(&memory, "d", 100).await.unwrap();
        assert!(others.iter().all(Result::is_ok));
        assert!(hold(&memory, "e", 1).await.is_err(), "all of it is held");
        drop((own, more, last));
        assert!(hold(&memory, "e", 100).await.is_ok());
        assert!(memory.0.state.lock().held.keys().all(|who| who == "b" || who == "c"));
    }

    #[tokio::test]
    async fn who_waits_goes_on_when_memory_is_given_back() {
        let memory = Memory::of(4);
        let held = hold(&memory, "a", 1).await.unwrap();
        let waiting = memory.hold("a", 1, Duration::from_secs(60));
        let (went_on, ()) = tokio::join!(waiting, async { drop(held) });
        assert!(went_on.is_ok());
    }
}
