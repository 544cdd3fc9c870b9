//! What one piece adds to a count, and what that takes of memory.

use indelible_query::Field;
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, mem::size_of};

/// What is counted in one piece.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum What {
    Count,
    Facet(Field),
    Histogram { interval_us: i64, by: Option<Field> },
}

/// Counts by value.
pub(crate) type Values = HashMap<String, u64>;

/// What one piece adds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) count: u64,
    pub(crate) values: Values,
    /// By the start of the bucket, in microseconds.
    pub(crate) buckets: HashMap<i64, (u64, Values)>,
}

/// What an allocation costs beside what was asked for.
const ALLOCATION: usize = 16;

impl Tally {
    /// Takes the values of another.
    pub(crate) fn set_values(&mut self, other: Self) {
        self.values = other.values;
    }

    /// The values alone.
    pub(crate) fn only_values(self) -> Self {
        Self { values: self.values, ..Self::default() }
    }

    /// The buckets alone, in longer ones.
    pub(crate) fn in_buckets_of(self, interval_us: i64) -> Self {
        let mut longer = Self::default();
        for (start, (count, values)) in self.buckets {
            let start = start.div_euclid(interval_us).saturating_mul(interval_us);
            let bucket = longer.buckets.entry(start).or_default();
            bucket.0 += count;
            for (value, count) in values {
                *bucket.1.entry(value).or_default() += count;
            }
        }
        longer
    }

    pub(crate) fn entries(&self) -> usize {
        1 + self.values.len()
            + self.buckets.values().map(|(_, values)| 1 + values.len()).sum::<usize>()
    }

    /// Bytes of memory that it takes, about.
    pub(crate) fn bytes(&self) -> usize {
        let buckets = self.buckets.capacity() * (size_of::<(i64, (u64, Values))>() + 1);
        let inside: usize = self.buckets.values().map(|(_, values)| values_bytes(values)).sum();
        size_of::<Self>() + ALLOCATION + values_bytes(&self.values) + buckets + inside
    }
}

fn values_bytes(values: &Values) -> usize {
    let table = values.capacity() * (size_of::<(String, u64)>() + 1);
    table + values.keys().map(|value| value.capacity() + ALLOCATION).sum::<usize>()
}
