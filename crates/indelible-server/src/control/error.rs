//! What can go wrong with an act, and with the fold.

use indelible_api::GrantError;
use indelible_event::{EventError, Timestamp};
use indelible_log::{AppendError, LogError, StageError};

/// Why `_control` cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// A record cannot be read.
    #[error("could not read _control")]
    Read(#[from] LogError),
    /// A record is not understood. Running on half a configuration would be worse
    /// than not running.
    #[error("record {index} of _control cannot be followed")]
    Record {
        /// Index of the record.
        index: u64,
        /// What is not understood.
        source: DecodeError,
    },
}

/// Why a record of `_control` is not understood.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The record is no envelope.
    #[error("it is not the record of an event")]
    Envelope(#[from] EventError),
    /// The event is not written as events of control are.
    #[error("it is not an event of control")]
    Json(#[from] serde_json::Error),
    /// A newer server wrote it.
    #[error("its change is of version {}, and this server knows version {known}", .found.map_or_else(|| "?".to_owned(), |v| v.to_string()))]
    Version {
        /// Its version, if it says one.
        found: Option<u64>,
        /// The version that is understood.
        known: u32,
    },
}

/// Why an event does not apply. Such an event has no effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Misfit {
    #[error("there is no {0} {1}")]
    Missing(Thing, String),
    #[error("there is a {0} {1} already")]
    Taken(Thing, String),
    #[error("token {0} was revoked already")]
    Revoked(String),
    #[error("act {0} was approved by the one who proposed it")]
    OwnApproval(String),
    #[error("act {0} had lapsed")]
    Lapsed(String),
    #[error("an act about an act")]
    Nested,
}

/// What an event can be about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thing {
    Log,
    Key,
    Token,
    Grant,
    View,
    Act,
}

impl std::fmt::Display for Thing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Log => "log",
            Self::Key => "key",
            Self::Token => "token",
            Self::Grant => "grant",
            Self::View => "view",
            Self::Act => "waiting act",
        })
    }
}

/// Why an act was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    /// The credential worked when the request began, and works no more.
    #[error("the credential works no more: it was revoked or has expired")]
    NotLive,
    #[error("{principal} may not do this{}: it takes the role {roles}", on(.log.as_deref()))]
    Forbidden { principal: String, log: Option<String>, roles: &'static str },
    #[error("your own role of operator ends before this one would: set not_after")]
    Outlasts,
    #[error("whoever asked for an act cannot approve it: it takes two persons")]
    OwnApproval,
    #[error("{member}: {problem}")]
    Invalid { member: &'static str, problem: Problem },
    #[error("log name {0:?} is not 1 to 63 of a-z, 0-9 and -, or begins with _ as the system's do")]
    LogName(String),
    #[error("there is a log {0:?} already; choose another name")]
    LogExists(String),
    #[error("there is no log {0:?}; create it with POST /v1/logs or `indelible log create`")]
    NoLog(String),
    #[error("there is no {0} {1:?}")]
    Missing(Thing, String),
    #[error("act {id} lapsed at {at}; it must be asked for again")]
    Lapsed { id: String, at: Timestamp },
    #[error("act {id} cannot be done any more: reject it, and ask for it again if it is wanted")]
    Stale { id: String, source: Box<Self> },
    #[error("{0}")]
    Conflict(Conflict),
    #[error("it does not fit: {0}")]
    Misfit(#[from] Misfit),
    #[error("{limit} views were saved in an hour; try again in {wait_s} s")]
    TooManySaves { limit: usize, wait_s: u64 },
    /// Durable and in force; what it has outside the configuration is still to come.
    #[error(
        "it is in force (event {index} of _control), but could not be carried out on log {log} yet; it is tried again with the next act, and at the next start"
    )]
    NotCarriedOut { index: u64, log: String, source: LogError },
    #[error("could not prepare log {log}; nothing was changed")]
    NotPrepared { log: String, source: LogError },
    #[error("the system gives no random bytes")]
    NoRandom,
    #[error("the event could not be written")]
    Stage(#[from] StageError),
    #[error("the event could not be written")]
    Append(#[from] AppendError),
    #[error("could not follow _control")]
    Fold(#[from] FoldError),
    /// A task panicked, or the process is stopping.
    #[error("the act was cut off; look whether it was done before asking again")]
    CutOff,
}

/// What is wrong with a value.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error("expected group:NAME, oidc:SUBJECT, cert:SUBJECT or token:ID")]
    Subject,
    #[error("that token was revoked")]
    RevokedToken,
    #[error("there is no token with that id")]
    UnknownToken,
    #[error("is in the past")]
    Past,
    #[error(transparent)]
    Grant(#[from] GrantError),
}

/// What stands in the way of an act that its caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Conflict {
    #[error("this is the last operator of everything: make another first")]
    LastOperator,
    #[error("there is one operator only, so nobody could approve: make another first")]
    OneOperator,
    #[error("this token was revoked already")]
    Revoked,
    #[error("somebody else saved a view of that name; choose another")]
    OthersView,
    #[error("the log has {0} views; delete some")]
    ViewsOfLog(usize),
    #[error("you have {0} views of this log; delete some")]
    ViewsOfPrincipal(usize),
}

fn on(log: Option<&str>) -> String {
    log.map_or_else(String::new, |log| format!(" on log {log:?}"))
}
