//! Words that must not stand in the repository.

use anyhow::Context as _;
use std::process::Command;

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

pub(super) fn check() -> anyhow::Result<Vec<String>> {
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
