//! The events in a JSON value, and the format of each: told by its members, not by what
//! anybody said, unless a format is asked for.

use super::{
    container::array_in,
    scan::{Reached, Scan},
    split::{Piece, Splitter},
};
use crate::{
    EventError, Format,
    formats::{self, Found, Of},
};
use std::borrow::Cow;

/// How deep containers are looked into.
const DEEPEST: u8 = 6;

/// Something in a value; offsets are in the input.
#[derive(Debug)]
pub enum Item<'a> {
    /// An event, not checked yet: [`Format::accept`] does.
    Event {
        /// Its format.
        format: &'static dyn Format,
        /// Its bytes as the sender wrote them.
        data: Cow<'a, str>,
        /// Where it begins.
        offset: usize,
    },
    /// Something that is no event.
    Bad {
        /// Where it begins.
        start: usize,
        /// Where it is wrong.
        at: usize,
        /// How.
        error: EventError,
    },
    /// A document that is known to hold no events.
    Nothing {
        /// Where it begins.
        offset: usize,
        /// What it is.
        why: &'static str,
    },
}

/// Visits the events in a value of an input, which begins at `offset` of it. With
/// `forced` everything is an event of that format, or a container of it.
///
/// # Errors
/// What `visit` returns.
pub fn events_of<'a, E>(
    value: &'a [u8],
    offset: usize,
    forced: Option<&'static dyn Format>,
    visit: &mut impl FnMut(Item<'a>) -> Result<(), E>,
) -> Result<(), E> {
    Walk { forced, visit }.value(value, offset, Of::Anything, 0)
}

struct Walk<'v, V> {
    forced: Option<&'static dyn Format>,
    visit: &'v mut V,
}

impl<V> Walk<'_, V> {
    fn value<'a, E>(&mut self, value: &'a [u8], offset: usize, of: Of, depth: u8) -> Result<(), E>
    where
        V: FnMut(Item<'a>) -> Result<(), E>,
    {
        let text = match std::str::from_utf8(value) {
            Ok(text) => text,
            Err(error) => {
                let at = error.valid_up_to();
                let error = not_utf8(value, at);
                return (self.visit)(Item::Bad { start: offset, at: offset + at, error });
            }
        };
        let within =
            |part: &str| offset + part.as_ptr().addr().saturating_sub(text.as_ptr().addr());
        let found = match formats::find(text, of) {
            Ok(found) => found,
            // Broken within: what is whole of it is taken.
            Err(EventError::Json { .. }) if depth < DEEPEST && self.forced_is(None) => {
                match broken_array(value) {
                    Some((start, end)) => {
                        let part = value.get(start..end).unwrap_or_default();
                        return self.array(part, offset + start, Of::Anything, depth);
                    }
                    None => Found::Event(of.format(), Cow::Borrowed(text), text),
                }
            }
            Err(error) => {
                let at = offset + error.offset().unwrap_or(0);
                return match self.forced {
                    Some(format) => self.event(format, Cow::Borrowed(text), offset),
                    None => (self.visit)(Item::Bad { start: offset, at, error }),
                };
            }
        };
        match found {
            Found::Event(format, data, part) if self.forced_is(Some(format)) => {
                self.event(format, data, within(part))
            }
            Found::Array(array, of) if depth < DEEPEST && self.forced_is(of.only()) => {
                self.array(array.as_bytes(), within(array), of, depth)
            }
            Found::Nothing(why) => (self.visit)(Item::Nothing { offset, why }),
            _ => self.event(self.forced.unwrap_or(of.format()), Cow::Borrowed(text), offset),
        }
    }

    /// Whether what is found is what is asked for.
    fn forced_is(&self, found: Option<&'static dyn Format>) -> bool {
        match (self.forced, found) {
            (None, _) => true,
            (Some(forced), Some(found)) => forced.name() == found.name(),
            (Some(_), None) => false,
        }
    }

    fn event<'a, E>(
        &mut self,
        format: &'static dyn Format,
        data: Cow<'a, str>,
        offset: usize,
    ) -> Result<(), E>
    where
        V: FnMut(Item<'a>) -> Result<(), E>,
    {
        (self.visit)(Item::Event { format, data, offset })
    }

    /// The elements of an array.
    fn array<'a, E>(&mut self, array: &'a [u8], offset: usize, of: Of, depth: u8) -> Result<(), E>
    where
        V: FnMut(Item<'a>) -> Result<(), E>,
    {
        let mut splitter = Splitter::default();
        while let Some(piece) = splitter.next(array, true) {
            match piece {
                Piece::Value { start, end } => {
                    let value = array.get(start..end).unwrap_or_default();
                    self.value(value, offset + start, of, depth + 1)?;
                }
                Piece::Bad { start, at, problem } => {
                    let error = EventError::json(problem, at - start);
                    (self.visit)(Item::Bad { start: offset + start, at: offset + at, error })?;
                }
            }
        }
        Ok(())
    }
}

/// The array of a container that cannot be read whole.
fn broken_array(value: &[u8]) -> Option<(usize, usize)> {
    let start = array_in(value)?;
    match Scan::new().go(value, start) {
        Reached::End(end) => Some((start, end)),
        _ => None,
    }
}

/// What is to be said of a byte that is not UTF-8.
fn not_utf8(value: &[u8], at: usize) -> EventError {
    let byte = value.get(at).copied().unwrap_or_default();
    let hint = match byte {
        0xff => "; if the input is UTF-16, half a character stands here".to_owned(),
        _ => format!(
            "; if the input is Latin-1, {:?}: convert it (iconv -f latin1 -t utf-8)",
            char::from(byte)
        ),
    };
    EventError::json(&format!("byte 0x{byte:02x} is not UTF-8{hint}"), at)
}
