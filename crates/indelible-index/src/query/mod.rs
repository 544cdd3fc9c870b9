//! The query language: what people type, as a tree that says exactly which records it
//! is about. [`Query::matches`] is the meaning; the index only finds candidates faster.

mod parse;
mod reference;
mod time;

use crate::{
    doc::{Doc, lower, number_text, tokens},
    field::Field,
};
use serde_json_borrow::Value as Data;
use std::net::IpAddr;

pub use parse::{QueryError, fields_help, parse};
pub use reference::{EXAMPLES, reference_markdown};
pub use time::length_us;

/// A parsed query. Relative times are resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    pub(crate) root: Node,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    All,
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    Leaf(Leaf),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Leaf {
    /// A field of the native view, case ignored.
    Keyword(Field, Value),
    /// Words that stand together somewhere in the sender's strings.
    Words { tokens: Vec<String>, prefix: bool },
    /// A member of the sender's data, by path.
    Data(String, DataValue),
    /// Occurred (or received) from, to; microseconds.
    Time { received: bool, from: i64, to: i64 },
    /// Index from, to.
    Index(u64, u64),
    /// The address is in a network.
    Network(ipnet::IpNet),
    /// A target of exactly this kind has exactly such an id.
    TargetOf(String, Value),
}

impl Node {
    fn is_all(&self) -> bool {
        match self {
            Self::All => true,
            Self::And(nodes) => nodes.iter().all(Self::is_all),
            Self::Or(_) | Self::Not(_) | Self::Leaf(_) => false,
        }
    }
}

/// A part of a log that somebody may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Only events of exactly this tenant.
    pub tenant: Option<String>,
    /// Only events about logs of this name or, with `*` at its end, names that begin so.
    pub log: Option<String>,
}

/// What a keyword is compared with; lower case.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Is(String),
    Begins(String),
    Any,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum DataValue {
    Text(Value),
    /// From, to; numbers only.
    Range(f64, f64),
}

impl Value {
    pub(crate) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Is(value) => lower(text) == *value,
            Self::Begins(value) => lower(text).starts_with(value.as_str()),
            Self::Any => true,
        }
    }
}

impl Query {
    /// The query that every record matches.
    #[must_use]
    pub const fn all() -> Self {
        Self { root: Node::All }
    }

    /// Whether it says nothing, so that every record matches.
    pub(crate) fn is_all(&self) -> bool {
        self.root.is_all()
    }

    /// Whether a record matches.
    #[must_use]
    pub fn matches(&self, doc: &Doc<'_>) -> bool {
        matches(&self.root, doc)
    }

    /// The same query, in these parts of the log only: whoever asks sees, counts and
    /// learns nothing of the rest.
    #[must_use]
    pub fn within(self, parts: &[Part]) -> Self {
        let part = |part: &Part| {
            let mut nodes = Vec::new();
            if let Some(tenant) = &part.tenant {
                let exact = Value::Is(tenant.clone());
                nodes.push(Node::Leaf(Leaf::Keyword(Field::ExactTenant, exact)));
            }
            if let Some(log) = &part.log {
                let value = match log.strip_suffix('*') {
                    Some(stem) => Value::Begins(stem.to_owned()),
                    None => Value::Is(log.clone()),
                };
                nodes.push(Node::Leaf(Leaf::TargetOf("log".to_owned(), value)));
            }
            Node::And(nodes)
        };
        let narrowed = Node::Or(parts.iter().map(part).collect());
        Self { root: Node::And(vec![self.root, narrowed]) }
    }
}

fn matches(node: &Node, doc: &Doc<'_>) -> bool {
    match node {
        Node::All => true,
        Node::And(nodes) => nodes.iter().all(|node| matches(node, doc)),
        Node::Or(nodes) => nodes.iter().any(|node| matches(node, doc)),
        Node::Not(node) => !matches(node, doc),
        Node::Leaf(leaf) => leaf_matches(leaf, doc),
    }
}

fn leaf_matches(leaf: &Leaf, doc: &Doc<'_>) -> bool {
    match leaf {
        // Tenants are kept apart by the exact name, not by what looks like it.
        Leaf::Keyword(Field::ExactTenant, Value::Is(tenant)) => {
            doc.values(Field::Tenant).any(|own| own == tenant)
        }
        Leaf::Keyword(field, value) => doc.values(*field).any(|text| value.matches(text)),
        Leaf::Words { tokens: wanted, prefix } => {
            let mut found = false;
            doc.strings(&mut |text| found = found || contains(text, wanted, *prefix));
            found
        }
        Leaf::Data(path, value) => data_matches(&doc.data, path, value),
        Leaf::Time { received, from, to } => {
            let time = if *received { Some(doc.received_us) } else { doc.time_us };
            time.is_some_and(|time| (*from..*to).contains(&time))
        }
        Leaf::Index(from, to) => (*from..*to).contains(&doc.index),
        Leaf::TargetOf(kind, value) => doc.targets().any(|(own_kind, own)| {
            own_kind == kind
                && match value {
                    Value::Is(id) => own == id,
                    Value::Begins(stem) => own.starts_with(stem.as_str()),
                    Value::Any => true,
                }
        }),
        Leaf::Network(network) => doc.ip().is_some_and(|ip| within(network, ip)),
    }
}

pub(crate) fn within(network: &ipnet::IpNet, ip: IpAddr) -> bool {
    network.contains(&ip.to_canonical())
}

/// Whether the words stand together in a text.
fn contains(text: &str, wanted: &[String], prefix: bool) -> bool {
    let found: Vec<String> = tokens(text).collect();
    let last = wanted.len().saturating_sub(1);
    found.windows(wanted.len().max(1)).any(|window| {
        window.iter().zip(wanted).enumerate().all(|(at, (word, wanted))| {
            match prefix && at == last {
                true => word.starts_with(wanted.as_str()),
                false => word == wanted,
            }
        })
    })
}

/// Whether a member at the path has the value; arrays are looked through, and members
/// whose names hold dots are found too.
fn data_matches(data: &Data<'_>, path: &str, value: &DataValue) -> bool {
    match data {
        Data::Array(items) => items.iter().any(|item| data_matches(item, path, value)),
        Data::Object(members) if !path.is_empty() => {
            members.iter().any(|(name, member)| match path.strip_prefix(name) {
                Some("") => data_matches(member, "", value),
                Some(rest) => rest
                    .strip_prefix('.')
                    .is_some_and(|rest| !rest.is_empty() && data_matches(member, rest, value)),
                None => false,
            })
        }
        _ if !path.is_empty() => false,
        Data::Null => false,
        Data::Object(_) => matches!(value, DataValue::Text(Value::Any)),
        scalar => match value {
            DataValue::Text(value) => match scalar {
                Data::Str(text) => value.matches(text),
                Data::Number(number) => value.matches(&number_text(*number)),
                Data::Bool(yes) => value.matches(if *yes { "true" } else { "false" }),
                _ => false,
            },
            DataValue::Range(from, to) => {
                scalar.as_f64().is_some_and(|number| (*from..=*to).contains(&number))
            }
        },
    }
}
