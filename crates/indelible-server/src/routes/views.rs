//! Saved views: queries with names, events of `_control` like all configuration.

use crate::{
    access::caller::Caller,
    app::App,
    control::view::{ViewDeleted, ViewSaved},
    error::{ApiError, Result},
    http::answer::Answer,
    routes::acts::{asker, no_credential},
    trail::shown::Facts,
};
use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::HeaderMap,
};
use indelible_api::{Code, Done, ErrorBody, Page, SaveView, View};
use std::sync::Arc;

fn check_name(name: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if (1..=63).contains(&name.len()) && name.chars().all(allowed) {
        Ok(())
    } else {
        Err(ApiError::invalid(format!("view {name:?} is not 1 to 63 of a-z, 0-9 and -"))
            .member("view"))
    }
}

/// List the saved views of a log. A credential narrowed to a part of the log sees its
/// own only: a query tells of what it looks for.
#[utoipa::path(get, path = "/v1/logs/{log}/views", tag = "search", params(("log" = String, Path, description = "Name of the log")),
    responses((status = 200, body = Page<View>), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn list_views(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(log): Path<String>,
) -> Result<Answer> {
    app.log(&log)?;
    let principal = caller.principal()?;
    let control = app.control.current();
    let narrowed = caller.scope.filters.is_some();
    let items = control
        .views
        .iter()
        .filter(|((of, _), entry)| *of == log && (!narrowed || entry.saved_by == principal.id))
        .map(|((_, name), entry)| View {
            name: name.clone(),
            q: entry.q.clone(),
            description: entry.description.clone(),
            saved_by: entry.saved_by.clone(),
            saved_at: entry.saved_at.to_string(),
        })
        .collect();
    let page = Page { items, next: None };
    Ok(Answer::json(&page, Facts::default().with("items", page.items.len())))
}

/// Save a query under a name; saving again by the same principal replaces it. At most 50
/// of a log, and 100 times an hour.
#[utoipa::path(put, path = "/v1/logs/{log}/views/{view}", tag = "search",
    params(("log" = String, Path, description = "Name of the log"), ("view" = String, Path, description = "Name of the view")), request_body = SaveView,
    responses((status = 200, body = Done), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody), (status = 429, body = ErrorBody)))]
pub(crate) async fn save_view(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((log, view)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Done>> {
    let wanted: SaveView = app.bodies.receive_json(caller.who(), &headers, body).await?;
    check_name(&view)?;
    indelible_index::parse(&wanted.q, app.control.now().as_micros())
        .map_err(|e| ApiError::new(Code::InvalidQuery, e.to_string()).member("q"))?;
    if wanted.description.as_ref().is_some_and(|text| text.chars().count() > 500) {
        return Err(
            ApiError::invalid("description: expected at most 500 characters").member("description")
        );
    }
    app.log(&log)?;
    for (member, text) in [("q", Some(&wanted.q)), ("description", wanted.description.as_ref())] {
        no_credential(member, text.map_or("", String::as_str))?;
    }
    let (q, description) = (wanted.q, wanted.description);
    let act = ViewSaved { log, view: view.clone(), q, description };
    let written = app.control.act(asker(&caller, None)?, act).await?;
    Ok(Json(written.done(view)))
}

/// Delete a view that the caller saved.
#[utoipa::path(delete, path = "/v1/logs/{log}/views/{view}", tag = "search",
    params(("log" = String, Path, description = "Name of the log"), ("view" = String, Path, description = "Name of the view")),
    responses((status = 200, body = Done), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn delete_view(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((log, view)): Path<(String, String)>,
) -> Result<Json<Done>> {
    app.log(&log)?;
    let act = ViewDeleted { log, view: view.clone() };
    let written = app.control.act(asker(&caller, None)?, act).await?;
    Ok(Json(written.done(view)))
}
