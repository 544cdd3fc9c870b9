//! `kubernetes.audit.v1`: one event of a kube-apiserver's audit log (`audit.k8s.io`).

use super::format::{Document, Format};
use crate::{
    Actor, ActorType, Category, Context, Event, EventError, EventSource, Outcome, OutcomeResult,
    Target,
    checked::{BorrowedStr, CheckedStr, shape},
    error::{parse, read},
    json::{Map, Value},
    record::check_id,
};
use std::borrow::Cow;

/// Kubernetes audit.
#[derive(Debug)]
pub(super) struct Kubernetes;

shape! { 'de Shape("a Kubernetes audit event with auditID, stage and verb") {
    required audit_id: "auditID" => BorrowedStr<'de>,
    required stage: "stage" => BorrowedStr<'de>,
    required verb: "verb" => CheckedStr,
} }

impl Format for Kubernetes {
    fn name(&self) -> &'static str {
        "kubernetes.audit.v1"
    }

    /// The id is `auditID/stage/` and eight hex digits of a checksum of the bytes:
    /// the API server sends a retried event again byte for byte (a duplicate), and
    /// has no use for a refusal, so two different events that share auditID and
    /// stage are both kept.
    fn accept<'a>(&self, data: &'a str) -> Result<Option<Cow<'a, str>>, EventError> {
        let shape: Shape<'a> = parse(data)?;
        let (audit_id, stage) =
            (shape.audit_id.unwrap_or_default().0, shape.stage.unwrap_or_default().0);
        let id = format!("{audit_id}/{stage}/{:08x}", crc32c::crc32c(data.as_bytes()));
        check_id(&id).map_err(|error| EventError::member("auditID", error.to_string()))?;
        Ok(Some(Cow::Owned(id)))
    }

    fn view(&self, data: &str) -> Result<Event, EventError> {
        Ok(view(&read(data)?))
    }

    fn unpack<'a>(&self, document: &Document<'a>) -> Option<Vec<&'a str>> {
        match (document.kind.as_deref(), &document.items) {
            (Some("EventList"), Some(items)) => Some(items.iter().map(|item| item.get()).collect()),
            (Some("Event") | None, _) if document.audit_id.is_some() => Some(vec![document.text]),
            _ => None,
        }
    }
}

fn text(value: &Value<'_>, pointer: &str) -> Option<String> {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

fn texts(value: &Value<'_>, pointer: &str) -> Vec<String> {
    let items = value.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn view(data: &Value<'_>) -> Event {
    let resource = text(data, "/objectRef/resource");
    let verb = text(data, "/verb").unwrap_or_default();
    let path =
        [text(data, "/objectRef/apiGroup"), resource.clone(), text(data, "/objectRef/subresource")];
    let path: Vec<String> = path.into_iter().flatten().collect();
    let subject = if path.is_empty() { "nonresource".to_owned() } else { path.join(".") };
    let mut metadata = Map::new();
    for member in ["level", "stage", "requestURI", "annotations", "requestObject", "responseObject"]
    {
        if let Some(value) = data.get(member).filter(|value| !value.is_null()) {
            metadata.insert(member.to_owned(), value.clone().into_owned());
        }
    }
    let time = ["/stageTimestamp", "/requestReceivedTimestamp", "/timestamp"]
        .iter()
        .find_map(|pointer| text(data, pointer));
    Event {
        id: text(data, "/auditID"),
        time: time.unwrap_or_default(),
        action: format!("k8s.{subject}.{verb}"),
        category: Some(category(data, resource.as_deref().unwrap_or_default(), &verb)),
        actor: actor(data),
        targets: target(data).into_iter().collect(),
        outcome: outcome(data),
        source: Some(EventSource {
            name: "kube-apiserver".to_owned(),
            instance: None,
            seq: None,
            other: Map::new(),
        }),
        context: Some(context(data)),
        tenant: None,
        changes: Vec::new(),
        metadata,
        subjects: Vec::new(),
        corrects: None,
        other: Map::new(),
    }
}

fn category(data: &Value<'_>, resource: &str, verb: &str) -> Category {
    let group = text(data, "/objectRef/apiGroup").unwrap_or_default();
    let subresource = text(data, "/objectRef/subresource").unwrap_or_default();
    match resource {
        _ if group == "rbac.authorization.k8s.io" => Category::Permission,
        "clusterroles" | "clusterrolebindings" | "roles" | "rolebindings" => Category::Permission,
        "tokenreviews"
        | "subjectaccessreviews"
        | "selfsubjectaccessreviews"
        | "selfsubjectreviews" => Category::Auth,
        _ if matches!(subresource.as_str(), "exec" | "attach" | "portforward") => Category::Access,
        _ if matches!(verb, "get" | "list" | "watch") => Category::Access,
        _ => Category::Config,
    }
}

/// The one who acted is the impersonated user; who impersonated stands behind it.
fn actor(data: &Value<'_>) -> Actor {
    let user = |pointer: &str| {
        let name = text(data, &format!("{pointer}/username"))?;
        let kind = match name.as_str() {
            "system:anonymous" => ActorType::Anonymous,
            name if name.starts_with("system:serviceaccount:") => ActorType::Service,
            name if name.starts_with("system:") => ActorType::System,
            _ => ActorType::User,
        };
        Some(Actor {
            kind,
            id: text(data, &format!("{pointer}/uid")).unwrap_or_else(|| name.clone()),
            name: Some(name),
            roles: texts(data, &format!("{pointer}/groups")),
            session_id: None,
            on_behalf_of: None,
            other: Map::new(),
        })
    };
    let mut actor = user("/user").unwrap_or_else(|| Actor {
        kind: ActorType::Anonymous,
        id: "unknown".to_owned(),
        name: None,
        roles: Vec::new(),
        session_id: None,
        on_behalf_of: None,
        other: Map::new(),
    });
    actor.on_behalf_of = user("/impersonatedUser").map(Box::new);
    actor
}

fn target(data: &Value<'_>) -> Option<Target> {
    let kind = text(data, "/objectRef/resource")?;
    let name =
        text(data, "/objectRef/name").or_else(|| text(data, "/responseObject/metadata/name"));
    let parts = [text(data, "/objectRef/namespace"), name.clone()];
    let id = parts.into_iter().flatten().collect::<Vec<_>>().join("/");
    Some(Target { kind, id, name, other: Map::new() })
}

fn outcome(data: &Value<'_>) -> Outcome {
    let code = data.pointer("/responseStatus/code").and_then(Value::as_u64);
    let decision = text(data, "/annotations/authorization.k8s.io~1decision");
    let result = match (decision.as_deref(), code) {
        (Some("forbid"), _) | (_, Some(401 | 403)) => OutcomeResult::Denied,
        _ if text(data, "/stage").as_deref() == Some("Panic") => OutcomeResult::Failure,
        (_, Some(400..)) => OutcomeResult::Failure,
        (_, Some(_)) => OutcomeResult::Success,
        (_, None) => OutcomeResult::Unknown,
    };
    Outcome {
        result,
        code: code.map(|code| code.to_string()),
        reason: text(data, "/responseStatus/message")
            .or_else(|| text(data, "/annotations/authorization.k8s.io~1reason")),
        other: Map::new(),
    }
}

/// Only the last source address was seen by the API server; the others are claims.
fn context(data: &Value<'_>) -> Context {
    let mut sources = texts(data, "/sourceIPs");
    let ip = sources.pop();
    Context {
        ip,
        forwarded_for: sources,
        user_agent: text(data, "/userAgent"),
        request_id: text(data, "/auditID"),
        ..Context::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXEC: &str = r#"{"kind":"Event","auditID":"a1","stage":"ResponseStarted","verb":"create","user":{"username":"ops","groups":["system:masters"]},
        "impersonatedUser":{"username":"root"},"sourceIPs":["203.0.113.9","10.0.0.1"],"stageTimestamp":"2026-03-01T12:00:00.000001Z",
        "objectRef":{"resource":"pods","namespace":"prod","name":"db-0","subresource":"exec","apiVersion":"v1"},
        "responseStatus":{"code":403},"annotations":{"authorization.k8s.io/decision":"forbid","authorization.k8s.io/reason":"no rule"}}"#;

    #[test]
    fn a_forbidden_exec() {
        let event = Kubernetes.view(EXEC).unwrap();
        assert_eq!(event.action, "k8s.pods.exec.create");
        assert_eq!(event.outcome.result, OutcomeResult::Denied);
        assert_eq!(event.outcome.reason.as_deref(), Some("no rule"));
        assert_eq!(event.targets[0].id, "prod/db-0");
        assert_eq!(event.actor.on_behalf_of.unwrap().name.as_deref(), Some("root"));
        let context = event.context.unwrap();
        assert_eq!(
            (context.ip.as_deref(), context.forwarded_for.as_slice()),
            (Some("10.0.0.1"), ["203.0.113.9".to_owned()].as_slice())
        );
    }

    #[test]
    fn same_bytes_same_id_other_bytes_other_id() {
        let id = Kubernetes.accept(EXEC).unwrap().unwrap();
        assert!(id.starts_with("a1/ResponseStarted/"));
        assert_eq!(Kubernetes.accept(EXEC).unwrap().unwrap(), id);
        assert_ne!(Kubernetes.accept(&EXEC.replace("403", "401")).unwrap().unwrap(), id);
        assert!(Kubernetes.accept("{\"kind\":\"Event\"}").is_err());
    }
}
