//! One comparison: words, or a field with its value.

use crate::{
    address,
    decimal::Decimal,
    field::{FIELD_NAMES, Field},
    parse::{Parser, Result},
    query::{DataValue, Leaf, Node, TimeRange, Value},
    text::{Word, lower, words},
    time::span,
    typed::Typed,
};
use std::ops::Bound;

/// Fields that are no [`Field`].
const OTHERS: [&str; 6] = ["after", "before", "during", "time", "received", "index"];
/// A number, `>5`, `>=5`, `<5`, `<=5` or `5..9`.
type Range<T> = (Bound<T>, Bound<T>);

fn leaf(leaf: Leaf) -> Node {
    Node::Leaf(leaf)
}

fn value(text: &str, prefix: bool) -> Value {
    let text = lower(text).into_owned();
    match (prefix, text.is_empty()) {
        (true, true) => Value::Any,
        (true, false) => Value::Begins(text),
        (false, _) => Value::Is(text),
    }
}

impl Parser {
    pub(crate) fn words(&self, typed: &Typed) -> Result<Node> {
        let (text, prefix) = self.star(typed)?;
        if prefix && text.is_empty() {
            return Ok(Node::All);
        }
        let text = lower(&text);
        let found: Vec<Word<'static>> = words(&text).map(Word::into_owned).collect();
        if found.is_empty() {
            return Err(self.error(
                typed.column,
                "there is no word in this: letters or digits are searched for",
            ));
        }
        if !typed.quoted {
            self.is_no_comparison(typed)?;
        }
        // The last word of a text that ends in something else is whole.
        let open = found.last().is_some_and(|last| text.ends_with(last.text.as_ref()));
        Ok(leaf(Leaf::Words { words: found, prefix: prefix && open }))
    }

    /// `actor=alice` would be searched for as words, and not be found.
    fn is_no_comparison(&self, typed: &Typed) -> Result<()> {
        let signs = ['=', '!', '<', '>', '＝', '：'];
        let Some((name, rest)) = typed.text.split_once(signs) else { return Ok(()) };
        let name = lower(name);
        let is_field = Field::named(&name).is_some()
            || OTHERS.contains(&name.as_ref())
            || name.starts_with("data.");
        match is_field && !rest.is_empty() {
            false => Ok(()),
            true => Err(self.error(
                typed.column,
                format!("write {name}:VALUE (numbers and times also {name}:>VALUE), and - before it for what is not so; in quotes it is searched for as text"),
            )),
        }
    }

    pub(crate) fn field(&self, name: &Typed, column: usize, typed: &Typed) -> Result<Node> {
        let lower_name = lower(&name.text);
        if let Some(path) = name.text.get(5..).filter(|_| lower_name.starts_with("data.")) {
            if !name.quoted && (path.is_empty() || path.split('.').any(str::is_empty)) {
                return Err(self
                    .error(column, "data. needs a path, such as data.requestParameters.roleName"));
            }
            let found = leaf(Leaf::Data(path.to_owned(), self.data_value(typed)?));
            return match in_name(typed).filter(|_| !name.quoted) {
                None => Ok(found),
                // `data.aws:SourceVpce:x`: the name may have a colon.
                Some((more, rest)) => {
                    let path = format!("{path}:{more}");
                    let rest = Typed { text: rest.to_owned(), ..*typed };
                    let other = leaf(Leaf::Data(path, self.data_value(&rest)?));
                    Ok(Node::Or(vec![found, other]))
                }
            };
        }
        match lower_name.as_ref() {
            name @ ("after" | "before" | "during" | "time" | "received") => {
                return self.time(name, typed);
            }
            "index" => return self.index(typed).map(leaf),
            _ => {}
        }
        let Some(field) = Field::named(&lower_name) else {
            let best = FIELD_NAMES
                .iter()
                .map(|(known, _)| (strsim::damerau_levenshtein(&lower_name, known), *known))
                .min();
            let suggestion = match best {
                Some((distance, known)) if distance <= 2 => format!("; did you mean {known}?"),
                _ => "; members of the sender's data are data.PATH, and a text with a colon goes in quotes".to_owned(),
            };
            let name = &name.text;
            return Err(self.error(column, format!("there is no field {name:?}{suggestion}")));
        };
        if field.is_address() && typed.text.contains('/') {
            let network = address::network(&typed.text).ok_or_else(|| {
                self.error(typed.column, "not a network such as 10.0.0.0/8 or 2001:db8::/32")
            })?;
            return Ok(leaf(Leaf::Network(field, network)));
        }
        let (text, prefix) = self.star(typed)?;
        let address = if field.is_address() && !prefix { address::normal(&text) } else { None };
        let value = value(address.as_deref().unwrap_or(&text), prefix);
        self.can_be(field, &value, typed)?;
        Ok(leaf(Leaf::Keyword(field, value)))
    }

    /// Whether the field can have the value at all.
    fn can_be(&self, field: Field, value: &Value, typed: &Typed) -> Result<()> {
        let Some(known) = field.known() else { return Ok(()) };
        if known.iter().any(|known| value.matches(known)) {
            return Ok(());
        }
        let text = lower(&typed.text);
        let near = known.iter().map(|known| (strsim::damerau_levenshtein(&text, known), known));
        let near = near.min().filter(|(distance, _)| *distance <= 3);
        let near = near.map_or_else(String::new, |(_, known)| format!("; did you mean {known}?"));
        let (name, all) = (field.name(), known.join(", "));
        Err(self.error(
            typed.column,
            format!("{name} is never {:?}: it is one of {all}{near}", typed.text),
        ))
    }

    fn time(&self, name: &str, typed: &Typed) -> Result<Node> {
        let wrong = |text: &str| {
            self.error(
                typed.column,
                format!("{text:?} is not a time: write 2026, 2026-03, 2026-03-01, 2026-03-01T12:30, 2026-03-01T12:30:05.25, with a zone (Z, +02:00) if it is not UTC, or an age such as 7d, 12h"),
            )
        };
        let span = |text: &str| span(text, self.now_us).ok_or_else(|| wrong(text));
        let text = typed.text.as_str();
        let (first, last) = (i128::MIN, i128::MAX);
        let (from, to) = match name {
            "after" => (span(text)?.0, last),
            "before" => (first, span(text)?.0),
            "during" => span(text)?,
            _ => match (text.split_once(".."), split_sign(text)) {
                (Some((from, to)), _) => (
                    if from.is_empty() { first } else { span(from)?.0 },
                    if to.is_empty() { last } else { span(to)?.1 },
                ),
                (None, (">=", rest)) => (span(rest)?.0, last),
                (None, ("<=", rest)) => (first, span(rest)?.1),
                (None, (">", rest)) => (span(rest)?.1, last),
                (None, ("<", rest)) => (first, span(rest)?.0),
                (None, _) => span(text)?,
            },
        };
        let received = name == "received";
        let micros = |nanos: i128, up: i128| {
            let micros = nanos.saturating_add(up).div_euclid(1000);
            i64::try_from(micros).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
        };
        let range = TimeRange { received, from: micros(from, 0), to: micros(to, 999) };
        let is_exact = |nanos: i128| nanos == first || nanos == last || nanos % 1000 == 0;
        let around = leaf(Leaf::Time(range));
        Ok(match is_exact(from) && is_exact(to) {
            true => around,
            false => Node::And(vec![around, leaf(Leaf::Nanos { received, from, to })]),
        })
    }

    fn index(&self, typed: &Typed) -> Result<Leaf> {
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
        };
        let (from, to) = self.range(typed, number)?;
        let from = match from {
            Bound::Included(from) => from,
            Bound::Excluded(from) => from.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match to {
            Bound::Included(to) => to.saturating_add(1),
            Bound::Excluded(to) => to,
            Bound::Unbounded => u64::MAX,
        };
        Ok(Leaf::Index(from, end))
    }

    fn range<T: Clone>(
        &self,
        typed: &Typed,
        number: impl Fn(&str) -> Option<T>,
    ) -> Result<Range<T>> {
        let number = |text: &str| {
            number(text).ok_or_else(|| {
                self.error(
                    typed.column,
                    format!("{text:?} is not a number; ranges are 5..9, >5, <=9"),
                )
            })
        };
        let bound = |text: &str| match text.is_empty() {
            true => Ok(Bound::Unbounded),
            false => number(text).map(Bound::Included),
        };
        if let Some((from, to)) = typed.text.split_once("..") {
            return Ok((bound(from)?, bound(to)?));
        }
        Ok(match split_sign(&typed.text) {
            (">=", rest) => (Bound::Included(number(rest)?), Bound::Unbounded),
            ("<=", rest) => (Bound::Unbounded, Bound::Included(number(rest)?)),
            (">", rest) => (Bound::Excluded(number(rest)?), Bound::Unbounded),
            ("<", rest) => (Bound::Unbounded, Bound::Excluded(number(rest)?)),
            (_, text) => {
                let number = number(text)?;
                (Bound::Included(number.clone()), Bound::Included(number))
            }
        })
    }

    fn data_value(&self, typed: &Typed) -> Result<DataValue> {
        let is_range = !typed.quoted
            && (typed.text.starts_with(['<', '>'])
                || typed.text.split_once("..").is_some_and(|(from, to)| {
                    let number = |text: &str| text.is_empty() || Decimal::parse(text).is_some();
                    number(from) && number(to) && !(from.is_empty() && to.is_empty())
                }));
        if is_range {
            return self.range(typed, Decimal::parse).map(|(from, to)| DataValue::Range(from, to));
        }
        let (text, prefix) = self.star(typed)?;
        Ok(DataValue::Text(value(&text, prefix)))
    }
}

/// What of a value may be the end of the name before it, and the value then.
fn in_name(typed: &Typed) -> Option<(&str, &str)> {
    let (more, rest) = typed.text.split_once(':').filter(|_| !typed.quoted)?;
    let is_name = more.starts_with(|c: char| c.is_ascii_alphabetic())
        && more
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    (is_name && !rest.is_empty() && !rest.starts_with([':', '/'])).then_some((more, rest))
}

/// A sign of comparison, and what follows.
fn split_sign(text: &str) -> (&str, &str) {
    let signs = [">=", "<=", ">", "<"];
    let found = signs.into_iter().find_map(|sign| Some((sign, text.strip_prefix(sign)?)));
    found.unwrap_or(("", text))
}
