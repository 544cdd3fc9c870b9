//! Work that goes on after its request was answered.

pub(crate) mod export;
