//! What a handler answers: the response, and what of the log it shows. The gate writes
//! the second into the trail before it lets the first go; an answer that does not say
//! what it shows does not leave.

use crate::trail::shown::{Facts, Shown};
use axum::{
    Json,
    response::{IntoResponse, Response},
};
use serde::Serialize;

/// A response, and what it shows.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) response: Response,
    pub(crate) shown: Shown,
}

impl Answer {
    pub(crate) fn new(response: impl IntoResponse, shown: Shown) -> Self {
        Self { response: response.into_response(), shown }
    }

    /// A response that shows these facts of the log in the path.
    pub(crate) fn here(response: impl IntoResponse, facts: Facts) -> Self {
        Self::new(response, Shown::Here(facts))
    }

    /// A response that shows nothing of a log.
    pub(crate) fn nothing(response: impl IntoResponse) -> Self {
        Self::new(response, Shown::Nothing)
    }

    /// JSON that shows these facts of the log in the path.
    pub(crate) fn json(body: &impl Serialize, facts: Facts) -> Self {
        Self::here(Json(body), facts)
    }
}

impl IntoResponse for Answer {
    /// What is shown travels beside the response; the gate takes it out.
    fn into_response(self) -> Response {
        let mut response = self.response;
        response.extensions_mut().insert(self.shown);
        response
    }
}
