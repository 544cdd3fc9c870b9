//! Query strings: unknown and malformed parameters are errors that name them.

use crate::error::{ApiError, Result};
use axum::{
    extract::{FromRequestParts, Query},
    http::request::Parts,
};
use serde::de::DeserializeOwned;

/// Query parameters of one route.
#[derive(Debug)]
pub(crate) struct Params<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let query = Query::<T>::try_from_uri(&parts.uri);
        query.map(|Query(value)| Self(value)).map_err(|error| {
            let source = std::error::Error::source(&error)
                .map_or_else(|| error.to_string(), ToString::to_string);
            ApiError::invalid(format!("query string: {source}"))
        })
    }
}
