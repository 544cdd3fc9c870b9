//! The fields that a query can name.

use indelible_event::{ActorType, Category, OutcomeResult, format_names};

/// A field of the native view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "help() says what each is")]
pub enum Field {
    Action,
    Actor,
    ActorType,
    Agent,
    By,
    Category,
    Code,
    /// The tenant by its exact name; not typed by people.
    ExactTenant,
    Format,
    Forwarded,
    Host,
    Ip,
    Outcome,
    Reason,
    Request,
    Session,
    Source,
    Target,
    TargetType,
    Tenant,
    Trace,
}

/// Names of fields as they are typed.
pub const FIELD_NAMES: &[(&str, Field)] = &[
    ("action", Field::Action),
    ("actor", Field::Actor),
    ("actor.type", Field::ActorType),
    ("agent", Field::Agent),
    ("by", Field::By),
    ("category", Field::Category),
    ("code", Field::Code),
    ("format", Field::Format),
    ("forwarded_for", Field::Forwarded),
    ("host", Field::Host),
    ("ip", Field::Ip),
    ("outcome", Field::Outcome),
    ("reason", Field::Reason),
    ("request", Field::Request),
    ("session", Field::Session),
    ("source", Field::Source),
    ("target", Field::Target),
    ("target.type", Field::TargetType),
    ("tenant", Field::Tenant),
    ("trace", Field::Trace),
];

impl Field {
    /// The field of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        FIELD_NAMES.iter().find(|(known, _)| *known == name).map(|(_, field)| *field)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        FIELD_NAMES.iter().find(|(_, field)| *field == self).map_or("tenant", |(name, _)| name)
    }

    /// What it is, in words.
    #[must_use]
    pub const fn help(self) -> &'static str {
        match self {
            Self::Action => "what was done: action:iam.role.*",
            Self::Actor => "who did it, by id or name, or on whose behalf",
            Self::ActorType => "user, service, agent, system, anonymous",
            Self::Agent => "user agent",
            Self::By => "credential that recorded it",
            Self::Category => "auth, access, api, config, permission, data, system, meta",
            Self::Code => "code of the outcome",
            Self::Format => "format of the sender's bytes",
            Self::Forwarded => {
                "address that a proxy says it came from; with a slash a network, as of ip"
            }
            Self::Host => "host",
            Self::Ip => {
                "address it came from, however it is written; with a slash a network: ip:10.0.0.0/8"
            }
            Self::Outcome => "success, failure, denied, unknown",
            Self::Reason => "reason of the outcome",
            Self::Request => "request id",
            Self::Session => "session id, of the actor or the request",
            Self::Source => "producing system",
            Self::Target => "to what, by id or name",
            Self::TargetType => "kind of thing it was done to",
            Self::Tenant | Self::ExactTenant => "tenant",
            Self::Trace => "trace id",
        }
    }

    /// Whether its values are addresses, and compared as such.
    #[must_use]
    pub const fn is_address(self) -> bool {
        matches!(self, Self::Ip | Self::Forwarded)
    }

    /// The values it can have, where these are few.
    #[must_use]
    pub fn known(self) -> Option<Vec<&'static str>> {
        fn names<T: Copy>(all: &[T], name: fn(T) -> &'static str) -> Option<Vec<&'static str>> {
            Some(all.iter().map(|word| name(*word)).collect())
        }
        match self {
            Self::ActorType => names(ActorType::ALL, ActorType::name),
            Self::Category => names(Category::ALL, Category::name),
            Self::Outcome => names(OutcomeResult::ALL, OutcomeResult::name),
            Self::Format => Some(format_names()),
            _ => None,
        }
    }

    /// Whether the index has terms of it; the others are found by their words and read.
    #[must_use]
    pub const fn is_indexed(self) -> bool {
        !matches!(
            self,
            Self::Agent
                | Self::Code
                | Self::Host
                | Self::Reason
                | Self::Request
                | Self::Session
                | Self::Source
                | Self::Trace
        )
    }

    /// Whether its values can be counted.
    #[must_use]
    pub const fn is_counted(self) -> bool {
        matches!(
            self,
            Self::Action
                | Self::Actor
                | Self::ActorType
                | Self::By
                | Self::Category
                | Self::Format
                | Self::Ip
                | Self::Outcome
                | Self::TargetType
                | Self::Tenant
        )
    }
}
