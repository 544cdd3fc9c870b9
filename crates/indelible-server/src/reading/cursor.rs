//! Where a search goes on, as text. It is bound to what was asked, so that nobody goes
//! on with it in another query, and to the moment that the query's ages count from.

use crate::{
    error::{ApiError, Result},
    random::hex,
    reading::Order,
};
use indelible_api::Code;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// Logs of one search.
pub(crate) const MAX_LOGS: usize = 64;

/// Where a search goes on in each log that is not yet at its end: behind an index, or
/// (`None`) at the beginning.
pub(crate) type Beyond = BTreeMap<String, Option<u64>>;

/// What a cursor is bound to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bound<'a> {
    /// `log` and its name, or `logs` and what was asked for.
    pub(crate) of: (&'static str, &'a str),
    pub(crate) q: &'a str,
    pub(crate) order: Order,
}

/// Where a search goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) now_us: i64,
    pub(crate) beyond: Beyond,
}

impl Cursor {
    /// `c1.CHECK.MOMENT.LOG:INDEX,LOG:-`
    pub(crate) fn encode(&self, bound: Bound<'_>) -> String {
        let place = |(name, beyond): (&String, &Option<u64>)| {
            format!("{name}:{}", beyond.map_or_else(|| "-".to_owned(), |at| at.to_string()))
        };
        let places: Vec<String> = self.beyond.iter().map(place).collect();
        let rest = format!("{}.{}", self.now_us, places.join(","));
        format!("c1.{}.{rest}", check(bound, &rest))
    }

    /// Reads one that was made for the same question.
    pub(crate) fn decode(text: &str, bound: Bound<'_>) -> Result<Self> {
        Self::read(text, bound).ok_or_else(|| {
            ApiError::new(
                Code::InvalidCursor,
                "the cursor is not one of this query, in these logs and this order; begin without it",
            )
        })
    }

    fn read(text: &str, bound: Bound<'_>) -> Option<Self> {
        let (found, rest) = text.strip_prefix("c1.")?.split_once('.')?;
        let (now, places) = rest.split_once('.').filter(|_| found == check(bound, rest))?;
        let place = |text: &str| {
            let (name, at) = text.split_once(':')?;
            let at = if at == "-" { None } else { Some(at.parse().ok()?) };
            Some((name.to_owned(), at))
        };
        let beyond: Beyond = places.split(',').map(place).collect::<Option<_>>()?;
        let now_us = now.parse().ok()?;
        (beyond.len() <= MAX_LOGS).then_some(Self { now_us, beyond })
    }
}

fn check(bound: Bound<'_>, rest: &str) -> String {
    let Bound { of: (kind, of), q, order } = bound;
    let text = format!("{kind}\n{of}\n{q}\n{}\n{rest}", order.name());
    let mut check = hex(&Sha256::digest(text.as_bytes()));
    check.truncate(16);
    check
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests state their expectations by failing")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOUND: Bound<'_> = Bound { of: ("log", "prod"), q: "a:b", order: Order::Asc };

    #[test]
    fn a_cursor_goes_on_with_its_own_question_only() {
        let beyond = [("prod".to_owned(), Some(7)), ("stage".to_owned(), None)].into();
        let cursor = Cursor { now_us: -3, beyond };
        let text = cursor.encode(BOUND);
        assert_eq!(Cursor::decode(&text, BOUND).unwrap(), cursor);
        for other in [
            Bound { of: ("logs", "prod"), ..BOUND },
            Bound { of: ("log", "stage"), ..BOUND },
            Bound { q: "a:c", ..BOUND },
            Bound { order: Order::Desc, ..BOUND },
        ] {
            let refused = Cursor::decode(&text, other).unwrap_err();
            assert_eq!(refused.code, Code::InvalidCursor, "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_refused(text: String) {
            prop_assert!(Cursor::decode(&text, BOUND).is_err());
            let text = ["c1.", &text].concat();
            prop_assert!(Cursor::decode(&text, BOUND).is_err());
        }
    }
}
