//! How many bytes wait to be committed: batches are let in as long as there is room,
//! some more wait outside, and the others are refused, so that a disk that stalls does
//! not fill the memory.

use crate::AppendError;
use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Room for batches, in bytes.
#[derive(Debug)]
pub(crate) struct QueueBytes {
    room: Arc<Semaphore>,
    /// Bytes in all, held or not.
    limit: u32,
    /// Bytes of those who wait outside.
    outside: AtomicUsize,
}

/// One who waits outside, until it is dropped.
struct Outside<'a> {
    outside: &'a AtomicUsize,
    weight: usize,
}

impl Drop for Outside<'_> {
    fn drop(&mut self) {
        self.outside.fetch_sub(self.weight, Ordering::Relaxed);
    }
}

impl QueueBytes {
    pub(crate) fn new(limit: usize) -> Self {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX).max(1);
        let room = Arc::new(Semaphore::new(limit as usize));
        Self { room, limit, outside: AtomicUsize::new(0) }
    }

    /// Waits for room for a batch of `weight` bytes, which is held by what is returned. A
    /// batch heavier than all the room is let in alone.
    pub(crate) async fn enter(&self, weight: usize) -> Result<OwnedSemaphorePermit, AppendError> {
        let weight = u32::try_from(weight).unwrap_or(u32::MAX).clamp(1, self.limit);
        if let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(weight) {
            return Ok(room);
        }
        let _outside = self.wait_outside(weight as usize)?;
        let room = Arc::clone(&self.room).acquire_many_owned(weight).await;
        room.map_err(|_| AppendError::Closed)
    }

    fn wait_outside(&self, weight: usize) -> Result<Outside<'_>, AppendError> {
        let add = |outside: usize| {
            let all = outside.saturating_add(weight);
            (all <= self.limit as usize).then_some(all)
        };
        self.outside
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add)
            .map_err(|_| AppendError::Overloaded)?;
        Ok(Outside { outside: &self.outside, weight })
    }

    /// Lets nobody in any more.
    pub(crate) fn close(&self) {
        self.room.close();
    }
}

/// Waits for a future on a thread of its own.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(done) => return done,
            Poll::Pending => thread::park(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bytes_are_bounded_inside_and_outside() {
        let queue = Arc::new(QueueBytes::new(1000));
        let (one, two) = (queue.enter(500).await.unwrap(), queue.enter(500).await.unwrap());
        let enter = |weight| {
            let queue = Arc::clone(&queue);
            tokio::spawn(async move { queue.enter(weight).await })
        };
        let (three, four) = (enter(600), enter(400));
        tokio::task::yield_now().await;
        // Full inside and outside.
        assert!(matches!(queue.enter(1).await, Err(AppendError::Overloaded)));
        // One who gives up makes room outside.
        four.abort();
        assert!(four.await.unwrap_err().is_cancelled());
        let five = enter(400);
        tokio::task::yield_now().await;
        drop(one);
        drop(two);
        let three = three.await.unwrap().unwrap();
        let five = five.await.unwrap().unwrap();
        assert_eq!(queue.outside.load(Ordering::Relaxed), 0);
        drop((three, five));
        // Heavier than all the room: alone.
        let heavy = queue.enter(usize::MAX).await.unwrap();
        assert_eq!(queue.room.available_permits(), 0);
        let waiting = enter(1);
        tokio::task::yield_now().await;
        queue.close();
        assert!(matches!(waiting.await.unwrap(), Err(AppendError::Closed)));
        drop(heavy);
    }
}
