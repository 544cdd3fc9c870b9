//! What stands between HTTP and the rooms that know nothing of it.

pub(crate) mod answer;
pub(crate) mod held;
