//! What a segment says of itself, signed when it is made: so nothing in its trailer can be
//! altered unseen, the times of its records least of all. docs/formats.md §4.

use crate::frame::Link;
use indelible_tlog::Hash;
use std::fmt;

const VERSION: &str = "indelible-segment/v2";

/// The facts of one segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statement {
    pub(crate) origin: String,
    pub(crate) number: u64,
    pub(crate) root: Hash,
    /// Earliest and latest time of a commit with one of its records, microseconds.
    pub(crate) time_us: (i64, i64),
    /// Bytes of its records.
    pub(crate) record_bytes: u64,
    /// The commit whose checkpoint is in its footer.
    pub(crate) link: Link,
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{VERSION}\n{}\nsegment {}\nroot {}", self.origin, self.number, self.root)?;
        writeln!(f, "times {} {}\nbytes {}", self.time_us.0, self.time_us.1, self.record_bytes)?;
        let Link { number, epoch, end, header } = self.link;
        writeln!(f, "codec zstd\nkey none\ncommit {number} {epoch} {end} {header}")
    }
}

impl Statement {
    /// Parses the text of the note; `None` unless it is written in the one way.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines().skip(1);
        let origin = lines.next()?.to_owned();
        let mut values =
            |name: &str| Some(lines.next()?.strip_prefix(name)?.strip_prefix(' ')?.split(' '));
        let (mut number, mut root) = (values("segment")?, values("root")?);
        let (mut times, mut bytes) = (values("times")?, values("bytes")?);
        values("codec")?;
        values("key")?;
        let mut commit = values("commit")?;
        let parsed = Self {
            origin,
            number: number.next()?.parse().ok()?,
            root: root.next()?.parse().ok()?,
            time_us: (times.next()?.parse().ok()?, times.next()?.parse().ok()?),
            record_bytes: bytes.next()?.parse().ok()?,
            link: Link {
                number: commit.next()?.parse().ok()?,
                epoch: commit.next()?.parse().ok()?,
                end: commit.next()?.parse().ok()?,
                header: commit.next()?.parse().ok()?,
            },
        };
        (parsed.to_string() == text).then_some(parsed)
    }
}
