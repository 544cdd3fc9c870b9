//! Input as it comes: bytes of which nobody said what they are, taken apart into events.
//!
//! [`Kind::of`] tells compressed and foreign files by their first bytes, [`Utf16`] makes
//! UTF-8 of UTF-16, [`Splitter`] finds the JSON values in a stream, whatever stands
//! between them, and [`events_of`] the events in a value. What is broken is a
//! [`Piece::Bad`] or an [`Item::Bad`] with its offset; what stands around it is found
//! all the same, and nothing is passed over without a word. [`Places`] makes lines and
//! columns of offsets.
//!
//! *Invariants:* every byte that is not white space, a byte order mark or a comma between
//! values is in a value, in what is told as bad, or is skipped up to where the next value
//! can begin, after something was told as bad. A splitter keeps nothing of what it has
//! seen; how much of a value is held is the caller's [`MAX_VALUE`].

mod container;
mod encoding;
mod items;
mod place;
mod scan;
mod split;

pub use encoding::{Kind, Utf16};
pub use items::{Item, events_of};
pub use place::{Place, Places};
pub use split::{MAX_VALUE, Piece, Splitter};

#[cfg(test)]
mod tests;
