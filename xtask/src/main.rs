//! `cargo xtask`: everything around the code, in one place.

mod hostile;
mod interop;
mod postgres;
mod reader;
mod run;
mod running;
mod setup;
mod tidy;

use anyhow::{Context as _, bail};
use run::{root, run, step};
use std::process::Command;

const USAGE: &str = "usage: cargo xtask COMMAND

  demo      build and run the demo
  setup     install what the tests need
  test      setup, then run all tests
  ci        the gate: format, lints, tests, docs, dependencies, tidy
  tidy      check edges between crates, rooms within them, sizes and other house rules
  rooms     print the floors of the server and their files
  interop   let programs we did not write judge a running server (needs Go)
  hostile [BINARY]  measure how a server stands 2,000 hostile connections of each kind
            (INDELIBLE_HOSTILE_CONNECTIONS and INDELIBLE_HOSTILE_SECONDS change the measure)
  simulate  run the crash simulation over SEEDS seeds (default 2000) from FIRST (default 0)
  postgres  compare durable appends with PostgreSQL on this machine (needs PostgreSQL)
  postgres-search [EVENTS]  compare ingest and searches, with 10,000,000 events by default";

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();
    std::env::set_current_dir(root()).context("could not enter the repository")?;
    match command.as_str() {
        "demo" => run(
            "cargo",
            &[
                &["run", "--release", "--package", "indelible", "--", "demo"],
                texts(&rest).as_slice(),
            ]
            .concat(),
        ),
        "setup" => step("setup", setup::install),
        "test" => test(),
        "ci" => ci(),
        "tidy" => tidy::check(),
        "rooms" => rooms(),
        "interop" => interop::judge(),
        "hostile" => hostile::measure(rest.first().map(String::as_str)),
        "simulate" => simulate(&rest),
        "postgres" => postgres::compare(),
        "postgres-search" => {
            let events = rest.first().map_or(Ok(10_000_000), |text| text.parse());
            postgres::compare_search(events.context("EVENTS is not a number")?)
        }
        _ => bail!("{USAGE}"),
    }
}

#[expect(clippy::print_stdout, reason = "the command's result")]
fn rooms() -> anyhow::Result<()> {
    print!("{}", tidy::rooms()?);
    Ok(())
}

fn texts(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

fn test() -> anyhow::Result<()> {
    step("setup", setup::install)?;
    step("test", || run("cargo", &["test", "--workspace", "--all-targets"]))?;
    step("doctest", || run("cargo", &["test", "--workspace", "--doc"]))
}

fn ci() -> anyhow::Result<()> {
    step("tidy", tidy::check)?;
    step("fmt", || run("cargo", &["fmt", "--all", "--check"]))?;
    step("clippy", || {
        run("cargo", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])
    })?;
    // A workspace of its own, which nothing else builds.
    step("fuzz", || {
        let manifest = ["--manifest-path", "fuzz/Cargo.toml", "--target-dir", "target/fuzz"];
        run("cargo", &[&["check", "--locked"], &manifest[..]].concat())
    })?;
    test()?;
    step("doc", || {
        let status = Command::new("cargo")
            .args(["doc", "--workspace", "--no-deps", "--document-private-items"])
            .env("RUSTDOCFLAGS", "-D warnings")
            .status()?;
        if status.success() { Ok(()) } else { bail!("cargo doc failed") }
    })?;
    step("deny", deny)
}

/// Bans, licences and sources; advisories need a database that CI cannot reach.
fn deny() -> anyhow::Result<()> {
    if Command::new("cargo")
        .args(["deny", "--version"])
        .output()
        .is_ok_and(|found| !found.status.success())
    {
        run("cargo", &["install", "cargo-deny", "--locked", "--version", "0.20.2"])?;
    }
    run("cargo", &["deny", "--workspace", "check", "bans", "licenses", "sources"])
}

fn simulate(arguments: &[String]) -> anyhow::Result<()> {
    let seeds = arguments.first().map_or("2000", String::as_str);
    let first = arguments.get(1).map_or("0", String::as_str);
    let status = Command::new("cargo")
        .args(["test", "--release", "--package", "indelible-sim", "seeds", "--", "--nocapture"])
        .env("INDELIBLE_SIM_SEEDS", seeds)
        .env("INDELIBLE_SIM_FIRST", first)
        .status()?;
    if status.success() {
        Ok(())
    } else {
        bail!("a seed failed: it is named above and reproduces with the same command")
    }
}
