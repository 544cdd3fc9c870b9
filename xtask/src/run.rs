//! The repository, the programs that run in it, and the steps they are.

use anyhow::{Context as _, bail};
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

/// The repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map_or_else(|| PathBuf::from("."), Path::to_owned)
}

/// Runs a program and fails if it does.
pub(crate) fn run(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let status = Command::new(program).args(arguments).status();
    let status = status.with_context(|| format!("could not run {program}"))?;
    if status.success() { Ok(()) } else { bail!("{program} {} failed", arguments.join(" ")) }
}

#[expect(clippy::print_stderr, reason = "a task runner reports its steps")]
pub(crate) fn step(name: &str, body: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let started = Instant::now();
    eprintln!("== {name}");
    body().with_context(|| format!("step {name} failed"))?;
    eprintln!("== {name}: ok, {:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}
