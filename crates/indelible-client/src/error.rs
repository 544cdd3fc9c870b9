//! What can go wrong between a client and a server.

use indelible_api::{Code, ErrorBody};
use indelible_tlog::{CheckpointError, OfflineError, ProofError};

/// Shorthand for results of this crate.
pub(crate) type Result<T> = std::result::Result<T, ClientError>;

/// Why a call has no verified result.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Not a URL of a server.
    #[error("{0:?} is not a URL such as https://log.example.com or http://127.0.0.1:7070")]
    Url(String),
    /// The token could be read on the way.
    #[error("{0} is another machine, and over plain HTTP the token could be read on the way")]
    PlainHttp(String),
    /// A credential cannot be used; which one.
    #[error("{0} cannot be used")]
    Credentials(&'static str),
    /// The server could not be reached, or the connection broke: what was sent may or
    /// may not have been carried out.
    #[error("could not talk to {url}")]
    Connect {
        /// The server.
        url: String,
        /// What broke.
        source: reqwest::Error,
    },
    /// The server refused.
    #[error("{} ({}, request {})", body.message, body.code, body.request_id)]
    Api {
        /// HTTP status.
        status: u16,
        /// The server's error.
        body: Box<ErrorBody>,
    },
    /// A refusal that is not the API's: of something between, or of another program.
    #[error("status {0} without an error body: is this an indelible server?")]
    Status(u16),
    /// The answer is not what the API promises.
    #[error("unexpected answer: {0}")]
    Answer(String),
    /// The answer is longer than any such answer is.
    #[error("the answer has more than {most} bytes, which no such answer has")]
    TooLong {
        /// Most bytes that would have been read.
        most: usize,
    },
    /// A checkpoint does not hold.
    #[error("the server's checkpoint does not hold")]
    Checkpoint(#[from] CheckpointError),
    /// The server's checkpoint has fewer records than one seen before.
    #[error("the server went back: its checkpoint has {size} records, one seen before has {held}")]
    WentBack {
        /// Records now.
        size: u64,
        /// Records before.
        held: u64,
    },
    /// Two checkpoints of one log do not belong to one history.
    #[error("the checkpoints of {from} and {to} records do not belong to one history")]
    Forked {
        /// Size of the older.
        from: u64,
        /// Size of the newer.
        to: u64,
        /// What does not hold.
        source: ProofError,
    },
    /// A receipt is not for the bytes that were sent.
    #[error("the receipt of event {position} is not for the bytes that were sent")]
    OtherRecord {
        /// Position in the batch.
        position: usize,
    },
    /// A receipt's proof does not hold.
    #[error("the inclusion proof of record {index} does not hold")]
    Inclusion {
        /// Index of the record.
        index: u64,
        /// What does not hold.
        source: ProofError,
    },
    /// An offline proof from the server does not hold.
    #[error("the receipt from the server does not hold")]
    Offline(#[from] OfflineError),
}

impl ClientError {
    /// Whether it says that the log is not what it was, rather than that it could
    /// not be asked.
    #[must_use]
    pub const fn is_evidence(&self) -> bool {
        matches!(
            self,
            Self::WentBack { .. }
                | Self::Forked { .. }
                | Self::OtherRecord { .. }
                | Self::Inclusion { .. }
                | Self::Offline(_)
                | Self::Checkpoint(_)
        )
    }

    /// Whether records that were there are gone.
    #[must_use]
    pub const fn is_rollback(&self) -> bool {
        matches!(self, Self::WentBack { .. })
    }

    /// Whether the same request may succeed later: the server cannot be reached, is
    /// starting or stopping, has too much to do, or no room.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Connect { .. } => true,
            Self::Api { status, .. } | Self::Status(status) => {
                matches!(status, 408 | 429 | 502..=504 | 507)
            }
            _ => false,
        }
    }

    /// Whether the server said that nothing was done and that trying again helps.
    pub(crate) fn is_retryable(&self) -> bool {
        let retryable = [Code::Overloaded.name(), Code::RateLimited.name()];
        matches!(self, Self::Api { body, .. } if retryable.contains(&body.code.as_str()))
    }
}
