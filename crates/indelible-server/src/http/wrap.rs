//! What wraps all routes: a name for each request, limits of its address, one spelling
//! of its path, headers of its answer.

use super::{canonical, gate::Served, leftover::Leftover};
use crate::{
    access::peer::Peer,
    app::App,
    error::ApiError,
    origin::Origin,
    trail::{Access, Outcome},
};
use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use indelible_api::{Code, ErrorBody};
use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher as _,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};
use tower_http::catch_panic::CatchPanicLayer;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Sent with every answer; the API serves no pages.
const SECURITY_HEADERS: [(HeaderName, &str); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
];

/// The routes with everything around them.
pub(crate) fn wrap(app: Arc<App>, routes: Router<Arc<App>>) -> Router {
    routes
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

/// A name that tells nothing of other requests.
fn request_id() -> String {
    static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("{:016x}", KEY.hash_one(COUNT.fetch_add(1, Ordering::Relaxed)))
}

/// A method by one of a few names.
fn named(method: &Method) -> Option<&'static str> {
    const KNOWN: [Method; 7] = [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::HEAD,
        Method::OPTIONS,
    ];
    const NAMES: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
    KNOWN.iter().zip(NAMES).find(|(known, _)| *known == method).map(|(_, name)| name)
}

/// Names the request, lets it in or not, counts it, and puts its name into an error's
/// body.
async fn finish(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let id = request_id();
    let peer = request.extensions().get::<Peer>().cloned().unwrap_or_default();
    let origin =
        Arc::new(Origin::of(peer.address, request.headers(), &app.trusted_proxies, id.clone()));
    let method = named(request.method());
    let (mut request, left) = {
        let (parts, body) = request.into_parts();
        let (body, left) = Leftover::lend(&parts.headers, body);
        (Request::from_parts(parts, body), left)
    };
    let mut response = match arrive(&app, method, request.uri().path(), &origin).await {
        Err(error) => error.into_response(),
        Ok(()) => {
            request.extensions_mut().insert(origin);
            next.run(request).await
        }
    };
    if let Some(left) = left
        && response.status() != StatusCode::REQUEST_TIMEOUT
    {
        left.drain().await;
    }
    let method = method.unwrap_or("other");
    let route = response.extensions_mut().remove::<Served>().map_or("", |served| served.0.path);
    app.metrics.request(method, route, response.status().as_u16());
    if let Some(mut body) = response.extensions_mut().remove::<ErrorBody>() {
        body.request_id.clone_from(&id);
        let text = serde_json::to_vec(&body).unwrap_or_default();
        response.headers_mut().insert(header::CONTENT_LENGTH, text.len().into());
        *response.body_mut() = Body::from(text);
        // Not the message: it may quote what the sender sent.
        tracing::info!(
            request_id = id,
            method,
            route,
            code = body.code,
            member = body.member,
            "refused"
        );
    }
    dress(&app, &id, &mut response);
    response
}

/// Whether a request is looked at at all.
async fn arrive(
    app: &App,
    method: Option<&'static str>,
    path: &str,
    origin: &Origin,
) -> crate::error::Result<()> {
    if let Some(refused) = app.entrance().turns_away(origin) {
        let access = Access {
            action: "access.request",
            principal: None,
            log: None,
            target: None,
            tenant: None,
            outcome: Outcome::Denied(refused.error.code, refused.reason),
            details: serde_json::Map::new(),
        };
        app.trail.count(&access, origin).await?;
        return Err(refused.error);
    }
    match method {
        Some(_) => canonical::check(path),
        None => Err(ApiError::new(Code::NotImplemented, "no route takes this method")),
    }
}

/// The headers of every answer.
fn dress(app: &App, id: &str, response: &mut Response) {
    // What is served to every origin, tiles and checkpoints, says so itself.
    let is_open = response.headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN);
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, value);
    }
    for (name, value) in SECURITY_HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let policy = if is_open { "cross-origin" } else { "same-origin" };
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static(policy));
    if app.is_tls {
        headers.insert(
            header::STRICT_TRANSPORT_SECURITY,
            HeaderValue::from_static("max-age=31536000"),
        );
    }
    // What a credential opened is for its holder alone; tiles say otherwise themselves.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}
