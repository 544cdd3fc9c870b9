//! Reading for somebody: what of a log is shown, page by page, search by search, piece
//! by piece of a tail. It knows nothing of HTTP. What is held for one answer is bounded
//! in bytes, and after every wait the reader's authority is asked again.

pub(crate) mod count;
pub(crate) mod cursor;
pub(crate) mod desk;
pub(crate) mod logs;
pub(crate) mod page;
pub(crate) mod reader;
pub(crate) mod room;
pub(crate) mod search;
pub(crate) mod tail;
pub(crate) mod view;
pub(crate) mod whole;

use indelible_index::Order as SearchOrder;
use serde::Deserialize;

/// Which end comes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Order {
    #[default]
    Asc,
    Desc,
}

impl Order {
    /// As it is spelled in a request.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Asc => "asc",
            Self::Desc => "desc",
        }
    }

    /// How many of a log's first `size` records a page can be about, if it begins beyond one.
    pub(crate) fn about(self, size: u64, beyond: Option<u64>) -> u64 {
        match (self, beyond) {
            (Self::Desc, Some(beyond)) => size.min(beyond),
            _ => size,
        }
    }
}

impl From<Order> for SearchOrder {
    fn from(order: Order) -> Self {
        match order {
            Order::Asc => Self::OldestFirst,
            Order::Desc => Self::NewestFirst,
        }
    }
}
