//! How frames follow each other: each names the one before it. docs/formats.md §3.

use crate::frame::{Frame, Link};
use indelible_tlog::Hash;
use std::collections::BTreeMap;

/// Why a frame cannot stand where it stands.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Break {
    /// Records from this index on are in no frame before it.
    Hole(u64),
    /// What is wrong, for people.
    Other(String),
}

/// Checks that frames, given in the order of their journals, are one row.
#[derive(Debug)]
pub(crate) struct Chain {
    /// Records in segments; below it journals may be gone.
    sealed: u64,
    last: Option<Link>,
    /// Commits that segments name, by their number.
    named: BTreeMap<u64, Link>,
}

impl Chain {
    /// A row on top of `sealed` records in segments, which name commits of it.
    pub(crate) fn new(sealed: u64, named: impl IntoIterator<Item = Link>) -> Self {
        let named = named.into_iter().map(|link| (link.number, link)).collect();
        Self { sealed, last: None, named }
    }

    /// The newest commit that a frame or a segment tells of.
    pub(crate) fn newest(&self) -> Option<Link> {
        let named = self.named.values().next_back().copied();
        [self.last, named].into_iter().flatten().max_by_key(|link| link.number)
    }

    /// Takes the next frame.
    pub(crate) fn follow(&mut self, frame: &Frame) -> Result<(), Break> {
        self.check(frame)?;
        self.last = Some(frame.link);
        Ok(())
    }

    fn check(&self, frame: &Frame) -> Result<(), Break> {
        self.check_place(frame)?;
        let number = frame.link.number;
        let before = number.checked_sub(1).and_then(|before| self.named.get(&before));
        let same = self.named.get(&number).is_none_or(|named| *named == frame.link);
        let next =
            before.is_none_or(|named| named.header == frame.previous && named.end == frame.first);
        if same && next {
            return Ok(());
        }
        let first = frame.first;
        let problem =
            format!("the frame of records from {first} on is not that which a segment names");
        Err(Break::Other(problem))
    }

    fn check_place(&self, frame: &Frame) -> Result<(), Break> {
        let other = |problem: &str| {
            let first = frame.first;
            Err(Break::Other(format!("the frame of records from {first} on {problem}")))
        };
        if frame.count == 0 {
            return other("holds none");
        }
        let Some(last) = self.last else {
            return match frame.link.number {
                _ if frame.first > self.sealed => Err(Break::Hole(self.sealed)),
                0 if frame.first != 0 || frame.previous != Hash::default() => {
                    other("calls itself the first, which it is not")
                }
                number if number > 0 && frame.first == 0 => {
                    other("is not the first commit although it holds the first record")
                }
                _ => Ok(()),
            };
        };
        if frame.link.epoch < last.epoch {
            return other("is of an earlier writer than the one before it");
        }
        if last.number.checked_add(1) == Some(frame.link.number) {
            return match () {
                () if frame.first != last.end => Err(Break::Hole(last.end)),
                () if frame.previous != last.header => {
                    other("does not name the frame that stands before it")
                }
                () => Ok(()),
            };
        }
        // Of journals whose records are all sealed, any may be deleted before others.
        if frame.link.number <= last.number || frame.first <= last.end {
            return other("stands out of order");
        }
        if frame.first > self.sealed { Err(Break::Hole(last.end)) } else { Ok(()) }
    }
}
