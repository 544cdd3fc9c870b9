//! The commands, a file for each.

pub(crate) mod append;
pub(crate) mod bench;
pub(crate) mod bench_search;
pub(crate) mod bench_server;
pub(crate) mod checkpoint;
pub(crate) mod context;
pub(crate) mod control;
pub(crate) mod demo;
pub(crate) mod export;
pub(crate) mod figure;
pub(crate) mod get;
pub(crate) mod grant;
pub(crate) mod key;
pub(crate) mod log;
pub(crate) mod login;
pub(crate) mod pending;
pub(crate) mod policy;
pub(crate) mod prove;
pub(crate) mod search;
pub(crate) mod serve;
pub(crate) mod tail;
pub(crate) mod token;
pub(crate) mod trail;
pub(crate) mod verify;
pub(crate) mod view;
pub(crate) mod whoami;
