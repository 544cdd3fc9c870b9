//! The routes, one file per resource, and what wraps them all.

pub(crate) mod acts;
pub(crate) mod append;
pub(crate) mod counts;
pub(crate) mod events;
pub(crate) mod exports;
pub(crate) mod grants;
pub(crate) mod logs;
pub(crate) mod proofs;
pub(crate) mod search;
pub(crate) mod search_logs;
pub(crate) mod system;
pub(crate) mod table;
pub(crate) mod tlog;
pub(crate) mod tokens;
pub(crate) mod views;

pub use table::Trailed;

use crate::{access::gate::RequestId, app::App, error::ApiError};
use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use indelible_api::{Code, ErrorBody};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use tower_http::catch_panic::CatchPanicLayer;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Sent with every answer; the API serves no pages.
const SECURITY_HEADERS: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
];

/// All routes of a server.
pub(crate) fn router(app: Arc<App>) -> Router {
    table::build(&app)
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
async fn finish(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let id = format!("{:08x}-{:x}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(String::new, |path| path.as_str().to_owned());
    request.extensions_mut().insert(RequestId(id.clone()));
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
    for (name, value) in SECURITY_HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if app.is_tls {
        headers.insert(
            header::STRICT_TRANSPORT_SECURITY,
            HeaderValue::from_static("max-age=31536000"),
        );
    }
    // What a credential opened is for its holder alone; tiles say otherwise themselves.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
