//! From a query to queries of the index: one that finds at least every record that
//! matches, and one that finds none that does not.

use crate::{
    range::InRange,
    schema::{Columns, Of, is_long, number_term, value_of},
};
use indelible_query::{
    DataValue, Decimal, Field, Leaf, MAX_TOKEN, Node, Query, TIMES, TimeRange, Value, Word, cut,
    lower, words,
};
use std::{net::IpAddr, ops::Bound};
use tantivy::{
    query::{AllQuery, BooleanQuery, EmptyQuery, Occur, Query as IndexQuery, TermQuery},
    schema::IndexRecordOption,
};

type Boxed = Box<dyn IndexQuery>;

/// Whether what the index finds must be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trust {
    /// It decides.
    Exact,
    /// It decides where all of a record is indexed.
    UnlessPartial,
    /// Every candidate is read.
    Read,
}

pub(crate) struct Plan {
    /// At least every match.
    pub(crate) upper: Boxed,
    pub(crate) trust: Trust,
    /// Times that every match is in: they are asked of the columns, zone by zone, not of
    /// the index.
    pub(crate) times: Vec<TimeRange>,
    /// The query without these times.
    pub(crate) rest: Query,
}

impl Plan {
    pub(crate) fn of(query: &Query, columns: &Columns) -> Self {
        let (rest, times) = query.without_times();
        let Pair { upper, trust, .. } = plan(&rest.root, columns);
        Self { upper, trust, times, rest }
    }
}

/// What a part of a query is in the index.
struct Pair {
    /// At least every match.
    upper: Boxed,
    /// At most the matches.
    lower: Boxed,
    trust: Trust,
}

impl Pair {
    fn new(upper: Boxed, lower: Boxed, trust: Trust) -> Self {
        Self { upper, lower, trust }
    }

    fn exact(query: Boxed) -> Self {
        Self::new(query.box_clone(), query, Trust::Exact)
    }
}

fn plan(node: &Node, columns: &Columns) -> Pair {
    match node {
        Node::All => Pair::exact(Box::new(AllQuery)),
        Node::And(nodes) => {
            let narrowing: Vec<Node> =
                nodes.iter().filter(|node| **node != Node::All).cloned().collect();
            join(&narrowing, columns, all_of)
        }
        Node::Or(nodes) => join(nodes, columns, any_of),
        Node::Not(node) => {
            let Pair { upper, lower, trust } = plan(node, columns);
            Pair::new(without(lower), without(upper), trust)
        }
        Node::Leaf(leaf) => leaf_plan(leaf, columns),
    }
}

fn join(nodes: &[Node], columns: &Columns, join: fn(Vec<Boxed>) -> Boxed) -> Pair {
    let plans: Vec<Pair> = nodes.iter().map(|node| plan(node, columns)).collect();
    let trust = plans.iter().map(|plan| plan.trust).max().unwrap_or(Trust::Exact);
    let (upper, lower) = plans.into_iter().map(|plan| (plan.upper, plan.lower)).unzip();
    Pair::new(join(upper), join(lower), trust)
}

fn all_of(mut queries: Vec<Boxed>) -> Boxed {
    match queries.len() {
        0 => Box::new(AllQuery),
        1 => queries.remove(0),
        _ => Box::new(BooleanQuery::intersection(queries)),
    }
}

fn any_of(mut queries: Vec<Boxed>) -> Boxed {
    match queries.len() {
        0 => Box::new(EmptyQuery),
        1 => queries.remove(0),
        _ => Box::new(BooleanQuery::union(queries)),
    }
}

fn without(query: Boxed) -> Boxed {
    let all: Boxed = Box::new(AllQuery);
    Box::new(BooleanQuery::new(vec![(Occur::Must, all), (Occur::MustNot, query)]))
}

fn term(columns: &Columns, of: Of, text: &str) -> Boxed {
    Box::new(TermQuery::new(columns.term(of, text), IndexRecordOption::Basic))
}

/// Terms that begin so.
fn begins(columns: &Columns, of: Of, text: &str) -> Boxed {
    // No byte of UTF-8 is as great as this one.
    let mut end = columns.term(of, text);
    end.append_bytes(&[0xff]);
    Box::new(tantivy::query::InvertedIndexRangeQuery::new(
        Bound::Included(columns.term(of, text)),
        Bound::Excluded(end),
    ))
}

fn partial() -> Boxed {
    Box::new(InRange::flagged("partial"))
}

fn whole(query: Boxed) -> Boxed {
    Box::new(BooleanQuery::new(vec![(Occur::Must, query), (Occur::MustNot, partial())]))
}

fn leaf_plan(leaf: &Leaf, columns: &Columns) -> Pair {
    match leaf {
        Leaf::Keyword(Field::ExactTenant, Value::Is(tenant)) => {
            let query = term(columns, Of::Field(Field::ExactTenant), value_of(tenant));
            let trust = if is_long(tenant) { Trust::Read } else { Trust::Exact };
            let lower: Boxed =
                if trust == Trust::Exact { query.box_clone() } else { Box::new(EmptyQuery) };
            Pair::new(query, lower, trust)
        }
        Leaf::Keyword(field, value) if field.is_indexed() => keyword(columns, *field, value),
        Leaf::Keyword(_, value) => match value {
            Value::Is(text) => by_words(text, false, columns),
            Value::Begins(text) => by_words(text, true, columns),
            Value::Any => read(Box::new(AllQuery)),
        },
        Leaf::TargetOf(_, value) => {
            let value = match value {
                Value::Is(text) => Value::Is(lower(text).into_owned()),
                Value::Begins(text) => Value::Begins(lower(text).into_owned()),
                Value::Any => Value::Any,
            };
            read(keyword(columns, Field::Target, &value).upper)
        }
        Leaf::Words { words, prefix } => match (words.as_slice(), *prefix) {
            // One term, which says all of it.
            ([word], false) if word.terms().nth(1).is_none() && word.text.len() < MAX_TOKEN => {
                let found = all_words(std::slice::from_ref(word), false, columns);
                let upper = any_of(vec![found.box_clone(), partial()]);
                Pair::new(upper, found, Trust::UnlessPartial)
            }
            (words, prefix) => read(any_of(vec![all_words(words, prefix, columns), partial()])),
        },
        // Times and truth values are not among the words.
        Leaf::Data(path, _) if TIMES.contains(&path.as_str()) => read(Box::new(AllQuery)),
        Leaf::Data(_, DataValue::Text(Value::Is(text)))
            if !matches!(text.as_str(), "true" | "false") =>
        {
            let found = by_words(text, false, columns).upper;
            match Decimal::parse(text) {
                None => read(found),
                // However a number is written, it is found by how it is written plainly, or
                // by a term of its own.
                Some(number) => {
                    let canonical = number.canonical();
                    let own = term(columns, Of::Number, number_term(&canonical));
                    let plain = number.plain().filter(|plain| plain != text);
                    let plain = plain.map(|plain| by_words(&plain, false, columns).upper);
                    read(any_of([found, own].into_iter().chain(plain).collect()))
                }
            }
        }
        Leaf::Data(_, DataValue::Text(Value::Begins(text)))
            if !"true".starts_with(text.as_str()) && !"false".starts_with(text.as_str()) =>
        {
            by_words(text, true, columns)
        }
        Leaf::Data(_, _) => read(Box::new(AllQuery)),
        Leaf::Time(TimeRange { received, from, to }) => {
            let column = if *received { "received" } else { "time" };
            match to.checked_sub(1) {
                Some(last) => Pair::exact(Box::new(InRange::signed(column, *from, last))),
                None => Pair::exact(Box::new(EmptyQuery)),
            }
        }
        // The range in microseconds around it stands beside it.
        Leaf::Nanos { .. } => read(Box::new(AllQuery)),
        Leaf::Index(from, to) => match to.checked_sub(1) {
            Some(last) => Pair::exact(Box::new(InRange::indexes(*from, last))),
            None => Pair::exact(Box::new(EmptyQuery)),
        },
        // More than one a record, which no column has.
        Leaf::Network(field, _) if *field != Field::Ip => {
            read(keyword(columns, *field, &Value::Any).upper)
        }
        Leaf::Network(_, network) => {
            let v6 = |ip: IpAddr| match ip {
                IpAddr::V4(v4) => v4.to_ipv6_mapped(),
                IpAddr::V6(v6) => v6,
            };
            let (from, to) = (v6(network.network()), v6(network.broadcast()));
            let range = InRange::addresses("ip_address", from, to);
            // A wide IPv6 network may take in the addresses that IPv4 ones are kept as.
            let trust = if network.addr().is_ipv4() { Trust::Exact } else { Trust::Read };
            let upper: Boxed = Box::new(range);
            let lower: Boxed =
                if trust == Trust::Exact { upper.box_clone() } else { Box::new(EmptyQuery) };
            Pair::new(upper, lower, trust)
        }
    }
}

/// Every candidate must be read.
fn read(upper: Boxed) -> Pair {
    Pair::new(upper, Box::new(EmptyQuery), Trust::Read)
}

fn keyword(columns: &Columns, field: Field, value: &Value) -> Pair {
    let begins = |text: &str| begins(columns, Of::Field(field), text);
    let found = match value {
        // What is compared whole was perhaps cut when it was indexed.
        Value::Is(text) if is_long(text) => {
            return read(any_of(vec![begins(&short(text)), partial()]));
        }
        Value::Begins(text) if is_long(text) => {
            return read(any_of(vec![begins(&short(text)), partial()]));
        }
        Value::Is(text) => term(columns, Of::Field(field), text),
        Value::Begins(text) => begins(text),
        Value::Any => begins(""),
    };
    let upper = any_of(vec![found.box_clone(), partial()]);
    Pair::new(upper, whole(found), Trust::UnlessPartial)
}

/// The part of a long text that is surely indexed, whatever its case takes of bytes.
fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

/// Records that have the words of a value anywhere.
fn by_words(text: &str, prefix: bool, columns: &Columns) -> Pair {
    let words: Vec<Word<'_>> = words(text).collect();
    let Some(last) = words.last() else { return read(Box::new(AllQuery)) };
    let open = prefix && text.ends_with(last.text.as_ref());
    read(any_of(vec![all_words(&words, open, columns), partial()]))
}

fn all_words(words: &[Word<'_>], prefix: bool, columns: &Columns) -> Boxed {
    let last = words.len().saturating_sub(1);
    let mut found = Vec::new();
    for (at, word) in words.iter().enumerate() {
        for text in word.terms() {
            // Longer ones are cut when they are indexed.
            let short = cut(text, MAX_TOKEN);
            let goes_on = word.is_single() || (prefix && at == last && !word.is_run);
            found.push(match goes_on {
                true => begins(columns, Of::Words, short),
                false => term(columns, Of::Words, short),
            });
        }
    }
    all_of(found)
}
