//! A query as a tree, and which records it means.

use crate::{
    doc::{Doc, number_text},
    field::Field,
    text::{lower, tokens},
};
use serde_json_borrow::Value as Data;
use std::net::IpAddr;

/// A parsed query. Relative times are resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// What must hold.
    pub root: Node,
}

/// A part of a query.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// Every record.
    All,
    /// What all of these say; of none of them, every record.
    And(Vec<Node>),
    /// What one of these says; of none of them, no record.
    Or(Vec<Node>),
    /// What this does not say.
    Not(Box<Node>),
    /// What one comparison says.
    Leaf(Leaf),
}

/// A comparison.
#[derive(Debug, Clone, PartialEq)]
pub enum Leaf {
    /// A field of the native view, case ignored.
    Keyword(Field, Value),
    /// Words that stand together somewhere in the sender's strings.
    Words {
        /// The words, in lower case.
        tokens: Vec<String>,
        /// Whether the last may go on.
        prefix: bool,
    },
    /// A member of the sender's data, by path.
    Data(String, DataValue),
    /// Occurred, or was received, then.
    Time(TimeRange),
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

/// A range of times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeRange {
    /// Of receipt, not of occurrence.
    pub received: bool,
    /// The first, in microseconds since the epoch.
    pub from: i64,
    /// The one after the last.
    pub to: i64,
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
pub enum Value {
    /// This.
    Is(String),
    /// Anything that begins so.
    Begins(String),
    /// Anything.
    Any,
}

/// What a member of the sender's data is compared with.
#[derive(Debug, Clone, PartialEq)]
pub enum DataValue {
    /// Its text.
    Text(Value),
    /// From, to; numbers only.
    Range(f64, f64),
}

impl Value {
    /// Whether a text is what is meant, its case ignored.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
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
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.root.is_all()
    }

    /// The same query without the times that every match is in, and those times.
    #[must_use]
    pub fn without_times(&self) -> (Self, Vec<TimeRange>) {
        let mut times = Vec::new();
        let root = without_times(&self.root, &mut times);
        (Self { root }, times)
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

fn without_times(node: &Node, times: &mut Vec<TimeRange>) -> Node {
    match node {
        Node::And(nodes) => {
            Node::And(nodes.iter().map(|node| without_times(node, times)).collect())
        }
        Node::Leaf(Leaf::Time(range)) => {
            times.push(*range);
            Node::All
        }
        other => other.clone(),
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
        Leaf::Data(path, value) => data_matches(doc.data(), path, value),
        Leaf::Time(range) => {
            let time = if range.received { Some(doc.received_us) } else { doc.time_us };
            time.is_some_and(|time| (range.from..range.to).contains(&time))
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

fn within(network: &ipnet::IpNet, ip: IpAddr) -> bool {
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
