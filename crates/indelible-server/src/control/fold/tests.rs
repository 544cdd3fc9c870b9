#![expect(clippy::unwrap_used, reason = "tests state their expectations by failing")]

use super::*;
use crate::control::{
    act::{ActApproved, ActProposed, ActRejected},
    event::{Author, decode, encode},
    grant::{GrantAdded, GrantRemoved},
    key::KeyReplaced,
    log::{LogCreated, LogPublished},
    policy::PolicyChanged,
    system::{Before, ServerStarted, ServerStopped},
    token::{TokenIssued, TokenRevoked},
    used::CredentialsUsed,
    view::{ViewDeleted, ViewSaved},
};
use proptest::prelude::*;

fn started() -> ServerStarted {
    ServerStarted {
        version: "1".into(),
        binary: None,
        settings: "00".into(),
        before: Before::First,
    }
}

/// A change that fits the configuration, chosen by three numbers.
fn choose(control: &Control, kind: u8, a: usize, n: usize) -> Change {
    let pick = |ids: Vec<&String>| ids.get(a % ids.len().max(1)).map(|id| (*id).clone());
    let grant = Grant {
        tenant: a.is_multiple_of(3).then(|| format!("t{a}")),
        ..Grant::new(if a.is_multiple_of(5) { Role::Auditor } else { Role::Reader }, "prod*")
    };
    let log = pick(control.logs.keys().collect());
    let waiting = pick(control.waiting.keys().collect());
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    match kind {
        0 => LogCreated {
            log: format!("l{n}"),
            kind: if a.is_multiple_of(2) { Kind::Raw } else { Kind::Events },
            vkey: "v".into(),
        }
        .into(),
        1 if log.is_some() => {
            LogPublished { log: log.unwrap(), public: a.is_multiple_of(2) }.into()
        }
        2 if log.is_some() => KeyReplaced {
            log: log.unwrap(),
            vkey: format!("v{n}"),
            overlap_until: at("2026-01-01T00:00:00.000000Z"),
        }
        .into(),
        3 => TokenIssued {
            token: format!("{n:012x}"),
            name: "näme \" \\ \u{7}".into(),
            sha256: "00".into(),
            expires_at: a.is_multiple_of(2).then(|| at("2027-01-01T00:00:00Z")),
            grants: (0..a % 3).map(|i| (format!("g{n}-{i}"), grant.clone())).collect(),
        }
        .into(),
        4 => match pick(control.tokens.keys().collect()) {
            Some(token) => TokenRevoked { token }.into(),
            None => ServerStopped {}.into(),
        },
        5 => GrantAdded { id: format!("g{n}"), subject: "group:a".into(), grant }.into(),
        6 => match pick(control.grants.keys().collect()) {
            Some(id) => GrantRemoved { id }.into(),
            None => started().into(),
        },
        7 => PolicyChanged {
            policy: Policy { two_person: vec![Act::Publish], pending_hours: a as u32 },
        }
        .into(),
        8 => ActProposed {
            id: format!("a{n}"),
            act: Act::GrantOperator,
            expires_at: at("2026-01-01T00:00:00Z"),
            groups: (0..a % 2).map(|i| format!("group:{i}")).collect(),
            change: Box::new(
                GrantAdded {
                    id: format!("p{n}"),
                    subject: "cert:CN=x".into(),
                    grant: Grant::new(Role::Operator, "*"),
                }
                .into(),
            ),
        }
        .into(),
        11 => ViewSaved {
            log: "l".into(),
            view: format!("v{}", a % 3),
            q: "actor:\"x\"".into(),
            description: None,
        }
        .into(),
        12 if !control.views.is_empty() => {
            let (log, view) = control.views.keys().next().unwrap().clone();
            ViewDeleted { log, view }.into()
        }
        9 if waiting.is_some() => ActApproved { id: waiting.unwrap() }.into(),
        10 if waiting.is_some() => ActRejected { id: waiting.unwrap() }.into(),
        // What does not apply.
        13 => GrantRemoved { id: format!("nobody-{a}") }.into(),
        14 => ActApproved { id: format!("nobody-{a}") }.into(),
        _ => {
            let used = [(format!("token:{a}"), Timestamp::from_micros(a as i64))].into();
            CredentialsUsed { used }.into()
        }
    }
}

proptest! {
    /// The configuration is the fold: from the records' bytes, at once or in two
    /// parts, it is always the one that was in force.
    #[test]
    fn folding_again_gives_the_same(steps in prop::collection::vec((0u8..16, 0usize..50), 0..80), cut in 0usize..80) {
        let mut running = Control::default();
        let mut records = Vec::new();
        for (n, (kind, a)) in steps.into_iter().enumerate() {
            let change = choose(&running, kind, a, n);
            let approves = matches!(change, Change::ActApproved(_));
            let principal = if approves { "token:second" } else { "token:first" };
            let reason = a.is_multiple_of(2).then(|| "ticket".to_owned());
            let author = Author { principal: principal.into(), reason, ..Author::system() };
            let data = encode(&change, &author, Timestamp::from_micros(n as i64), &[]);
            prop_assert!(indelible_event::format_named("indelible.v1").unwrap().accept(&data).is_ok());
            let decoded = decode(&data).unwrap();
            prop_assert_eq!(&decoded.change, &change);
            drop(running.apply(&decoded));
            records.push(data);
        }
        let fold = |control: &mut Control, records: &[String]| {
            records.iter().for_each(|data| drop(control.apply(&decode(data).unwrap())));
        };
        let mut whole = Control::default();
        fold(&mut whole, &records);
        prop_assert_eq!(&whole, &running);
        let (first, rest) = records.split_at(cut.min(records.len()));
        let mut parts = Control::default();
        fold(&mut parts, first);
        fold(&mut parts, rest);
        prop_assert_eq!(parts, running);
    }

    #[test]
    fn any_bytes_are_refused(data: String) {
        prop_assert!(decode(&data).is_err());
    }
}

#[test]
fn what_does_not_apply_has_no_effect_and_is_counted() {
    let at = |hour: i64| Timestamp::from_micros(hour * 3_600_000_000);
    let event = |principal: &str, hour: i64, change: Change| Decoded {
        time: at(hour),
        principal: principal.into(),
        reason: None,
        change,
    };
    let mut control = Control::default();
    let mut tried = Vec::new();
    let issue = |token: &str| -> Change {
        TokenIssued {
            token: token.into(),
            name: "t".into(),
            sha256: "00".into(),
            expires_at: None,
            grants: [("g".to_owned(), Grant::new(Role::Operator, "*"))].into(),
        }
        .into()
    };
    let propose = |id: &str, change: Change| -> Change {
        ActProposed {
            id: id.into(),
            act: Act::GrantOperator,
            expires_at: at(9),
            groups: Vec::new(),
            change: Box::new(change),
        }
        .into()
    };
    let add = |id: &str, subject: &str| -> Change {
        let grant = Grant::new(Role::Operator, "*");
        GrantAdded { id: id.into(), subject: subject.into(), grant }.into()
    };
    let approve = |id: &str| -> Change { ActApproved { id: id.into() }.into() };
    let (revoke, gone) = (
        || -> Change { TokenRevoked { token: "x".into() }.into() },
        || -> Change { TokenRevoked { token: "y".into() }.into() },
    );
    for (n, (fits, event)) in [
        (false, event("a", 0, GrantRemoved { id: "x".into() }.into())),
        (false, event("a", 0, LogPublished { log: "x".into(), public: true }.into())),
        (false, event("a", 0, approve("x"))),
        (true, event("a", 0, issue("x"))),
        // A known token, or one with the id of a grant that is held.
        (false, event("a", 0, issue("x"))),
        (false, event("a", 0, issue("y"))),
        (false, event("a", 0, gone())),
        (false, event("a", 0, add("h", "token:y"))),
        (true, event("a", 0, propose("own", add("h", "group:a")))),
        (false, event("a", 0, propose("own", add("i", "group:a")))),
        (false, event("a", 0, propose("nested", approve("own")))),
        (false, event("a", 0, approve("own"))),
        (false, event("b", 9, approve("own"))),
        // What is approved does not apply: the act goes on waiting.
        (true, event("a", 0, propose("twice", issue("x")))),
        (false, event("b", 1, approve("twice"))),
        (true, event("a", 1, revoke())),
        (false, event("a", 2, revoke())),
        (true, event("b", 2, approve("own"))),
    ]
    .into_iter()
    .enumerate()
    {
        let before = control.clone();
        let applied = control.apply(&event);
        assert_eq!(applied.is_ok(), fits, "{n}: {applied:?}");
        if let Err(misfit) = applied {
            tried.push((n as u64, misfit));
            let same =
                Control { size: before.size, misfits: before.misfits.clone(), ..control.clone() };
            assert_eq!(same, before, "{n}");
        }
    }
    assert_eq!(control.size, 18);
    assert_eq!(control.misfits.count, tried.len() as u64);
    assert_eq!(control.misfits.first, tried[..10]);
    assert_eq!(control.tokens["x"].revoked_at, Some(at(1)));
    assert_eq!(control.grants["h"].approved_by.as_deref(), Some("b"));
}

#[test]
fn what_nobody_may_ask_for_any_more_waits_no_more() {
    let event = |by: &str, change: Change| Decoded {
        time: Timestamp::from_micros(0),
        principal: by.into(),
        reason: None,
        change,
    };
    let add = |id: &str, subject: &str, log: &str| -> Change {
        let grant = Grant::new(Role::Operator, log);
        GrantAdded { id: id.into(), subject: subject.into(), grant }.into()
    };
    let propose = |id: &str, groups: &[&str], log: &str| -> Change {
        ActProposed {
            id: id.into(),
            act: Act::GrantOperator,
            expires_at: Timestamp::from_micros(1),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            change: Box::new(add("made", "group:x", log)),
        }
        .into()
    };
    let mut control = Control::default();
    for change in [
        event("system", add("all", "oidc:ada", "*")),
        event("system", add("team", "oidc:ada", "team-*")),
        event("system", add("sre", "group:sre", "*")),
        event("oidc:ada", propose("by-ada", &[], "prod")),
        event("oidc:ada", propose("by-ada-team", &[], "team-a")),
        event("oidc:ben", propose("by-ben", &["group:sre"], "prod")),
    ] {
        control.apply(&change).unwrap();
    }
    let waiting = |control: &Control| control.waiting.keys().cloned().collect::<Vec<_>>();
    control.apply(&event("system", GrantRemoved { id: "all".into() }.into())).unwrap();
    assert_eq!(waiting(&control), ["by-ada-team", "by-ben"]);
    control.apply(&event("system", GrantRemoved { id: "sre".into() }.into())).unwrap();
    assert_eq!(waiting(&control), ["by-ada-team"]);
}

#[test]
fn a_newer_version_is_not_understood() {
    let newer =
        r#"{"time":"2026-01-01T00:00:00Z","actor":{"id":"a"},"control":{"v":2,"type":"x"}}"#;
    assert!(decode(newer).unwrap_err().to_string().contains("version 2"));
}
