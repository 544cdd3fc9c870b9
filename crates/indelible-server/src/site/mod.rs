//! The logs of a server: opened, made, closed, and brought to what the configuration
//! says.
//!
//! **Invariant**: a log that the configuration refers to is never made anew. Its folder
//! and key were there before its event was; if they are not, they were lost, and the
//! server says so.

pub(crate) mod guard;
pub(crate) mod logs;

pub(crate) use logs::Site;
