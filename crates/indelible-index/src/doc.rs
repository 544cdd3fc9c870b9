//! What is searched of a record. Index and query both read records through this file,
//! so that they agree about every value.

use indelible_event::{
    ActorType, Category, Envelope, Event, OutcomeResult, Timestamp, format_named,
};
use indelible_log::{Log, LogError};
use serde_json::Value;
use std::net::IpAddr;

/// Longest word, in bytes; longer ones are cut.
pub(crate) const MAX_TOKEN: usize = 64;

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
pub(crate) const FIELD_NAMES: &[(&str, Field)] = &[
    ("action", Field::Action),
    ("actor", Field::Actor),
    ("actor.type", Field::ActorType),
    ("agent", Field::Agent),
    ("by", Field::By),
    ("category", Field::Category),
    ("code", Field::Code),
    ("format", Field::Format),
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
            Self::Host => "host",
            Self::Ip => "address it came from",
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

    /// Whether the index has terms of it; the others are found by their words and read.
    pub(crate) const fn is_indexed(self) -> bool {
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

/// A record, read.
#[derive(Debug, Clone)]
pub struct Doc {
    /// Index of the record.
    pub index: u64,
    /// Received, microseconds since the epoch.
    pub received_us: i64,
    /// Occurred, as the sender says.
    pub time_us: Option<i64>,
    pub(crate) recorded_by: String,
    pub(crate) format: String,
    /// The native view, if there is one.
    pub event: Option<Event>,
    pub(crate) data: Value,
}

impl Doc {
    /// Reads a record of a log. What is no event is a document without fields.
    ///
    /// # Errors
    /// When stored bytes cannot be read.
    pub fn read(log: &Log, index: u64, record: &[u8]) -> Result<Self, LogError> {
        let Ok(envelope) = Envelope::parse(record) else {
            return Ok(Self {
                index,
                received_us: 0,
                time_us: None,
                recorded_by: String::new(),
                format: String::new(),
                event: None,
                data: Value::Null,
            });
        };
        let data = log.data(&envelope)?;
        let event = format_named(&envelope.format).ok().and_then(|format| format.view(&data).ok());
        let received = envelope.received_at.parse::<Timestamp>();
        Ok(Self {
            index,
            received_us: received.map_or(0, Timestamp::as_micros),
            time_us: event.as_ref().and_then(Event::timestamp).map(Timestamp::as_micros),
            recorded_by: envelope.recorded_by.into_owned(),
            format: envelope.format.into_owned(),
            event,
            data: serde_json::from_str(&data).unwrap_or(Value::Null),
        })
    }

    pub(crate) fn tenant(&self) -> Option<&String> {
        self.event.as_ref()?.tenant.as_ref()
    }

    pub(crate) fn ip(&self) -> Option<IpAddr> {
        let text = self.event.as_ref()?.context.as_ref()?.ip.as_ref()?;
        text.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
    }

    /// Visits the values of a field.
    pub(crate) fn values(&self, field: Field, visit: &mut dyn FnMut(&str)) {
        match field {
            Field::By => return visit(&self.recorded_by),
            Field::Format => return visit(&self.format),
            _ => {}
        }
        let Some(event) = &self.event else { return };
        let context = event.context.as_ref();
        let mut each = |text: Option<&String>| {
            if let Some(text) = text {
                visit(text);
            }
        };
        match field {
            Field::Action => each(Some(&event.action)),
            Field::Actor => {
                let mut actor = Some(&event.actor);
                while let Some(this) = actor {
                    each(Some(&this.id));
                    each(this.name.as_ref());
                    actor = this.on_behalf_of.as_deref();
                }
            }
            Field::Agent => each(context.and_then(|context| context.user_agent.as_ref())),
            Field::Code => each(event.outcome.code.as_ref()),
            Field::Host => each(context.and_then(|context| context.host.as_ref())),
            Field::Ip => each(context.and_then(|context| context.ip.as_ref())),
            Field::Reason => each(event.outcome.reason.as_ref()),
            Field::Request => each(context.and_then(|context| context.request_id.as_ref())),
            Field::Session => {
                each(event.actor.session_id.as_ref());
                each(context.and_then(|context| context.session_id.as_ref()));
            }
            Field::Source => each(event.source.as_ref().map(|source| &source.name)),
            Field::Target => event.targets.iter().for_each(|target| {
                each(Some(&target.id));
                each(target.name.as_ref());
            }),
            Field::TargetType => event.targets.iter().for_each(|target| each(Some(&target.kind))),
            Field::Tenant | Field::ExactTenant => each(event.tenant.as_ref()),
            Field::Trace => each(context.and_then(|context| context.trace_id.as_ref())),
            Field::ActorType => visit(actor_type(event.actor.kind)),
            Field::Category => {
                if let Some(category) = event.category {
                    visit(category_name(category));
                }
            }
            Field::Outcome => visit(outcome(event.outcome.result)),
            Field::By | Field::Format => {}
        }
    }

    /// Visits the strings and numbers that free text is searched in: those of the
    /// sender's data, times of the event itself left out, and those of the view's
    /// fields that have no terms of their own.
    pub(crate) fn strings(&self, visit: &mut dyn FnMut(&str)) {
        strings(&self.data, true, visit);
        for (_, field) in FIELD_NAMES.iter().filter(|(_, field)| !field.is_indexed()) {
            self.values(*field, visit);
        }
    }
}

/// Members of the data's top level that hold the event's own time: every record has
/// another, and the time is a field.
pub(crate) const TIMES: [&str; 4] =
    ["time", "eventTime", "requestReceivedTimestamp", "stageTimestamp"];

fn strings(value: &Value, top: bool, visit: &mut dyn FnMut(&str)) {
    match value {
        Value::String(text) => visit(text),
        Value::Number(number) => visit(&number.to_string()),
        Value::Array(items) => items.iter().for_each(|item| strings(item, false, visit)),
        Value::Object(members) => {
            for (name, member) in members {
                if !(top && member.is_string() && TIMES.contains(&name.as_str())) {
                    strings(member, false, visit);
                }
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

/// The words of a text: runs of letters and digits, in lower case, cut at 64 bytes.
pub(crate) fn tokens(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(|word| {
        let mut word = lower(word);
        cut(&mut word, MAX_TOKEN);
        word
    })
}

/// Lower case, character by character: the index and the query must do it alike.
pub(crate) fn lower(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.chars().flat_map(char::to_lowercase).collect()
}

/// Cuts a text at a character's boundary.
pub(crate) fn cut(text: &mut String, len: usize) {
    if text.len() > len {
        let end = (0..=len).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
    }
}

const fn actor_type(kind: ActorType) -> &'static str {
    match kind {
        ActorType::User => "user",
        ActorType::Service => "service",
        ActorType::Agent => "agent",
        ActorType::System => "system",
        ActorType::Anonymous => "anonymous",
    }
}

const fn category_name(category: Category) -> &'static str {
    match category {
        Category::Auth => "auth",
        Category::Access => "access",
        Category::Api => "api",
        Category::Config => "config",
        Category::Permission => "permission",
        Category::Data => "data",
        Category::System => "system",
        Category::Meta => "meta",
    }
}

const fn outcome(result: OutcomeResult) -> &'static str {
    match result {
        OutcomeResult::Success => "success",
        OutcomeResult::Failure => "failure",
        OutcomeResult::Denied => "denied",
        OutcomeResult::Unknown => "unknown",
    }
}
