//! How the calls of a simulated disk go wrong.

/// How a call goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It fails and did nothing.
    NotPersisted,
    /// It fails although all of it was done, durably.
    PersistedButFailed,
    /// It fails, part of it done.
    Torn,
    /// It fails for lack of room, and did nothing.
    Full,
    /// The power is cut before it does anything.
    CrashBefore,
    /// The power is cut right after.
    CrashAfter,
    /// The power is cut while it is done in part.
    CrashTorn,
    /// It succeeds, and the power is cut at the next call.
    Delayed,
}

/// A fault at the `at`-th call that changes something, from 0.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    /// Which call.
    pub at: u64,
    /// How it goes wrong.
    pub mode: Mode,
}
