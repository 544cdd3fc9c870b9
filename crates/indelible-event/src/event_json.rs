//! The native event from JSON and to it. Values that have no type of their own stay as
//! they were written.

use crate::{
    Actor, ActorType, Category, Change, Context, Event, EventError, EventSource, Outcome,
    OutcomeResult, Target,
    json::{Map, Value},
};

impl Event {
    /// Reads a native event. What was accepted can be read; `null` is as good as absent.
    ///
    /// # Errors
    /// [`EventError::Member`] naming what is missing or of another type.
    pub fn read(value: Value<'_>) -> Result<Self, EventError> {
        let mut of = Members::of(value.into_owned(), "event")?;
        Ok(Self {
            id: of.text("id")?,
            time: of.needed("time")?,
            action: of.needed("action")?,
            category: of.word("category", Category::ALL, Category::name)?,
            actor: actor(of.take("actor").unwrap_or_default())?,
            targets: of.each("targets", |value| {
                let mut of = Members::of(value, "targets")?;
                Ok(Target {
                    kind: of.needed("type")?,
                    id: of.needed("id")?,
                    name: of.text("name")?,
                    other: of.rest(),
                })
            })?,
            outcome: outcome(of.take("outcome").unwrap_or_default())?,
            source: of.take("source").map(source).transpose()?,
            context: of.take("context").map(context).transpose()?,
            tenant: of.text("tenant")?,
            changes: of.each("changes", |value| {
                let mut of = Members::of(value, "changes")?;
                Ok(Change {
                    path: of.needed("path")?,
                    op: of.needed("op")?,
                    old: of.take("old"),
                    new: of.take("new"),
                })
            })?,
            metadata: match of.take("metadata") {
                None => Map::new(),
                Some(value) => Members::of(value, "metadata")?.rest(),
            },
            subjects: of.texts("subjects")?,
            corrects: of.text("corrects")?,
            other: of.rest(),
        })
    }

    /// It as JSON.
    ///
    /// # Errors
    /// [`EventError::Json`], which does not happen.
    pub fn write(&self) -> Result<Value<'static>, EventError> {
        let text = serde_json::to_string(self).map_err(|e| EventError::Json(e.to_string()))?;
        Ok(Value::parse(&text)?.into_owned())
    }
}

fn actor(value: Value<'static>) -> Result<Actor, EventError> {
    let mut of = Members::of(value, "actor")?;
    Ok(Actor {
        kind: of
            .word("type", ActorType::ALL, ActorType::name)?
            .ok_or_else(|| of.missing("type"))?,
        id: of.needed("id")?,
        name: of.text("name")?,
        roles: of.texts("roles")?,
        session_id: of.text("session_id")?,
        on_behalf_of: of.take("on_behalf_of").map(actor).transpose()?.map(Box::new),
        other: of.rest(),
    })
}

fn outcome(value: Value<'static>) -> Result<Outcome, EventError> {
    let mut of = Members::of(value, "outcome")?;
    let result = of.word("result", OutcomeResult::ALL, OutcomeResult::name)?;
    Ok(Outcome {
        result: result.ok_or_else(|| of.missing("result"))?,
        code: of.text("code")?,
        reason: of.text("reason")?,
        other: of.rest(),
    })
}

fn source(value: Value<'static>) -> Result<EventSource, EventError> {
    let mut of = Members::of(value, "source")?;
    let seq = of.take("seq");
    Ok(EventSource {
        name: of.needed("name")?,
        instance: of.text("instance")?,
        seq: match seq {
            None => None,
            Some(number) => Some(number.as_u64().ok_or_else(|| of.wrong("seq"))?),
        },
        other: of.rest(),
    })
}

fn context(value: Value<'static>) -> Result<Context, EventError> {
    let mut of = Members::of(value, "context")?;
    Ok(Context {
        ip: of.text("ip")?,
        forwarded_for: of.texts("forwarded_for")?,
        user_agent: of.text("user_agent")?,
        request_id: of.text("request_id")?,
        trace_id: of.text("trace_id")?,
        span_id: of.text("span_id")?,
        session_id: of.text("session_id")?,
        location: of.text("location")?,
        host: of.text("host")?,
        other: of.rest(),
    })
}

/// The members of an object that are not read yet.
struct Members {
    members: Map<'static>,
    name: &'static str,
}

impl Members {
    fn of(value: Value<'static>, name: &'static str) -> Result<Self, EventError> {
        match value {
            Value::Object(members) => Ok(Self { members, name }),
            _ => Err(EventError::member(name, "expected an object")),
        }
    }

    fn missing(&self, name: &str) -> EventError {
        EventError::member(self.name, format!("missing field `{name}`"))
    }

    fn wrong(&self, name: &str) -> EventError {
        EventError::member(format!("{}.{name}", self.name), "has another type than it should")
    }

    /// A member that is not null.
    fn take(&mut self, name: &str) -> Option<Value<'static>> {
        self.members.take(name).filter(|value| !value.is_null())
    }

    fn text(&mut self, name: &str) -> Result<Option<String>, EventError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Str(text)) => Ok(Some(text.into_owned())),
            Some(_) => Err(self.wrong(name)),
        }
    }

    fn needed(&mut self, name: &str) -> Result<String, EventError> {
        self.text(name)?.ok_or_else(|| self.missing(name))
    }

    fn word<T: Copy>(
        &mut self,
        name: &str,
        all: &[T],
        known: fn(T) -> &'static str,
    ) -> Result<Option<T>, EventError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let word = all.iter().copied().find(|word| known(*word) == text);
        word.map(Some).ok_or_else(|| self.wrong(name))
    }

    fn each<T>(
        &mut self,
        name: &str,
        read: impl FnMut(Value<'static>) -> Result<T, EventError>,
    ) -> Result<Vec<T>, EventError> {
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => items.into_iter().map(read).collect(),
            Some(_) => Err(self.wrong(name)),
        }
    }

    fn texts(&mut self, name: &str) -> Result<Vec<String>, EventError> {
        let wrong = self.wrong(name);
        self.each(name, |value| match value {
            Value::Str(text) => Ok(text.into_owned()),
            _ => Err(wrong.clone()),
        })
    }

    fn rest(self) -> Map<'static> {
        self.members
    }
}
