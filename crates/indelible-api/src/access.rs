//! Who may do what: roles, grants, tokens, and acts that wait for a second person.

use indelible_event::Timestamp;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use utoipa::ToSchema;

/// What a grant lets its subject do. Nobody can delete.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Appends; cannot read.
    Writer,
    /// Reads events and proves them.
    Reader,
    /// Reads events and proves them, and reads the trail.
    Auditor,
    /// Manages logs, tokens, grants and policies; cannot read events.
    Operator,
    /// Sees checkpoints, proofs and hash tiles; no contents.
    Verifier,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 5] =
        [Self::Writer, Self::Reader, Self::Auditor, Self::Operator, Self::Verifier];

    /// The role's name as it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Writer => "writer",
            Self::Reader => "reader",
            Self::Auditor => "auditor",
            Self::Operator => "operator",
            Self::Verifier => "verifier",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A grant is not written as it must be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct GrantError(pub String);

/// A role on some logs, perhaps for one tenant and for some time only.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// What it allows.
    pub role: Role,
    /// Name of a log, or the beginning of one and `*`. `*` alone takes in the system's
    /// logs for auditors and verifiers only.
    pub log: String,
    /// Only events of this tenant (readers and auditors see no others, writers write
    /// no others).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Not before this time (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
    /// Not from this time on (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<String>,
}

impl Grant {
    /// A role on logs, without narrowing.
    #[must_use]
    pub fn new(role: Role, log: &str) -> Self {
        Self { role, log: log.to_owned(), tenant: None, not_before: None, not_after: None }
    }

    /// Checks that the grant says something that can be granted.
    ///
    /// # Errors
    /// [`GrantError`] with what is wrong and what is expected.
    pub fn check(&self) -> Result<(), GrantError> {
        let wrong = |text: String| Err(GrantError(text));
        let stem = self.log.strip_suffix('*').unwrap_or(&self.log);
        let plain = stem.strip_prefix('_').unwrap_or(stem);
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if self.log.is_empty() || stem.len() > 63 || !plain.bytes().all(allowed) {
            return wrong(format!(
                "log {:?} is neither the name of a log (a-z, 0-9, -) nor the beginning of one followed by *",
                self.log
            ));
        }
        if stem.starts_with('_') && !matches!(self.role, Role::Auditor | Role::Verifier) {
            return wrong(format!(
                "{} is the system's: it can be granted to auditors and verifiers only",
                self.log
            ));
        }
        if let Some(tenant) = &self.tenant {
            if matches!(self.role, Role::Operator | Role::Verifier) {
                return wrong(format!(
                    "a {} sees no events, so it cannot be narrowed to a tenant",
                    self.role
                ));
            }
            if tenant.is_empty() || tenant.len() > 256 {
                return wrong("a tenant has 1 to 256 bytes".to_owned());
            }
        }
        let time = |text: &Option<String>, name: &str| match text {
            None => Ok(None),
            Some(text) => {
                text.parse::<Timestamp>().map(Some).map_err(|e| GrantError(format!("{name}: {e}")))
            }
        };
        let (from, to) =
            (time(&self.not_before, "not_before")?, time(&self.not_after, "not_after")?);
        if let (Some(from), Some(to)) = (from, to)
            && from >= to
        {
            return wrong("not_before is not before not_after".to_owned());
        }
        Ok(())
    }

    /// Whether the grant's time window holds `now`.
    #[must_use]
    pub fn is_current(&self, now: Timestamp) -> bool {
        let time = |text: &String| text.parse::<Timestamp>().ok();
        // A window that cannot be read is closed.
        self.not_before.as_ref().is_none_or(|text| time(text).is_some_and(|from| from <= now))
            && self.not_after.as_ref().is_none_or(|text| time(text).is_some_and(|to| now < to))
    }

    /// Whether the pattern takes in a log of that name.
    #[must_use]
    pub fn matches(&self, log: &str) -> bool {
        if log.starts_with('_') && !matches!(self.role, Role::Auditor | Role::Verifier) {
            return false;
        }
        match self.log.strip_suffix('*') {
            Some(stem) => log.starts_with(stem),
            None => self.log == log,
        }
    }

    /// Whether every log that `pattern` takes in is taken in by this grant's pattern.
    #[must_use]
    pub fn covers(&self, pattern: &str) -> bool {
        match self.log.strip_suffix('*') {
            Some(stem) => pattern.strip_suffix('*').unwrap_or(pattern).starts_with(stem),
            None => self.log == pattern,
        }
    }
}

impl fmt::Display for Grant {
    /// The form of the command line: `reader:prod@tenant-a`, and the window in words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.role, self.log)?;
        if let Some(tenant) = &self.tenant {
            write!(f, "@{tenant}")?;
        }
        if let Some(from) = &self.not_before {
            write!(f, " from {from}")?;
        }
        if let Some(to) = &self.not_after {
            write!(f, " until {to}")?;
        }
        Ok(())
    }
}

impl FromStr for Grant {
    type Err = GrantError;

    /// Parses `ROLE:LOG[@TENANT]`.
    fn from_str(text: &str) -> Result<Self, GrantError> {
        let (role, rest) = text.split_once(':').ok_or_else(|| {
            GrantError(format!(
                "{text:?} is not ROLE:LOG or ROLE:LOG@TENANT, such as writer:prod or reader:team-*@tenant-a"
            ))
        })?;
        let role = Role::ALL.into_iter().find(|known| known.name() == role).ok_or_else(|| {
            GrantError(format!(
                "{role:?} is not a role; roles are {}",
                Role::ALL.map(Role::name).join(", ")
            ))
        })?;
        let (log, tenant) = match rest.split_once('@') {
            Some((log, tenant)) => (log, Some(tenant.to_owned())),
            None => (rest, None),
        };
        let grant = Self { tenant, ..Self::new(role, log) };
        grant.check()?;
        Ok(grant)
    }
}

/// Issues a token.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// Name for people, 1 to 128 characters.
    pub name: String,
    /// What it may do.
    pub grants: Vec<Grant>,
    /// When it stops working (RFC 3339); never, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// Why, for the trail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A token that was issued. The only time its secret is shown.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CreatedToken {
    /// Id of the token.
    pub id: String,
    /// The token itself; send it as `Authorization: Bearer …`.
    pub token: String,
    /// Name for people.
    pub name: String,
    /// What it may do.
    pub grants: Vec<Grant>,
    /// When it stops working.
    pub expires_at: Option<String>,
    /// The act that must be approved before the token works, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<String>,
}

/// A token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenInfo {
    /// Id of the token.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// What it may do.
    pub grants: Vec<Grant>,
    /// When it was issued.
    pub created_at: String,
    /// Who issued it.
    pub created_by: String,
    /// When it stops working.
    pub expires_at: Option<String>,
    /// When it was revoked.
    pub revoked_at: Option<String>,
    /// When it was last used, to within an hour after a crash.
    pub last_used_at: Option<String>,
}

/// Grants a role to a group, a person, a certificate or a token.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddGrant {
    /// `group:NAME` or `oidc:SUBJECT` (OpenID Connect), `cert:SUBJECT` (client
    /// certificate), or `token:ID`.
    pub subject: String,
    /// What it may do.
    pub grant: Grant,
    /// Why, for the trail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A grant in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GrantInfo {
    /// Id of the grant.
    pub id: String,
    /// Who holds it.
    pub subject: String,
    /// What it allows.
    pub grant: Grant,
    /// Since when.
    pub granted_at: String,
    /// Who granted it.
    pub granted_by: String,
    /// Who approved it, where two persons are needed.
    pub approved_by: Option<String>,
}

/// Acts that can be made to need two persons.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Giving anybody the role of operator.
    GrantOperator,
    /// Giving anybody the role of reader or auditor.
    GrantReading,
    /// Letting everybody see a log's checkpoints and hash tiles.
    Publish,
    /// Replacing the signing key of a log.
    ReplaceKey,
    /// Taking an act off this list, or lengthening how long one may wait.
    RelaxPolicy,
}

impl Act {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::GrantOperator,
        Self::GrantReading,
        Self::Publish,
        Self::ReplaceKey,
        Self::RelaxPolicy,
    ];

    /// The act that giving this role is, if it is one of these.
    #[must_use]
    pub const fn of_granting(role: Role) -> Option<Self> {
        match role {
            Role::Operator => Some(Self::GrantOperator),
            Role::Reader | Role::Auditor => Some(Self::GrantReading),
            Role::Writer | Role::Verifier => None,
        }
    }

    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::GrantOperator => "grant_operator",
            Self::GrantReading => "grant_reading",
            Self::Publish => "publish",
            Self::ReplaceKey => "replace_key",
            Self::RelaxPolicy => "relax_policy",
        }
    }
}

impl FromStr for Act {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, GrantError> {
        Self::ALL.into_iter().find(|act| act.name() == text).ok_or_else(|| {
            GrantError(format!(
                "{text:?} is not an act; acts are {}",
                Self::ALL.map(Self::name).join(", ")
            ))
        })
    }
}

/// Which acts need two persons, and for how long one waits for the second.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Acts that wait until a different principal approves.
    pub two_person: Vec<Act>,
    /// Hours after which a waiting act lapses, 1 to 720.
    pub pending_hours: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self { two_person: Vec::new(), pending_hours: 72 }
    }
}

/// An act that waits for a second person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PendingAct {
    /// Its id.
    pub id: String,
    /// What kind of act.
    pub act: Act,
    /// What it would do, in words.
    pub summary: String,
    /// Who asked for it.
    pub proposed_by: String,
    /// When.
    pub proposed_at: String,
    /// When it lapses.
    pub expires_at: String,
    /// Why, if that was said.
    pub reason: Option<String>,
}

/// Approves or rejects.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// Why, for the trail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The answer to an act of control: done, or waiting for a second person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Done {
    /// Id of what was made or changed (a grant, a token, a log).
    pub id: String,
    /// The act that must be approved first, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<String>,
    /// Index in `_control` of the event that says so.
    pub control_index: u64,
}

/// Changes what a log shows to everybody.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeLog {
    /// Whether anybody may fetch checkpoints, consistency proofs and hash tiles.
    pub public: bool,
    /// Why, for the trail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Replaces the signing key of a log.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateKey {
    /// Hours during which the old key signs beside the new one; default 720.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap_hours: Option<u32>,
    /// Why, for the trail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Who the caller is, and what it may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WhoAmI {
    /// The principal, as it stands in records and in the trail.
    pub principal: String,
    /// Name for people.
    pub name: Option<String>,
    /// Groups the issuer says it is in.
    pub groups: Vec<String>,
    /// What it may do now.
    pub grants: Vec<Grant>,
    /// When the credential stops working.
    pub expires_at: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_written_as_people_write_them() {
        for text in ["writer:prod", "reader:team-*@tenant-a", "auditor:*", "auditor:_access"] {
            let grant: Grant = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(grant.to_string(), text);
        }
        for (text, said) in [
            ("prod", "ROLE:LOG"),
            ("admin:prod", "roles are writer, reader"),
            ("writer:Prod", "name of a log"),
            ("writer:", "name of a log"),
            ("writer:a*b", "name of a log"),
            ("writer:_access", "system's"),
            ("operator:*@t", "tenant"),
            ("reader:prod@", "1 to 256"),
        ] {
            let error = text.parse::<Grant>().map_err(|e| e.to_string());
            assert!(error.as_ref().is_err_and(|e| e.contains(said)), "{text}: {error:?}");
        }
    }

    #[test]
    fn patterns_and_windows() {
        let grant = |text: &str| text.parse::<Grant>().unwrap_or_else(|e| panic!("{e}"));
        assert!(grant("reader:*").matches("prod") && !grant("reader:*").matches("_access"));
        assert!(grant("auditor:*").matches("_access") && grant("auditor:_*").matches("_control"));
        assert!(!grant("auditor:_*").matches("prod") && !grant("reader:team-*").matches("prod"));
        assert!(grant("operator:team-*").covers("team-a") && grant("operator:*").covers("team-*"));
        assert!(
            !grant("operator:team-a").covers("team-*") && !grant("operator:team-*").covers("*")
        );
        let window = Grant {
            not_before: Some("2026-01-01T00:00:00Z".into()),
            not_after: Some("2026-07-01T00:00:00Z".into()),
            ..Grant::new(Role::Auditor, "*")
        };
        let at = |text: &str| text.parse::<Timestamp>().unwrap_or_else(|e| panic!("{e}"));
        assert!(window.check().is_ok());
        assert!(!window.is_current(at("2025-12-31T23:59:59Z")));
        assert!(window.is_current(at("2026-01-01T00:00:00Z")));
        assert!(!window.is_current(at("2026-07-01T00:00:00Z")));
        let turned = Grant { not_after: Some("2025-01-01T00:00:00Z".into()), ..window };
        assert!(turned.check().is_err());
    }
}
