//! What the requests of a site share: the indexes of its logs, turns to search, and
//! memory for what is shown.

pub(crate) mod indexes;
pub(crate) mod memory;
pub(crate) mod turns;
