//! What all who read share.

use crate::{
    access::refused::no_such_log,
    control::Controller,
    error::Result,
    site::{Site, indexes::Indexes, memory::Memory, turns::Turns},
    trail::Trail,
    troubles::Troubles,
};
use indelible_log::Log;
use std::sync::Arc;

/// The logs with their indexes, the configuration, the trail; turns and memory for what
/// is read. Requests and jobs hold it for as long as they read.
#[derive(Debug)]
pub struct Desk {
    pub(crate) site: Arc<Site>,
    pub(crate) indexes: Arc<Indexes>,
    pub(crate) control: Controller,
    pub(crate) trail: Trail,
    /// What failed of the server's own parts.
    pub(crate) troubles: Arc<Troubles>,
    pub(crate) searches: Turns,
    pub(crate) memory: Memory,
    /// Told to whoever waits when the server stops.
    pub(crate) stopping: tokio::sync::watch::Sender<bool>,
}

impl Desk {
    /// The log of that name.
    pub(crate) fn log(&self, name: &str) -> Result<Arc<Log>> {
        self.site.log(name).ok_or_else(|| no_such_log(name))
    }

    /// All logs by name.
    pub(crate) fn logs(&self) -> Vec<(String, Arc<Log>)> {
        self.site.logs()
    }
}
