//! The search of several logs at once.

use crate::{
    access::{caller::Caller, refused::no_such_log},
    app::App,
    error::Result,
    http::params::Params,
    http::{answer::Answer, held},
    reading::{
        Order,
        logs::{self, Unreadable, Wanted},
    },
    redact::redact,
    routes::events::check_limit,
    trail::shown::{Facts, Shown, ShownOf},
};
use axum::extract::State;
use indelible_api::{ErrorBody, LogsPage, ReadConsistency};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::IntoParams;

/// Which events, of which logs.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LogsParams {
    /// Only events that this query finds (docs/query.md); all, if empty.
    q: String,
    /// Names of logs, with commas between, each perhaps with `*` at its end; default
    /// `*`. Patterns take in what the caller may read, and none of the system's logs
    /// unless they begin with `_`.
    logs: String,
    /// The `next` of the page before.
    after: Option<String>,
    /// `head` (default): waits some seconds until everything that is in the logs is
    /// searched. `now` does not.
    consistency: ReadConsistency,
    /// Items wanted, 1 to 1000; default 100.
    limit: usize,
    /// `asc` (default, oldest first) or `desc`, by the time of receipt.
    order: Order,
}

impl Default for LogsParams {
    fn default() -> Self {
        Self {
            q: String::new(),
            logs: "*".to_owned(),
            after: None,
            consistency: ReadConsistency::Head,
            limit: 100,
            order: Order::Asc,
        }
    }
}

impl LogsParams {
    /// What was asked for, for the trail.
    fn asked(&self) -> Facts {
        Facts::default()
            .with("q", redact(&self.q))
            .with("logs", redact(&self.logs))
            .with("order", self.order.name())
            .with("limit", self.limit)
            .with_some("after", self.after.as_deref().map(redact))
    }
}

/// Find events in several logs at once, in the order of their receipt.
#[utoipa::path(get, path = "/v1/events", tag = "search", params(LogsParams),
    responses((status = 200, body = LogsPage), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn search_logs(
    State(app): State<Arc<App>>,
    caller: Caller,
    Params(params): Params<LogsParams>,
) -> Result<Answer> {
    check_limit(params.limit)?;
    let asked = params.asked();
    let LogsParams { q, logs, after, consistency, limit, order } = params;
    let wanted = Wanted { q, logs, order, after, limit, consistency };
    let (page, reader, held) = match logs::find(&app.desk, caller, wanted).await {
        Ok(found) => found,
        Err(unreadable) => return refused(unreadable),
    };
    let shown = Shown::ByLog(page.shown(&reader, &asked));
    Ok(Answer::new(held::json(page, held).await?, shown))
}

/// The refusal of a log that was named: it is in the trail of that log too.
pub(crate) fn refused(unreadable: Unreadable) -> Result<Answer> {
    match unreadable {
        Unreadable::Failed(error) => Err(error),
        Unreadable::Log(name) => {
            let log = redact(&name.chars().take(128).collect::<String>());
            let of = ShownOf { log, tenant: None, facts: Facts::default() };
            Ok(Answer::new(no_such_log(&name), Shown::ByLog(vec![of])))
        }
    }
}
