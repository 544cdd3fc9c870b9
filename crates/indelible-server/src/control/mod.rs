//! Control: every change of configuration is an event in `_control`, and what is in
//! force is the fold of those events ([`fold::Control`]).
//!
//! **Order of an act.** (1) It is tried on a copy of the configuration: what would not
//! fold is never written. (2) Its event is appended and durable. (3) The copy becomes
//! the configuration in force. (4) Effects outside (a log's folder, a key) follow, and
//! are caught up with at start. A crash before (2) leaves nothing done; after it, the
//! act is done.

pub(crate) mod event;
pub(crate) mod fold;

use crate::error::{ApiError, Result};
use event::{Author, Change, Decoded, decode, encode};
use fold::{Control, Waiting};
use indelible_api::{Act, Code, Done};
use indelible_event::{Envelope, NATIVE, Timestamp, format_named};
use indelible_log::{Batch, Log, LogError, Placed};
use parking_lot::RwLock;
use std::sync::Arc;

/// Name of the log of control.
pub(crate) const CONTROL: &str = "_control";

/// Why `_control` cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// A record cannot be read.
    #[error("could not read _control")]
    Read(#[from] LogError),
    /// A record is not understood. Running on half a configuration would be worse
    /// than not running.
    #[error("record {index} of _control cannot be followed: {problem}")]
    Record {
        /// Index of the record.
        index: u64,
        /// What does not fit.
        problem: String,
    },
}

/// The configuration in force, and the only way to change it.
#[derive(Debug)]
pub(crate) struct Controller {
    log: Arc<Log>,
    state: RwLock<Arc<Control>>,
    /// Held from the check of an act until it is in force: acts are one after another.
    writing: tokio::sync::Mutex<()>,
}

/// An act that was written.
#[derive(Debug)]
pub(crate) struct Written {
    /// Index of its event in `_control`.
    pub(crate) index: u64,
    /// Its id, if it waits for a second person.
    pub(crate) pending: Option<String>,
}

impl Written {
    pub(crate) fn done(self, id: impl Into<String>) -> Done {
        Done { id: id.into(), pending: self.pending, control_index: self.index }
    }
}

/// The configuration that the records of `_control` add up to.
pub(crate) fn fold(log: &Log) -> std::result::Result<Control, FoldError> {
    let mut control = Control::default();
    let size = log.head().size;
    let mut at = 0;
    while at < size {
        for record in log.records(at..size, 4 << 20)? {
            let problem = |problem: String| FoldError::Record { index: at, problem };
            let envelope = Envelope::parse(&record).map_err(|e| problem(e.to_string()))?;
            let data = log.data(&envelope)?;
            let event = decode(&data).map_err(problem)?;
            control.apply(&event).map_err(problem)?;
            at += 1;
        }
    }
    Ok(control)
}

impl Controller {
    /// Folds `_control`.
    pub(crate) fn open(log: Arc<Log>) -> std::result::Result<Self, FoldError> {
        let control = fold(&log)?;
        Ok(Self {
            log,
            state: RwLock::new(Arc::new(control)),
            writing: tokio::sync::Mutex::new(()),
        })
    }

    /// The configuration in force.
    pub(crate) fn current(&self) -> Arc<Control> {
        Arc::clone(&self.state.read())
    }

    /// Makes a change, or proposes it where policy wants a second person. `plan` sees
    /// the configuration in force and says what to change, and which dangerous acts that
    /// is; nothing else changes the configuration meanwhile.
    pub(crate) async fn act(
        &self,
        author: &Author,
        plan: impl FnOnce(&Control, Timestamp) -> Result<(Change, Vec<Act>)>,
    ) -> Result<Written> {
        let _writing = self.writing.lock().await;
        let current = self.current();
        let now = self.now();
        let (change, acts) = plan(&current, now)?;
        match acts.into_iter().find(|act| current.policy.two_person.contains(act)) {
            None => {
                let index = self.write(author, change).await?;
                Ok(Written { index, pending: None })
            }
            Some(act) => {
                // What could not be made now is not worth a second person's time.
                let mut trial = Control::clone(&current);
                let event = decoded(author, change.clone(), now);
                trial.apply(&event).map_err(|problem| ApiError::new(Code::Conflict, problem))?;
                let id = new_id("act")?;
                let hours = i64::from(current.policy.pending_hours);
                let expires =
                    Timestamp::from_micros(now.as_micros().saturating_add(hours * 3_600_000_000));
                let proposal = Change::ActProposed {
                    id: id.clone(),
                    act,
                    expires_at: expires.to_string(),
                    change: Box::new(change),
                };
                let index = self.write(author, proposal).await?;
                Ok(Written { index, pending: Some(id) })
            }
        }
    }

    /// Approves or rejects an act that waits.
    pub(crate) async fn settle(
        &self,
        author: &Author,
        id: &str,
        approve: bool,
        allowed: impl FnOnce(&Control, &Waiting, Timestamp) -> Result<()>,
    ) -> Result<(Written, Change)> {
        let _writing = self.writing.lock().await;
        let current = self.current();
        let now = self.now();
        let waiting = current.waiting.get(id).ok_or_else(|| {
            ApiError::new(Code::EntryNotFound, format!("no act {id:?} waits for approval"))
        })?;
        let lapsed = waiting.expires_at.parse::<Timestamp>().is_ok_and(|end| end <= now);
        if lapsed && approve {
            return Err(ApiError::new(
                Code::Conflict,
                format!("act {id} lapsed at {}; it must be asked for again", waiting.expires_at),
            ));
        }
        allowed(&current, waiting, now)?;
        if approve && waiting.proposed_by == author.principal {
            return Err(ApiError::new(
                Code::Forbidden,
                "whoever asked for an act cannot approve it: it takes two persons",
            ));
        }
        let change = if approve {
            Change::ActApproved { id: id.to_owned() }
        } else {
            Change::ActRejected { id: id.to_owned() }
        };
        let index = self.write(author, change).await?;
        Ok((Written { index, pending: None }, waiting.change.clone()))
    }

    /// Writes a change that needs nobody's leave: the server's own.
    pub(crate) async fn record(&self, change: Change) -> Result<u64> {
        let _writing = self.writing.lock().await;
        self.write(&Author::system(), change).await
    }

    /// Steps 1 to 3 of an act; `writing` is held.
    async fn write(&self, author: &Author, change: Change) -> Result<u64> {
        let now = self.now();
        let mut next = Control::clone(&self.current());
        let event = decoded(author, change, now);
        next.apply(&event).map_err(|problem| ApiError::new(Code::Conflict, problem))?;
        let data = encode(&event.change, author, &event.time);
        let (received_at, header) = self.log.header(&author.principal, NATIVE);
        let mut batch = Batch::new();
        self.log.stage(&mut batch, &header, received_at, format_named(NATIVE)?, &data)?;
        let committed = self.log.submit(batch).await?;
        // If we crash here the act is done, and the fold at start says so.
        *self.state.write() = Arc::new(next);
        match committed.placed.first() {
            Some(Placed::Created(index)) => Ok(*index),
            _ => Err(ApiError::new(Code::Internal, "the event of control was not placed")),
        }
    }

    /// Now, by the log's clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.log.header("", "").0
    }
}

fn decoded(author: &Author, change: Change, now: Timestamp) -> Decoded {
    Decoded {
        time: now.to_string(),
        principal: author.principal.clone(),
        reason: author.reason.clone(),
        change,
    }
}

/// A new random id with a prefix that says of what.
pub(crate) fn new_id(kind: &str) -> Result<String> {
    let random = crate::random::random_hex::<8>().map_err(|_| no_random())?;
    Ok(format!("{kind}-{}", random.as_str()))
}

pub(crate) fn no_random() -> ApiError {
    ApiError::new(Code::Internal, "the system gives no random bytes")
}
