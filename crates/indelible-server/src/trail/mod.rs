//! The trail of accesses: a record in `_access` for every look into the log and every
//! refusal, durable before the answer leaves. What cannot be recorded is not answered.

mod counted;
mod record;
pub(crate) mod shown;

pub(crate) use counted::network;
pub(crate) use record::{Access, Outcome, SIGN_IN};

use crate::{
    error::{ApiError, Result},
    origin::Origin,
    subject::ACCESS,
    troubles::{Part, Troubles},
};
use counted::{Added, Rows};
use indelible_api::Code;
use indelible_event::{NATIVE, Timestamp, format_named};
use indelible_log::{Batch, Log};
use parking_lot::Mutex;
use record::encode;
use std::{collections::HashMap, net::IpAddr, sync::Arc};

/// Microseconds after which a credential seen again from an address signs in anew.
const SESSION_US: i64 = 3_600_000_000;
/// Entries of the tables below; past it the first is emptied, which only writes more.
const MAX_SEEN: usize = 100_000;

/// Writes `_access`.
#[derive(Debug)]
pub(crate) struct Trail {
    log: Arc<Log>,
    /// When each credential was last seen from an address, µs.
    seen: Mutex<HashMap<(String, IpAddr), i64>>,
    /// Accesses that are counted.
    rows: Mutex<Rows>,
    /// When each credential was last used, µs, since that was last written down.
    used: Mutex<HashMap<String, i64>>,
    troubles: Arc<Troubles>,
}

impl Trail {
    pub(crate) fn new(log: Arc<Log>, troubles: Arc<Troubles>) -> Self {
        let (seen, rows, used) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { log, seen, rows, used, troubles }
    }

    fn now(&self) -> Timestamp {
        self.log.now()
    }

    /// Records an access and waits until it is durable.
    pub(crate) async fn record(&self, access: &Access, origin: Option<&Origin>) -> Result<()> {
        let (received_at, header) = self.log.header("system", NATIVE);
        let data = encode(access, origin, received_at);
        let mut batch = Batch::new();
        let staged = self.log.stage(&mut batch, &header, received_at, format_named(NATIVE)?, &data);
        let written = match staged {
            Ok(()) => self.log.submit(batch).await.map_err(|e| indelible_log::chain(&e)),
            Err(error) => Err(indelible_log::chain(&error)),
        };
        if written.is_ok() {
            self.troubles.pass(&[Part::Trail], ACCESS);
        }
        written.map(drop).map_err(|cause| {
            self.troubles.meet(Part::Trail, ACCESS, cause.clone());
            tracing::error!(cause, action = access.action, "the trail cannot be written");
            ApiError::new(
                Code::TrailUnavailable,
                "the trail of accesses cannot be written, and what is not recorded is not answered; the server's log says what is wrong",
            )
        })
    }

    /// Records the first of a row of like accesses and counts the others of the same
    /// minute; [`Trail::flush`] writes the counts.
    pub(crate) async fn count(&self, access: &Access, origin: &Origin) -> Result<()> {
        let added = self.rows.lock().add(self.now().as_micros(), access, origin);
        let key = match added {
            // A count is written later: a trail that cannot be written takes none.
            Added::Counted if self.log.stopped().is_some() => {
                return self.record(access, Some(origin)).await;
            }
            Added::Counted => return Ok(()),
            Added::Alone => return self.record(access, Some(origin)).await,
            Added::First(key) => key,
        };
        let recorded = self.record(access, Some(origin)).await;
        if recorded.is_err() {
            self.rows.lock().forget(&key);
        }
        recorded
    }

    /// Writes the counts whose minute is over (at the end, all). What cannot be written
    /// is lost from the counts only: the first of each row is recorded.
    pub(crate) async fn flush(&self, all: bool) {
        let due = self.rows.lock().due(self.now().as_micros(), all);
        for row in due {
            let since = Timestamp::from_micros(row.since_us).to_string();
            let (access, origin) = row.summed(since);
            // A failure was logged.
            drop(self.record(&access, Some(&origin)).await);
        }
    }

    /// Whether this use of a credential is a sign-in: the first from an address in
    /// an hour. [`Trail::signed_in`] ends that, once it is recorded.
    pub(crate) fn is_sign_in(&self, principal: &str, origin: &Origin) -> bool {
        let now = self.now().as_micros();
        let mut used = self.used.lock();
        match used.get_mut(principal) {
            Some(at) => *at = now,
            None => drop(used.insert(principal.to_owned(), now)),
        }
        drop(used);
        let mut seen = self.seen.lock();
        match seen.get_mut(&(principal.to_owned(), origin.client)) {
            Some(at) if (0..SESSION_US).contains(&now.saturating_sub(*at)) => {
                *at = now;
                false
            }
            _ => true,
        }
    }

    /// Remembers a sign-in that was recorded.
    pub(crate) fn signed_in(&self, principal: &str, origin: &Origin) {
        let mut seen = self.seen.lock();
        if seen.len() >= MAX_SEEN {
            seen.clear();
        }
        seen.insert((principal.to_owned(), origin.client), self.now().as_micros());
    }

    /// When a credential was last used, if that is not written down yet.
    pub(crate) fn last_used(&self, principal: &str) -> Option<Timestamp> {
        self.used.lock().get(principal).copied().map(Timestamp::from_micros)
    }

    /// Takes what is to be written down of last uses.
    pub(crate) fn take_used(&self) -> std::collections::BTreeMap<String, String> {
        let used = std::mem::take(&mut *self.used.lock());
        used.into_iter().map(|(who, at)| (who, Timestamp::from_micros(at).to_string())).collect()
    }
}
