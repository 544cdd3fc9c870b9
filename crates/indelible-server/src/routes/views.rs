//! Saved views: queries with names, events of `_control` like all configuration.

use crate::{
    access::caller::Caller,
    app::App,
    control::event::Change,
    error::{ApiError, Result},
};
use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::HeaderMap,
};
use indelible_api::{Code, Done, ErrorBody, Page, SaveView, View};
use std::sync::Arc;

/// Most views of one log.
const MAX_VIEWS: usize = 1000;

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
) -> Result<Json<Page<View>>> {
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
            saved_at: entry.saved_at.clone(),
        })
        .collect();
    Ok(Json(Page { items, next: None }))
}

/// Save a query under a name; saving again by the same principal replaces it.
#[utoipa::path(put, path = "/v1/logs/{log}/views/{view}", tag = "search",
    params(("log" = String, Path, description = "Name of the log"), ("view" = String, Path, description = "Name of the view")), request_body = SaveView,
    responses((status = 200, body = Done), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
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
    let author = caller.author(None)?;
    let written = app
        .control
        .act(&author, |control, _| {
            let taken = control.views.get(&(log.clone(), view.clone()));
            if taken.is_some_and(|entry| entry.saved_by != author.principal) {
                return Err(ApiError::new(
                    Code::Conflict,
                    "somebody else saved a view of that name; choose another",
                ));
            }
            if taken.is_none()
                && control.views.keys().filter(|(of, _)| *of == log).count() >= MAX_VIEWS
            {
                return Err(ApiError::new(
                    Code::Conflict,
                    format!("the log has {MAX_VIEWS} views; delete some"),
                ));
            }
            let change = Change::ViewSaved {
                log: log.clone(),
                view: view.clone(),
                q: wanted.q,
                description: wanted.description,
            };
            Ok((change, Vec::new()))
        })
        .await?;
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
    let author = caller.author(None)?;
    let written = app
        .control
        .act(&author, |control, _| {
            let entry = control.views.get(&(log.clone(), view.clone()));
            // Somebody else's view is not shown to everybody, so it is not told of either.
            if entry.is_none_or(|entry| entry.saved_by != author.principal) {
                return Err(ApiError::new(
                    Code::EntryNotFound,
                    format!("you saved no view {view:?} of this log"),
                ));
            }
            Ok((Change::ViewDeleted { log: log.clone(), view: view.clone() }, Vec::new()))
        })
        .await?;
    Ok(Json(written.done(view)))
}
