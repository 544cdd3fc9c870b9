//! What a JSON document is, told by its members.
//!
//! Native is what has the four members that every native event has; else a record of
//! CloudTrail or an audit event of Kubernetes is known by those that only it has, and a
//! container by what holds its events. It is a function of the document alone.

use super::{cloudtrail::CloudTrail, format::Format, kubernetes::Kubernetes, native::Native};
use crate::{EventError, error::parse};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// What a document is.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    /// An event: its bytes, and where in the document they stand.
    Event(&'static dyn Format, Cow<'a, str>, &'a str),
    /// An array of what follows.
    Array(&'a str, Of),
    /// It holds no events, and that is as it should be; why.
    Nothing(&'static str),
}

/// What a document stands in, which says what it must be if nothing else does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    /// An input, or a plain array.
    Anything,
    /// `Records` of a file, `detail` of an envelope, `Events` of an answer.
    CloudTrail,
    /// `items` of an EventList.
    Kubernetes,
    /// `QueryResultRows` of CloudTrail Lake.
    Lake,
}

impl Of {
    /// The format that is asked of what has no sign of any.
    pub(crate) fn format(self) -> &'static dyn Format {
        self.only().unwrap_or(&Native)
    }

    /// The one format that can be in there.
    pub(crate) fn only(self) -> Option<&'static dyn Format> {
        match self {
            Self::Anything => None,
            Self::CloudTrail | Self::Lake => Some(&CloudTrail),
            Self::Kubernetes => Some(&Kubernetes),
        }
    }
}

/// The members by which a document is known.
#[derive(Debug, Deserialize)]
struct Document<'a> {
    // A native event.
    #[serde(borrow, default)]
    time: Option<&'a RawValue>,
    #[serde(borrow, default)]
    action: Option<&'a RawValue>,
    #[serde(borrow, default)]
    actor: Option<&'a RawValue>,
    #[serde(borrow, default)]
    outcome: Option<&'a RawValue>,
    // Kubernetes.
    #[serde(borrow, default)]
    kind: Option<&'a RawValue>,
    #[serde(borrow, default)]
    items: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "auditID")]
    audit_id: Option<&'a RawValue>,
    // CloudTrail, as delivered and as tables have it.
    #[serde(borrow, default, rename = "eventID", alias = "eventid")]
    event_id: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "eventSource", alias = "eventsource")]
    event_source: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "eventVersion", alias = "eventversion")]
    event_version: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "Records")]
    records: Option<&'a RawValue>,
    // `aws cloudtrail lookup-events`.
    #[serde(borrow, default, rename = "Events")]
    events: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "CloudTrailEvent")]
    cloudtrail_event: Option<&'a RawValue>,
    // EventBridge.
    #[serde(borrow, default)]
    detail: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "detail-type")]
    detail_type: Option<&'a RawValue>,
    // A subscription to CloudWatch Logs.
    #[serde(borrow, default, rename = "logEvents")]
    log_events: Option<&'a RawValue>,
    #[serde(borrow, default)]
    message: Option<&'a RawValue>,
    // CloudTrail Lake.
    #[serde(borrow, default, rename = "QueryResultRows")]
    rows: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "eventJson")]
    event_json: Option<&'a RawValue>,
    // A CloudTrail digest file.
    #[serde(borrow, default, rename = "digestS3Object")]
    digest: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "logFiles")]
    log_files: Option<&'a RawValue>,
}

/// What a document is that stands in `of`.
///
/// # Errors
/// [`EventError`] when it is not JSON, or no event of any kind.
pub(crate) fn find(text: &str, of: Of) -> Result<Found<'_>, EventError> {
    let event = |format| Ok(Found::Event(format, Cow::Borrowed(text), text));
    if text.starts_with('[') {
        return match of {
            Of::Lake => lake_row(text),
            Of::Anything => {
                Err(EventError::member("event", "an array within an array: expected an object"))
            }
            _ => event(of.format()),
        };
    }
    // A document whose members only resemble a known one is taken as what it stands in,
    // whose check then says what is wrong with it.
    let known: Document<'_> = match parse(text) {
        Ok(known) => known,
        Err(EventError::Member { .. }) => return event(of.format()),
        Err(error) => return Err(error),
    };
    let native = [known.time, known.action, known.actor, known.outcome];
    if native.iter().all(Option::is_some) {
        return event(&Native);
    }
    if let Some(found) = known.event(text).or_else(|| known.container()) {
        return Ok(found);
    }
    if of != Of::Anything || native.iter().any(Option::is_some) {
        return event(of.format());
    }
    Err(EventError::member("event", unknown(text)))
}

impl<'a> Document<'a> {
    fn is_cloudtrail(&self) -> bool {
        self.event_id.is_some() && (self.event_source.is_some() || self.event_version.is_some())
    }

    /// If it is one event of another format, or holds one.
    fn event(&self, text: &'a str) -> Option<Found<'a>> {
        let one = |format| Some(Found::Event(format, Cow::Borrowed(text), text));
        if self.audit_id.is_some() && matches!(word(self.kind), Some("Event") | None) {
            return one(&Kubernetes);
        }
        if self.is_cloudtrail() {
            return one(&CloudTrail);
        }
        if let (Some(detail), Some(_)) = (self.detail, self.detail_type)
            && is_cloudtrail(detail.get())
        {
            return Some(Found::Event(&CloudTrail, Cow::Borrowed(detail.get()), detail.get()));
        }
        let inner = self.cloudtrail_event.or(self.event_json).or(self.message);
        inner.and_then(embedded)
    }

    /// If it holds several.
    fn container(&self) -> Option<Found<'a>> {
        let array = |value: Option<&'a RawValue>, of| {
            let value = value?.get();
            value.starts_with('[').then_some(Found::Array(value, of))
        };
        if word(self.kind) == Some("EventList") {
            return array(self.items, Of::Kubernetes)
                .or(Some(Found::Nothing("an EventList without events")));
        }
        if word(self.kind).is_some_and(|kind| kind.ends_with("List")) {
            return array(self.items, Of::Anything);
        }
        if self.digest.is_some() && self.log_files.is_some() {
            return Some(Found::Nothing(
                "a CloudTrail digest file: it holds hashes of log files, and no events",
            ));
        }
        array(self.records, Of::CloudTrail)
            .or_else(|| array(self.events, Of::CloudTrail))
            .or_else(|| array(self.log_events, Of::CloudTrail))
            .or_else(|| array(self.rows, Of::Lake))
    }
}

fn word(value: Option<&RawValue>) -> Option<&str> {
    value?.get().strip_prefix('"')?.strip_suffix('"')
}

/// A record of CloudTrail that stands in a string.
fn embedded(value: &RawValue) -> Option<Found<'_>> {
    let place = value.get();
    let inner: String = serde_json::from_str(place).ok()?;
    let inner = inner.trim();
    is_cloudtrail(inner).then(|| Found::Event(&CloudTrail, Cow::Owned(inner.to_owned()), place))
}

fn is_cloudtrail(text: &str) -> bool {
    let known = parse::<Document<'_>>(text);
    known.is_ok_and(|known| known.is_cloudtrail())
}

/// A row of what CloudTrail Lake found: an object for each column.
fn lake_row(text: &str) -> Result<Found<'_>, EventError> {
    let columns: Vec<Document<'_>> = parse(text)?;
    let event = columns.iter().filter_map(|column| column.event_json).find_map(embedded);
    event.ok_or_else(|| {
        EventError::member(
            "event",
            "a row of a CloudTrail Lake query holds columns and not the event: select eventJson",
        )
    })
}

/// Formats that are known by sight.
const SIGHTS: [(&[&str], &str); 14] = [
    (&["specversion"], "a CloudEvent"),
    (&["class_uid"], "an OCSF event"),
    (&["resourceLogs"], "OpenTelemetry logs"),
    (&["protoPayload"], "a Google Cloud audit log entry"),
    (&["CreationTime", "Workload"], "a Microsoft 365 audit record"),
    (&["operationName", "resourceId"], "an Azure activity log record"),
    (&["eventType", "published"], "an Okta System Log event"),
    (&["@timestamp", "ecs"], "an Elastic Common Schema event"),
    (&["@timestamp", "action"], "a GitHub audit log event"),
    (&["ActivityDisplayName"], "an Entra ID audit record"),
    (
        &["involvedObject"],
        "a Kubernetes Event of the core API (`kubectl get events`), which is no audit event",
    ),
    (&["detail-type"], "an EventBridge event whose detail is no CloudTrail record"),
    (&["Message", "TopicArn"], "an SNS notification"),
    (&["_SOURCE_REALTIME_TIMESTAMP"], "a journald entry"),
];

/// What to say of an object that is no event.
fn unknown(text: &str) -> String {
    let has = |name: &&str| text.contains(&format!("\"{name}\""));
    let seen = SIGHTS.iter().find(|(names, _)| names.iter().all(has));
    let nearest = seen.map_or_else(
        || "the nearest is the native format, of which it has none of the members time, action, actor and outcome".to_owned(),
        |(_, what)| format!("it looks like {what}"),
    );
    format!(
        "this is no native event, CloudTrail record or Kubernetes audit event; {nearest}; format=json takes any object as it is"
    )
}
