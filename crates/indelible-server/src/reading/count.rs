//! Counts, facets and histograms of what queries find, in one log or in several
//! together.

use crate::{
    error::{ApiError, Result},
    reading::desk::Desk,
    reading::{
        reader::Reader,
        search::{index_of, parsed},
        whole::{Target, searched},
    },
    redact::redact,
    trail::shown::Facts,
};
use indelible_api::{
    Bucket, Count, CountRequest, FacetValues, Facets, FacetsRequest, HistogramBuckets,
    HistogramRequest, MAX_PAGE, ReadConsistency, Searched, ValueCount,
};
use indelible_event::Timestamp;
use indelible_index::{self as search, Field, Searched as InIndex, length_us};
use serde::{Serialize, de::DeserializeOwned};
use std::sync::Arc;

/// Something that is counted.
pub(crate) trait Counted: DeserializeOwned + Send + 'static {
    /// What is counted, checked.
    type What: Send + 'static;
    type Answer: Serialize + Send + 'static;

    fn q(&self) -> &str;

    fn consistency(&self) -> ReadConsistency;

    fn check(&self) -> Result<Self::What>;

    /// What is asked for, for the trail: the query whole, and the rest.
    fn asked(&self) -> Facts {
        Facts::default().with("q", redact(self.q()))
    }

    fn answer(of: &[InIndex<'_>], what: Self::What, searched: Searched) -> Result<Self::Answer>;
}

impl Counted for CountRequest {
    type What = ();
    type Answer = Count;

    fn q(&self) -> &str {
        &self.q
    }

    fn consistency(&self) -> ReadConsistency {
        self.consistency
    }

    fn check(&self) -> Result<()> {
        Ok(())
    }

    fn answer(of: &[InIndex<'_>], (): (), searched: Searched) -> Result<Count> {
        Ok(Count { count: search::count(of)?, searched })
    }
}

impl Counted for FacetsRequest {
    type What = (Vec<Field>, usize);
    type Answer = Facets;

    fn q(&self) -> &str {
        &self.q
    }

    fn consistency(&self) -> ReadConsistency {
        self.consistency
    }

    fn check(&self) -> Result<Self::What> {
        if !(1..=MAX_PAGE).contains(&self.limit) || !(1..=20).contains(&self.fields.len()) {
            return Err(ApiError::invalid("expected 1 to 20 fields and a limit of 1 to 1000"));
        }
        let fields = self.fields.iter().map(|name| counted_field(name));
        Ok((fields.collect::<Result<_>>()?, self.limit))
    }

    fn asked(&self) -> Facts {
        let facts = Facts::default().with("q", redact(self.q()));
        facts.with("fields", self.fields.clone()).with("limit", self.limit)
    }

    fn answer(
        of: &[InIndex<'_>],
        (fields, limit): Self::What,
        searched: Searched,
    ) -> Result<Facets> {
        let mut facets = Vec::with_capacity(fields.len());
        for field in fields {
            let facet = search::facet(of, field, limit)?;
            let (field, distinct) = (field.name().to_owned(), facet.distinct);
            facets.push(FacetValues { field, values: counts(facet.values), distinct });
        }
        Ok(Facets { facets, searched })
    }
}

impl Counted for HistogramRequest {
    type What = (i64, Option<(Field, usize)>);
    type Answer = HistogramBuckets;

    fn q(&self) -> &str {
        &self.q
    }

    fn consistency(&self) -> ReadConsistency {
        self.consistency
    }

    fn check(&self) -> Result<Self::What> {
        let interval = length_us(&self.interval).filter(|interval| *interval > 0);
        let interval_us = interval.ok_or_else(|| {
            ApiError::invalid(format!(
                "interval {:?} is not a number and s, m, h, d or w, such as 1h",
                self.interval
            ))
            .member("interval")
        })?;
        if !(1..=100).contains(&self.limit) {
            return Err(ApiError::invalid("limit: expected 1 to 100").member("limit"));
        }
        let by = self.by.as_deref().map(counted_field).transpose()?;
        Ok((interval_us, by.map(|field| (field, self.limit))))
    }

    fn asked(&self) -> Facts {
        let facts = Facts::default().with("q", redact(self.q()));
        let facts = facts.with("interval", self.interval.clone());
        match &self.by {
            Some(by) => facts.with("by", by.clone()).with("limit", self.limit),
            None => facts,
        }
    }

    fn answer(
        of: &[InIndex<'_>],
        (interval_us, by): Self::What,
        searched: Searched,
    ) -> Result<HistogramBuckets> {
        let found = search::histogram(of, interval_us, by)?;
        let buckets = found.buckets.into_iter().map(|(start, (count, values))| Bucket {
            start: Timestamp::from_micros(start).to_string(),
            count,
            values: counts(values),
        });
        Ok(HistogramBuckets { buckets: buckets.collect(), searched })
    }
}

fn counts(values: Vec<(String, u64)>) -> Vec<ValueCount> {
    values.into_iter().map(|(value, count)| ValueCount { value, count }).collect()
}

fn counted_field(name: &str) -> Result<Field> {
    Field::named(name).filter(|field| field.is_counted()).ok_or_else(|| {
        ApiError::invalid(format!(
            "{name:?} is not a field that can be counted; those are action, actor, actor.type, by, category, format, ip, outcome, target.type, tenant"
        ))
    })
}

/// Counts in the logs of a reader together.
pub(crate) async fn count<C: Counted>(reader: &Reader, wanted: &C) -> Result<C::Answer> {
    let what = wanted.check()?;
    let desk: &Arc<Desk> = &reader.desk;
    let query = parsed(wanted.q(), desk.control.now().as_micros())?;
    let (mut targets, mut queries) = (Vec::new(), Vec::new());
    for (name, scope) in &reader.logs {
        let (size, index) = (desk.log(name)?.head().size, index_of(desk, name)?);
        targets.push(Target { name: name.clone(), index, size });
        queries.push(scope.narrow(query.clone()));
    }
    reader.reach(wanted.consistency(), &targets).await?;
    let searched = searched(desk, &targets);
    reader
        .turn(move || {
            let indexes = targets.iter().map(|target| target.index.as_ref());
            let of: Vec<InIndex<'_>> = indexes.zip(&queries).collect();
            C::answer(&of, what, searched)
        })
        .await
}
