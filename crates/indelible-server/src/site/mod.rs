//! What the requests of a site share: its logs, opened, made, closed, and brought to what
//! the configuration says; their indexes; turns to search, and memory for what is shown.
//!
//! **Invariant**: a log that the configuration refers to is never made anew. Its folder
//! and key were there before its event was; if they are not, they were lost, and the
//! server says so.

pub(crate) mod bodies;
pub(crate) mod guard;
pub(crate) mod indexes;
pub(crate) mod logs;
pub(crate) mod memory;
pub(crate) mod turns;

pub(crate) use logs::Site;
