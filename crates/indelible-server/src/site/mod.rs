//! What the logs of a site share: their indexes.

pub(crate) mod indexes;
