//! OpenID Connect: bearer JWTs of one issuer, checked against its published keys.
//!
//! Keys come from the issuer's discovery document and are kept. A key id that is not
//! known makes us fetch them again, but not too often; while the issuer cannot
//! be reached, keys go on working for [`KEEP`] after they were last fetched.

use super::Principal;
use crate::settings::OidcConfig;
use indelible_event::Timestamp;
use jsonwebtoken::{
    Algorithm, DecodingKey, Validation, decode, decode_header,
    jwk::{AlgorithmParameters, JwkSet, PublicKeyUse},
};
use parking_lot::RwLock;
use serde::Deserialize;
use serde_json::Value;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Age at which keys are fetched again although all is well.
const REFRESH: Duration = Duration::from_secs(15 * 60);
/// How long keys work when the issuer cannot be reached.
pub(crate) const KEEP: Duration = Duration::from_secs(24 * 3600);
/// Difference of clocks that is forgiven, in seconds.
const SKEW_S: i64 = 60;
/// Longest token.
const MAX_TOKEN: usize = 16 << 10;
/// Longest document taken from the issuer.
const MAX_DOCUMENT: usize = 1 << 20;
const MAX_GROUPS: usize = 200;

/// Why a JWT is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is not good; the reason is for the trail.
    Token(String),
    /// The issuer's keys cannot be had.
    Unavailable,
}

fn bad(reason: impl Into<String>) -> Refusal {
    Refusal::Token(reason.into())
}

/// Why an issuer cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OidcError {
    /// Whoever is on the way could give out keys of their own.
    #[error("{0} is not https: keys of the issuer could be replaced on the way")]
    NotHttps(String),
    /// The HTTP client.
    #[error("could not make an HTTP client")]
    Http(#[from] reqwest::Error),
}

/// Keys come over TLS, or from this machine.
fn check_url(text: &str) -> Result<(), OidcError> {
    let refused = || OidcError::NotHttps(text.to_owned());
    let url = reqwest::Url::parse(text).map_err(|_| refused())?;
    let is_local = url.host_str().is_some_and(|host| {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    });
    if url.scheme() == "https" || (url.scheme() == "http" && is_local) {
        Ok(())
    } else {
        Err(refused())
    }
}

#[derive(Debug)]
struct Keys {
    set: Arc<JwkSet>,
    fetched: Instant,
}

/// The issuer, and its keys as far as they are known.
#[derive(Debug)]
pub(crate) struct Oidc {
    config: OidcConfig,
    http: reqwest::Client,
    keys: RwLock<Option<Keys>>,
    /// Held while fetching; when it was last tried.
    fetching: tokio::sync::Mutex<Option<Instant>>,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: NumericDate,
    #[serde(default)]
    nbf: Option<NumericDate>,
    #[serde(default)]
    iat: Option<NumericDate>,
    /// Optional, and so of any type: what is odd about it refuses nobody.
    #[serde(flatten)]
    other: std::collections::HashMap<String, Value>,
}

/// Seconds since 1970, which need not be whole (RFC 7519 §2): `1772366400`,
/// `1772366400.25`, `1.7723664e9`. Microseconds.
#[derive(Debug, Clone, Copy)]
struct NumericDate(i64);

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = serde_json::Number::deserialize(deserializer)?;
        let micros = match (number.as_i64(), number.as_f64()) {
            (Some(seconds), _) => seconds.saturating_mul(1_000_000),
            // A float becomes the nearest integer there is; microseconds of any year that
            // a token can be of are exact to less than one.
            #[expect(clippy::cast_possible_truncation, reason = "saturates")]
            (None, Some(seconds)) => (seconds * 1e6).round() as i64,
            (None, None) => return Err(serde::de::Error::custom("a time that is no number")),
        };
        Ok(Self(micros))
    }
}

impl Oidc {
    pub(crate) fn new(config: OidcConfig) -> Result<Self, OidcError> {
        check_url(&config.issuer)?;
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(10))
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { config, http, keys: RwLock::new(None), fetching: tokio::sync::Mutex::new(None) })
    }

    /// The principal of a JWT.
    pub(crate) async fn authenticate(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<Principal, Refusal> {
        if token.len() > MAX_TOKEN {
            return Err(bad(format!("JWT of more than {MAX_TOKEN} bytes")));
        }
        let header = decode_header(token).map_err(|_| bad("malformed JWT"))?;
        // RFC 7515 §4.1.11: what is critical and not understood must be refused.
        if header.crit.is_some() {
            return Err(bad("JWT with critical header members"));
        }
        let kid = header.kid.as_deref().ok_or_else(|| bad("JWT without kid"))?;
        let set = self.keys_with(kid).await?;
        let jwk = set.find(kid).ok_or_else(|| bad("JWT signed by a key unknown to the issuer"))?;
        // The key says which algorithms it is for; the token only chooses among them.
        let allowed: &[Algorithm] = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => &[
                Algorithm::RS256,
                Algorithm::RS384,
                Algorithm::RS512,
                Algorithm::PS256,
                Algorithm::PS384,
                Algorithm::PS512,
            ],
            AlgorithmParameters::EllipticCurve(_) => &[Algorithm::ES256, Algorithm::ES384],
            AlgorithmParameters::OctetKeyPair(_) => &[Algorithm::EdDSA],
            _ => &[],
        };
        let for_signing =
            !matches!(&jwk.common.public_key_use, Some(other) if *other != PublicKeyUse::Signature);
        let same = jwk
            .common
            .key_algorithm
            .is_none_or(|key| format!("{key:?}") == format!("{:?}", header.alg));
        if !allowed.contains(&header.alg) || !for_signing || !same {
            return Err(bad("JWT with an algorithm that its key is not for"));
        }
        let key =
            DecodingKey::from_jwk(jwk).map_err(|_| bad("a key of the issuer is malformed"))?;
        let mut validation = Validation::new(header.alg);
        validation.set_issuer(&[&self.config.issuer]);
        validation.set_audience(&[&self.config.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // Times are checked below, by our clock.
        validation.validate_exp = false;
        let claims = decode::<Claims>(token, &key, &validation)
            .map_err(|e| bad(format!("JWT: {e}")))?
            .claims;
        self.principal(claims, now)
    }

    fn principal(&self, claims: Claims, now: Timestamp) -> Result<Principal, Refusal> {
        let (now, skew) = (now.as_micros(), SKEW_S * 1_000_000);
        if claims.exp.0.saturating_add(skew) <= now {
            return Err(bad("expired JWT"));
        }
        if claims.nbf.or(claims.iat).is_some_and(|from| from.0.saturating_sub(skew) > now) {
            return Err(bad("JWT that is not valid yet"));
        }
        if claims.sub.is_empty() || claims.sub.len() > 256 {
            return Err(bad("JWT with a subject that is empty or too long"));
        }
        if claims.sub.chars().any(char::is_control) {
            return Err(bad("JWT with control characters in its subject"));
        }
        let groups: Vec<String> = match claims.other.get(&self.config.groups_claim) {
            Some(Value::Array(groups)) => groups
                .iter()
                .filter_map(Value::as_str)
                .take(MAX_GROUPS)
                .map(|group| format!("group:{group}"))
                .collect(),
            Some(Value::String(group)) => vec![format!("group:{group}")],
            _ => Vec::new(),
        };
        let text = |name: &str| claims.other.get(name).and_then(Value::as_str).map(str::to_owned);
        Ok(Principal {
            name: text("name").or_else(|| text("email")),
            id: format!("oidc:{}", claims.sub),
            groups,
            expires_at: Some(Timestamp::from_micros(claims.exp.0)),
        })
    }

    fn cached(&self) -> Option<(Arc<JwkSet>, Duration)> {
        let keys = self.keys.read();
        let keys = keys.as_ref()?;
        let age = keys.fetched.elapsed();
        (age < KEEP).then(|| (Arc::clone(&keys.set), age))
    }

    /// The issuer's keys; fetched if they do not have this one or are old.
    async fn keys_with(&self, kid: &str) -> Result<Arc<JwkSet>, Refusal> {
        let usable = |cached: Option<(Arc<JwkSet>, Duration)>| match cached {
            Some((set, age)) if age < REFRESH && set.find(kid).is_some() => Some(set),
            _ => None,
        };
        if let Some(set) = usable(self.cached()) {
            return Ok(set);
        }
        // Keys that are merely old go on working while somebody fetches.
        let known = self.cached().filter(|(set, _)| set.find(kid).is_some());
        let mut last = match (self.fetching.try_lock(), known) {
            (Ok(last), _) => last,
            (Err(_), Some((set, _))) => return Ok(set),
            (Err(_), None) => self.fetching.lock().await,
        };
        // Somebody else may have fetched them meanwhile.
        if let Some(set) = usable(self.cached()) {
            return Ok(set);
        }
        if last.is_none_or(|at| at.elapsed() >= self.config.refetch) {
            *last = Some(Instant::now());
            match self.fetch().await {
                Ok(set) => {
                    let set = Arc::new(set);
                    let keys = Keys { set: Arc::clone(&set), fetched: Instant::now() };
                    *self.keys.write() = Some(keys);
                    return Ok(set);
                }
                Err(error) => {
                    tracing::warn!(error, "could not fetch the issuer's keys");
                }
            }
        }
        drop(last);
        self.cached().map(|(set, _)| set).ok_or(Refusal::Unavailable)
    }

    async fn fetch(&self) -> Result<JwkSet, String> {
        let base = self.config.issuer.trim_end_matches('/');
        let url = format!("{base}/.well-known/openid-configuration");
        let discovery: Discovery = self.document(&url).await?;
        if discovery.issuer != self.config.issuer {
            return Err(format!(
                "the discovery document is of issuer {:?}, expected {:?}",
                discovery.issuer, self.config.issuer
            ));
        }
        check_url(&discovery.jwks_uri).map_err(|error| error.to_string())?;
        self.document(&discovery.jwks_uri).await
    }

    async fn document<T: serde::de::DeserializeOwned>(&self, url: &str) -> Result<T, String> {
        let fetched = self.http.get(url).send().await.and_then(reqwest::Response::error_for_status);
        let mut answer = fetched.map_err(|e| indelible_log::chain(&e))?;
        let mut bytes = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(|e| indelible_log::chain(&e))? {
            if bytes.len() + part.len() > MAX_DOCUMENT {
                return Err(format!("{url} is over {MAX_DOCUMENT} bytes"));
            }
            bytes.extend_from_slice(&part);
        }
        serde_json::from_slice(&bytes).map_err(|e| format!("{url}: {e}"))
    }
}
