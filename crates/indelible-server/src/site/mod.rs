//! The logs of a server: opened, made, closed.

pub(crate) mod guard;
