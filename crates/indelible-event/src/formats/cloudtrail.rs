//! `aws.cloudtrail.v1`: one record of an AWS CloudTrail log file.

use super::format::{Document, Format};
use crate::{
    Actor, ActorType, Category, Context, Event, EventError, EventSource, Outcome, OutcomeResult,
    Target,
    checked::{BorrowedStr, CheckedStr, shape},
    error::{parse, read},
    json::{Map, Value},
    record::check_id,
};
use std::{borrow::Cow, net::IpAddr};

/// AWS CloudTrail.
#[derive(Debug)]
pub(super) struct CloudTrail;

shape! { 'de Shape("a CloudTrail record with eventID, eventTime, eventSource and eventName") {
    required event_id: "eventID" => BorrowedStr<'de>,
    required event_time: "eventTime" => CheckedStr,
    required event_source: "eventSource" => CheckedStr,
    required event_name: "eventName" => CheckedStr,
} }

impl Format for CloudTrail {
    fn name(&self) -> &'static str {
        "aws.cloudtrail.v1"
    }

    /// The id is `eventID`, which AWS makes unique and repeats on redelivery.
    fn accept<'a>(&self, data: &'a str) -> Result<Option<Cow<'a, str>>, EventError> {
        let shape: Shape<'a> = parse(data)?;
        let id = shape.event_id.unwrap_or_default().0;
        check_id(&id)?;
        Ok(Some(id))
    }

    fn view(&self, data: &str) -> Result<Event, EventError> {
        Ok(view(&read(data)?))
    }

    fn unpack<'a>(&self, document: &Document<'a>) -> Option<Vec<&'a str>> {
        match &document.records {
            Some(records) => Some(records.iter().map(|record| record.get()).collect()),
            None => (document.event_id.is_some() && document.event_source.is_some())
                .then(|| vec![document.text]),
        }
    }
}

fn text(value: &Value<'_>, pointer: &str) -> Option<String> {
    value.pointer(pointer).and_then(Value::as_str).map(str::to_owned)
}

fn view(data: &Value<'_>) -> Event {
    let event_source = text(data, "/eventSource").unwrap_or_default();
    let service = event_source.strip_suffix(".amazonaws.com").unwrap_or(&event_source);
    let name = text(data, "/eventName").unwrap_or_default();
    let mut metadata = Map::new();
    for member in [
        "awsRegion",
        "readOnly",
        "eventType",
        "managementEvent",
        "recipientAccountId",
        "eventCategory",
        "requestParameters",
        "responseElements",
        "additionalEventData",
    ] {
        if let Some(value) = data.get(member).filter(|value| !value.is_null()) {
            metadata.insert(member.to_owned(), value.clone().into_owned());
        }
    }
    Event {
        id: text(data, "/eventID"),
        time: text(data, "/eventTime").unwrap_or_default(),
        action: format!("aws.{service}.{name}"),
        category: Some(category(data, service, &name)),
        actor: actor(data),
        targets: targets(data),
        outcome: outcome(data),
        source: Some(EventSource {
            name: event_source.clone(),
            instance: text(data, "/awsRegion"),
            seq: None,
            other: Map::new(),
        }),
        context: Some(context(data)),
        tenant: None,
        changes: Vec::new(),
        metadata,
        subjects: Vec::new(),
        corrects: text(data, "/addendum/originalEventID"),
        other: Map::new(),
    }
}

fn category(data: &Value<'_>, service: &str, name: &str) -> Category {
    let read_only = data.get("readOnly").and_then(Value::as_bool).unwrap_or(false);
    match service {
        "signin" | "sts" | "sso" => Category::Auth,
        "cloudtrail" if !read_only => Category::Meta,
        _ if read_only => Category::Access,
        "iam" | "organizations" => Category::Permission,
        _ if name.contains("Policy") || name.contains("Permission") || name.contains("Acl") => {
            Category::Permission
        }
        "s3" | "dynamodb" if text(data, "/eventCategory").as_deref() == Some("Data") => {
            Category::Data
        }
        _ => Category::Config,
    }
}

fn actor(data: &Value<'_>) -> Actor {
    let identity = data.get("userIdentity").unwrap_or(&Value::Null);
    let kind = match text(identity, "/type").as_deref() {
        Some(
            "Root" | "IAMUser" | "FederatedUser" | "SAMLUser" | "WebIdentityUser"
            | "IdentityCenterUser" | "Directory",
        ) => ActorType::User,
        Some("AssumedRole" | "Role" | "AWSAccount") => ActorType::Service,
        Some("AWSService") => ActorType::System,
        _ => ActorType::Anonymous,
    };
    let id = ["/arn", "/principalId", "/invokedBy", "/accountId", "/userName"]
        .iter()
        .find_map(|pointer| text(identity, pointer))
        .unwrap_or_else(|| "unknown".to_owned());
    Actor {
        kind,
        id,
        name: text(identity, "/userName")
            .or_else(|| text(identity, "/sessionContext/sessionIssuer/userName")),
        roles: text(identity, "/sessionContext/sessionIssuer/arn").into_iter().collect(),
        session_id: text(identity, "/accessKeyId"),
        on_behalf_of: None,
        other: Map::new(),
    }
}

/// What was acted on: AWS's own list, else the parameters that name a thing.
fn targets(data: &Value<'_>) -> Vec<Target> {
    let target = |kind: String, id: String| Target { kind, id, name: None, other: Map::new() };
    let listed: Vec<Target> = data
        .get("resources")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|resource| {
            let id = text(resource, "/ARN").or_else(|| text(resource, "/ARNPrefix"))?;
            Some(target(text(resource, "/type").unwrap_or_else(|| "resource".to_owned()), id))
        })
        .collect();
    if !listed.is_empty() {
        return listed;
    }
    const NAMING: [(&str, &str); 16] = [
        ("userName", "user"),
        ("roleName", "role"),
        ("groupName", "group"),
        ("policyArn", "policy"),
        ("roleArn", "role"),
        ("accessKeyId", "access_key"),
        ("bucketName", "bucket"),
        ("instanceId", "instance"),
        ("functionName", "function"),
        ("secretId", "secret"),
        ("keyId", "key"),
        ("tableName", "table"),
        ("trailName", "trail"),
        ("dBInstanceIdentifier", "db_instance"),
        ("groupId", "security_group"),
        ("name", "name"),
    ];
    NAMING
        .iter()
        .filter_map(|(member, kind)| {
            Some(target((*kind).to_owned(), text(data, &format!("/requestParameters/{member}"))?))
        })
        .collect()
}

fn outcome(data: &Value<'_>) -> Outcome {
    let code = text(data, "/errorCode");
    let result = match &code {
        Some(code)
            if code.contains("AccessDenied")
                || code.contains("Unauthorized")
                || code.contains("Forbidden") =>
        {
            OutcomeResult::Denied
        }
        Some(_) => OutcomeResult::Failure,
        None if text(data, "/responseElements/ConsoleLogin").as_deref() == Some("Failure") => {
            OutcomeResult::Denied
        }
        None => OutcomeResult::Success,
    };
    Outcome { result, code, reason: text(data, "/errorMessage"), other: Map::new() }
}

fn context(data: &Value<'_>) -> Context {
    // AWS puts a host name here when one of its services made the call.
    let origin = text(data, "/sourceIPAddress");
    let is_ip = origin.as_deref().is_some_and(|text| text.parse::<IpAddr>().is_ok());
    Context {
        ip: origin.clone().filter(|_| is_ip),
        host: origin.filter(|_| !is_ip),
        user_agent: text(data, "/userAgent"),
        request_id: text(data, "/requestID"),
        session_id: text(data, "/userIdentity/accessKeyId"),
        ..Context::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DENIED: &str = r#"{"eventVersion":"1.08","userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::1:user/bob","accessKeyId":"AKIA","userName":"bob"},
        "eventTime":"2026-03-01T12:00:00Z","eventSource":"iam.amazonaws.com","eventName":"CreateAccessKey","awsRegion":"us-east-1",
        "sourceIPAddress":"198.51.100.7","errorCode":"AccessDenied","requestParameters":{"userName":"alice"},"eventID":"e1","readOnly":false}"#;

    #[test]
    fn a_denied_call() {
        assert_eq!(CloudTrail.accept(DENIED).unwrap().as_deref(), Some("e1"));
        let event = CloudTrail.view(DENIED).unwrap();
        assert_eq!(event.action, "aws.iam.CreateAccessKey");
        assert_eq!(event.category, Some(Category::Permission));
        assert_eq!(event.outcome.result, OutcomeResult::Denied);
        assert_eq!(
            (event.targets[0].kind.as_str(), event.targets[0].id.as_str()),
            ("user", "alice")
        );
        assert_eq!(event.context.unwrap().ip.as_deref(), Some("198.51.100.7"));
    }

    #[test]
    fn a_record_without_its_id_is_refused() {
        let error = CloudTrail.accept(&DENIED.replace("eventID", "eventId")).unwrap_err();
        assert_eq!(error.to_string(), "event: missing field `eventID`");
    }
}
