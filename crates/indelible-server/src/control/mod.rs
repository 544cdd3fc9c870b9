//! Control: every change of configuration is an event in `_control`, and what is in
//! force is the fold of those events ([`fold::Control`]).
//!
//! **Order of an act.** (1) Whoever asks must have leave, now. (2) What its event names is
//! made (a log's folder, a key). (3) It is tried on a copy of the configuration: what would
//! not fold is never written. (4) Its event is appended and durable. (5) The copy becomes
//! the configuration in force. (6) Effects outside follow ([`effects::Effects`]).
//!
//! **Invariants**
//! - What has begun is finished: from (1) on an act runs in a task of its own, which owns
//!   the lock. Whoever asked may go away.
//! - The configuration in force is the fold of `_control`: what is behind (after a panic,
//!   or a write whose end nobody saw) is folded before the next act.
//! - Only the controller runs effects, at start and after acts in one way: for each log
//!   whose entry is another than before.
//!
//! It knows no HTTP.

pub(crate) mod act;
pub(crate) mod amend;
pub(crate) mod effects;
pub(crate) mod error;
pub(crate) mod event;
pub(crate) mod fold;
pub(crate) mod grant;
pub(crate) mod key;
pub(crate) mod log;
pub(crate) mod policy;
pub(crate) mod principal;
pub(crate) mod system;
#[cfg(test)]
mod tests;
pub(crate) mod token;
pub(crate) mod used;
pub(crate) mod view;
mod wire;
mod writer;

use effects::Effects;
use error::ControlError;
pub use error::{DecodeError, FoldError};
use event::{Change, decode};
use fold::{Control, Misfits};
use indelible_api::Done;
use indelible_event::{Envelope, Timestamp};
use indelible_log::{Log, LogError};
use parking_lot::RwLock;
use principal::Asker;
use std::sync::Arc;
use writer::Writer;

/// The configuration in force, and the only way to change it.
#[derive(Debug)]
pub(crate) struct Controller {
    state: Arc<InForce>,
    /// Held from the check of an act until its effects are made: acts are one after another.
    writer: Arc<tokio::sync::Mutex<Writer>>,
}

/// The configuration in force, and the log that it is the fold of.
#[derive(Debug)]
struct InForce {
    log: Arc<Log>,
    control: RwLock<Arc<Control>>,
}

impl InForce {
    fn current(&self) -> Arc<Control> {
        Arc::clone(&self.control.read())
    }

    /// Now, by the log's clock.
    fn now(&self) -> Timestamp {
        self.log.now()
    }
}

/// An act that was written.
#[derive(Debug)]
pub(crate) struct Written {
    /// Index of its event in `_control`.
    pub(crate) index: u64,
    /// Its id, if it waits for a second person.
    pub(crate) pending: Option<String>,
    /// The change, as it was written or waits.
    pub(crate) change: Change,
}

impl Written {
    pub(crate) fn done(self, id: impl Into<String>) -> Done {
        Done { id: id.into(), pending: self.pending, control_index: self.index }
    }
}

/// Folds what `control` has not yet seen of `_control`.
fn fold_rest(log: &Log, control: &mut Control) -> Result<(), FoldError> {
    let size = log.head().size;
    while control.size < size {
        for record in log.records(control.size..size, 4 << 20)? {
            let index = control.size;
            let problem = |source: DecodeError| FoldError::Record { index, source };
            let envelope = Envelope::parse(&record).map_err(|e| problem(e.into()))?;
            let event = decode(&log.data(&envelope)?).map_err(problem)?;
            // Counted, and without effect.
            drop(control.apply(&event));
        }
    }
    Ok(())
}

impl Controller {
    /// Folds `_control`. Effects follow with [`Controller::catch_up`].
    pub(crate) fn open(log: Arc<Log>, effects: Arc<dyn Effects>) -> Result<Self, FoldError> {
        let mut control = Control::default();
        fold_rest(&log, &mut control)?;
        let Misfits { count, first } = &control.misfits;
        if *count > 0 {
            tracing::warn!(count, "events of _control do not apply; they have no effect");
        }
        for (index, misfit) in first {
            tracing::warn!(index, %misfit, "this event of _control does not apply");
        }
        let state = Arc::new(InForce { log, control: RwLock::new(Arc::new(control)) });
        let writer = Writer::new(Arc::clone(&state), effects);
        Ok(Self { state, writer: Arc::new(tokio::sync::Mutex::new(writer)) })
    }

    /// Makes the world agree with the configuration, after a start: a crash may have
    /// come between an event and its effects. Blocks.
    ///
    /// # Errors
    /// The first log that does not agree, and why.
    pub(crate) fn catch_up(&mut self) -> Result<(), (String, LogError)> {
        let control = self.current();
        // Nobody else has the controller yet.
        let Some(writer) = Arc::get_mut(&mut self.writer) else { return Ok(()) };
        let effects = writer.get_mut().effects();
        for (name, entry) in &control.logs {
            effects.agree(name, entry).map_err(|error| (name.clone(), error))?;
        }
        Ok(())
    }

    /// The configuration in force.
    pub(crate) fn current(&self) -> Arc<Control> {
        self.state.current()
    }

    /// Events of `_control` that have no effect because they do not apply.
    pub(crate) fn misfits(&self) -> Misfits {
        self.current().misfits.clone()
    }

    /// Now, by the log's clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.state.now()
    }

    /// Does an act, or proposes it where policy wants a second person. Whether `asker`
    /// may is decided here, when nothing else changes the configuration.
    ///
    /// Cancel safety: dropped before its turn, nothing has happened; dropped later, the
    /// act goes on to its end.
    ///
    /// # Errors
    /// Why it was not done; [`ControlError::NotCarriedOut`]: it was, but not all of it.
    pub(crate) async fn act(
        &self,
        asker: Asker,
        change: impl Into<Change>,
    ) -> Result<Written, ControlError> {
        let change = change.into();
        let mut writer = Arc::clone(&self.writer).lock_owned().await;
        let task = tokio::spawn(async move { writer.act(&asker, change).await });
        task.await.unwrap_or(Err(ControlError::CutOff))
    }

    /// Writes a change that needs nobody's leave: the server's own.
    ///
    /// # Errors
    /// As [`Controller::act`].
    pub(crate) async fn record(&self, change: impl Into<Change>) -> Result<u64, ControlError> {
        let change = change.into();
        let mut writer = Arc::clone(&self.writer).lock_owned().await;
        let task = tokio::spawn(async move { writer.record(change).await });
        task.await.unwrap_or(Err(ControlError::CutOff))
    }
}

/// A new random id with a prefix that says of what.
///
/// # Errors
/// [`ControlError::NoRandom`].
pub(crate) fn new_id(kind: &str) -> Result<String, ControlError> {
    let random = crate::random::random_hex::<8>().map_err(|_| ControlError::NoRandom)?;
    Ok(format!("{kind}-{}", random.as_str()))
}
