//! What is searched of a record. Index and query both read records through this file,
//! so that they agree about every value.

use crate::{address::normal, decimal::Decimal, field::Field};
use indelible_event::{Actor, Envelope, Event, NATIVE, Timestamp, Value, format_named, nanos};
use std::{borrow::Cow, net::IpAddr};

/// A record, read.
#[derive(Debug)]
pub struct Doc<'a> {
    /// Index of the record.
    pub index: u64,
    /// Received, microseconds since the epoch.
    pub received_us: i64,
    /// Occurred, as the sender says.
    pub time_us: Option<i64>,
    /// The same in nanoseconds.
    pub(crate) time_ns: Option<i128>,
    /// Whether all that its sender sent could be read.
    pub is_whole: bool,
    /// Values of the native view. The id of a target comes right after its type.
    fields: Vec<(Field, Cow<'a, str>)>,
    /// Whether the fields are members of the data.
    is_native: bool,
    data: Value<'a>,
}

impl<'a> Doc<'a> {
    /// Reads a record: its envelope, if it has one, and its sender's bytes. What is no
    /// event is a document without fields.
    #[must_use]
    pub fn read(index: u64, envelope: Option<&'a Envelope<'_>>, data: &'a str) -> Self {
        let mut doc = Doc {
            index,
            received_us: 0,
            time_us: None,
            time_ns: None,
            is_whole: true,
            fields: Vec::new(),
            is_native: false,
            data: Value::parse(data).unwrap_or_default(),
        };
        let Some(envelope) = envelope else { return doc };
        let received = envelope.received_at.parse::<Timestamp>();
        doc.received_us = received.map_or(0, Timestamp::as_micros);
        doc.is_native = envelope.format == NATIVE;
        let mut fields = Fields(Vec::with_capacity(24));
        fields.push(Field::By, Cow::Borrowed(envelope.recorded_by.as_ref()));
        fields.push(Field::Format, Cow::Borrowed(envelope.format.as_ref()));
        doc.time_ns = if doc.is_native {
            fields.native(&doc.data)
        } else {
            let format = format_named(&envelope.format).ok();
            format.and_then(|format| format.view(data).ok()).and_then(|event| fields.event(event))
        };
        let micros = doc.time_ns.map(|time| time.div_euclid(1000));
        doc.time_us = micros.and_then(|micros| i64::try_from(micros).ok());
        doc.fields = fields.0;
        doc
    }
}

impl Doc<'_> {
    /// The values of a field.
    pub fn values(&self, field: Field) -> impl Iterator<Item = &str> {
        let field = if field == Field::ExactTenant { Field::Tenant } else { field };
        self.fields.iter().filter(move |(own, _)| *own == field).map(|(_, value)| value.as_ref())
    }

    /// The addresses of a field.
    pub(crate) fn addresses(&self, field: Field) -> impl Iterator<Item = IpAddr> {
        self.values(field).filter_map(|text| text.parse().ok())
    }

    /// Visits the numbers of the sender's data that are not written as
    /// [`Decimal::plain`] writes them: those are not found by their words alone.
    pub fn odd_numbers(&self, visit: &mut dyn FnMut(&Decimal)) {
        odd_numbers(&self.data, visit);
    }

    /// Every field with a value, in the order of the view.
    pub fn fields(&self) -> impl Iterator<Item = (Field, &str)> {
        self.fields.iter().map(|(field, value)| (*field, value.as_ref()))
    }

    /// The sender's data.
    #[must_use]
    pub const fn data(&self) -> &Value<'_> {
        &self.data
    }

    /// The address it came from, if it has one that can be read.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.values(Field::Ip).next()?.parse().ok()
    }

    /// Types and ids of the targets.
    pub fn targets(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.array_windows().filter_map(|[kind, id]| {
            let is_target = kind.0 == Field::TargetType && id.0 == Field::Target;
            is_target.then_some((kind.1.as_ref(), id.1.as_ref()))
        })
    }

    /// Visits the strings and numbers that free text is searched in: those of the
    /// sender's data, times of the event itself left out, and those of the view's
    /// fields that have no terms of their own.
    pub fn strings(&self, visit: &mut dyn FnMut(&str)) {
        strings(&self.data, true, visit);
        // Those of a native event are members of its data.
        if !self.is_native {
            let others = self.fields.iter().filter(|(field, _)| !field.is_indexed());
            others.for_each(|(_, value)| visit(value));
        }
    }
}

struct Fields<'a>(Vec<(Field, Cow<'a, str>)>);

impl<'a> Fields<'a> {
    /// An address is taken as such, whatever form it is written in.
    fn push(&mut self, field: Field, value: Cow<'a, str>) {
        let address = if field.is_address() { normal(&value) } else { None };
        self.0.push((field, address.map_or(value, Cow::Owned)));
    }

    fn member(&mut self, field: Field, of: &Value<'a>, name: &str) {
        if let Some(Value::Str(text)) = member(of, name) {
            self.push(field, text.clone());
        }
    }

    /// Takes the fields of a native event, and says when it occurred.
    fn native(&mut self, event: &Value<'a>) -> Option<i128> {
        self.member(Field::Action, event, "action");
        self.member(Field::Category, event, "category");
        self.member(Field::Tenant, event, "tenant");
        let mut actor = member(event, "actor");
        if let Some(actor) = actor {
            self.member(Field::ActorType, actor, "type");
            self.member(Field::Session, actor, "session_id");
        }
        while let Some(this) = actor {
            self.member(Field::Actor, this, "id");
            self.member(Field::Actor, this, "name");
            actor = member(this, "on_behalf_of");
        }
        if let Some(Value::Array(targets)) = member(event, "targets") {
            for target in targets {
                self.member(Field::TargetType, target, "type");
                self.member(Field::Target, target, "id");
                self.member(Field::Target, target, "name");
            }
        }
        if let Some(outcome) = member(event, "outcome") {
            self.member(Field::Outcome, outcome, "result");
            self.member(Field::Code, outcome, "code");
            self.member(Field::Reason, outcome, "reason");
        }
        if let Some(source) = member(event, "source") {
            self.member(Field::Source, source, "name");
        }
        if let Some(context) = member(event, "context") {
            self.member(Field::Ip, context, "ip");
            if let Some(Value::Array(forwarded)) = member(context, "forwarded_for") {
                for value in forwarded {
                    if let Value::Str(text) = value {
                        self.push(Field::Forwarded, text.clone());
                    }
                }
            }
            self.member(Field::Agent, context, "user_agent");
            self.member(Field::Request, context, "request_id");
            self.member(Field::Trace, context, "trace_id");
            self.member(Field::Session, context, "session_id");
            self.member(Field::Host, context, "host");
        }
        match member(event, "time") {
            Some(Value::Str(time)) => nanos(time),
            _ => None,
        }
    }

    /// Takes the fields of a view, and says when it occurred.
    fn event(&mut self, event: Event) -> Option<i128> {
        let time = nanos(&event.time);
        let mut push = |field, value: Option<String>| {
            if let Some(value) = value {
                self.push(field, Cow::Owned(value));
            }
        };
        push(Field::Action, Some(event.action));
        push(Field::Category, event.category.map(|category| category.name().to_owned()));
        push(Field::Tenant, event.tenant);
        push(Field::ActorType, Some(event.actor.kind.name().to_owned()));
        push(Field::Session, event.actor.session_id.clone());
        let mut actor = Some(event.actor);
        while let Some(Actor { id, name, on_behalf_of, .. }) = actor {
            push(Field::Actor, Some(id));
            push(Field::Actor, name);
            actor = on_behalf_of.map(|actor| *actor);
        }
        for target in event.targets {
            push(Field::TargetType, Some(target.kind));
            push(Field::Target, Some(target.id));
            push(Field::Target, target.name);
        }
        push(Field::Outcome, Some(event.outcome.result.name().to_owned()));
        push(Field::Code, event.outcome.code);
        push(Field::Reason, event.outcome.reason);
        push(Field::Source, event.source.map(|source| source.name));
        if let Some(context) = event.context {
            push(Field::Ip, context.ip);
            context.forwarded_for.into_iter().for_each(|ip| push(Field::Forwarded, Some(ip)));
            push(Field::Agent, context.user_agent);
            push(Field::Request, context.request_id);
            push(Field::Trace, context.trace_id);
            push(Field::Session, context.session_id);
            push(Field::Host, context.host);
        }
        time
    }
}

fn member<'v, 'a>(of: &'v Value<'a>, name: &str) -> Option<&'v Value<'a>> {
    match of {
        Value::Object(members) => members.get(name),
        _ => None,
    }
}

/// Members of the data's top level that hold the event's own time: every record has
/// another, and the time is a field.
pub const TIMES: [&str; 4] = ["time", "eventTime", "requestReceivedTimestamp", "stageTimestamp"];

fn strings(value: &Value<'_>, top: bool, visit: &mut dyn FnMut(&str)) {
    match value {
        Value::Str(text) => visit(text),
        Value::Number(number) => visit(number),
        Value::Array(items) => items.iter().for_each(|item| strings(item, false, visit)),
        Value::Object(members) => {
            for (name, member) in members.iter() {
                if !(top && member.as_str().is_some() && TIMES.contains(&name)) {
                    strings(member, false, visit);
                }
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

fn odd_numbers(value: &Value<'_>, visit: &mut dyn FnMut(&Decimal)) {
    match value {
        Value::Number(text) if is_plain(text) => {}
        Value::Number(text) => {
            if let Some(number) = Decimal::parse(text)
                && number.plain().as_deref() != Some(text)
            {
                visit(&number);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| odd_numbers(item, visit)),
        Value::Object(members) => {
            members.iter().for_each(|(_, member)| odd_numbers(member, visit));
        }
        Value::Null | Value::Bool(_) | Value::Str(_) => {}
    }
}

/// Whether a number is surely plain: nearly all are short integers.
fn is_plain(text: &str) -> bool {
    text.len() <= 20 && !text.starts_with('-') && text.bytes().all(|byte| byte.is_ascii_digit())
}
