//! House rules that no other tool checks.

use anyhow::{Context as _, bail};
use std::{collections::BTreeMap, process::Command};

/// The only allowed edges between our crates (docs: ARCHITECTURE.md, code map).
/// Development dependencies are free.
const EDGES: [(&str, &[&str]); 11] = [
    ("indelible-tlog", &[]),
    ("indelible-event", &[]),
    ("indelible-store", &[]),
    ("indelible-log", &["indelible-tlog", "indelible-event", "indelible-store"]),
    ("indelible-index", &["indelible-event", "indelible-log"]),
    ("indelible-api", &["indelible-tlog", "indelible-event"]),
    (
        "indelible-server",
        &[
            "indelible-tlog",
            "indelible-event",
            "indelible-store",
            "indelible-log",
            "indelible-index",
            "indelible-api",
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
            "indelible-api",
            "indelible-server",
            "indelible-client",
        ],
    ),
    ("indelible-sim", &["indelible-tlog", "indelible-event", "indelible-store", "indelible-log"]),
    ("xtask", &[]),
];

/// Text that must not be in a tracked source file, and what to do instead.
fn forbidden() -> Vec<(String, &'static str)> {
    let join = |parts: &[&str]| parts.concat();
    vec![
        (join(&["TO", "DO"]), "open an issue"),
        (join(&["FIX", "ME"]), "fix it, or open an issue"),
        (join(&["#[ig", "nore"]), "a test gates or is deleted"),
        (join(&["todo", "!("]), "write it"),
        (join(&["unimplemented", "!("]), "write it"),
        (join(&["tamper-", "proof"]), "say tamper-evident"),
    ]
}

/// Files that name the forbidden words on purpose.
const EXEMPT: [&str; 3] = ["CONTRIBUTING.md", "docs/threat-model.md", "Cargo.lock"];

pub(crate) fn check() -> anyhow::Result<()> {
    let mut problems = edges()?;
    problems.extend(words()?);
    if problems.is_empty() { Ok(()) } else { bail!("{}", problems.join("\n")) }
}

fn edges() -> anyhow::Result<Vec<String>> {
    let output =
        Command::new("cargo").args(["metadata", "--format-version", "1", "--no-deps"]).output()?;
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).context("cargo metadata")?;
    let allowed: BTreeMap<&str, &[&str]> = EDGES.into_iter().collect();
    let mut problems = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        let Some(allowed) = allowed.get(name) else {
            problems.push(format!(
                "crate {name} is not in the list of crates (xtask/src/tidy.rs, ARCHITECTURE.md)"
            ));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let target = dependency["name"].as_str().unwrap_or_default();
            let ours = dependency["path"].is_string();
            if ours && dependency["kind"].as_str() != Some("dev") && !allowed.contains(&target) {
                problems.push(format!("{name} may not depend on {target}"));
            }
        }
    }
    Ok(problems)
}

fn words() -> anyhow::Result<Vec<String>> {
    let output = Command::new("git").args(["ls-files"]).output().context("git ls-files")?;
    let files = String::from_utf8(output.stdout)?;
    let mut problems = Vec::new();
    for file in files.lines().filter(|file| !EXEMPT.contains(file)) {
        let Ok(text) = std::fs::read_to_string(file) else { continue };
        for (word, instead) in forbidden() {
            if let Some(line) = text.lines().position(|line| line.contains(&word)) {
                problems.push(format!("{file}:{}: {word:?}: {instead}", line + 1));
            }
        }
    }
    Ok(problems)
}
