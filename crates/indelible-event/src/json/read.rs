//! Reading JSON (RFC 8259): total, in one pass, nothing turned into something else.

use super::{Map, Value};
use std::{borrow::Cow, collections::HashSet};

/// Levels of nesting that are read. What is accepted of a sender has at most 256, see
/// [`CHECKED_DEPTH`]; an answer stands around it.
const DEPTH: usize = 300;
/// Levels inside one member that are accepted. Shapes are read by `serde_json`, whose
/// bound is 128 levels more.
const CHECKED_DEPTH: usize = 128;
/// Member names up to which a plain scan finds duplicates faster than a set.
const SCAN_LIMIT: usize = 16;

/// Text that is not JSON, or more deeply nested than is read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem} at byte {at}")]
pub struct JsonError {
    /// What is wrong.
    pub(crate) problem: String,
    /// Where, from 0.
    at: usize,
}

type Result<T> = std::result::Result<T, JsonError>;

impl<'a> Value<'a> {
    /// Reads a JSON text. Members that stand in it twice are kept twice.
    ///
    /// # Errors
    /// [`JsonError`].
    pub fn parse(text: &'a str) -> Result<Self> {
        let mut reader = Reader { text, at: 0 };
        let value = reader.value(DEPTH)?;
        reader.end()?;
        Ok(value)
    }
}

/// Checks a JSON text: nesting is bounded, no object has a member twice.
///
/// # Errors
/// [`JsonError`].
pub(crate) fn check(text: &str) -> Result<()> {
    let mut reader = Reader { text, at: 0 };
    reader.check(CHECKED_DEPTH)?;
    reader.end()
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn error(&self, problem: impl Into<String>) -> JsonError {
        JsonError { problem: problem.into(), at: self.at }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is no white space, not taken.
    fn next(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
        self.peek()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let is_there = self.next() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    fn expect(&mut self, byte: u8) -> Result<()> {
        match self.eat(byte) {
            true => Ok(()),
            false => Err(self.error(format!("expected {:?}", char::from(byte)))),
        }
    }

    fn end(&mut self) -> Result<()> {
        match self.next() {
            None => Ok(()),
            Some(_) => Err(self.error("trailing characters")),
        }
    }

    fn deeper(&self, depth: usize) -> Result<usize> {
        depth.checked_sub(1).ok_or_else(|| self.error("nested too deeply"))
    }

    fn value(&mut self, depth: usize) -> Result<Value<'a>> {
        match self.next() {
            Some(b'{') => {
                let depth = self.deeper(depth)?;
                let mut members = Vec::new();
                self.members(|reader, name| {
                    members.push((name, reader.value(depth)?));
                    Ok(())
                })?;
                Ok(Value::Object(Map(members)))
            }
            Some(b'[') => {
                let depth = self.deeper(depth)?;
                let mut items = Vec::new();
                self.items(|reader| {
                    items.push(reader.value(depth)?);
                    Ok(())
                })?;
                Ok(Value::Array(items))
            }
            Some(b'"') => self.string().map(Value::Str),
            Some(b'-' | b'0'..=b'9') => {
                self.number().map(|text| Value::Number(Cow::Borrowed(text)))
            }
            _ => self.word(),
        }
    }

    /// Reads a value and keeps nothing of it.
    fn check(&mut self, depth: usize) -> Result<()> {
        match self.next() {
            Some(b'{') => {
                let depth = self.deeper(depth)?;
                let mut names = Names::default();
                self.members(|reader, name| {
                    names.insert(name).map_err(|problem| reader.error(problem))?;
                    reader.check(depth)
                })
            }
            Some(b'[') => {
                let depth = self.deeper(depth)?;
                self.items(|reader| reader.check(depth))
            }
            Some(b'"') => self.string().map(drop),
            Some(b'-' | b'0'..=b'9') => self.number().map(drop),
            _ => self.word().map(drop),
        }
    }

    fn members(
        &mut self,
        mut visit: impl FnMut(&mut Self, Cow<'a, str>) -> Result<()>,
    ) -> Result<()> {
        self.at += 1;
        if self.eat(b'}') {
            return Ok(());
        }
        loop {
            if self.next() != Some(b'"') {
                return Err(self.error("expected the name of a member"));
            }
            let name = self.string()?;
            self.expect(b':')?;
            visit(self, name)?;
            if !self.eat(b',') {
                return self.expect(b'}');
            }
        }
    }

    fn items(&mut self, mut visit: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        self.at += 1;
        if self.eat(b']') {
            return Ok(());
        }
        loop {
            visit(self)?;
            if !self.eat(b',') {
                return self.expect(b']');
            }
        }
    }

    fn word(&mut self) -> Result<Value<'a>> {
        let words =
            [("null", Value::Null), ("true", Value::Bool(true)), ("false", Value::Bool(false))];
        let rest = self.text.get(self.at..).unwrap_or_default();
        for (word, value) in words {
            if rest.starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(self.error(if rest.is_empty() { "unexpected end" } else { "expected a value" }))
    }

    fn digits(&mut self) -> Result<()> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(self.error("expected a digit")) }
    }

    fn number(&mut self) -> Result<&'a str> {
        let start = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(self.text.get(start..self.at).unwrap_or_default())
    }

    fn string(&mut self) -> Result<Cow<'a, str>> {
        self.at += 1;
        let plain = self.plain()?;
        if self.peek() == Some(b'"') {
            self.at += 1;
            return Ok(Cow::Borrowed(plain));
        }
        let mut text = plain.to_owned();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Owned(text));
                }
                Some(b'\\') => {
                    self.at += 1;
                    text.push(self.escape()?);
                }
                _ => text.push_str(self.plain()?),
            }
        }
    }

    /// What stands before the next quote or escape.
    fn plain(&mut self) -> Result<&'a str> {
        let start = self.at;
        let rest = self.text.as_bytes().get(start..).unwrap_or_default();
        let len = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
        self.at += len.unwrap_or(rest.len());
        match self.peek() {
            None => Err(self.error("a text does not end")),
            Some(0..=0x1f) => Err(self.error("a control character in a text")),
            Some(_) => Ok(self.text.get(start..self.at).unwrap_or_default()),
        }
    }

    fn escape(&mut self) -> Result<char> {
        let byte = self.peek();
        self.at += usize::from(byte.is_some_and(|byte| byte.is_ascii()));
        Ok(match byte {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return Err(self.error("not an escape")),
        })
    }

    fn unicode(&mut self) -> Result<char> {
        let first = self.hex()?;
        let is_pair = (0xd800..0xdc00).contains(&first)
            && self.text.get(self.at..).is_some_and(|rest| rest.starts_with("\\u"));
        let code = if is_pair {
            self.at += 2;
            let second = self.hex()?;
            let low = second.checked_sub(0xdc00).filter(|low| *low < 0x400);
            low.map(|low| 0x10000 + ((first - 0xd800) << 10) + low)
        } else {
            Some(first)
        };
        code.and_then(char::from_u32).ok_or_else(|| self.error("half of a surrogate pair"))
    }

    fn hex(&mut self) -> Result<u32> {
        let digits = self.text.get(self.at..self.at + 4);
        let digits = digits.filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let code = digits.and_then(|text| u32::from_str_radix(text, 16).ok());
        let code = code.ok_or_else(|| self.error("expected four hex digits"))?;
        self.at += 4;
        Ok(code)
    }
}

/// The member names of one object.
#[derive(Default)]
pub(crate) struct Names<'a> {
    few: Vec<Cow<'a, str>>,
    many: HashSet<Cow<'a, str>>,
}

impl<'a> Names<'a> {
    pub(crate) fn insert(&mut self, name: Cow<'a, str>) -> std::result::Result<(), String> {
        let duplicate = if self.few.len() < SCAN_LIMIT {
            let known = self.few.contains(&name);
            self.few.push(name.clone());
            known
        } else {
            if self.many.is_empty() {
                self.many.extend(self.few.iter().cloned());
            }
            !self.many.insert(name.clone())
        };
        if duplicate { Err(format!("duplicate member {name:?}")) } else { Ok(()) }
    }
}
