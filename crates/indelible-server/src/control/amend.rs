//! What every act is: an event that amends the configuration. One act, one file.

use super::{
    effects::Workshop,
    error::{ControlError, Misfit},
    fold::Control,
    principal::{Concern, Principal},
};
use indelible_api::Act;
use indelible_event::Timestamp;

/// What an event is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) kind: &'static str,
    pub(crate) id: &'a str,
    pub(crate) name: Option<&'a str>,
}

impl<'a> Target<'a> {
    pub(crate) const fn new(kind: &'static str, id: &'a str) -> Self {
        Self { kind, id, name: None }
    }
}

/// When, where and by whom an event was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Its index in `_control`.
    pub(crate) index: u64,
    pub(crate) time: Timestamp,
    /// The principal that did it, or asked for it where a second one approved.
    pub(crate) by: String,
    pub(crate) approved_by: Option<String>,
    pub(crate) reason: Option<String>,
}

/// An act: how it is written, who may do it, and what it changes.
pub(crate) trait Amend {
    /// Action of its event.
    const ACTION: &'static str;
    /// Category of its event.
    const CATEGORY: &'static str;

    fn targets(&self) -> Vec<Target<'_>>;

    /// What it does, in words.
    fn summary(&self) -> String;

    /// What it concerns. The controller asks this of every act before all else, so that
    /// none is done without leave. The fold asks it too, of acts that wait, so it may depend
    /// on the configuration alone.
    ///
    /// # Errors
    /// When what it is about is not there.
    fn concern<'a>(&'a self, control: &'a Control) -> Result<Concern<'a>, ControlError>;

    /// What else must hold for `who` to ask for it. Asked again when it is approved.
    ///
    /// # Errors
    /// What does not hold.
    fn check(&self, _: &Control, _who: &Principal, _now: Timestamp) -> Result<(), ControlError> {
        Ok(())
    }

    /// The event that made it already, if doing it again would change nothing.
    fn made(&self, _: &Control, _who: &Principal) -> Option<u64> {
        None
    }

    /// Which of the acts that can need two persons it is.
    fn dangers(&self, _: &Control) -> Vec<Act> {
        Vec::new()
    }

    /// Makes what its event must name. Nothing refers to it before the event is durable.
    /// Blocks.
    ///
    /// # Errors
    /// [`ControlError::NotPrepared`]; the act is not done then.
    fn prepare(&mut self, _: &Workshop) -> Result<(), ControlError> {
        Ok(())
    }

    /// Applies it, or changes nothing.
    ///
    /// # Errors
    /// [`Misfit`]: it does not fit the configuration.
    fn apply(&self, control: &mut Control, stamp: &Stamp) -> Result<(), Misfit>;
}
