//! Accesses that are counted together: the first of a row is recorded, the others of the
//! same minute are added up. Rows of strangers are few, whatever strangers send: what
//! they choose is in no key, and where the rows are full one row takes the rest.

use super::record::{Access, Outcome};
use crate::origin::Origin;
use indelible_api::Code;
use serde_json::Value;
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
};

/// Microseconds for which accesses are counted together.
pub(super) const WINDOW_US: i64 = 60_000_000;
/// Rows of callers that are known; past it, accesses are recorded each.
const MAX_ROWS: usize = 100_000;
/// Rows of callers that are not: the records that all strangers together can cause in a
/// minute are this many for the first of each, and as many again for the counts.
const MAX_STRANGERS: usize = 64;

/// What is counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// A caller that is known.
    Known {
        action: &'static str,
        principal: String,
        log: Option<String>,
        outcome: Option<(Code, String)>,
        /// Tells the streams of one caller apart.
        stream: Option<String>,
    },
    /// Nobody known, from a network, refused for a reason of ours.
    Stranger { network: IpAddr, code: Option<Code>, reason: String },
    /// Strangers that found all rows taken.
    Strangers,
}

impl Key {
    const fn is_stranger(&self) -> bool {
        !matches!(self, Self::Known { .. })
    }
}

/// What became of an access.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Added {
    /// It was added to a row.
    Counted,
    /// It is the first of this row, and is to be recorded.
    First(Key),
    /// There is no room for its row: it is to be recorded by itself.
    Alone,
}

/// What shares a row, or a bucket of limits: an IPv4 address, or an IPv6 network of a
/// site (/64).
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}

/// A row: its first access, and what was added to it since.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) since_us: i64,
    /// Accesses that are not recorded yet.
    pub(super) more: u64,
    /// Records shown by those, and the lowest and highest index of them.
    records: u64,
    first: Option<u64>,
    last: Option<u64>,
    pub(super) access: Access,
    pub(super) origin: Origin,
}

impl Row {
    fn new(now_us: i64, access: Access, origin: Origin) -> Self {
        Self { since_us: now_us, more: 0, records: 0, first: None, last: None, access, origin }
    }

    fn add(&mut self, access: &Access) {
        let number = |name: &str| access.details.get(name).and_then(Value::as_u64);
        self.more = self.more.saturating_add(1);
        self.records = self.records.saturating_add(number("records").unwrap_or_default());
        self.first = self.first.into_iter().chain(number("first")).min();
        self.last = self.last.into_iter().chain(number("last")).max();
    }

    /// The access that says what was added.
    pub(super) fn summed(mut self, since: String) -> (Access, Origin) {
        let details = &mut self.access.details;
        details.insert("more".to_owned(), self.more.into());
        details.insert("since".to_owned(), since.into());
        if details.contains_key("records") || self.records > 0 {
            details.insert("records".to_owned(), self.records.into());
        }
        for (name, index) in [("first", self.first), ("last", self.last)] {
            details.remove(name);
            if let Some(index) = index {
                details.insert(name.to_owned(), index.into());
            }
        }
        (self.access, self.origin)
    }

    /// Whether its minute is over, or the clock was set back behind its beginning.
    fn is_over(&self, now_us: i64) -> bool {
        !(0..WINDOW_US).contains(&now_us.saturating_sub(self.since_us))
    }
}

/// All rows.
#[derive(Debug, Default)]
pub(super) struct Rows {
    rows: HashMap<Key, Row>,
    strangers: usize,
}

impl Rows {
    /// Adds an access to its row, or begins a row with it.
    pub(super) fn add(&mut self, now_us: i64, access: &Access, origin: &Origin) -> Added {
        let key = self.key(access, origin);
        let is_full = self.rows.len() >= MAX_ROWS;
        match self.rows.get_mut(&key) {
            // A row whose minute is over, with something in it, waits for the flush.
            Some(row) if !row.is_over(now_us) || row.more > 0 => {
                row.add(access);
                return Added::Counted;
            }
            None if is_full => return Added::Alone,
            _ => {}
        }
        let row = Row::new(now_us, access.clone(), origin.clone());
        if self.rows.insert(key.clone(), row).is_none() && key.is_stranger() {
            self.strangers = self.strangers.saturating_add(1);
        }
        Added::First(key)
    }

    /// Forgets a row whose first access could not be recorded.
    pub(super) fn forget(&mut self, key: &Key) {
        if self.rows.remove(key).is_some() && key.is_stranger() {
            self.strangers = self.strangers.saturating_sub(1);
        }
    }

    /// Takes the rows whose minute is over, or all.
    pub(super) fn due(&mut self, now_us: i64, all: bool) -> Vec<Row> {
        let over = self.rows.extract_if(|_, row| all || row.is_over(now_us));
        let mut taken = 0_usize;
        let rows: Vec<Row> = over
            .inspect(|(key, _)| taken += usize::from(key.is_stranger()))
            .map(|(_, row)| row)
            .filter(|row| row.more > 0)
            .collect();
        self.strangers = self.strangers.saturating_sub(taken);
        rows
    }

    fn key(&self, access: &Access, origin: &Origin) -> Key {
        let outcome = match &access.outcome {
            Outcome::Success => None,
            Outcome::Denied(code, reason) => Some((*code, reason.clone())),
            Outcome::Failure(code) => Some((*code, String::new())),
        };
        let Some((principal, _)) = &access.principal else {
            let (code, reason) =
                outcome.map_or((None, String::new()), |(code, reason)| (Some(code), reason));
            let key = Key::Stranger { network: network(origin.client), code, reason };
            let is_full = self.strangers >= MAX_STRANGERS && !self.rows.contains_key(&key);
            return if is_full { Key::Strangers } else { key };
        };
        // A limit stops a caller before anybody looks whether the log exists.
        let is_limited = matches!(access.outcome, Outcome::Denied(Code::RateLimited, _));
        Key::Known {
            action: access.action,
            principal: principal.clone(),
            log: access.log.clone().filter(|_| !is_limited),
            outcome,
            stream: access.details.get("stream").and_then(Value::as_str).map(str::to_owned),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    fn origin(address: IpAddr) -> Origin {
        Origin {
            client: address,
            peer: SocketAddr::new(address, 1),
            forwarded_for: Vec::new(),
            user_agent: None,
            request_id: String::new(),
        }
    }

    fn access(principal: Option<&str>, log: &str, outcome: Outcome) -> Access {
        Access {
            action: "access.event.follow",
            principal: principal.map(|id| (id.to_owned(), None)),
            log: Some(log.to_owned()),
            target: None,
            tenant: None,
            outcome,
            details: serde_json::Map::new(),
        }
    }

    /// Records of one access: 1 if it was the first of its row.
    fn visit(rows: &mut Rows, access: &Access, origin: &Origin) -> usize {
        usize::from(rows.add(0, access, origin) != Added::Counted)
    }

    #[test]
    fn strangers_cause_few_records_whatever_they_send() {
        let mut rows = Rows::default();
        let denied = Outcome::Denied(Code::Unauthenticated, "no credential".to_owned());
        let mut recorded = 0;
        for n in 0..50_000_u32 {
            let address = IpAddr::from([10, 0, (n >> 8) as u8, n as u8]);
            let access = access(None, &format!("made-up-{n}"), denied.clone());
            recorded += visit(&mut rows, &access, &origin(address));
        }
        let counts = rows.due(0, true);
        assert_eq!(recorded, MAX_STRANGERS + 1);
        assert_eq!(counts.iter().map(|row| row.more).sum::<u64>() as usize + recorded, 50_000);
        assert!(counts.len() <= MAX_STRANGERS + 1, "{}", counts.len());
        assert_eq!(rows.strangers, 0);
    }

    #[test]
    fn rows_add_up_what_was_shown_and_keep_outcomes_apart() {
        let (mut rows, origin) = (Rows::default(), origin(IpAddr::from([127, 0, 0, 1])));
        let shown = |records: u64, first: u64, last: u64| {
            let mut access = access(Some("token:a"), "prod", Outcome::Success);
            for (name, value) in [("records", records), ("first", first), ("last", last)] {
                access.details.insert(name.to_owned(), value.into());
            }
            access
        };
        let limited = access(
            Some("token:a"),
            "prod",
            Outcome::Denied(Code::RateLimited, "rate limit of the credential".to_owned()),
        );
        assert_eq!(visit(&mut rows, &shown(256, 0, 255), &origin), 1);
        assert_eq!(visit(&mut rows, &limited, &origin), 1);
        for (access, times) in [(shown(4, 300, 303), 1), (shown(2, 256, 299), 2), (limited, 3)] {
            (0..times).for_each(|_| assert_eq!(visit(&mut rows, &access, &origin), 0));
        }
        let mut due: Vec<_> =
            rows.due(0, true).into_iter().map(|row| row.summed("t".to_owned()).0).collect();
        due.sort_by_key(|access| access.outcome != Outcome::Success);
        let numbers = ["more", "records", "first", "last"]
            .map(|name| due[0].details.get(name).and_then(Value::as_u64));
        assert_eq!(numbers, [Some(3), Some(8), Some(256), Some(303)]);
        assert_eq!(due[1].details.get("more"), Some(&3.into()));
        assert_eq!(due.len(), 2);
    }

    #[test]
    fn a_clock_set_back_ends_a_row() {
        let (mut rows, origin) = (Rows::default(), origin(IpAddr::from([127, 0, 0, 1])));
        let access = access(Some("token:a"), "prod", Outcome::Success);
        let add = |rows: &mut Rows, now| rows.add(now, &access, &origin);
        assert!(matches!(add(&mut rows, 1_000_000_000_000), Added::First(_)));
        assert_eq!(add(&mut rows, 1_000_000_000_001), Added::Counted);
        assert_eq!(rows.due(5, false).len(), 1);
        assert!(matches!(add(&mut rows, 5), Added::First(_)));
    }
}
