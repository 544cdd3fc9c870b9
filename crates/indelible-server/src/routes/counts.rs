//! Counts, facets and histograms, of one log or of several together.

use crate::{
    access::{
        Scope,
        gate::{Caller, Shown},
    },
    app::App,
    body::receive_json,
    error::{ApiError, Result},
    params::Params,
    routes::{
        search::{index_of, parsed, searching},
        search_logs::{Asked, readable, record, searched},
    },
};
use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::HeaderMap,
    response::{IntoResponse as _, Response},
};
use indelible_api::{
    Bucket, Count, CountRequest, ErrorBody, FacetValues, Facets, FacetsRequest, HistogramBuckets,
    HistogramRequest, MAX_PAGE, SearchedLog, ValueCount,
};
use indelible_event::Timestamp;
use indelible_index::{self as index, Field, LogIndex, Query, Searched, length_us};
use indelible_log::Log;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::sync::Arc;
use utoipa::IntoParams;

/// Which logs are counted together.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CountedLogs {
    /// Names of logs, with commas between, each perhaps with `*` at its end; default
    /// `*`. Patterns take in what the caller may read, and none of the system's logs
    /// unless they begin with `_`.
    logs: String,
}

impl Default for CountedLogs {
    fn default() -> Self {
        Self { logs: "*".to_owned() }
    }
}

/// Something that is counted.
trait Counted: DeserializeOwned + Send + 'static {
    /// What is counted, checked.
    type What: Send + 'static;
    type Answer: Serialize + Send + 'static;

    /// Name in the trail, and route of the one for several logs.
    const ASKED: Asked;

    fn q(&self) -> &str;

    fn check(&self) -> Result<Self::What>;

    fn answer(
        of: &[Searched<'_>],
        what: Self::What,
        indexed: u64,
        logs: Vec<SearchedLog>,
    ) -> Result<Self::Answer>;
}

impl Counted for CountRequest {
    type What = ();
    type Answer = Count;

    const ASKED: Asked = Asked { action: "access.event.count", route: "POST /v1/count" };

    fn q(&self) -> &str {
        &self.q
    }

    fn check(&self) -> Result<()> {
        Ok(())
    }

    fn answer(of: &[Searched<'_>], (): (), indexed: u64, logs: Vec<SearchedLog>) -> Result<Count> {
        Ok(Count { count: index::count(of)?, indexed, logs })
    }
}

impl Counted for FacetsRequest {
    type What = (Vec<Field>, usize);
    type Answer = Facets;

    const ASKED: Asked = Asked { action: "access.event.facets", route: "POST /v1/facets" };

    fn q(&self) -> &str {
        &self.q
    }

    fn check(&self) -> Result<Self::What> {
        if !(1..=MAX_PAGE).contains(&self.limit) || !(1..=20).contains(&self.fields.len()) {
            return Err(ApiError::invalid("expected 1 to 20 fields and a limit of 1 to 1000"));
        }
        let fields = self.fields.iter().map(|name| counted_field(name));
        Ok((fields.collect::<Result<_>>()?, self.limit))
    }

    fn answer(
        of: &[Searched<'_>],
        (fields, limit): Self::What,
        indexed: u64,
        logs: Vec<SearchedLog>,
    ) -> Result<Facets> {
        let mut facets = Vec::with_capacity(fields.len());
        for field in fields {
            let facet = index::facet(of, field, limit)?;
            let (field, distinct) = (field.name().to_owned(), facet.distinct);
            facets.push(FacetValues { field, values: counts(facet.values), distinct });
        }
        Ok(Facets { facets, indexed, logs })
    }
}

impl Counted for HistogramRequest {
    type What = (i64, Option<(Field, usize)>);
    type Answer = HistogramBuckets;

    const ASKED: Asked = Asked { action: "access.event.histogram", route: "POST /v1/histogram" };

    fn q(&self) -> &str {
        &self.q
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

    fn answer(
        of: &[Searched<'_>],
        (interval_us, by): Self::What,
        indexed: u64,
        logs: Vec<SearchedLog>,
    ) -> Result<HistogramBuckets> {
        let found = index::histogram(of, interval_us, by)?;
        let buckets = found.buckets.into_iter().map(|(start, (count, values))| Bucket {
            start: Timestamp::from_micros(start).to_string(),
            count,
            values: counts(values),
        });
        Ok(HistogramBuckets { buckets: buckets.collect(), indexed, logs })
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

/// A log that is counted.
struct Place {
    log: Arc<Log>,
    index: Arc<LogIndex>,
    query: Query,
}

impl Place {
    fn new(app: &App, name: &str, scope: &Scope, q: &Query) -> Result<Self> {
        let (log, index) = (app.log(name)?, index_of(app, name)?);
        Ok(Self { log, index, query: scope.narrow(q.clone()) })
    }
}

async fn answer<C: Counted>(
    app: &App,
    places: Vec<Place>,
    what: C::What,
    names: Vec<String>,
) -> Result<C::Answer> {
    searching(app, move || {
        let indexed = places.iter().map(|place| *place.index.indexed().borrow()).sum();
        let logs = names.iter().zip(&places);
        let logs = logs.map(|(name, place)| searched(name, &place.log, &place.index)).collect();
        let of: Vec<Searched<'_>> =
            places.iter().map(|place| (place.index.as_ref(), &place.query)).collect();
        C::answer(&of, what, indexed, logs)
    })
    .await
}

/// Counts in one log.
async fn in_one<C: Counted>(app: &App, caller: &Caller, name: &str, wanted: C) -> Result<Response> {
    let what = wanted.check()?;
    let query = parsed(wanted.q(), app.control.now().as_micros())?;
    let place = Place::new(app, name, &caller.scope, &query)?;
    let answer = answer::<C>(app, vec![place], what, Vec::new()).await?;
    let mut shown = Shown::default();
    shown.0.insert("q".to_owned(), crate::access::token::asked(wanted.q()));
    let mut response = Json(answer).into_response();
    response.extensions_mut().insert(shown);
    Ok(response)
}

/// Counts in several logs together; it is in the trail of each.
async fn in_several<C: Counted>(
    app: &App,
    caller: &Caller,
    logs: &str,
    wanted: C,
) -> Result<Response> {
    let what = wanted.check()?;
    let query = parsed(wanted.q(), app.control.now().as_micros())?;
    let readable = readable(app, caller, &C::ASKED, logs, None).await?;
    let places = readable.iter().map(|(name, scope)| Place::new(app, name, scope, &query));
    let places = places.collect::<Result<Vec<_>>>()?;
    let names = readable.iter().map(|(name, _)| name.clone()).collect();
    let answer = answer::<C>(app, places, what, names).await?;
    let trail = readable.iter().map(|(name, scope)| {
        record(app, caller, &C::ASKED, (name, scope), wanted.q(), Shown::default())
    });
    futures_util::future::try_join_all(trail).await?;
    Ok(Json(answer).into_response())
}

macro_rules! routes {
    ($(#[doc = $of_one:literal] $one:ident $path_one:literal #[doc = $of_all:literal] $all:ident $path_all:literal $request:ty => $answer:ty;)*) => {$(
        #[doc = $of_one]
        #[utoipa::path(post, path = $path_one, tag = "search", params(("log" = String, Path, description = "Name of the log")), request_body = $request,
            responses((status = 200, body = $answer), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 422, body = ErrorBody)))]
        pub(crate) async fn $one(
            State(app): State<Arc<App>>,
            caller: Caller,
            Path(name): Path<String>,
            headers: HeaderMap,
            body: Body,
        ) -> Result<Response> {
            let wanted: $request = receive_json(&app, &headers, body).await?;
            in_one(&app, &caller, &name, wanted).await
        }

        #[doc = $of_all]
        #[utoipa::path(post, path = $path_all, tag = "search", params(CountedLogs), request_body = $request,
            responses((status = 200, body = $answer), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody), (status = 422, body = ErrorBody)))]
        pub(crate) async fn $all(
            State(app): State<Arc<App>>,
            caller: Caller,
            Params(params): Params<CountedLogs>,
            headers: HeaderMap,
            body: Body,
        ) -> Result<Response> {
            let wanted: $request = receive_json(&app, &headers, body).await?;
            in_several(&app, &caller, &params.logs, wanted).await
        }
    )*};
}

routes! {
    /// How many events a query finds.
    count "/v1/logs/{log}/count"
    /// How many events a query finds in several logs.
    count_logs "/v1/count"
    CountRequest => Count;
    /// The most frequent values of fields in what a query finds.
    facets "/v1/logs/{log}/facets"
    /// The most frequent values of fields in what a query finds in several logs.
    facets_logs "/v1/facets"
    FacetsRequest => Facets;
    /// What a query finds by time of occurrence.
    histogram "/v1/logs/{log}/histogram"
    /// What a query finds in several logs by time of occurrence.
    histogram_logs "/v1/histogram"
    HistogramRequest => HistogramBuckets;
}
