//! Turns at work of which only some can go on at a time, shared out fairly: whoever asks
//! for much waits behind itself, not before others.

use parking_lot::Mutex;
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};
use tokio::sync::oneshot;

/// Hands out turns.
#[derive(Debug, Clone)]
pub(crate) struct Turns(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// What one principal gets while others wait: a quarter of all, at least one.
    share: usize,
    /// What one principal gets while nobody else waits: a share is always left, so that
    /// the first of another principal need not wait for the end of somebody's work.
    alone: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    free: usize,
    /// Turns of each principal that has some.
    running: HashMap<String, usize>,
    waiting: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    principal: String,
    sender: oneshot::Sender<Turn>,
}

/// A turn; it is over when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: Turns,
    principal: String,
}

impl Turns {
    /// So many at a time.
    pub(crate) fn new(total: usize) -> Self {
        let share = (total / 4).max(1);
        let alone = total.saturating_sub(share).max(1);
        let state = Mutex::new(State { free: total, ..State::default() });
        Self(Arc::new(Shared { share, alone, state }))
    }

    /// Waits for a turn. Whoever stops waiting is forgotten.
    pub(crate) async fn take(&self, principal: &str) -> Turn {
        loop {
            let (sender, receiver) = oneshot::channel();
            let waiter = Waiter { principal: principal.to_owned(), sender };
            self.0.state.lock().waiting.push_back(waiter);
            self.hand_out();
            // A sender is only dropped with its turn sent; if not, ask again.
            if let Ok(turn) = receiver.await {
                return turn;
            }
        }
    }

    /// Gives the turns that are free to those that may have them.
    fn hand_out(&self) {
        loop {
            let next = {
                let mut state = self.0.state.lock();
                let next = self.next(&state).and_then(|at| state.waiting.remove(at));
                if let Some(waiter) = &next {
                    state.free -= 1;
                    *state.running.entry(waiter.principal.clone()).or_default() += 1;
                }
                next
            };
            let Some(Waiter { principal, sender }) = next else { return };
            // Who went away meanwhile drops the turn, which hands it to the next.
            drop(sender.send(Turn { turns: self.clone(), principal }));
        }
    }

    /// Who is next: the first that has less than its share, else whoever has least.
    fn next(&self, state: &State) -> Option<usize> {
        if state.free == 0 {
            return None;
        }
        let has = |waiter: &Waiter| state.running.get(&waiter.principal).copied().unwrap_or(0);
        let within = state.waiting.iter().position(|waiter| has(waiter) < self.0.share);
        within.or_else(|| {
            let waiting = state.waiting.iter().enumerate();
            let least = waiting.min_by_key(|(_, waiter)| has(waiter))?;
            (has(least.1) < self.0.alone).then_some(least.0)
        })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        {
            let mut state = self.turns.0.state.lock();
            state.free += 1;
            if let Some(running) = state.running.get_mut(&self.principal) {
                *running -= 1;
                if *running == 0 {
                    state.running.remove(&self.principal);
                }
            }
            // Those that no longer wait would be in the way of counting who does.
            state.waiting.retain(|waiter| !waiter.sender.is_closed());
        }
        self.turns.hand_out();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    fn take(turns: &Turns, principal: &str, count: usize) -> Vec<Turn> {
        (0..count).filter_map(|_| turns.take(principal).now_or_never()).collect()
    }

    #[test]
    fn one_principal_leaves_a_share_to_the_others() {
        let turns = Turns::new(16);
        let greedy = take(&turns, "a", 48);
        assert_eq!(greedy.len(), 12);
        assert_eq!(take(&turns, "b", 10).len(), 4);
        drop(greedy);
        // Whoever does not wait any more takes nothing.
        assert_eq!(take(&turns, "a", 48).len(), 12);
        assert_eq!(take(&Turns::new(1), "a", 3).len(), 1);
        assert_eq!(take(&Turns::new(2), "a", 3).len(), 1);
    }

    #[test]
    fn what_becomes_free_goes_to_who_has_less_than_its_share() {
        let turns = Turns::new(16);
        let mut first = take(&turns, "a", 12);
        let mut second = take(&turns, "b", 4);
        let mut again = turns.take("a").boxed();
        assert!((&mut again).now_or_never().is_none());
        let mut other = turns.take("c").boxed();
        assert!((&mut other).now_or_never().is_none());
        // "a" waited before, but has more than a quarter.
        first.pop();
        assert!((&mut again).now_or_never().is_none());
        let third = (&mut other).now_or_never();
        assert!(third.is_some_and(|turn| turn.principal == "c"));
        // Nobody else waits: it need not stand empty.
        second.pop();
        assert!((&mut again).now_or_never().is_some());
    }

    #[test]
    fn a_turn_that_nobody_takes_is_handed_on() {
        let turns = Turns::new(1);
        let held = take(&turns, "a", 1);
        let mut gone = turns.take("b").boxed();
        let mut stays = turns.take("c").boxed();
        assert!((&mut gone).now_or_never().is_none());
        assert!((&mut stays).now_or_never().is_none());
        drop(held);
        // It was given a turn, and goes away without having looked.
        drop(gone);
        assert!((&mut stays).now_or_never().is_some());
    }
}
