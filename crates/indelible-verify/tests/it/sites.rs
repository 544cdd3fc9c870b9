//! A whole directory: the logs and keys are those that `_control` tells of.

use crate::{append, create, event};
use indelible_log::{Kind, Log};
use indelible_tlog::VerifyingKey;
use indelible_verify::{FindingKind, Options, Unproven, Verdict, verify_directory};
use std::{fs, path::Path};

fn check(path: &Path, keys: &[&VerifyingKey]) -> Verdict {
    let keys: Vec<VerifyingKey> = keys.iter().map(|key| (*key).clone()).collect();
    verify_directory(path, &keys, &[], Options::default(), &|_, _| {})
}

/// Writes an act, as the server does.
fn act(control: &Log, change: &str) {
    let data = format!(
        r#"{{"time":"2026-03-01T12:00:00Z","action":"control.x","actor":{{"type":"service","id":"token:1"}},"outcome":{{"result":"success"}},"control":{change}}}"#
    );
    append(control, std::iter::once(data));
}

fn created(log: &str, key: &VerifyingKey) -> String {
    format!(r#"{{"log":"{log}","raw":false,"type":"log_created","v":1,"vkey":"{key}"}}"#)
}

fn replaced(log: &str, key: &VerifyingKey) -> String {
    format!(
        r#"{{"log":"{log}","overlap_until":"2026-03-01T12:00:00Z","type":"key_replaced","v":1,"vkey":"{key}"}}"#
    )
}

#[test]
fn the_key_of_control_vouches_for_everything() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let (_, control) = create(path, "_control", Kind::Events);
    let (_, access) = create(path, "_access", Kind::Events);
    let (_, prod) = create(path, "prod", Kind::Events);
    let (key, first) = (control.verifying_key(), prod.verifying_key());
    act(&control, &created("prod", &first));
    append(&prod, std::iter::once(event("a")));
    append(&access, std::iter::once(event("a")));
    let verdict = check(path, &[&key]);
    assert_eq!(verdict.findings, []);
    assert_eq!((verdict.coverage.logs, verdict.coverage.records), (3, 3));
    // Nobody told the key of _access.
    assert!(verdict.coverage.unproven.contains(&Unproven::Key));
    let verdict = check(path, &[&key, &access.verifying_key()]);
    assert!(!verdict.coverage.unproven.contains(&Unproven::Key));
    // A key that an act replaced: told first, announced then.
    let second = prod.stage_key().unwrap();
    act(&control, &replaced("prod", &second));
    assert_eq!(check(path, &[&key]).findings, []);
    prod.replace_key(&second, indelible_event::Timestamp::from_micros(0)).unwrap();
    append(&prod, std::iter::once(event("b")));
    assert_eq!(check(path, &[&key]).findings, []);
    // One that no act replaced.
    let third = prod.stage_key().unwrap();
    prod.replace_key(&third, indelible_event::Timestamp::from_micros(0)).unwrap();
    let verdict = check(path, &[&key]);
    let found = &verdict.findings[0];
    assert_eq!((found.kind, found.log.as_deref()), (FindingKind::Altered, Some("prod")));
    // And none without the key of _control.
    let without = check(path, &[&first]);
    let found = without.findings.iter().find(|found| found.log.as_deref() == Some("_control"));
    assert_eq!(found.map(|found| found.kind), Some(FindingKind::Unverifiable), "{without:?}");
}

#[test]
fn logs_that_no_act_made_and_logs_that_are_gone_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let (_, control) = create(path, "_control", Kind::Events);
    let (_, prod) = create(path, "prod", Kind::Events);
    let key = control.verifying_key();
    act(&control, &created("prod", &prod.verifying_key()));
    append(&prod, std::iter::once(event("a")));
    assert_eq!(check(path, &[&key]).findings, []);
    let (_, shadow) = create(path, "shadow", Kind::Events);
    append(&shadow, std::iter::once(event("a")));
    let verdict = check(path, &[&key]);
    assert_eq!(verdict.worst(), Some(FindingKind::Unexpected), "{verdict:?}");
    drop(shadow);
    fs::remove_dir_all(path.join("logs/shadow")).unwrap();
    fs::write(path.join("notes"), "x").unwrap();
    assert_eq!(check(path, &[&key]).worst(), Some(FindingKind::Unexpected));
    fs::remove_file(path.join("notes")).unwrap();
    drop(prod);
    fs::rename(path.join("logs/prod"), path.join("tmp/prod")).unwrap();
    let verdict = check(path, &[&key]);
    assert_eq!(verdict.worst(), Some(FindingKind::Missing), "{verdict:?}");
}
