//! What is left of a body when its request is answered. A client that is still sending
//! reads no answer: were the connection closed under it, it would see a broken pipe and
//! not the refusal. So what it still sends is read and dropped, within bounds, before the
//! answer leaves.

use axum::{
    body::{Body, Bytes, HttpBody},
    http::{HeaderMap, header},
};
use http_body_util::BodyExt as _;
use indelible_api::MAX_BODY_BYTES;
use parking_lot::Mutex;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

/// Bodies up to this many bytes are in the buffers between by then.
const SMALL: usize = 16 << 10;
/// Bytes that are read and dropped at most.
const MOST: usize = 2 * MAX_BODY_BYTES;
/// How long that takes at most, and the longest silence in it.
const TIME: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_secs(2);

/// Where the rest of a body comes back to.
#[derive(Debug, Clone, Default)]
pub(super) struct Leftover(Arc<Mutex<Option<Body>>>);

/// A body on loan.
struct Lent {
    body: Body,
    home: Leftover,
    begun: bool,
    /// A client that waits to be told to go on sends nothing when it is not.
    waits: bool,
}

impl Leftover {
    /// Lends a body, if one comes that is not small.
    pub(super) fn lend(headers: &HeaderMap, body: Body) -> (Body, Option<Self>) {
        let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        let length = length.and_then(|text| text.parse::<usize>().ok());
        if body.is_end_stream() || length.is_some_and(|length| length <= SMALL) {
            return (body, None);
        }
        let home = Self::default();
        let waits = headers.contains_key(header::EXPECT);
        let lent = Lent { body, home: home.clone(), begun: false, waits };
        (Body::new(lent), Some(home))
    }

    /// Reads what is left.
    pub(super) async fn drain(self) {
        let Some(mut body) = self.0.lock().take() else { return };
        let all = async {
            let mut read = 0;
            while read < MOST {
                match tokio::time::timeout(SILENCE, body.frame()).await {
                    Ok(Some(Ok(frame))) => {
                        read += frame.data_ref().map_or(0, Bytes::len);
                    }
                    _ => return,
                }
            }
        };
        drop(tokio::time::timeout(TIME, all).await);
    }
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, axum::Error>>> {
        self.begun = true;
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if !self.body.is_end_stream() && (self.begun || !self.waits) {
            *self.home.0.lock() = Some(std::mem::take(&mut self.body));
        }
    }
}
