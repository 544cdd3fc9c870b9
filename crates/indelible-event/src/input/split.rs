//! Finding the values in a stream: one a line, over several lines, one behind the other,
//! in an array, or in the array of a container that is too long or too broken to be read
//! whole. After something broken it goes on where the next value can begin.

use super::{
    container::array_in,
    place::MARK,
    scan::{Reached, Scan},
};

/// Bytes of one value at most.
pub const MAX_VALUE: usize = 256 << 20;
/// Bytes from which a container is not held whole.
const LONG: usize = 8 << 20;

/// What was found next; offsets are in the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// A value by its structure.
    Value {
        /// Its first byte.
        start: usize,
        /// Behind its last.
        end: usize,
    },
    /// Something that is none.
    Bad {
        /// Where it begins.
        start: usize,
        /// Where it is wrong.
        at: usize,
        /// How.
        problem: &'static str,
    },
}

/// What may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Values one behind the other.
    Top,
    /// Just behind `[`.
    First,
    /// An element.
    Element,
    /// Behind an element.
    Comma,
}

/// A value that has begun.
#[derive(Debug, Clone)]
struct Begun {
    start: usize,
    /// White space before it, if nothing else stands before it on its line.
    indent: usize,
    scan: Scan,
    /// Whether it was looked at as a container.
    looked: bool,
}

/// What is passed over behind something broken.
#[derive(Debug, Clone)]
enum Skip {
    /// NUL bytes.
    Nul,
    /// The rest of the line.
    Line,
    /// The rest of an element that is no object: up to a comma, a bracket, a line's end.
    Word,
    /// The rest of a value with so many brackets open, or up to a line that begins as
    /// its own did.
    Value { depth: u32, indent: usize, line: Option<usize>, text: bool, escaped: bool },
}

/// Takes a stream apart.
#[derive(Debug, Clone)]
pub struct Splitter {
    at: usize,
    mode: Mode,
    /// Whether the array is a member of an object, whose end follows.
    contained: bool,
    begun: Option<Begun>,
    skip: Option<Skip>,
    /// White space since the line began, if nothing else was.
    indent: Option<usize>,
    ended: bool,
}

impl Default for Splitter {
    fn default() -> Self {
        Self {
            at: 0,
            mode: Mode::Top,
            contained: false,
            begun: None,
            skip: None,
            indent: Some(0),
            ended: false,
        }
    }
}

impl Splitter {
    /// The next piece of what is in the buffer; `None` when there is none without more
    /// bytes, or, when the buffer holds all to the end of the input, no more at all.
    pub fn next(&mut self, bytes: &[u8], is_whole: bool) -> Option<Piece> {
        loop {
            if self.skip.is_some() {
                if !self.pass(bytes) {
                    return self.end(bytes, is_whole);
                }
            } else if self.begun.is_some() {
                match self.scan(bytes, is_whole) {
                    Step::Found(piece) => return Some(piece),
                    Step::More => return None,
                    Step::Again => {}
                }
            } else {
                let Some(byte) = self.blank(bytes) else { return self.end(bytes, is_whole) };
                match self.begin(bytes, byte, is_whole) {
                    Step::Found(piece) => return Some(piece),
                    Step::More => return None,
                    Step::Again => {}
                }
            }
        }
    }

    /// Bytes before this offset are not needed any more.
    #[must_use]
    pub fn kept_from(&self) -> usize {
        self.begun.as_ref().map_or(self.at, |begun| begun.start)
    }

    /// The first `count` bytes are taken off the buffer.
    pub fn forget(&mut self, count: usize) {
        self.at = self.at.saturating_sub(count);
        if let Some(begun) = &mut self.begun {
            begun.start = begun.start.saturating_sub(count);
        }
    }

    /// Passes white space, and returns what stands behind it.
    fn blank(&mut self, bytes: &[u8]) -> Option<u8> {
        while let Some(byte) = bytes.get(self.at) {
            match byte {
                b'\n' => self.indent = Some(0),
                b' ' | b'\t' => self.indent = self.indent.map(|indent| indent + 1),
                // Record separators stand before each text in RFC 7464.
                b'\r' | 0x1e => {}
                other => return Some(*other),
            }
            self.at += 1;
        }
        None
    }

    fn end(&mut self, bytes: &[u8], is_whole: bool) -> Option<Piece> {
        let is_open = self.mode != Mode::Top
            || matches!(self.skip, Some(Skip::Value { indent: usize::MAX, .. }));
        if !is_whole || self.ended || !is_open {
            return None;
        }
        self.ended = true;
        let at = bytes.len();
        Some(Piece::Bad {
            start: at,
            at,
            problem: "the input ends here, within an array of events",
        })
    }

    /// At a byte that is no white space, between values.
    fn begin(&mut self, bytes: &[u8], byte: u8, is_whole: bool) -> Step {
        if byte == MARK[0] {
            let rest = bytes.get(self.at..).unwrap_or_default();
            if rest.starts_with(MARK) {
                self.at += MARK.len();
                return Step::Again;
            }
            if !is_whole && rest.len() < MARK.len() {
                return Step::More;
            }
        }
        if byte == 0 {
            return self.bad_here(
                "NUL bytes stand here (as after a loss of power); they were passed over",
                Skip::Nul,
            );
        }
        let indent = self.indent.take().unwrap_or(0);
        match (self.mode, byte) {
            (Mode::Top, b'[') => self.mode = Mode::First,
            (Mode::Top, b',') => {}
            (Mode::Top, b'{') | (Mode::First | Mode::Element, b'{' | b'[' | b'"') => {
                self.open(indent);
                return Step::Again;
            }
            (Mode::Top, _) => {
                return self.bad_here(
                    "this is not JSON: an object or an array of objects is expected here",
                    Skip::Line,
                );
            }
            _ => return self.in_array(byte, indent),
        }
        self.at += 1;
        Step::Again
    }

    /// The same within an array, where no element begins at once.
    fn in_array(&mut self, byte: u8, indent: usize) -> Step {
        match (self.mode, byte) {
            (Mode::First | Mode::Comma, b']') => self.close(),
            (Mode::Element, b']') => {
                let (start, at) = (self.at, self.at);
                self.close();
                self.at += 1;
                return Step::Found(Piece::Bad {
                    start,
                    at,
                    problem: "a comma stands before the end of the array",
                });
            }
            (Mode::First | Mode::Element, b',') => {
                self.mode = Mode::Element;
                let at = self.at;
                self.at += 1;
                return Step::Found(Piece::Bad {
                    start: at,
                    at,
                    problem: "an event is expected before this comma",
                });
            }
            (Mode::First | Mode::Element, _) => {
                if byte.is_ascii_alphanumeric() || byte == b'-' {
                    self.open(indent);
                    return Step::Again;
                }
                self.mode = Mode::Comma;
                return self.bad_here("an object is expected here", Skip::Word);
            }
            (Mode::Comma, b',') => self.mode = Mode::Element,
            (Mode::Comma, b'{') => {
                self.indent = Some(indent);
                self.mode = Mode::Element;
                let at = self.at;
                return Step::Found(Piece::Bad {
                    start: at,
                    at,
                    problem: "a comma is missing before this",
                });
            }
            (Mode::Comma | Mode::Top, _) => {
                return self.bad_here("a comma or ] is expected here", Skip::Word);
            }
        }
        self.at += 1;
        Step::Again
    }

    fn open(&mut self, indent: usize) {
        let scan = Scan::new();
        self.begun = Some(Begun { start: self.at, indent, scan, looked: false });
    }

    /// At the end of an array.
    fn close(&mut self) {
        self.mode = Mode::Top;
        if std::mem::take(&mut self.contained) {
            self.skip = Some(Skip::Value {
                depth: 1,
                indent: usize::MAX,
                line: None,
                text: false,
                escaped: false,
            });
        }
    }

    fn bad_here(&mut self, problem: &'static str, skip: Skip) -> Step {
        let at = self.at;
        self.skip = Some(skip);
        Step::Found(Piece::Bad { start: at, at, problem })
    }

    /// Goes on with a value.
    fn scan(&mut self, bytes: &[u8], is_whole: bool) -> Step {
        let Some(begun) = &mut self.begun else { return Step::Again };
        let start = begun.start;
        let (at, problem) = match begun.scan.go(bytes, self.at) {
            Reached::End(end) => return self.found(start, end),
            Reached::More if is_whole && begun.scan.may_end() => {
                return self.found(start, bytes.len());
            }
            Reached::More => {
                self.at = bytes.len();
                let length = self.at - start;
                if length > LONG && !begun.looked {
                    begun.looked = true;
                    if self.enter(bytes, start) {
                        return Step::Again;
                    }
                } else if is_whole {
                    return self.broken(
                        bytes,
                        start,
                        self.at,
                        "the input ends here, within an event",
                    );
                } else if length > MAX_VALUE {
                    return self.broken(bytes, start, start, "this is longer than 256 MiB");
                }
                return if is_whole { Step::Again } else { Step::More };
            }
            Reached::Wrong(at, problem) => (at, problem),
        };
        self.broken(bytes, start, at, problem)
    }

    fn found(&mut self, start: usize, end: usize) -> Step {
        self.begun = None;
        self.at = end;
        self.behind();
        Step::Found(Piece::Value { start, end })
    }

    fn behind(&mut self) {
        if self.mode != Mode::Top {
            self.mode = Mode::Comma;
        }
    }

    /// Goes into the array of a container, if the value that began at `start` is one.
    fn enter(&mut self, bytes: &[u8], start: usize) -> bool {
        let value = bytes.get(start..).unwrap_or_default();
        let array = if self.mode == Mode::Top { array_in(value) } else { None };
        let Some(array) = array else { return false };
        self.begun = None;
        (self.mode, self.contained) = (Mode::First, true);
        self.at = start + array + 1;
        self.indent = None;
        true
    }

    /// The value that began at `start` is wrong at `at`.
    fn broken(&mut self, bytes: &[u8], start: usize, at: usize, problem: &'static str) -> Step {
        if self.enter(bytes, start) {
            return Step::Again;
        }
        let Some(Begun { indent, scan, .. }) = self.begun.take() else { return Step::Again };
        self.at = at;
        // A line that begins as this value did, or before it, is another value: it was torn.
        if let Some((end, next)) = next_line(bytes, start, at, indent) {
            self.at = next;
            self.indent = Some(next - end - 1);
            if self.mode != Mode::Top {
                self.mode = Mode::Element;
            }
            let at = if next == at { at } else { end };
            let problem = if next == at { problem } else { "the line ends here, within an event" };
            return Step::Found(Piece::Bad { start, at: at.min(end), problem });
        }
        let passed = bytes.get(start..at).unwrap_or_default();
        let one_line = !passed.contains(&b'\n');
        self.skip = Some(match self.mode {
            Mode::Top if one_line => Skip::Line,
            _ if scan.depth() == 0 => Skip::Word,
            _ => {
                Skip::Value { depth: scan.depth(), indent, line: None, text: false, escaped: false }
            }
        });
        self.behind();
        Step::Found(Piece::Bad { start, at, problem })
    }

    /// Passes over what is to be; false when the bytes end before it does.
    fn pass(&mut self, bytes: &[u8]) -> bool {
        let Some(mut skip) = self.skip.take() else { return true };
        while let Some(byte) = bytes.get(self.at).copied() {
            let is_over = match &mut skip {
                Skip::Nul => byte != 0,
                Skip::Line => byte == b'\n',
                Skip::Word => matches!(byte, b',' | b']' | b'{' | b'\n'),
                Skip::Value { .. } => match skip.step(byte) {
                    Passed::On => false,
                    Passed::Closed => {
                        self.at += 1;
                        true
                    }
                    Passed::Next { indent } => {
                        self.indent = Some(indent);
                        if self.mode != Mode::Top {
                            self.mode = Mode::Element;
                        }
                        true
                    }
                },
            };
            if is_over {
                return true;
            }
            self.at += 1;
        }
        self.skip = Some(skip);
        false
    }
}

enum Step {
    Found(Piece),
    More,
    Again,
}

enum Passed {
    On,
    Closed,
    Next { indent: usize },
}

impl Skip {
    /// One byte of the rest of a value.
    fn step(&mut self, byte: u8) -> Passed {
        let Self::Value { depth, indent, line, text, escaped } = self else { return Passed::On };
        if byte == b'\n' || byte == 0 {
            (*text, *escaped) = (false, false);
            *line = Some(if byte == 0 { *indent } else { 0 });
            return Passed::On;
        }
        if *text {
            match byte {
                _ if *escaped => *escaped = false,
                b'\\' => *escaped = true,
                b'"' => *text = false,
                _ => {}
            }
            return Passed::On;
        }
        match byte {
            b' ' | b'\t' => *line = line.map(|count| count.saturating_add(1)),
            b'\r' => {}
            b'{' if let Some(count) = line.filter(|count| *count <= *indent)
                && *indent != usize::MAX =>
            {
                return Passed::Next { indent: count };
            }
            _ => {
                *line = None;
                match byte {
                    b'{' | b'[' => *depth = depth.saturating_add(1),
                    b'}' | b']' => {
                        *depth = depth.saturating_sub(1);
                        if *depth == 0 {
                            return Passed::Closed;
                        }
                    }
                    b'"' => *text = true,
                    _ => {}
                }
            }
        }
        Passed::On
    }
}

/// The first line behind `start`, up to `last`, that begins with so much white space, or
/// less, and then an object: where the line before it ends, and the object.
fn next_line(bytes: &[u8], start: usize, last: usize, indent: usize) -> Option<(usize, usize)> {
    let mut from = start;
    while from < last {
        let line = bytes.get(from..last)?.iter().position(|byte| *byte == b'\n')?;
        let end = from + line;
        let rest = bytes.get(end + 1..)?;
        let object = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t'))?;
        if object <= indent && rest.get(object) == Some(&b'{') && end + 1 + object <= last {
            return Some((end, end + 1 + object));
        }
        from = end + 1;
    }
    None
}
