//! What a route asks of its caller, and what it leaves in the trail: data, apart from
//! the handlers.

use crate::access::Permission;

/// What a route leaves in the trail. A refusal is always recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trailed {
    /// Nothing: it is in a log itself (an append, an act of control), or tells nothing.
    Never,
    /// A record for each answer.
    Each,
    /// A record for each answer and each log in it.
    ByLog,
    /// A record for the first, and the number of like ones for each minute.
    Counted,
}

/// The rule of one route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// HTTP method.
    pub method: &'static str,
    /// Path, with the parameters in braces.
    pub path: &'static str,
    /// What the caller must be allowed, on the log that the path names if it names one.
    pub permission: Permission,
    /// Whether anybody may, where the log is public.
    pub public: bool,
    /// What it leaves in the trail.
    pub trail: Trailed,
    /// Action of its records in the trail.
    pub action: &'static str,
}

impl Rule {
    /// Method and path, as they stand in the trail.
    pub(crate) fn route(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// Records, 256 at a time: what [`Rule`]s of tiles ask where the tile is an entry bundle.
pub(crate) const BUNDLE: Rule = Rule {
    method: "GET",
    path: "/tlog/{log}/tile/entries/{*path}",
    permission: Permission::Read,
    public: false,
    trail: Trailed::Each,
    action: "access.bundle.read",
};

/// Hashes of the tree.
pub(crate) const HASHES: Rule = Rule {
    method: "GET",
    path: "/tlog/{log}/tile/{*path}",
    permission: Permission::Prove,
    public: true,
    trail: Trailed::Counted,
    action: "access.tile.read",
};
