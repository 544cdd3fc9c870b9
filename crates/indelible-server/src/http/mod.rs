//! What stands between HTTP and the rooms that know nothing of it.

pub(crate) mod answer;
pub(crate) mod asked;
pub(crate) mod body;
pub(crate) mod canonical;
pub(crate) mod cross_site;
pub(crate) mod gate;
pub(crate) mod held;
mod leftover;
pub(crate) mod params;
mod refusals;
pub(crate) mod rule;
pub(crate) mod wrap;
