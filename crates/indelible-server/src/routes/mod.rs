//! The routes, one file per resource, and what wraps them all.

pub(crate) mod append;
pub(crate) mod events;
pub(crate) mod logs;
pub(crate) mod proofs;
pub(crate) mod system;
pub(crate) mod tlog;

use crate::{app::App, error::ApiError};
use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use indelible_api::{Code, ErrorBody};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use tower_http::catch_panic::CatchPanicLayer;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// All routes of a server.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/v1/logs", get(logs::list_logs).post(logs::create_log))
        .route("/v1/logs/{log}", get(logs::show_log))
        .route("/v1/logs/{log}/events", get(events::list_events).post(append::append_events))
        .route("/v1/logs/{log}/events/{record}", get(events::show_event))
        .route("/v1/logs/{log}/records/{record}", get(events::show_record))
        .route("/v1/logs/{log}/receipts/{record}", get(proofs::show_receipt))
        .route("/v1/logs/{log}/consistency", get(proofs::show_consistency))
        .route("/v1/logs/{log}/checkpoint", get(proofs::show_checkpoint))
        .route("/v1/logs/{log}/attachments/{sha256}", get(events::show_attachment))
        .route("/tlog/{log}/checkpoint", get(tlog::checkpoint))
        .route("/tlog/{log}/tile/{*path}", get(tlog::tile))
        .route("/tlog/{log}/add", post(tlog::add))
        .route("/healthz", get(system::healthz))
        .route("/readyz", get(system::readyz))
        .route("/metrics", get(system::metrics))
        .route("/openapi.json", get(system::openapi))
        .fallback(async || {
            ApiError::new(Code::NotFound, "there is nothing at this path; see /openapi.json")
        })
        .method_not_allowed_fallback(async || {
            ApiError::new(
                Code::MethodNotAllowed,
                "this path does not take this method; see /openapi.json",
            )
        })
        // Bodies are bounded where they are read.
        .layer(DefaultBodyLimit::disable())
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| {
            ApiError::new(Code::Internal, "a defect of the server; its log says more")
                .into_response()
        }))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), finish))
        .with_state(app)
}

/// Counts the request, names it, and puts the name into an error's body.
async fn finish(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let id = format!("{:08x}-{:x}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(String::new, |path| path.as_str().to_owned());
    let mut response = next.run(request).await;
    app.metrics.request(method.as_str(), &route, response.status().as_u16());
    if let Some(mut body) = response.extensions_mut().remove::<ErrorBody>() {
        body.request_id.clone_from(&id);
        let text = serde_json::to_vec(&body).unwrap_or_default();
        response.headers_mut().insert(header::CONTENT_LENGTH, text.len().into());
        *response.body_mut() = Body::from(text);
        // Not the message: it may quote what the sender sent.
        tracing::info!(request_id = id, %method, route, code = body.code, member = body.member, "refused");
    }
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, value);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
