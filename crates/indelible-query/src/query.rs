//! A query as a tree, and which records it means.

use crate::{
    decimal::Decimal,
    doc::Doc,
    field::Field,
    text::{Word, contains, lower},
};
use indelible_event::Value as Data;
use std::ops::{Bound, RangeBounds as _};

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
        words: Vec<Word<'static>>,
        /// Whether the last may go on.
        prefix: bool,
    },
    /// A member of the sender's data, by path.
    Data(String, DataValue),
    /// Occurred, or was received, then.
    Time(TimeRange),
    /// The same to the nanosecond; a [`Leaf::Time`] around it stands beside it.
    Nanos {
        /// Of receipt, not of occurrence.
        received: bool,
        /// The first, in nanoseconds since the epoch.
        from: i128,
        /// The one after the last.
        to: i128,
    },
    /// Index from, to.
    Index(u64, u64),
    /// An address of the field is in a network.
    Network(Field, ipnet::IpNet),
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
    Range(Bound<Decimal>, Bound<Decimal>),
}

/// A member of the sender's data that is a number has a value if it is written so, or if
/// the value is the same number.
fn number_is(value: &Value, own: &str) -> bool {
    let is_same = |text: &str| {
        let numbers = Decimal::parse(text).zip(Decimal::parse(own));
        numbers.is_some_and(|(wanted, own)| wanted == own)
    };
    value.matches(own) || matches!(value, Value::Is(text) if is_same(text))
}

impl Value {
    /// Whether a text is what is meant, its case ignored.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Is(value) => lower(text) == value.as_str(),
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
        Leaf::Words { words: wanted, prefix } => {
            let mut found = false;
            doc.strings(&mut |text| found = found || contains(text, wanted, *prefix));
            found
        }
        Leaf::Data(path, value) => data_matches(doc.data(), Some(path), value),
        Leaf::Time(range) => {
            let time = if range.received { Some(doc.received_us) } else { doc.time_us };
            time.is_some_and(|time| (range.from..range.to).contains(&time))
        }
        Leaf::Nanos { received, from, to } => {
            let time =
                if *received { Some(i128::from(doc.received_us) * 1000) } else { doc.time_ns };
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
        Leaf::Network(field, network) => doc.addresses(*field).any(|ip| network.contains(&ip)),
    }
}

/// Whether a member at the path has the value; arrays are looked through, and members
/// whose names hold dots are found too.
fn data_matches(data: &Data<'_>, path: Option<&str>, value: &DataValue) -> bool {
    match (data, path) {
        (Data::Array(items), _) => items.iter().any(|item| data_matches(item, path, value)),
        (Data::Object(members), Some(path)) => {
            members.iter().any(|(name, member)| match path.strip_prefix(name) {
                Some("") => data_matches(member, None, value),
                Some(rest) => rest
                    .strip_prefix('.')
                    .is_some_and(|rest| data_matches(member, Some(rest), value)),
                None => false,
            })
        }
        (_, Some(_)) | (Data::Null, None) => false,
        (Data::Object(_), None) => matches!(value, DataValue::Text(Value::Any)),
        (Data::Str(text), None) => matches!(value, DataValue::Text(value) if value.matches(text)),
        (Data::Bool(yes), None) => {
            let text = if *yes { "true" } else { "false" };
            matches!(value, DataValue::Text(value) if value.matches(text))
        }
        (Data::Number(own), None) => match value {
            DataValue::Text(value) => number_is(value, own),
            DataValue::Range(from, to) => {
                Decimal::parse(own).is_some_and(|own| (from.as_ref(), to.as_ref()).contains(&own))
            }
        },
    }
}
