//! Times in events of control: RFC 3339, read as any of its spellings, written as one.

use indelible_event::Timestamp;
use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de::Error as _};
use std::collections::BTreeMap;

fn parsed<E: serde::de::Error>(text: &str) -> Result<Timestamp, E> {
    text.parse().map_err(E::custom)
}

/// A time.
pub(super) mod time {
    use super::{Deserializer, Serializer, Timestamp, parsed};
    use serde::{Deserialize as _, Serialize as _};

    pub(crate) fn serialize<S: Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        time.serialize(to)
    }

    pub(crate) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Timestamp, D::Error> {
        parsed(&String::deserialize(from)?)
    }
}

/// A time, or none.
pub(super) mod optional_time {
    use super::{Deserializer, Serializer, Timestamp, parsed};
    use serde::{Deserialize as _, Serialize as _};

    pub(crate) fn serialize<S: Serializer>(
        time: &Option<Timestamp>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        time.serialize(to)
    }

    pub(crate) fn deserialize<'a, D: Deserializer<'a>>(
        from: D,
    ) -> Result<Option<Timestamp>, D::Error> {
        Option::<String>::deserialize(from)?.as_deref().map(parsed).transpose()
    }
}

/// Times by name.
pub(super) fn serialize_times<S: Serializer>(
    times: &BTreeMap<String, Timestamp>,
    to: S,
) -> Result<S::Ok, S::Error> {
    times.serialize(to)
}

/// The same, read.
pub(super) fn deserialize_times<'a, D: Deserializer<'a>>(
    from: D,
) -> Result<BTreeMap<String, Timestamp>, D::Error> {
    let times = BTreeMap::<String, String>::deserialize(from)?;
    times.into_iter().map(|(who, at)| Ok((who, at.parse().map_err(D::Error::custom)?))).collect()
}
