//! The connection to a server: what goes with each request, and how answers are read.

use crate::{
    answer,
    error::{ClientError, Result},
};
use indelible_api::{
    Count, CountRequest, CreateLog, Facets, FacetsRequest, HistogramBuckets, HistogramRequest,
    LogInfo, LogsPage, Page, ReadConsistency,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{
    Method, RequestBuilder, Response, StatusCode,
    header::{AUTHORIZATION, HeaderValue},
};
use serde::de::DeserializeOwned;
use std::time::Duration;

/// Tries of a request that the server says it did not carry out.
const TRIES: u32 = 5;

/// Who the client is, and whom it trusts.
#[derive(Clone, Default)]
pub struct Credentials {
    /// Bearer token.
    pub token: Option<String>,
    /// Authorities to trust besides the system's, PEM.
    pub authorities: Option<Vec<u8>>,
    /// Client certificate and its private key, PEM.
    pub identity: Option<Vec<u8>>,
    /// Send the token over plain HTTP to other machines too.
    pub plain_http: bool,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(…)")
    }
}

/// A connection to one server. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
}

impl Client {
    /// A client of the server at `url`, such as `https://log.example.com` or
    /// `http://127.0.0.1:7070`.
    ///
    /// # Errors
    /// [`ClientError::Url`] when it is not a URL of a server,
    /// [`ClientError::PlainHttp`] when the token could be read on the way,
    /// [`ClientError::Credentials`] when they cannot be used.
    pub fn new(url: &str, credentials: &Credentials) -> Result<Self> {
        let base = url.trim_end_matches('/');
        let parsed = reqwest::Url::parse(base)
            .ok()
            .filter(|parsed| {
                matches!(parsed.scheme(), "http" | "https")
                    && parsed.username().is_empty()
                    && parsed.password().is_none()
            })
            .ok_or_else(|| ClientError::Url(url.to_owned()))?;
        let unusable = |what: &'static str| move |_| ClientError::Credentials(what);
        let mut builder = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(10))
            .read_timeout(Duration::from_secs(120))
            // A credential goes to the server it is for, and nowhere else.
            .redirect(reqwest::redirect::Policy::none());
        if let Some(token) = &credentials.token {
            if parsed.scheme() == "http" && !is_loopback(&parsed) && !credentials.plain_http {
                return Err(ClientError::PlainHttp(base.to_owned()));
            }
            let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
                .map_err(|_| ClientError::Credentials("the token"))?;
            value.set_sensitive(true);
            builder = builder.default_headers([(AUTHORIZATION, value)].into_iter().collect());
        }
        if let Some(pem) = &credentials.authorities {
            let authorities = reqwest::Certificate::from_pem_bundle(pem)
                .map_err(unusable("the file of authorities"))?;
            builder = builder.tls_certs_merge(authorities);
        }
        if let Some(pem) = &credentials.identity {
            let identity = reqwest::Identity::from_pem(pem)
                .map_err(unusable("the client certificate and its key"))?;
            builder = builder.identity(identity);
        }
        let http = builder
            .build()
            .map_err(|e| ClientError::Connect { url: base.to_owned(), source: e })?;
        Ok(Self { http, base: base.to_owned() })
    }

    /// Whether two URLs are of one server, so that what is for one is for the other.
    #[must_use]
    pub fn is_same_server(one: &str, other: &str) -> bool {
        let parse = |url: &str| reqwest::Url::parse(url.trim_end_matches('/')).ok();
        match (parse(one), parse(other)) {
            (Some(one), Some(other)) => {
                one.origin() == other.origin() && one.path() == other.path()
            }
            _ => false,
        }
    }

    /// The server's URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.base
    }

    /// Creates a log.
    ///
    /// # Errors
    /// [`ClientError::Api`] with the server's code.
    pub async fn create_log(&self, name: &str, raw_add: bool) -> Result<LogInfo> {
        let body = CreateLog { name: name.to_owned(), raw_add };
        self.json(self.request(Method::POST, "/v1/logs").json(&body)).await
    }

    /// All logs.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn logs(&self) -> Result<Vec<LogInfo>> {
        let page: Page<LogInfo> = self.json(self.request(Method::GET, "/v1/logs")).await?;
        Ok(page.items)
    }

    /// One log, as the server describes it. Nothing in it is verified.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn log_info(&self, name: &str) -> Result<LogInfo> {
        self.json(self.request(Method::GET, &format!("/v1/logs/{}", segment(name)))).await
    }

    /// Events that a query finds in several logs (names or patterns, with commas
    /// between), in the order of their receipt.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn search_logs(
        &self,
        logs: &str,
        q: &str,
        oldest_first: bool,
        limit: usize,
        after: Option<&str>,
        consistency: ReadConsistency,
    ) -> Result<LogsPage> {
        let request = self.request(Method::GET, "/v1/events").query(&(
            ("logs", logs),
            ("q", q),
            ("order", order(oldest_first)),
            ("limit", limit),
            ("after", after),
            ("consistency", consistency),
        ));
        self.json(request).await
    }

    /// How many events a query finds in several logs.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn count_logs(&self, logs: &str, wanted: &CountRequest) -> Result<Count> {
        self.of_logs("count", logs, wanted).await
    }

    /// The most frequent values in what a query finds in several logs.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn facets_logs(&self, logs: &str, wanted: &FacetsRequest) -> Result<Facets> {
        self.of_logs("facets", logs, wanted).await
    }

    /// What a query finds in several logs, by time.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn histogram_logs(
        &self,
        logs: &str,
        wanted: &HistogramRequest,
    ) -> Result<HistogramBuckets> {
        self.of_logs("histogram", logs, wanted).await
    }

    async fn of_logs<T: serde::de::DeserializeOwned>(
        &self,
        what: &str,
        logs: &str,
        wanted: &impl serde::Serialize,
    ) -> Result<T> {
        let request = self.request(Method::POST, &format!("/v1/{what}"));
        self.json(request.query(&[("logs", logs)]).json(wanted)).await
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    pub(crate) async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T> {
        self.json_within(answer::JSON, request).await
    }

    /// The same, of an answer of at most so many bytes.
    pub(crate) async fn json_within<T: DeserializeOwned>(
        &self,
        most: usize,
        request: RequestBuilder,
    ) -> Result<T> {
        let body = self.bytes(most, request).await?;
        serde_json::from_slice(&body)
            .map_err(|e| ClientError::Answer(format!("not the JSON that was expected: {e}")))
    }

    pub(crate) async fn text(&self, most: usize, request: RequestBuilder) -> Result<String> {
        String::from_utf8(self.bytes(most, request).await?.into())
            .map_err(|_| ClientError::Answer("not UTF-8".into()))
    }

    pub(crate) async fn bytes(&self, most: usize, request: RequestBuilder) -> Result<bytes::Bytes> {
        answer::read(self.send(request).await?, most, |e| self.broken(e)).await
    }

    /// Reads an answer as it comes, until it ends, the connection breaks, or `visit` fails.
    pub(crate) async fn stream(
        &self,
        request: RequestBuilder,
        mut visit: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut answer = self.send(request).await?;
        while let Some(part) = answer.chunk().await.map_err(|e| self.broken(e))? {
            visit(&part)?;
        }
        Ok(())
    }

    /// Sends a request; again, after the time it names, when the server says that it
    /// did nothing.
    async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let mut request = Some(request);
        for attempt in 1.. {
            let Some(this) = request.take() else { break };
            // Bodies held in memory can be sent again.
            let again = this.try_clone();
            let answer = this.send().await.map_err(|e| self.broken(e))?;
            if answer.status().is_success() {
                return Ok(answer);
            }
            let wait = retry_after(&answer);
            let error = answer::refusal(answer).await;
            match (wait, again) {
                (Some(wait), Some(again)) if attempt < TRIES && error.is_retryable() => {
                    tokio::time::sleep(wait).await;
                    request = Some(again);
                }
                _ => return Err(error),
            }
        }
        Err(ClientError::Answer("no answer".into()))
    }

    fn broken(&self, source: reqwest::Error) -> ClientError {
        ClientError::Connect { url: self.base.clone(), source: source.without_url() }
    }
}

pub(crate) const fn order(oldest_first: bool) -> &'static str {
    if oldest_first { "asc" } else { "desc" }
}

fn is_loopback(url: &reqwest::Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
        }
        None => false,
    }
}

fn retry_after(answer: &Response) -> Option<Duration> {
    let retryable =
        matches!(answer.status(), StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS);
    let seconds = answer.headers().get("retry-after")?.to_str().ok()?.parse().ok()?;
    retryable.then(|| Duration::from_secs(seconds))
}

/// What stands in a path segment as it is.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Percent-encodes a path segment.
pub(crate) fn segment(text: &str) -> impl std::fmt::Display {
    utf8_percent_encode(text, SEGMENT)
}
