//! Counts, facets and histograms, of one log or of several together.

use crate::{
    access::caller::Caller,
    app::App,
    error::Result,
    http::answer::Answer,
    http::params::Params,
    reading::{
        count::{Counted, count as counted},
        logs::{readable, shown_of},
        reader::Reader,
    },
    redact::redact,
    routes::search_logs::refused,
    trail::shown::Shown,
};
use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::HeaderMap,
};
use indelible_api::{
    Count, CountRequest, ErrorBody, Facets, FacetsRequest, HistogramBuckets, HistogramRequest,
};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::IntoParams;

/// Which logs are counted together.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
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

/// Counts in one log.
async fn in_one<C: Counted>(
    app: &Arc<App>,
    caller: Caller,
    name: &str,
    wanted: &C,
) -> Result<Answer> {
    let reader = Reader::of_one(&app.desk, caller, name);
    Ok(Answer::json(&counted(&reader, wanted).await?, wanted.asked()))
}

/// Counts in several logs together; it is in the trail of each.
async fn in_several<C: Counted>(
    app: &Arc<App>,
    caller: Caller,
    logs: &str,
    wanted: &C,
) -> Result<Answer> {
    wanted.check()?;
    let reader = match readable(&app.desk, caller, logs, None) {
        Ok(reader) => reader,
        Err(unreadable) => return refused(unreadable),
    };
    let counted = counted(&reader, wanted).await?;
    let asked = wanted.asked().with("logs", redact(logs));
    let shown = shown_of(&reader, |_| asked.clone());
    Ok(Answer::new(Json(counted), Shown::ByLog(shown)))
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
        ) -> Result<Answer> {
            let wanted: $request = app.bodies.receive_json(caller.who(), &headers, body).await?;
            in_one(&app, caller, &name, &wanted).await
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
        ) -> Result<Answer> {
            let wanted: $request = app.bodies.receive_json(caller.who(), &headers, body).await?;
            in_several(&app, caller, &params.logs, &wanted).await
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
