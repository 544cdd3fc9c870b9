//! Acts on saved queries.

use super::{
    amend::{Amend, Stamp, Target},
    error::{Conflict, ControlError, Misfit, Thing},
    fold::{Control, ViewEntry},
    principal::{Concern, Principal},
};
use indelible_event::Timestamp;
use serde::{Deserialize, Serialize};

/// Most views of one log.
const MAX_OF_LOG: usize = 1000;
/// Most views of one log that one principal saves.
const MAX_OF_PRINCIPAL: usize = 50;
/// Most saves of one principal in an hour: each stands in `_control` for ever.
const MAX_SAVES: usize = 100;
const HOUR_US: i64 = 3_600_000_000;

/// A query has a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ViewSaved {
    pub(crate) log: String,
    pub(crate) view: String,
    pub(crate) q: String,
    pub(crate) description: Option<String>,
}

/// Saves of the hour before a time.
fn hour_before(now: Timestamp) -> impl Fn(&Timestamp) -> bool {
    let since = now.as_micros().saturating_sub(HOUR_US);
    move |at| at.as_micros() > since
}

impl ViewSaved {
    fn check_number(&self, control: &Control, who: &Principal) -> Result<(), ControlError> {
        let of_log = control.views.iter().filter(|((log, _), _)| *log == self.log);
        let (mut all, mut own) = (0, 0);
        for (_, entry) in of_log {
            all += 1;
            own += usize::from(entry.saved_by == who.id);
        }
        if all >= MAX_OF_LOG {
            return Err(ControlError::Conflict(Conflict::ViewsOfLog(MAX_OF_LOG)));
        }
        if own >= MAX_OF_PRINCIPAL {
            return Err(ControlError::Conflict(Conflict::ViewsOfPrincipal(MAX_OF_PRINCIPAL)));
        }
        Ok(())
    }
}

impl Amend for ViewSaved {
    const ACTION: &'static str = "control.view.saved";
    const CATEGORY: &'static str = "config";

    fn targets(&self) -> Vec<Target<'_>> {
        vec![Target::new("log", &self.log), Target::new("view", &self.view)]
    }

    fn summary(&self) -> String {
        format!("save view {} of {}: {}", self.view, self.log, self.q)
    }

    fn concern<'a>(&'a self, _: &'a Control) -> Result<Concern<'a>, ControlError> {
        Ok(Concern::Read(&self.log))
    }

    fn check(
        &self,
        control: &Control,
        who: &Principal,
        now: Timestamp,
    ) -> Result<(), ControlError> {
        match control.views.get(&(self.log.clone(), self.view.clone())) {
            Some(entry) if entry.saved_by != who.id => {
                return Err(ControlError::Conflict(Conflict::OthersView));
            }
            Some(_) => {}
            None => self.check_number(control, who)?,
        }
        let is_recent = hour_before(now);
        let saves = control.saves.get(&who.id).map_or(&[][..], Vec::as_slice);
        let mut recent = saves.iter().filter(|at| is_recent(at));
        let oldest = recent.next().map_or(now, |at| *at);
        if recent.count() + 1 >= MAX_SAVES {
            let waits = oldest.as_micros().saturating_add(HOUR_US) - now.as_micros();
            let wait_s = u64::try_from(waits / 1_000_000).unwrap_or_default() + 1;
            return Err(ControlError::TooManySaves { limit: MAX_SAVES, wait_s });
        }
        Ok(())
    }

    fn made(&self, control: &Control, who: &Principal) -> Option<u64> {
        let entry = control.views.get(&(self.log.clone(), self.view.clone()))?;
        let same =
            entry.saved_by == who.id && entry.q == self.q && entry.description == self.description;
        same.then_some(entry.index)
    }

    fn apply(&self, control: &mut Control, stamp: &Stamp) -> Result<(), Misfit> {
        let entry = ViewEntry {
            q: self.q.clone(),
            description: self.description.clone(),
            saved_by: stamp.by.clone(),
            saved_at: stamp.time,
            index: stamp.index,
        };
        control.views.insert((self.log.clone(), self.view.clone()), entry);
        // Only the last hour counts, so the table holds no more than it must.
        let is_recent = hour_before(stamp.time);
        for times in control.saves.values_mut() {
            times.retain(&is_recent);
        }
        control.saves.retain(|_, times| !times.is_empty());
        control.saves.entry(stamp.by.clone()).or_default().push(stamp.time);
        Ok(())
    }
}

/// A query has a name no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ViewDeleted {
    pub(crate) log: String,
    pub(crate) view: String,
}

impl Amend for ViewDeleted {
    const ACTION: &'static str = "control.view.deleted";
    const CATEGORY: &'static str = "config";

    fn targets(&self) -> Vec<Target<'_>> {
        vec![Target::new("log", &self.log), Target::new("view", &self.view)]
    }

    fn summary(&self) -> String {
        format!("delete view {} of {}", self.view, self.log)
    }

    fn concern<'a>(&'a self, _: &'a Control) -> Result<Concern<'a>, ControlError> {
        Ok(Concern::Read(&self.log))
    }

    fn check(&self, control: &Control, who: &Principal, _: Timestamp) -> Result<(), ControlError> {
        let entry = control.views.get(&(self.log.clone(), self.view.clone()));
        // Somebody else's view is not shown to everybody, so it is not told of either.
        match entry {
            Some(entry) if entry.saved_by == who.id => Ok(()),
            _ => Err(ControlError::Missing(Thing::View, self.view.clone())),
        }
    }

    fn apply(&self, control: &mut Control, _: &Stamp) -> Result<(), Misfit> {
        let missing = || Misfit::Missing(Thing::View, format!("{} of {}", self.view, self.log));
        control.views.remove(&(self.log.clone(), self.view.clone())).map(drop).ok_or_else(missing)
    }
}
