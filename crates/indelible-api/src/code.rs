//! Error codes: what a program reacts to. Messages are for people and may change.

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $status:literal;)*) => {
        /// A code of the error envelope.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[$doc])* $variant),* }

        impl Code {
            /// All codes.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The code as it stands in the envelope.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// The HTTP status it comes with.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status),* }
            }
        }
    };
}

codes! {
    /// A parameter is missing or has a value that is not allowed.
    InvalidRequest = "invalid_request", 400;
    /// The body is not JSON (or not UTF-8).
    InvalidJson = "invalid_json", 400;
    /// An event has a member that is missing or wrong; `position` and `member` tell which.
    InvalidEvent = "invalid_event", 400;
    /// The query cannot be read; the message names the column.
    InvalidQuery = "invalid_query", 400;
    /// The cursor is not one of this query's.
    InvalidCursor = "invalid_cursor", 400;
    /// The query would take too long; narrow it.
    QueryTooSlow = "query_too_slow", 422;
    /// No format of that name.
    UnknownFormat = "unknown_format", 400;
    /// The name is not 1 to 63 of a-z, 0-9 and -.
    InvalidLogName = "invalid_log_name", 400;
    /// No credential, or one that is unknown, expired or revoked.
    Unauthenticated = "unauthenticated", 401;
    /// The credential is known, but may not do this.
    Forbidden = "forbidden", 403;
    /// No such path.
    NotFound = "not_found", 404;
    /// No log of that name.
    LogNotFound = "log_not_found", 404;
    /// No record with that index or id, or not yet at that size.
    RecordNotFound = "record_not_found", 404;
    /// The path exists, but not with this method.
    MethodNotAllowed = "method_not_allowed", 405;
    /// No route takes this method.
    NotImplemented = "not_implemented", 501;
    /// The body did not arrive in time.
    Timeout = "timeout", 408;
    /// No token, grant, waiting act or export with that id.
    EntryNotFound = "entry_not_found", 404;
    /// The act cannot be done in this state; the message says why.
    Conflict = "conflict", 409;
    /// There is a log of that name already.
    LogExists = "log_exists", 409;
    /// The id was used before for other data; nothing of the batch was appended.
    IdConflict = "id_conflict", 409;
    /// The log takes entries and not events, or the other way round.
    WrongKind = "wrong_kind", 409;
    /// The body, the batch or one event is over a limit.
    TooLarge = "too_large", 413;
    /// Content-Type or Content-Encoding is not one of those taken.
    UnsupportedMediaType = "unsupported_media_type", 415;
    /// Too many requests; try again after Retry-After seconds. Nothing was done.
    RateLimited = "rate_limited", 429;
    /// A defect of the server, or stored bytes that are damaged; see its log.
    Internal = "internal", 500;
    /// Too much at once; try again after Retry-After seconds. Nothing was done.
    Overloaded = "overloaded", 503;
    /// The log stopped after a storage error; what was in flight may or may not have
    /// been appended. An operator must look.
    LogStopped = "log_stopped", 503;
    /// The server is shutting down; nothing was appended.
    ShuttingDown = "shutting_down", 503;
    /// The index has not reached what was asked for; try again, or search without it.
    IndexBehind = "index_behind", 503;
    /// The trail of accesses cannot be written, so nothing is answered.
    TrailUnavailable = "trail_unavailable", 503;
    /// The identity provider's keys cannot be fetched, and none are cached.
    IssuerUnavailable = "issuer_unavailable", 503;
    /// No room on the storage; nothing was written.
    StorageFull = "storage_full", 507;
}

#[cfg(test)]
mod tests {
    use super::Code;

    #[test]
    fn names_are_unique_and_statuses_are_errors() {
        let mut names: Vec<_> = Code::ALL.iter().map(|code| code.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::ALL.len());
        assert!(Code::ALL.iter().all(|code| (400..600).contains(&code.status())));
    }
}
