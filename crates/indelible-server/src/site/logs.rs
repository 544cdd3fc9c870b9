//! The logs that are open.

use super::guard::Guard;
use crate::{
    control::{effects::Effects, fold::LogEntry},
    site::indexes::Indexes,
    subject::{ACCESS, CONTROL},
};
use indelible_log::{DataDir, Kind, KnownCheckpoint, Log, LogError, Options};
use indelible_store::{Store, StoreError};
use parking_lot::RwLock;
use std::{collections::BTreeMap, sync::Arc};

/// The logs of a data directory, and their indexes.
#[derive(Debug)]
pub(crate) struct Site {
    data: DataDir,
    options: Options,
    guard: Option<Guard>,
    indexes: Arc<Indexes>,
    logs: RwLock<BTreeMap<String, Arc<Log>>>,
}

impl Site {
    /// A site with no log open yet.
    pub(crate) fn new(
        data: DataDir,
        options: Options,
        guard: Option<Guard>,
        indexes: Arc<Indexes>,
    ) -> Self {
        Self { data, options, guard, indexes, logs: RwLock::default() }
    }

    /// Opens the system's logs, `_control` and `_access`; makes them in a new directory.
    /// Blocks.
    ///
    /// # Errors
    /// The log that does not open, and why.
    pub(crate) fn open_own(&self) -> Result<(Arc<Log>, Arc<Log>), (String, LogError)> {
        let failed = |name: &str| {
            let name = name.to_owned();
            move |error| (name, error)
        };
        if let Err(LogError::NoLog(_)) = self.data.store(CONTROL) {
            self.begin().map_err(failed(CONTROL))?;
        }
        let control = self.open(CONTROL).map_err(failed(CONTROL))?;
        // If we crashed before the first event, the trail may still be to be made. Later
        // it must be there: what is gone then was lost, and is not made anew in silence.
        if control.head().size == 0 {
            match self.data.create_log(ACCESS, Kind::Events, &self.options) {
                Ok(()) | Err(LogError::Store(StoreError::AlreadyExists { .. })) => {}
                Err(error) => return Err(failed(ACCESS)(error)),
            }
        }
        let access = self.open(ACCESS).map_err(failed(ACCESS))?;
        Ok((control, access))
    }

    /// Makes `_control` in a directory that has no logs.
    fn begin(&self) -> Result<(), LogError> {
        if let Some(log) = self.data.logs()?.first() {
            return Err(LogError::Invalid(format!(
                "there is a log {log:?} here, but no {CONTROL}, which says who may use it: restore {CONTROL} from a copy, or begin in another directory"
            )));
        }
        self.data.create_log(CONTROL, Kind::Events, &self.options)
    }

    /// The log of that name, if it is open.
    pub(crate) fn log(&self, name: &str) -> Option<Arc<Log>> {
        self.logs.read().get(name).map(Arc::clone)
    }

    /// All open logs by name.
    pub(crate) fn logs(&self) -> Vec<(String, Arc<Log>)> {
        self.logs.read().iter().map(|(name, log)| (name.clone(), Arc::clone(log))).collect()
    }

    /// The folder of a log, to be read.
    ///
    /// # Errors
    /// [`LogError::NoLog`].
    pub(crate) fn store(&self, name: &str) -> Result<Arc<dyn Store>, LogError> {
        self.data.store(name)
    }

    /// Name of the site.
    pub(crate) fn name(&self) -> &str {
        self.data.site()
    }

    /// Stops every log: what was accepted is committed first. Blocks.
    pub(crate) fn close(&self) {
        for (_, log) in self.logs() {
            log.close();
            if let Some(guard) = &self.guard {
                guard.remember(log.verifying_key().name(), &log.head().note);
            }
        }
    }

    /// Opens a log and its index, if that is not done.
    fn open(&self, name: &str) -> Result<Arc<Log>, LogError> {
        if let Some(log) = self.log(name) {
            return Ok(log);
        }
        let known = match &self.guard {
            Some(guard) => guard.known(&self.data.origin(name))?,
            None => None,
        };
        let known =
            known.into_iter().map(|(note, origin)| KnownCheckpoint { note, origin }).collect();
        let options = Options { known, ..self.options.clone() };
        let log = Arc::new(Log::open(self.data.store(name)?, &options)?);
        if let Some(guard) = &self.guard {
            guard.follow(&log);
        }
        self.indexes.open(name, &log);
        self.logs.write().insert(name.to_owned(), Arc::clone(&log));
        Ok(log)
    }
}

impl Effects for Site {
    fn new_log(&self, log: &str, kind: Kind) -> Result<String, LogError> {
        // What was cut off here before was never in force.
        self.data.discard_unused(log)?;
        self.data.create_log(log, kind, &self.options)?;
        Ok(self.data.verifying_key(log, &self.options)?.to_string())
    }

    fn new_key(&self, log: &str) -> Result<String, LogError> {
        let open = self.log(log).ok_or_else(|| LogError::NoLog(log.to_owned()))?;
        Ok(open.stage_key()?.to_string())
    }

    fn agree(&self, name: &str, entry: &LogEntry) -> Result<(), LogError> {
        let log = self.open(name)?;
        for pair in entry.keys.windows(2) {
            if let [(_, Some(until)), (vkey, _)] = pair {
                let malformed = || LogError::Invalid(format!("{vkey} is not the key of a log"));
                log.replace_key(&vkey.parse().map_err(|_| malformed())?, *until)?;
            }
        }
        // Whoever verifies the log trusts the keys that `_control` names, and no others.
        let keys = log.verifying_keys();
        if keys.iter().map(ToString::to_string).eq(entry.keys.iter().map(|(vkey, _)| vkey.clone()))
        {
            Ok(())
        } else {
            Err(LogError::Invalid(format!(
                "log {name} has {} keys, which are not the {} that {CONTROL} names: restore its folder from a copy",
                keys.len(),
                entry.keys.len()
            )))
        }
    }
}
