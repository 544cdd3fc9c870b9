//! The one parser: CLI, API, console and saved views read the same language.

use crate::{
    field::FIELD_NAMES,
    query::{Node, Query},
};

/// Longest query, in bytes.
const MAX_LEN: usize = 8192;
/// Most parts of a query.
const MAX_PARTS: usize = 256;
/// Deepest nesting of parentheses and negations.
const MAX_DEPTH: usize = 32;

/// A query that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {message}")]
pub struct QueryError {
    /// Column of the part at fault, from 1, in characters.
    pub column: usize,
    /// What is wrong there, and what would be right.
    pub message: String,
}

/// Parses a query. Ages count back from `now_us`.
///
/// # Errors
/// [`QueryError`] with the column.
pub fn parse(text: &str, now_us: i64) -> Result<Query, QueryError> {
    if text.len() > MAX_LEN {
        return Err(QueryError {
            column: 1,
            message: format!("the query has {} bytes, expected at most {MAX_LEN}", text.len()),
        });
    }
    let text = text.trim_start_matches('\u{feff}');
    let mut parser = Parser { chars: text.chars().collect(), at: 0, parts: 0, now_us };
    let root = parser.or(0)?;
    parser.skip_space();
    if parser.at < parser.chars.len() {
        return Err(parser.error(parser.at, "this ) closes nothing"));
    }
    Ok(Query { root })
}

pub(crate) struct Parser {
    pub(crate) chars: Vec<char>,
    pub(crate) at: usize,
    parts: usize,
    pub(crate) now_us: i64,
}

pub(crate) type Result<T, E = QueryError> = std::result::Result<T, E>;

/// Joins parts; what people write for it elsewhere is taken too.
const OR: (&str, &str) = ("or", "||");
const AND: (&str, &str) = ("and", "&&");

impl Parser {
    pub(crate) fn error(&self, at: usize, message: impl Into<String>) -> QueryError {
        QueryError { column: at + 1, message: message.into() }
    }

    pub(crate) fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    /// Whether the word stands here, alone and in any case.
    fn eat_word(&mut self, word: &str) -> bool {
        let end = self.at + word.chars().count();
        let is_same = self
            .chars
            .get(self.at..end)
            .is_some_and(|here| here.iter().map(char::to_ascii_lowercase).eq(word.chars()));
        let is_alone = self
            .chars
            .get(end)
            .is_none_or(|next| next.is_whitespace() || matches!(next, '(' | ')'));
        if is_same && is_alone {
            self.at = end;
        }
        is_same && is_alone
    }

    /// Whether the sign stands here.
    fn eat_sign(&mut self, sign: &str) -> bool {
        let end = self.at + sign.len();
        let is_here =
            self.chars.get(self.at..end).is_some_and(|here| here.iter().copied().eq(sign.chars()));
        if is_here {
            self.at = end;
        }
        is_here
    }

    fn eat_either(&mut self, (word, sign): (&str, &str)) -> bool {
        self.eat_word(word) || self.eat_sign(sign)
    }

    /// Whether what follows is negated: `NOT x`, `-x`, `!x`, and dashes that text
    /// programs make of a minus.
    fn eat_not(&mut self) -> bool {
        let next = self.chars.get(self.at + 1).copied();
        let is_sign = match self.peek() {
            Some('-' | '–' | '—' | '−') => next.is_some_and(|next| !next.is_whitespace()),
            Some('!') => true,
            _ => false,
        };
        self.at += usize::from(is_sign);
        is_sign || self.eat_word("not")
    }

    fn or(&mut self, depth: usize) -> Result<Node> {
        let mut nodes = vec![self.and(depth)?];
        loop {
            self.skip_space();
            let at = self.at;
            if !self.eat_either(OR) {
                break;
            }
            self.skip_space();
            if matches!(self.peek(), None | Some(')')) {
                return Err(self.error(at, "OR needs something on its right"));
            }
            nodes.push(self.and(depth)?);
        }
        Ok(if nodes.len() == 1 { nodes.remove(0) } else { Node::Or(nodes) })
    }

    fn and(&mut self, depth: usize) -> Result<Node> {
        let mut nodes = Vec::new();
        loop {
            self.skip_space();
            let at = self.at;
            match self.peek() {
                None | Some(')') => break,
                _ => {}
            }
            let before = self.at;
            if self.eat_either(OR) {
                if nodes.is_empty() {
                    return Err(self.error(at, "OR needs something on its left"));
                }
                self.at = before;
                break;
            }
            if self.eat_either(AND) {
                self.skip_space();
                if nodes.is_empty() || matches!(self.peek(), None | Some(')')) {
                    return Err(self.error(at, "AND needs something on both sides"));
                }
                continue;
            }
            nodes.push(self.not(depth)?);
        }
        Ok(match nodes.len() {
            0 => Node::All,
            1 => nodes.remove(0),
            _ => Node::And(nodes),
        })
    }

    fn not(&mut self, depth: usize) -> Result<Node> {
        let at = self.at;
        if depth > MAX_DEPTH {
            return Err(self.error(at, format!("nested deeper than {MAX_DEPTH}")));
        }
        self.parts += 1;
        if self.parts > MAX_PARTS {
            return Err(self.error(at, format!("more than {MAX_PARTS} parts")));
        }
        if self.eat_not() {
            self.skip_space();
            if matches!(self.peek(), None | Some(')')) {
                return Err(self.error(at, "there is nothing to negate"));
            }
            return Ok(Node::Not(Box::new(self.not(depth + 1)?)));
        }
        if self.peek() == Some('(') {
            self.at += 1;
            let inside = self.or(depth + 1)?;
            self.skip_space();
            if self.peek() != Some(')') {
                return Err(self.error(at, "this ( is never closed"));
            }
            self.at += 1;
            return Ok(inside);
        }
        self.atom()
    }

    fn atom(&mut self) -> Result<Node> {
        let start = self.at;
        let typed = self.value(true)?;
        if self.peek() == Some(':') {
            self.at += 1;
            let after = self.at;
            let value = self.value(false).map_err(|error| match self.chars.get(after) {
                Some('(') => self.error(
                    after,
                    format!("write ({0}:a OR {0}:b): a field is named with each value", typed.text),
                ),
                Some(next) if next.is_whitespace() => {
                    self.error(after, "a value is missing here: no space after the colon")
                }
                _ => error,
            })?;
            return self.field(&typed, start, &value);
        }
        self.words(&typed)
    }
}

/// The fields and what they are, for docs and help.
#[must_use]
pub fn fields_help() -> Vec<(&'static str, &'static str)> {
    let mut fields: Vec<_> =
        FIELD_NAMES.iter().map(|(name, field)| (*name, field.help())).collect();
    fields.extend([
        ("after", "occurred then or later: after:2026-03-01, after:7d"),
        ("before", "occurred before then"),
        ("during", "occurred in that year, month, day, hour, minute, second or fraction of one: during:2026-03"),
        ("time", "occurred in a range: time:2026-03-01..2026-03-07, time:>=2026-03-01T12:00"),
        ("received", "received by the log in a range"),
        ("index", "index in the log: index:17, index:100..200, index:>5"),
        ("data.PATH", "a member of the sender's data: data.requestParameters.roleName:admin, data.responseStatus.code:>=400; names with spaces or colons in quotes: data.metadata.\"aws:SourceVpce\":vpce-1"),
    ]);
    fields.sort_unstable();
    fields
}
