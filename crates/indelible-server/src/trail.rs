//! The trail of accesses: a record in `_access` for every look into the log and every
//! refusal, durable before the answer leaves. What cannot be recorded is not answered.

use crate::{
    access::{origin::Origin, token::redact},
    error::{ApiError, Result},
};
use indelible_api::Code;
use indelible_event::{NATIVE, Timestamp, format_named};
use indelible_log::{Batch, Log};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::{collections::HashMap, net::IpAddr, sync::Arc};

/// Name of the log of accesses.
pub(crate) const ACCESS: &str = "_access";
/// Microseconds for which accesses are counted together, where they are.
const WINDOW_US: i64 = 60_000_000;
/// Microseconds after which a credential seen again from an address signs in anew.
const SESSION_US: i64 = 3_600_000_000;
/// Entries of the tables below; past it they are emptied, which only writes more.
const MAX_SEEN: usize = 100_000;

/// A principal as the actor of an event.
pub(crate) fn actor(principal: &str, name: Option<&str>) -> Value {
    let kind = match principal.split(':').next() {
        Some("oidc") => "user",
        Some("system") => "system",
        Some("anonymous") => "anonymous",
        _ => "service",
    };
    let mut actor = json!({ "type": kind, "id": principal });
    if let Some(name) = name {
        actor["name"] = name.into();
    }
    actor
}

/// One access.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    pub(crate) action: &'static str,
    /// The principal; none: nobody known.
    pub(crate) principal: Option<(String, Option<String>)>,
    pub(crate) log: Option<String>,
    /// (type, id) of what in the log was asked for.
    pub(crate) target: Option<(&'static str, String)>,
    /// The tenant the caller is narrowed to.
    pub(crate) tenant: Option<String>,
    pub(crate) outcome: Outcome,
    /// Route, query, numbers of records.
    pub(crate) details: serde_json::Map<String, Value>,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Success,
    /// Refused by authentication or authorisation: code and reason.
    Denied(&'static str, String),
    /// Not answered for another reason: code.
    Failure(String),
}

/// Writes `_access`.
#[derive(Debug)]
pub(crate) struct Trail {
    log: Arc<Log>,
    /// When each credential was last seen from an address, µs.
    seen: Mutex<HashMap<(String, IpAddr), i64>>,
    /// Accesses that are counted: when the count began, and how many since.
    counted: Mutex<HashMap<Counted, Count>>,
    /// When each credential was last used, µs, since that was last written down.
    used: Mutex<HashMap<String, i64>>,
}

type Counted = (&'static str, String, String);

#[derive(Debug)]
struct Count {
    since_us: i64,
    more: u64,
    access: Access,
    origin: Origin,
}

impl Trail {
    pub(crate) fn new(log: Arc<Log>) -> Self {
        Self { log, seen: Mutex::default(), counted: Mutex::default(), used: Mutex::default() }
    }

    fn now(&self) -> Timestamp {
        self.log.header("", "").0
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
        written.map(drop).map_err(|cause| {
            tracing::error!(cause, action = access.action, "the trail cannot be written");
            ApiError::new(
                Code::TrailUnavailable,
                "the trail of accesses cannot be written, and what is not recorded is not answered; the server's log says what is wrong",
            )
        })
    }

    /// Records the first of a row of like accesses and counts the others of the same
    /// minute; [`Trail::flush`] writes the counts.
    pub(crate) async fn count(&self, access: Access, origin: &Origin) -> Result<()> {
        let who = match &access.principal {
            Some((id, _)) => id.clone(),
            None => origin.client.to_string(),
        };
        let key = (access.action, who, access.log.clone().unwrap_or_default());
        let now = self.now().as_micros();
        let is_first = {
            let mut counted = self.counted.lock();
            match counted.get_mut(&key) {
                Some(count) if now - count.since_us < WINDOW_US => {
                    count.more += 1;
                    false
                }
                // A count whose minute is over waits for the flush.
                Some(count) if count.more > 0 => {
                    count.more += 1;
                    false
                }
                _ => true,
            }
        };
        if !is_first {
            return Ok(());
        }
        self.record(&access, Some(origin)).await?;
        let count = Count { since_us: now, more: 0, access, origin: origin.clone() };
        let mut counted = self.counted.lock();
        if counted.len() < MAX_SEEN {
            counted.entry(key).or_insert(count);
        }
        Ok(())
    }

    /// Writes the counts whose minute is over (at the end, all).
    pub(crate) async fn flush(&self, all: bool) {
        let now = self.now().as_micros();
        let due: Vec<Count> = {
            let mut counted = self.counted.lock();
            let over = counted.extract_if(|_, count| all || now - count.since_us >= WINDOW_US);
            over.map(|(_, count)| count).filter(|count| count.more > 0).collect()
        };
        for mut count in due {
            count.access.details.insert("more".to_owned(), count.more.into());
            let since = Timestamp::from_micros(count.since_us).to_string();
            count.access.details.insert("since".to_owned(), since.into());
            // A failure was logged; the first of the row is recorded.
            drop(self.record(&count.access, Some(&count.origin)).await);
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
            Some(at) if now - *at < SESSION_US => {
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

fn encode(access: &Access, origin: Option<&Origin>, time: Timestamp) -> String {
    let mut targets = Vec::new();
    if let Some(log) = &access.log {
        targets.push(json!({ "type": "log", "id": redact(log) }));
    }
    if let Some((kind, id)) = &access.target {
        targets.push(json!({ "type": kind, "id": redact(id) }));
    }
    let outcome = match &access.outcome {
        Outcome::Success => json!({ "result": "success" }),
        Outcome::Denied(code, reason) => {
            json!({ "result": "denied", "code": code, "reason": reason })
        }
        Outcome::Failure(code) => json!({ "result": "failure", "code": code }),
    };
    let principal = access.principal.as_ref();
    let mut event = json!({
        "time": time.to_string(),
        "action": access.action,
        "category": if access.action == SIGN_IN { "auth" } else { "access" },
        "actor": actor(principal.map_or("anonymous", |(id, _)| id), principal.and_then(|(_, name)| name.as_deref())),
        "targets": targets,
        "outcome": outcome,
    });
    if let Some(origin) = origin {
        event["context"] = origin.context();
    }
    if let Some(tenant) = &access.tenant {
        event["tenant"] = tenant.as_str().into();
    }
    if !access.details.is_empty() {
        event["metadata"] = Value::Object(access.details.clone());
    }
    event.to_string()
}

/// Action of a sign-in.
pub(crate) const SIGN_IN: &str = "access.sign_in";
