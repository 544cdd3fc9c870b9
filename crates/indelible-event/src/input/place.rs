//! Lines and columns.

use std::fmt;

/// A place in an input, as editors count: lines from 1, columns in characters from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Line.
    pub line: u64,
    /// Column.
    pub column: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Tells places in an input that is seen in parts, counting each byte once.
#[derive(Debug, Clone)]
pub struct Places {
    /// Offset in the buffer up to which is counted, and its place.
    at: usize,
    place: Place,
    /// Whether nothing was counted yet: a byte order mark there has no column.
    fresh: bool,
}

impl Default for Places {
    fn default() -> Self {
        Self { at: 0, place: Place { line: 1, column: 1 }, fresh: true }
    }
}

/// U+FEFF in UTF-8.
pub(super) const MARK: &[u8] = b"\xef\xbb\xbf";

impl Places {
    /// The place of an offset. It is counted from the last one that was passed, so ask
    /// in rising order where there are many.
    #[must_use]
    pub fn of(&self, buffer: &[u8], offset: usize) -> Place {
        let passed = buffer.get(self.at..offset.max(self.at).min(buffer.len()));
        let mut passed = passed.unwrap_or_default();
        if self.fresh && self.at == 0 {
            passed = passed.strip_prefix(MARK).unwrap_or(passed);
        }
        let lines = passed.iter().filter(|byte| **byte == b'\n').count() as u64;
        let (last, before) = match passed.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => (passed.get(end.saturating_add(1)..).unwrap_or_default(), 1),
            None => (passed, self.place.column),
        };
        // Of a character in UTF-8 only the first byte has other leading bits than 10.
        let columns = last.iter().filter(|byte| **byte & 0xc0 != 0x80).count() as u64;
        Place {
            line: self.place.line.saturating_add(lines),
            column: before.saturating_add(columns),
        }
    }

    /// The same, and counts from there the next time.
    pub fn pass(&mut self, buffer: &[u8], offset: usize) -> Place {
        let place = self.of(buffer, offset);
        if offset > self.at {
            *self = Self { at: offset, place, fresh: false };
        }
        place
    }

    /// The first `count` bytes are taken off the buffer.
    pub fn forget(&mut self, buffer: &[u8], count: usize) {
        if count > 0 {
            self.pass(buffer, count);
            self.at = self.at.saturating_sub(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_characters_and_survive_a_buffer_that_moves() {
        let text = "\u{feff}ab\nü→x\r\n  y".as_bytes();
        let place = |offset| {
            let Place { line, column } = Places::default().of(text, offset);
            (line, column)
        };
        let at = |what: &str| text.windows(what.len()).position(|w| w == what.as_bytes()).unwrap();
        assert_eq!([place(3), place(4)], [(1, 1), (1, 2)]);
        assert_eq!([place(at("x")), place(at("y"))], [(2, 3), (3, 3)]);
        assert_eq!(place(1000), (3, 4));
        for cut in 0..=text.len() {
            let mut places = Places::default();
            places.forget(text, cut);
            let rest = &text[cut..];
            for offset in 0..rest.len() {
                if cut > 2 || cut == 0 {
                    assert_eq!(places.of(rest, offset), Places::default().of(text, cut + offset));
                }
            }
        }
    }
}
