//! The row of journals a log's commits go to: the one being written and the spare
//! that is made ready in the background.

use crate::error::Result;
use indelible_store::{Journal, Store};
use parking_lot::Mutex;
use std::sync::Arc;

/// Path of a journal in its log's store.
pub(crate) fn path(number: u32) -> String {
    format!("journal/{number:010}.journal")
}

/// Number of the journal at `path`, if it is one.
pub(crate) fn number(path: &str) -> Option<u32> {
    let digits = path.strip_prefix("journal/")?.strip_suffix(".journal")?;
    digits.parse().ok().filter(|n| self::path(*n) == path)
}

/// Hands out journals, each larger than the one before up to a limit.
#[derive(Debug)]
pub(crate) struct Journals {
    store: Arc<dyn Store>,
    max_capacity: u64,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    next_number: u32,
    next_capacity: u64,
    spare: Option<(u32, Arc<dyn Journal>)>,
}

impl Journals {
    pub(crate) fn new(store: Arc<dyn Store>, next_number: u32, capacity: (u64, u64)) -> Self {
        Self {
            store,
            max_capacity: capacity.1,
            inner: Mutex::new(Inner { next_number, next_capacity: capacity.0, spare: None }),
        }
    }

    /// Makes the next journal ready if it is not. Called in the background, because
    /// writing its zeros takes as long as many commits.
    pub(crate) fn prepare(&self) -> Result<()> {
        let mut inner = self.inner.lock();
        if inner.spare.is_none() {
            inner.spare = Some(self.create(&mut inner, 0)?);
        }
        Ok(())
    }

    /// The next journal, with room for at least `frame_len` bytes. Numbers only go
    /// up: if the spare is still being made, this waits for it.
    pub(crate) fn take(&self, frame_len: u64) -> Result<(u32, Arc<dyn Journal>)> {
        let mut inner = self.inner.lock();
        match inner.spare.take() {
            Some((number, spare)) if spare.size() >= frame_len => Ok((number, spare)),
            Some((number, _too_small)) => {
                self.store.delete(&path(number))?;
                self.create(&mut inner, frame_len)
            }
            None => self.create(&mut inner, frame_len),
        }
    }

    fn create(&self, inner: &mut Inner, at_least: u64) -> Result<(u32, Arc<dyn Journal>)> {
        // The number is used up even if this fails: what a failure leaves under it is found
        // at the next start.
        let number = inner.next_number;
        inner.next_number += 1;
        let journal =
            self.store.create_journal(&path(number), inner.next_capacity.max(at_least))?;
        inner.next_capacity = (inner.next_capacity * 2).min(self.max_capacity);
        Ok((number, journal))
    }

    /// Whether `prepare` has something to do.
    pub(crate) fn wants_spare(&self) -> bool {
        self.inner.try_lock().is_some_and(|inner| inner.spare.is_none())
    }
}
