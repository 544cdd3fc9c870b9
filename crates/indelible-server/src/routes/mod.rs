//! The handlers, one file per resource. Which of them exist, and what they ask, is in
//! `table`.

pub(crate) mod acts;
pub(crate) mod append;
pub(crate) mod counts;
pub(crate) mod events;
pub(crate) mod exports;
pub(crate) mod grants;
pub(crate) mod logs;
pub(crate) mod proofs;
pub(crate) mod search;
pub(crate) mod search_logs;
pub(crate) mod system;
pub(crate) mod tlog;
pub(crate) mod tokens;
pub(crate) mod views;
