//! Which crate may use which.

use super::metadata::Package;
use std::collections::BTreeMap;

/// The only allowed edges between our crates (docs: ARCHITECTURE.md, code map).
/// Development dependencies are free; a crate named here may not exist yet.
const EDGES: [(&str, &[&str]); 14] = [
    ("indelible-tlog", &[]),
    ("indelible-event", &[]),
    ("indelible-store", &[]),
    ("indelible-log", &["indelible-tlog", "indelible-event", "indelible-store"]),
    ("indelible-query", &["indelible-event"]),
    ("indelible-index", &["indelible-event", "indelible-log", "indelible-query"]),
    ("indelible-api", &["indelible-tlog", "indelible-event"]),
    ("indelible-export", &["indelible-tlog", "indelible-event", "indelible-api"]),
    (
        "indelible-verify",
        &[
            "indelible-tlog",
            "indelible-event",
            "indelible-store",
            "indelible-log",
            "indelible-api",
            "indelible-query",
            "indelible-export",
        ],
    ),
    (
        "indelible-server",
        &[
            "indelible-tlog",
            "indelible-event",
            "indelible-store",
            "indelible-log",
            "indelible-query",
            "indelible-index",
            "indelible-api",
            "indelible-export",
            "indelible-verify",
        ],
    ),
    ("indelible-client", &["indelible-tlog", "indelible-event", "indelible-api"]),
    (
        "indelible",
        &[
            "indelible-tlog",
            "indelible-event",
            "indelible-store",
            "indelible-log",
            "indelible-index",
            "indelible-api",
            "indelible-server",
            "indelible-client",
            "indelible-verify",
        ],
    ),
    (
        "indelible-sim",
        &[
            "indelible-tlog",
            "indelible-event",
            "indelible-store",
            "indelible-log",
            "indelible-verify",
        ],
    ),
    ("xtask", &[]),
];

pub(super) fn check(packages: &[Package]) -> Vec<String> {
    let allowed: BTreeMap<&str, &[&str]> = EDGES.into_iter().collect();
    let mut problems = Vec::new();
    for package in packages {
        let name = &package.name;
        let Some(allowed) = allowed.get(name.as_str()) else {
            problems.push(format!(
                "crate {name} is not in the list of crates (xtask/src/tidy/edges.rs, ARCHITECTURE.md)"
            ));
            continue;
        };
        for dependency in &package.dependencies {
            let target = dependency.name.as_str();
            if dependency.ours && !dependency.is_dev() && !allowed.contains(&target) {
                problems.push(format!("{name} may not depend on {target}"));
            }
        }
    }
    problems
}
