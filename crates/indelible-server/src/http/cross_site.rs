//! Requests that a page of another site made a browser send.

use axum::http::{HeaderMap, Uri, header};

/// Whether a browser says that another site made this request.
pub(crate) fn is_cross_site(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if let Some(site) = text("sec-fetch-site") {
        return !matches!(site, "same-origin" | "none");
    }
    let Some(origin) = text(header::ORIGIN.as_str()) else { return false };
    let host = text(header::HOST.as_str());
    let of_origin = origin.parse::<Uri>().ok();
    of_origin.as_ref().and_then(Uri::authority).map(|authority| authority.as_str()) != host
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_site_is_told_by_what_browsers_send() {
        let cross = |pairs: &[(&'static str, &'static str)]| {
            let pairs = pairs.iter().map(|(name, value)| {
                (
                    axum::http::HeaderName::from_static(name),
                    axum::http::HeaderValue::from_static(value),
                )
            });
            is_cross_site(&pairs.collect())
        };
        assert!(!cross(&[]));
        assert!(!cross(&[("sec-fetch-site", "same-origin")]));
        assert!(!cross(&[("origin", "https://log.example:7070"), ("host", "log.example:7070")]));
        assert!(cross(&[("sec-fetch-site", "cross-site")]));
        assert!(cross(&[("sec-fetch-site", "same-site")]));
        assert!(cross(&[("origin", "https://evil.example"), ("host", "log.example:7070")]));
        assert!(cross(&[("origin", "null"), ("host", "log.example:7070")]));
    }
}
