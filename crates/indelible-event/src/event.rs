//! The native event: the shape in which every record is shown and searched.

use crate::{
    Timestamp,
    json::{Map, Value},
};
use serde::{Deserialize, Serialize};

macro_rules! word_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        pub enum $name { $($(#[$vdoc])* $variant),* }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its name, as events have it.
            #[must_use]
            pub fn name(self) -> &'static str {
                static NAMES: std::sync::LazyLock<Vec<String>> = std::sync::LazyLock::new(|| {
                    vec![$(stringify!($variant).to_ascii_lowercase()),*]
                });
                NAMES.get(self as usize).map_or("", String::as_str)
            }
        }
    };
}

word_enum! {
    /// What kind of act an event is.
    Category {
        /// Sign-in, sign-out, token issue.
        Auth,
        /// Reading of something protected.
        Access,
        /// A call of an interface, not further known.
        Api,
        /// A change of settings or resources.
        Config,
        /// A change of who may do what.
        Permission,
        /// A change of data.
        Data,
        /// The system itself: start, stop, failure.
        System,
        /// About the audit log.
        Meta,
    }
}

word_enum! {
    /// What kind of being acted.
    ActorType {
        /// A person.
        User,
        /// A program with its own identity.
        Service,
        /// A program acting with some freedom for someone.
        Agent,
        /// The platform itself.
        System,
        /// Nobody known.
        Anonymous,
    }
}

word_enum! {
    /// How an act ended.
    OutcomeResult {
        /// It was done.
        Success,
        /// It was tried and went wrong.
        Failure,
        /// It was refused.
        Denied,
        /// Not said.
        Unknown,
    }
}

/// The native event. Members it does not know are kept in `other`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event {
    /// The sender's id, if it gave one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// When it happened, as the sender says (RFC 3339).
    pub time: String,
    /// What was done, dotted: `iam.role.granted`.
    pub action: String,
    /// Kind of act.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<Category>,
    /// Who did it.
    pub actor: Actor,
    /// To what.
    pub targets: Vec<Target>,
    /// How it ended.
    pub outcome: Outcome,
    /// Which producer saw it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<EventSource>,
    /// From where and in which request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<Context>,
    /// On whose behalf the log is kept, where it holds several customers' events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// What changed, field by field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// Anything else the sender wants to say.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<'static>,
    /// Ids of the persons the data is about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<String>,
    /// Id of an earlier event that this one corrects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corrects: Option<String>,
    /// Members this version does not know.
    #[serde(flatten)]
    pub other: Map<'static>,
}

impl Event {
    /// When it happened, if the sender's text is a time.
    #[must_use]
    pub fn timestamp(&self) -> Option<Timestamp> {
        self.time.parse().ok()
    }
}

/// Who acted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Actor {
    /// Kind of being.
    #[serde(rename = "type")]
    pub kind: ActorType,
    /// Stable identifier.
    pub id: String,
    /// Name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Roles or groups it acted with.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Session it acted in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// For whom it acted (RFC 8693 `act`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<Box<Actor>>,
    /// Members this version does not know.
    #[serde(flatten)]
    pub other: Map<'static>,
}

/// What was acted on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Target {
    /// Kind of thing.
    #[serde(rename = "type")]
    pub kind: String,
    /// Stable identifier.
    pub id: String,
    /// Name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Members this version does not know.
    #[serde(flatten)]
    pub other: Map<'static>,
}

/// How an act ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// In one word.
    pub result: OutcomeResult,
    /// The system's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Why, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Members this version does not know.
    #[serde(flatten)]
    pub other: Map<'static>,
}

/// The producer of an event.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EventSource {
    /// Name of the producing system.
    pub name: String,
    /// Which of several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// The producer's counter; a hole in it is a lost event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// Members this version does not know.
    #[serde(flatten)]
    pub other: Map<'static>,
}

/// Where an act came from.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Context {
    /// Peer address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// Forwarded chain: claims, not facts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub forwarded_for: Vec<String>,
    /// Program at the other end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// Request id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// W3C trace id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// W3C span id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub span_id: Option<String>,
    /// Session id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// Place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Members this version does not know.
    #[serde(flatten)]
    pub other: Map<'static>,
}

/// One changed field.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// Which field.
    pub path: String,
    /// `add`, `remove`, `replace`.
    pub op: String,
    /// Value before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<Value<'static>>,
    /// Value after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<Value<'static>>,
}
