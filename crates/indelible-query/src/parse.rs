//! The one parser: CLI, API, console and saved views read the same language.

use crate::{
    field::{FIELD_NAMES, Field},
    query::{DataValue, Leaf, Node, Query, TimeRange, Value},
    text::{MAX_TOKEN, lower, tokens},
    time::span,
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
    let mut parser = Parser { chars: text.chars().collect(), at: 0, parts: 0, now_us };
    let root = parser.or(0)?;
    parser.skip_space();
    if parser.at < parser.chars.len() {
        return Err(parser.error(parser.at, "this ) closes nothing"));
    }
    Ok(Query { root })
}

struct Parser {
    chars: Vec<char>,
    at: usize,
    parts: usize,
    now_us: i64,
}

/// A value as it was typed.
struct Typed {
    text: String,
    quoted: bool,
    column: usize,
}

type Result<T, E = QueryError> = std::result::Result<T, E>;

impl Parser {
    fn error(&self, at: usize, message: impl Into<String>) -> QueryError {
        QueryError { column: at + 1, message: message.into() }
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    /// Whether the word stands here, alone.
    fn eat_word(&mut self, word: &str) -> bool {
        let end = self.at + word.chars().count();
        let same =
            self.chars.get(self.at..end).is_some_and(|here| here.iter().copied().eq(word.chars()));
        let alone = self
            .chars
            .get(end)
            .is_none_or(|next| next.is_whitespace() || matches!(next, '(' | ')'));
        if same && alone {
            self.at = end;
        }
        same && alone
    }

    fn or(&mut self, depth: usize) -> Result<Node> {
        let mut nodes = vec![self.and(depth)?];
        loop {
            self.skip_space();
            let at = self.at;
            if !self.eat_word("OR") {
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
            if self.eat_word("OR") {
                if nodes.is_empty() {
                    return Err(self.error(at, "OR needs something on its left"));
                }
                self.at = before;
                break;
            }
            if self.eat_word("AND") {
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
        let negated = self.eat_word("NOT") || {
            let minus = self.peek() == Some('-')
                && self.chars.get(self.at + 1).is_some_and(|next| !next.is_whitespace());
            if minus {
                self.at += 1;
            }
            minus
        };
        if negated {
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
        if !typed.quoted && self.peek() == Some(':') {
            self.at += 1;
            let value = self.value(false)?;
            return self.field(&typed.text, start, value);
        }
        self.words(&typed)
    }

    /// A quoted text, or characters up to a space or a parenthesis (and up to a colon
    /// where a field may stand).
    fn value(&mut self, may_be_field: bool) -> Result<Typed> {
        let start = self.at;
        if self.peek() == Some('"') {
            self.at += 1;
            let mut text = String::new();
            loop {
                match self.peek() {
                    None => return Err(self.error(start, "this quote is never closed")),
                    Some('"') => break,
                    Some('\\') if matches!(self.chars.get(self.at + 1), Some('"' | '\\')) => {
                        self.at += 1;
                        text.extend(self.peek());
                    }
                    Some(other) => text.push(other),
                }
                self.at += 1;
            }
            self.at += 1;
            return Ok(Typed { text, quoted: true, column: start });
        }
        let mut text = String::new();
        while let Some(next) = self.peek() {
            let ends = next.is_whitespace() || matches!(next, '(' | ')' | '"');
            if ends || (may_be_field && next == ':') {
                break;
            }
            text.push(next);
            self.at += 1;
        }
        if text.is_empty() {
            let problem = match self.peek() {
                Some(':') => "there is no field before this colon",
                _ => "a value is missing here",
            };
            return Err(self.error(start, problem));
        }
        Ok(Typed { text, quoted: false, column: start })
    }

    fn words(&self, typed: &Typed) -> Result<Node> {
        let (text, prefix) = self.star(typed)?;
        let tokens: Vec<String> = tokens(&text).collect();
        if tokens.is_empty() {
            return Err(self.error(
                typed.column,
                "there is no word in this: letters or digits are searched for",
            ));
        }
        // The last word of a text that ends in something else is whole.
        let open = text.chars().last().is_some_and(char::is_alphanumeric);
        Ok(Node::Leaf(Leaf::Words { tokens, prefix: prefix && open }))
    }

    /// The text without a star at its end; stars elsewhere are an error.
    fn star(&self, typed: &Typed) -> Result<(String, bool)> {
        if typed.quoted {
            return Ok((typed.text.clone(), false));
        }
        let (text, prefix) = match typed.text.strip_suffix('*') {
            Some(text) => (text, true),
            None => (typed.text.as_str(), false),
        };
        if text.contains('*') {
            return Err(self.error(
                typed.column,
                "a star may stand at the end only; put the value in quotes if the star is meant",
            ));
        }
        Ok((text.to_owned(), prefix))
    }

    fn field(&self, name: &str, column: usize, typed: Typed) -> Result<Node> {
        let leaf = |leaf| Ok(Node::Leaf(leaf));
        let name_lower = lower(name);
        if let Some(path) = name.strip_prefix("data.") {
            if path.is_empty() || path.split('.').any(str::is_empty) {
                return Err(self
                    .error(column, "data. needs a path, such as data.requestParameters.roleName"));
            }
            return leaf(Leaf::Data(path.to_owned(), self.data_value(&typed)?));
        }
        if name_lower == "time" && matches!(lower(&typed.text).as_str(), "unreadable" | "*") {
            // Every time that can be read is in this range.
            let any = TimeRange { received: false, from: i64::MIN, to: i64::MAX };
            let any = Node::Leaf(Leaf::Time(any));
            let is_any = typed.text == "*";
            return Ok(if is_any { any } else { Node::Not(Box::new(any)) });
        }
        match name_lower.as_str() {
            "after" | "before" | "during" | "time" | "received" => {
                return leaf(self.time(&name_lower, &typed)?);
            }
            "index" => {
                let (from, to) = self.numbers(&typed)?;
                let whole = |number: f64| number.max(0.0) as u64;
                return leaf(Leaf::Index(whole(from.ceil()), whole(to.floor()).saturating_add(1)));
            }
            "ip" if typed.text.contains('/') => {
                let network = typed.text.parse::<ipnet::IpNet>().map_err(|_| {
                    self.error(typed.column, "not a network such as 10.0.0.0/8 or 2001:db8::/32")
                })?;
                return leaf(Leaf::Network(network.trunc()));
            }
            _ => {}
        }
        let Some(field) = Field::named(&name_lower) else {
            let best = FIELD_NAMES
                .iter()
                .map(|(known, _)| (strsim::damerau_levenshtein(&name_lower, known), *known))
                .min();
            let suggestion = match best {
                Some((distance, known)) if distance <= 2 => format!("; did you mean {known}?"),
                _ => "; members of the sender's data are data.PATH, and a text with a colon goes in quotes".to_owned(),
            };
            return Err(self.error(column, format!("there is no field {name:?}{suggestion}")));
        };
        let (text, prefix) = self.star(&typed)?;
        let text = lower(&text);
        let value = match (prefix, text.is_empty()) {
            (true, true) => Value::Any,
            (true, false) => Value::Begins(text),
            (false, _) => Value::Is(text),
        };
        leaf(Leaf::Keyword(field, value))
    }

    fn time(&self, name: &str, typed: &Typed) -> Result<Leaf> {
        let wrong = |text: &str| {
            self.error(
                typed.column,
                format!("{text:?} is not a time: write 2026, 2026-03, 2026-03-01, 2026-03-01T12:30, a whole RFC 3339 time, or an age such as 7d, 12h"),
            )
        };
        let span = |text: &str| span(text, self.now_us).ok_or_else(|| wrong(text));
        let text = typed.text.as_str();
        let (from, to) = match name {
            "after" => (span(text)?.0, i64::MAX),
            "before" => (i64::MIN, span(text)?.0),
            "during" => span(text)?,
            _ => match (text.split_once(".."), text) {
                (Some((from, to)), _) => (
                    if from.is_empty() { i64::MIN } else { span(from)?.0 },
                    if to.is_empty() { i64::MAX } else { span(to)?.1 },
                ),
                (None, text) => {
                    if let Some(rest) = text.strip_prefix(">=") {
                        (span(rest)?.0, i64::MAX)
                    } else if let Some(rest) = text.strip_prefix("<=") {
                        (i64::MIN, span(rest)?.1)
                    } else if let Some(rest) = text.strip_prefix('>') {
                        (span(rest)?.1, i64::MAX)
                    } else if let Some(rest) = text.strip_prefix('<') {
                        (i64::MIN, span(rest)?.0)
                    } else {
                        span(text)?
                    }
                }
            },
        };
        Ok(Leaf::Time(TimeRange { received: name == "received", from, to }))
    }

    /// A number, `>5`, `>=5`, `<5`, `<=5` or `5..9`.
    fn numbers(&self, typed: &Typed) -> Result<(f64, f64)> {
        let number = |text: &str| {
            text.parse::<f64>().ok().filter(|number| number.is_finite()).ok_or_else(|| {
                self.error(
                    typed.column,
                    format!("{text:?} is not a number; ranges are 5..9, >5, <=9"),
                )
            })
        };
        let text = typed.text.as_str();
        if let Some((from, to)) = text.split_once("..") {
            let from = if from.is_empty() { f64::MIN } else { number(from)? };
            return Ok((from, if to.is_empty() { f64::MAX } else { number(to)? }));
        }
        if let Some(rest) = text.strip_prefix(">=") {
            return Ok((number(rest)?, f64::MAX));
        }
        if let Some(rest) = text.strip_prefix("<=") {
            return Ok((f64::MIN, number(rest)?));
        }
        if let Some(rest) = text.strip_prefix('>') {
            return Ok((number(rest)?.next_up(), f64::MAX));
        }
        if let Some(rest) = text.strip_prefix('<') {
            return Ok((f64::MIN, number(rest)?.next_down()));
        }
        number(text).map(|number| (number, number))
    }

    fn data_value(&self, typed: &Typed) -> Result<DataValue> {
        let is_range = !typed.quoted
            && (typed.text.starts_with(['<', '>'])
                || typed.text.split_once("..").is_some_and(|(from, to)| {
                    let number = |text: &str| text.is_empty() || text.parse::<f64>().is_ok();
                    number(from) && number(to) && !(from.is_empty() && to.is_empty())
                }));
        if is_range {
            return self.numbers(typed).map(|(from, to)| DataValue::Range(from, to));
        }
        let (text, prefix) = self.star(typed)?;
        let text = lower(&text);
        Ok(DataValue::Text(match (prefix, text.is_empty()) {
            (true, true) => Value::Any,
            (true, false) => Value::Begins(text),
            (false, _) => Value::Is(text),
        }))
    }
}

const _: () = assert!(MAX_TOKEN < MAX_LEN);

/// The fields and what they are, for docs and help.
#[must_use]
pub fn fields_help() -> Vec<(&'static str, &'static str)> {
    let mut fields: Vec<_> =
        FIELD_NAMES.iter().map(|(name, field)| (*name, field.help())).collect();
    fields.extend([
        ("after", "occurred then or later: after:2026-03-01, after:7d"),
        ("before", "occurred before then"),
        ("during", "occurred in that year, month, day, hour or minute: during:2026-03"),
        ("time", "occurred in a range: time:2026-03-01..2026-03-07, time:>=2026-03-01T12:00"),
        ("received", "received by the log in a range"),
        ("index", "index in the log: index:17, index:100..200, index:>5"),
        ("data.PATH", "a member of the sender's data: data.requestParameters.roleName:admin, data.responseStatus.code:>=400"),
    ]);
    fields.sort_unstable();
    fields
}
