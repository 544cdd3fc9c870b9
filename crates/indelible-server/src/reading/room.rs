//! How much memory one answer may take. A small one takes what every request may; a
//! larger one stops, asks for room, and is begun again.

use crate::error::ApiError;

/// Bytes that every answer may take without asking.
pub(crate) const SMALL: usize = 256 << 10;
/// Bytes of events after which an answer ends early; `next` goes on.
pub(crate) const PAGE_BYTES: usize = 4 << 20;
/// Bytes that are asked for at once: those of a page, of the answer written from it, and
/// something for the event that is looked at.
pub(crate) const PORTION: usize = 2 * PAGE_BYTES + (1 << 20);

/// Why a reading did not come to its end.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// It takes so many bytes at least.
    Room(usize),
    Failed(ApiError),
}

impl<E: Into<ApiError>> From<E> for Stopped {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Result of a reading.
pub(crate) type Reading<T> = Result<T, Stopped>;

/// The room of one reading.
#[derive(Debug)]
pub(crate) struct Room {
    allowed: usize,
    kept: usize,
}

impl Room {
    pub(crate) const fn of(allowed: usize) -> Self {
        Self { allowed, kept: 0 }
    }

    /// Asks whether there is room for so many bytes that are soon given back.
    pub(crate) fn look(&self, bytes: usize) -> Reading<()> {
        let needed = self.kept.saturating_add(bytes);
        if needed > self.allowed { Err(Stopped::Room(needed)) } else { Ok(()) }
    }

    /// Keeps so many bytes: once as they are, once in the answer.
    pub(crate) fn keep(&mut self, bytes: usize) -> Reading<()> {
        let bytes = bytes.saturating_mul(2);
        self.look(bytes)?;
        self.kept = self.kept.saturating_add(bytes);
        Ok(())
    }
}

/// What it takes to read an event from its sender's bytes and to write it again: both,
/// and a value of some 32 bytes for each of its parts, in a vector that grew and in one
/// that is written from it.
pub(crate) fn weight(data: &str) -> usize {
    let parts = data.bytes().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count();
    data.len().saturating_mul(2).saturating_add(parts.saturating_mul(128))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_more_than_its_room_says_how_much() {
        let mut room = Room::of(1000);
        assert!(room.keep(300).is_ok() && room.look(400).is_ok() && room.look(400).is_ok());
        assert!(matches!(room.look(401), Err(Stopped::Room(1001))));
        assert!(matches!(room.keep(201), Err(Stopped::Room(1002))));
        assert!(matches!(room.keep(usize::MAX), Err(Stopped::Room(usize::MAX))));
    }

    #[test]
    fn many_small_parts_weigh_more_than_one_long_text() {
        let (parts, text) = ("[0,0,0,0]".repeat(100), "x".repeat(900));
        assert_eq!((weight(&text), weight(&parts)), (1800, 1800 + 100 * 4 * 128));
    }
}
