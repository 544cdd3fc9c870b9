//! How a running server stands hostile connections beside an honest writer and an honest
//! reader: a quiet measure first, then each kind of attack by itself.

mod attack;
mod honest;
mod server;

use crate::run::{root, step};
use anyhow::{Context as _, bail};
use attack::{Fared, Kind, Target};
use honest::Met;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use server::{LARGE, LOG, Server};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// An honest p99 may be so many times the quiet one.
const SLOWER: u32 = 10;
/// A p99 up to this is never too slow: so much is noise of the machine.
const NOISE: Duration = Duration::from_millis(50);
/// Most bytes that the server may have resident.
const MEMORY: u64 = 512 << 20;
/// Open files that are not hostile connections.
const OTHER_FILES: u64 = 256;

/// Size of the measure.
struct Size {
    connections: usize,
    seconds: u64,
}

/// What one kind did to the server and its honest clients.
struct Row {
    name: &'static str,
    fared: Fared,
    appends: Met,
    reads: Met,
    /// Most resident bytes of the server.
    memory: u64,
    /// Records that `_access` gained beyond those of the honest reads; what kept the
    /// server from telling.
    trail: Result<u64, String>,
}

/// Measures `binary`, by default the release build, and prints a table.
///
/// # Errors
/// If an honest request failed, became too slow, or the server took too much memory.
pub(crate) fn measure(binary: Option<&str>) -> anyhow::Result<()> {
    let size = Size {
        connections: from_environment("INDELIBLE_HOSTILE_CONNECTIONS", 2000)?,
        seconds: from_environment("INDELIBLE_HOSTILE_SECONDS", 10)? as u64,
    };
    raise_open_files(size.connections as u64 + OTHER_FILES)?;
    let binary = root().join(binary.unwrap_or("target/release/indelible"));
    let server = Server::start(&binary, &root().join("target/hostile"))?;
    step("fill two logs", || server.fill())?;
    let tokens = Tokens {
        writer: server.token("honest-writer", &["writer:prod"])?,
        reader: server.token("honest-reader", &["reader:prod"])?,
        verifier: server.token("observer", &["verifier:_access"])?,
    };
    let hostile = server.token("hostile", &["writer:prod", "reader:large"])?;
    let target = Arc::new(Target::new(server.address, &hostile, LOG, LARGE)?);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let quiet_time = Duration::from_secs(size.seconds.div_ceil(2));
    let quiet = row(&server, &tokens, "quiet", quiet_time, |_| Fared::default())?;
    let (mut faults, mut lines) = (failures(&quiet), vec![heading(), quiet.line()]);
    // What a kind leaves behind shows in the next ones, and in quiet after all of them.
    for kind in Kind::ALL.map(Some).into_iter().chain([None]) {
        let name = kind.map_or("quiet after all", Kind::name);
        let time = kind.map_or(quiet_time, |_| size.time());
        let measured = row(&server, &tokens, name, time, |until| {
            kind.map_or_else(Fared::default, |kind| {
                let target = Arc::clone(&target);
                runtime.block_on(attack::attack(target, kind, size.connections, until.into()))
            })
        });
        match measured {
            Ok(row) => {
                faults.extend(failures(&row));
                faults.extend(slowness(&quiet, &row));
                lines.push(row.line());
            }
            // The server may be gone: what was measured until here is still worth seeing.
            Err(error) => {
                faults.push(format!("{name}: {error:#}"));
                break;
            }
        }
    }
    report(&lines);
    if faults.is_empty() { Ok(()) } else { bail!("{}", faults.join("\n")) }
}

struct Tokens {
    writer: String,
    reader: String,
    verifier: String,
}

impl Size {
    const fn time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

fn from_environment(name: &str, otherwise: usize) -> anyhow::Result<usize> {
    match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name} is not a number")),
        Err(_) => Ok(otherwise),
    }
}

/// For this process and for the server that it starts.
fn raise_open_files(wanted: u64) -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    if let Some(most) = limit.maximum.filter(|most| *most < wanted) {
        bail!(
            "{wanted} open files are needed, but the hard limit is {most}: raise it (ulimit -Hn), or set INDELIBLE_HOSTILE_CONNECTIONS"
        );
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum })
        .context("could not raise the limit of open files")
}

/// Runs the honest clients beside `beside`, which gets the time when all ends.
fn row(
    server: &Server,
    tokens: &Tokens,
    name: &'static str,
    time: Duration,
    beside: impl FnOnce(Instant) -> Fared,
) -> anyhow::Result<Row> {
    let before = server.trail(&tokens.verifier)?;
    server.forget_peak()?;
    let until = Instant::now() + time;
    let (writer, reader) = (server.client(&tokens.writer), server.client(&tokens.reader));
    let (appends, reads, fared) = std::thread::scope(|scope| {
        let appends = scope.spawn(|| honest::write(writer, LOG, until));
        let reads = scope.spawn(|| honest::read(reader, LOG, until));
        let fared = beside(until);
        (appends.join(), reads.join(), fared)
    });
    let panicked = |_| anyhow::anyhow!("an honest client panicked");
    let (appends, reads) = (appends.map_err(panicked)?, reads.map_err(panicked)?);
    let memory = server.peak()?;
    // A server that no longer answers has a row all the same: its memory tells why.
    let shown = reads.took.len() as u64;
    let trail = server.trail(&tokens.verifier);
    let trail = trail.map(|now| now.saturating_sub(before).saturating_sub(shown));
    let trail = trail.map_err(|error| format!("{error:#}"));
    Ok(Row { name, fared, appends, reads, memory, trail })
}

/// What may never be, whatever the quiet figures.
fn failures(row: &Row) -> Vec<String> {
    let mut faults = Vec::new();
    for (what, met) in [("append", &row.appends), ("read", &row.reads)] {
        if let Some(first) = met.errors.first() {
            faults.push(format!(
                "{}: {} of the honest {what}s failed, the first: {first}",
                row.name,
                met.errors.len()
            ));
        }
        if met.took.is_empty() {
            faults.push(format!("{}: no honest {what} was answered", row.name));
        }
    }
    if let Err(error) = &row.trail {
        faults.push(format!("{}: the size of _access could not be read: {error}", row.name));
    }
    if row.memory > MEMORY {
        faults.push(format!(
            "{}: the server had {} MB resident, more than {}",
            row.name,
            row.memory >> 20,
            MEMORY >> 20
        ));
    }
    faults
}

fn slowness(quiet: &Row, row: &Row) -> Vec<String> {
    let pairs = [("append", &quiet.appends, &row.appends), ("read", &quiet.reads, &row.reads)];
    let mut faults = Vec::new();
    for (what, quiet, now) in pairs {
        let (most, took) = ((quiet.quantile(0.99) * SLOWER).max(NOISE), now.quantile(0.99));
        if took > most {
            faults.push(format!(
                "{}: p99 of honest {what}s is {} ms, more than {} ms",
                row.name,
                took.as_millis(),
                most.as_millis()
            ));
        }
    }
    faults
}

fn heading() -> String {
    format!(
        "{:<18}{:>8}{:>8}{:>8}{:>10}{:>10}{:>10}{:>10}{:>10}{:>8}{:>6}{:>8}{:>9}",
        "kind",
        "opened",
        "held",
        "refused",
        "append50",
        "append99",
        "read50",
        "read99",
        "requests",
        "errors",
        "lost",
        "RSS MB",
        "_access"
    )
}

impl Row {
    fn line(&self) -> String {
        let ms = |met: &Met, share| format!("{:.1}", met.quantile(share).as_secs_f64() * 1000.0);
        format!(
            "{:<18}{:>8}{:>8}{:>8}{:>10}{:>10}{:>10}{:>10}{:>10}{:>8}{:>6}{:>8}{:>9}",
            self.name,
            self.fared.opened,
            self.fared.held,
            self.fared.refused,
            ms(&self.appends, 0.5),
            ms(&self.appends, 0.99),
            ms(&self.reads, 0.5),
            ms(&self.reads, 0.99),
            self.appends.took.len() + self.reads.took.len(),
            self.appends.errors.len() + self.reads.errors.len(),
            self.appends.lost,
            self.memory >> 20,
            self.trail.as_ref().map_or_else(|_| "?".to_owned(), u64::to_string)
        )
    }
}

#[expect(clippy::print_stdout, reason = "the table is what was asked for")]
fn report(lines: &[String]) {
    println!(
        "latencies in milliseconds; lost: times the writer's connection was closed while idle; \
         _access: records beyond those of honest reads"
    );
    println!("{}", lines.join("\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(append_ms: u64, memory: u64) -> Row {
        let met =
            |ms| Met { took: vec![Duration::from_millis(ms); 10], errors: Vec::new(), lost: 0 };
        let fared = Fared::default();
        Row { name: "x", fared, appends: met(append_ms), reads: met(1), memory, trail: Ok(0) }
    }

    #[test]
    fn only_what_is_slow_beyond_noise_is_a_fault() {
        let quiet = measured(6, 1);
        assert_eq!(slowness(&quiet, &measured(60, 1)), [""; 0]);
        assert_eq!(
            slowness(&quiet, &measured(61, 1)),
            ["x: p99 of honest appends is 61 ms, more than 60 ms"]
        );
        assert_eq!(slowness(&measured(1, 1), &measured(50, 1)), [""; 0]);
        assert_eq!(
            slowness(&measured(1, 1), &measured(51, 1)),
            ["x: p99 of honest appends is 51 ms, more than 50 ms"]
        );
    }

    #[test]
    fn failures_silence_and_memory_are_faults() {
        assert_eq!(failures(&measured(1, MEMORY)), [""; 0]);
        assert_eq!(
            failures(&measured(1, MEMORY + (1 << 20))),
            ["x: the server had 513 MB resident, more than 512"]
        );
        let mut row = measured(1, 1);
        row.reads = Met { took: Vec::new(), errors: vec!["get: refused".to_owned()], lost: 0 };
        assert_eq!(
            failures(&row),
            [
                "x: 1 of the honest reads failed, the first: get: refused",
                "x: no honest read was answered"
            ]
        );
    }

    #[test]
    fn a_quantile_is_a_measured_value() {
        let took = (1..=100).rev().map(Duration::from_millis).collect();
        let met = Met { took, errors: Vec::new(), lost: 0 };
        assert_eq!(met.quantile(0.5), Duration::from_millis(50));
        assert_eq!(met.quantile(0.99), Duration::from_millis(99));
        assert_eq!(Met::default().quantile(0.99), Duration::ZERO);
    }
}
