//! `aws.cloudtrail.v1`: one record of an AWS CloudTrail log file.

use super::{format::Format, when::time_of};
use crate::{
    Actor, ActorType, Category, Context, Event, EventError, EventSource, Outcome, OutcomeResult,
    Target,
    checked::{BorrowedStr, Checked, CheckedStr, shape},
    error::{parse, read},
    json::{Map, Value},
    record::check_id,
};
use std::{borrow::Cow, net::IpAddr};

/// AWS CloudTrail.
#[derive(Debug)]
pub(crate) struct CloudTrail;

shape! { 'de Shape("a CloudTrail record with eventID, eventTime, eventSource and eventName") {
    required event_id: "eventID" => BorrowedStr<'de>,
    required event_time: "eventTime" => Checked,
    optional event_source: "eventSource" => CheckedStr,
    optional event_name: "eventName" => CheckedStr,
    optional insight: "insightDetails" => Checked,
} }

// The same as a table of Athena has it, whose columns have no upper case.
shape! { 'de Row("a row with eventid, eventtime, eventsource and eventname") {
    required event_id: "eventid" => BorrowedStr<'de>,
    required event_time: "eventtime" => Checked,
    required event_source: "eventsource" => CheckedStr,
    required event_name: "eventname" => CheckedStr,
} }

impl Format for CloudTrail {
    fn name(&self) -> &'static str {
        "aws.cloudtrail.v1"
    }

    /// The id is `eventID`, which AWS makes unique and repeats on redelivery.
    fn accept<'a>(&self, data: &'a str) -> Result<Option<Cow<'a, str>>, EventError> {
        let shape: Shape<'a> = match parse(data) {
            Ok(shape) => shape,
            Err(error) => match parse::<Row<'a>>(data) {
                Ok(row) => return id(row.event_id),
                Err(_) => return Err(error),
            },
        };
        if shape.insight.is_none() {
            let needed = [
                ("eventSource", shape.event_source.is_some()),
                ("eventName", shape.event_name.is_some()),
            ];
            if let Some((name, _)) = needed.iter().find(|(_, there)| !there) {
                return Err(EventError::member("event", format!("missing field `{name}`")));
            }
        }
        id(shape.event_id)
    }

    fn view(&self, data: &str) -> Result<Event, EventError> {
        let mut data = read(data)?;
        unfold(&mut data);
        Ok(view(&data))
    }
}

fn id(id: Option<BorrowedStr<'_>>) -> Result<Option<Cow<'_, str>>, EventError> {
    let id = id.unwrap_or_default().0;
    check_id(&id)?;
    Ok(Some(id))
}

/// A member by its path, in either spelling.
fn get<'v, 'a>(value: &'v Value<'a>, pointer: &str) -> Option<&'v Value<'a>> {
    pointer.split('/').skip(1).try_fold(value, |value, name| {
        value.get(name).or_else(|| value.get(&name.to_ascii_lowercase()))
    })
}

fn text(value: &Value<'_>, pointer: &str) -> Option<String> {
    let text = get(value, pointer).and_then(Value::as_str);
    text.filter(|text| !text.is_empty()).map(str::to_owned)
}

fn flag(value: &Value<'_>, pointer: &str) -> bool {
    match get(value, pointer) {
        Some(Value::Bool(flag)) => *flag,
        Some(Value::Str(text)) => text == "true",
        _ => false,
    }
}

/// Tables keep members that differ from event to event as JSON in a string.
fn unfold(data: &mut Value<'_>) {
    let names = ["requestparameters", "responseelements", "additionaleventdata"];
    for name in names {
        if let Some(value) = data.as_object_mut().and_then(|members| members.get_mut(name))
            && let Value::Str(text) = value
            && let Ok(object @ Value::Object(_)) = Value::parse(text)
        {
            *value = object.into_owned();
        }
    }
}

fn view(data: &Value<'_>) -> Event {
    let known = |name: &str| {
        text(data, &format!("/{name}")).or_else(|| text(data, &format!("/insightDetails/{name}")))
    };
    let event_source = known("eventSource").unwrap_or_default();
    let service = event_source.strip_suffix(".amazonaws.com").unwrap_or(&event_source);
    let name = known("eventName").unwrap_or_default();
    let mut other = Map::new();
    let time = time_of(get(data, "/eventTime"), &mut other);
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
        "insightDetails",
    ] {
        if let Some(value) = get(data, &format!("/{member}")).filter(|value| !value.is_null()) {
            metadata.insert(member, value.clone().into_owned());
        }
    }
    Event {
        id: text(data, "/eventID"),
        time,
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
        other,
    }
}

fn category(data: &Value<'_>, service: &str, name: &str) -> Category {
    let read_only = flag(data, "/readOnly");
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
    let identity = get(data, "/userIdentity").unwrap_or(&Value::Null);
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
    let reason = text(data, "/errorMessage");
    let result = match &code {
        Some(code)
            if code.contains("AccessDenied")
                || code.contains("Unauthorized")
                || code.contains("Forbidden") =>
        {
            OutcomeResult::Denied
        }
        Some(_) => OutcomeResult::Failure,
        // `ConsoleLogin`, `SwitchRole`, `CheckMfa` and whatever else a sign-in answers.
        None if answered(data, "Failure") => OutcomeResult::Denied,
        None if reason.is_some() || returned_false(data) => OutcomeResult::Failure,
        None if get(data, "/insightDetails").is_some() => OutcomeResult::Unknown,
        None => OutcomeResult::Success,
    };
    Outcome { result, code, reason, other: Map::new() }
}

/// Whether a member of the answer is this word.
fn answered(data: &Value<'_>, word: &str) -> bool {
    let answer = get(data, "/responseElements").and_then(Value::as_object);
    answer.is_some_and(|members| {
        members
            .iter()
            .any(|(_, value)| value.as_str().is_some_and(|text| text.eq_ignore_ascii_case(word)))
    })
}

/// Whether a call of EC2 answered that it did nothing.
fn returned_false(data: &Value<'_>) -> bool {
    get(data, "/responseElements/_return").is_some_and(|value| value.as_bool() == Some(false))
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
    fn what_failed_is_no_success_wherever_it_says_so() {
        let outcome = |members: &str| {
            let record = format!(
                r#"{{"eventID":"e","eventTime":"2026-03-01T12:00:00Z","eventSource":"signin.amazonaws.com","eventName":"X"{members}}}"#
            );
            CloudTrail.accept(&record).unwrap();
            CloudTrail.view(&record).unwrap().outcome.result
        };
        for member in ["ConsoleLogin", "SwitchRole", "CheckMfa", "ExitRole"] {
            let answer =
                |word: &str| outcome(&format!(r#","responseElements":{{"{member}":"{word}"}}"#));
            assert_eq!(answer("Failure"), OutcomeResult::Denied, "{member}");
            assert_eq!(answer("Success"), OutcomeResult::Success, "{member}");
        }
        assert_eq!(outcome(r#","errorMessage":"Failed authentication""#), OutcomeResult::Failure);
        assert_eq!(
            outcome(r#","errorCode":null,"errorMessage":"","responseElements":null"#),
            OutcomeResult::Success
        );
        assert_eq!(outcome(r#","responseElements":{"_return":false}"#), OutcomeResult::Failure);
        assert_eq!(
            outcome(r#","errorCode":"Client.UnauthorizedOperation""#),
            OutcomeResult::Denied
        );
    }

    #[test]
    fn a_row_of_a_table_is_a_record() {
        let row = r#"{"eventid":"e9","eventtime":"2026-03-01 12:00:00","eventsource":"iam.amazonaws.com","eventname":"CreateUser",
            "useridentity":{"type":"IAMUser","username":"bob","arn":"arn:aws:iam::1:user/bob"},"requestparameters":"{\"userName\":\"alice\"}","readonly":"false"}"#;
        assert_eq!(CloudTrail.accept(row).unwrap().as_deref(), Some("e9"));
        let event = CloudTrail.view(row).unwrap();
        assert_eq!(
            (event.action.as_str(), event.time.as_str()),
            ("aws.iam.CreateUser", "2026-03-01T12:00:00Z")
        );
        assert_eq!(
            (event.actor.name.as_deref(), event.targets[0].id.as_str()),
            (Some("bob"), "alice")
        );
    }

    #[test]
    fn an_insight_is_a_record() {
        let insight = r#"{"eventVersion":"1.07","eventTime":"2026-03-01T12:00:00Z","eventID":"i1","eventType":"AwsCloudTrailInsight",
            "insightDetails":{"state":"Start","eventSource":"ec2.amazonaws.com","eventName":"RunInstances"}}"#;
        assert_eq!(CloudTrail.accept(insight).unwrap().as_deref(), Some("i1"));
        assert_eq!(CloudTrail.view(insight).unwrap().action, "aws.ec2.RunInstances");
    }

    #[test]
    fn a_record_without_its_id_is_refused() {
        let error = CloudTrail.accept(&DENIED.replace("eventID", "eventId")).unwrap_err();
        assert_eq!(error.to_string(), "event: missing field `eventID`");
    }
}
