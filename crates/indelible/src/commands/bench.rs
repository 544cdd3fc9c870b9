//! `indelible bench`: what this machine does, client included, with syncs on.

use crate::{
    commands::{
        bench_search::{measure, print_events},
        bench_server::{Memory, Running, batch_bodies},
        figure::{Figure, Figures, figure},
    },
    global::Global,
    output::{self, FAINT, STRONG, count, line},
};
use anyhow::Context as _;
use indelible_log::{Batch, DataDir, Kind, Log, Options};
use indelible_server::access_cost;
use indelible_tlog::VerifyingKey;
use indelible_verify::verify_store;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Measure this machine: appends, proofs, verification.
///
/// Starts `indelible serve` on a fresh directory, with its defaults. The client runs
/// beside it on the same machine and is part of every rate; it checks each answer's
/// checkpoint and recomputes every leaf hash, but for `search`.
#[derive(Debug, clap::Args)]
pub(crate) struct Bench {
    /// What to measure [default: all]
    #[arg(value_enum)]
    what: Vec<What>,
    /// Events appended in batches; verification and proofs then run over them
    #[arg(long, default_value_t = 2_000_000)]
    events: u64,
    /// Seconds of each test of single appends
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Events in a batch
    #[arg(long, default_value_t = 1000)]
    batch: usize,
    /// Connections that send batches
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Where to put the data; removed afterwards [default: a folder in the working directory]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// Batched NDJSON over HTTP, then proofs, reopening and verification of that log
    Batches,
    /// Single appends with inclusion proof over HTTP
    Singles,
    /// 1,000 records of 32 bytes a commit, in process
    Embedded,
    /// Ingest with indexing, and searches over the EVENTS that were appended
    Search,
    /// No measurement: print the EVENTS that `search` appends, for other systems
    Events,
    /// Authentication and authorisation, and what the trail adds to reads under load
    Access,
}

impl Bench {
    pub(crate) fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        if self.what == [What::Events] {
            print_events(self.events);
            return Ok(ExitCode::SUCCESS);
        }
        let dir = self
            .dir
            .clone()
            .unwrap_or_else(|| PathBuf::from(format!("indelible-bench-{}", std::process::id())));
        std::fs::create_dir_all(&dir)?;
        let wants = |what| self.what.is_empty() || self.what.contains(&what);
        let mut figures = Vec::new();
        let result = (|| -> anyhow::Result<()> {
            if wants(What::Embedded) {
                embedded(&dir.join("embedded"), &mut figures)?;
            }
            if wants(What::Access) {
                self.access(&dir.join("access"), &mut figures)?;
            }
            if wants(What::Singles) {
                self.singles(&dir.join("singles"), &mut figures)?;
            }
            if wants(What::Search) {
                let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
                let (dir, connections) = (dir.join("search"), self.connections);
                runtime.block_on(measure(&dir, self.events, connections, &mut figures))?;
            }
            if wants(What::Batches) {
                self.batches(&dir.join("batches"), &mut figures)?;
            }
            Ok(())
        })();
        std::fs::remove_dir_all(&dir)?;
        result?;
        if global.json {
            output::json(&figures)?;
        } else {
            for Figure { name, value, unit, note } in &figures {
                let value =
                    if *value >= 1000.0 { count(*value as u64) } else { format!("{value:.3}") };
                let note = note
                    .as_deref()
                    .map_or_else(String::new, |note| format!("  {FAINT}{note}{FAINT:#}"));
                line(format_args!("{name:52} {STRONG}{value:>12}{STRONG:#} {unit}{note}"));
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn access(&self, dir: &Path, figures: &mut Figures) -> anyhow::Result<()> {
        let cost = access_cost(1000, 200_000).map_err(anyhow::Error::msg)?;
        figures.push(figure(
            "authentication and authorisation, 10,000 grants",
            cost.as_secs_f64() * 1e6,
            "us",
            None,
        ));
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let duration = Duration::from_secs(self.seconds);
        runtime.block_on(async {
            let running = Running::start(dir).await?;
            running.batch_appends(&Arc::new(batch_bodies(1000)), 20_000, 1000, 4).await?;
            for connections in [1, 8, 50] {
                let before = running.trail_buckets().await?;
                let mut latencies = running.reads(connections, duration).await?;
                let after = running.trail_buckets().await?;
                latencies.sort_unstable();
                let middle = latencies.get(latencies.len() / 2).copied().unwrap_or_default();
                let rate = latencies.len() as f64 / duration.as_secs_f64();
                let name = |what: &str| format!("{what}, {connections} connection(s)");
                let note = format!("p50 {:.2} ms", middle.as_secs_f64() * 1000.0);
                figures.push(figure(
                    &name("reads of one event, each in the trail"),
                    rate,
                    "1/s",
                    Some(note),
                ));
                let (low, high) = median_bucket(&before, &after);
                let note = format!("p50 between {low:.3} and {high:.3} ms");
                figures.push(figure(
                    &name("  of which the trail, p50 at most"),
                    high,
                    "ms",
                    Some(note),
                ));
            }
            running.stop()
        })
    }

    fn singles(&self, dir: &Path, figures: &mut Figures) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let duration = Duration::from_secs(self.seconds);
        runtime.block_on(async {
            let running = Running::start(dir).await?;
            for (connections, rate) in [(1, None), (50, None), (8, Some(1000.0))] {
                let mut latencies = running.single_appends(connections, duration, rate).await?;
                latencies.sort_unstable();
                let at = |share: f64| {
                    latencies
                        .get(
                            ((latencies.len() as f64 * share) as usize)
                                .min(latencies.len().saturating_sub(1)),
                        )
                        .map_or(0.0, |t| t.as_secs_f64() * 1000.0)
                };
                let name = match rate {
                    None => format!("single appends with proof, {connections} connection(s)"),
                    Some(rate) => format!("single appends with proof, {rate:.0}/s offered"),
                };
                let note = format!(
                    "p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms",
                    at(0.5),
                    at(0.99),
                    at(0.999)
                );
                figures.push(figure(
                    &name,
                    latencies.len() as f64 / duration.as_secs_f64(),
                    "events/s",
                    Some(note),
                ));
            }
            running.stop()
        })
    }

    fn batches(&self, dir: &Path, figures: &mut Figures) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let (key, sent_bytes) = runtime.block_on(async {
            let running = Running::start(dir).await?;
            let bodies = batch_bodies(self.batch);
            let sent_bytes = bodies.first().map_or(0, |body| body.body.len()) / self.batch.max(1);
            let started = Instant::now();
            running
                .batch_appends(&Arc::new(bodies), self.events, self.batch, self.connections)
                .await?;
            let rate = self.events as f64 / started.elapsed().as_secs_f64();
            let note = format!(
                "{} events of {sent_bytes} bytes, {} a request, {} connections",
                count(self.events),
                self.batch,
                self.connections
            );
            figures.push(figure(
                "batched NDJSON over HTTP, receipts checked",
                rate,
                "events/s",
                Some(note),
            ));
            let key = running.key.clone();
            figures.push(peak_memory("server: peak memory", &running.process())?);
            running.stop()?;
            anyhow::Ok((key, sent_bytes))
        })?;
        after_batches(dir, &key, sent_bytes, figures)
    }
}

/// Reopens, proves, and verifies the log that the batches made.
fn after_batches(
    dir: &Path,
    key: &VerifyingKey,
    sent_bytes: usize,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let data = DataDir::open(dir)?;
    let started = Instant::now();
    let log = Log::open(data.store("bench")?, &Options::default())?;
    figures.push(figure(
        "reopening",
        started.elapsed().as_secs_f64() * 1000.0,
        "ms",
        Some(format!("{} records", count(log.head().size))),
    ));
    wait_until_sealed(&log);
    let size = log.head().size;
    let mut worst = Duration::ZERO;
    let mut total = Duration::ZERO;
    const PROOFS: u64 = 2000;
    for n in 0..PROOFS {
        let index = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % size;
        let started = Instant::now();
        let proof = log.inclusion_proof(index, size)?;
        let took = started.elapsed();
        total += took;
        worst = worst.max(took);
        std::hint::black_box(proof);
    }
    let note = format!("{PROOFS} random indexes, worst {:.3} ms", worst.as_secs_f64() * 1000.0);
    figures.push(figure(
        "inclusion proof of any record, mean",
        total.as_secs_f64() * 1000.0 / PROOFS as f64,
        "ms",
        Some(note),
    ));
    let segments = log.stats().segments;
    drop(log);
    let folder = dir.join("logs/bench/segments");
    let mut stored = 0;
    for entry in std::fs::read_dir(&folder).context("no segment was sealed: append more events")? {
        stored += entry?.metadata()?.len();
    }
    let sealed = segments * indelible_log::RECORDS_PER_SEGMENT;
    if sealed > 0 {
        figures.push(figure(
            "sealed size per event",
            stored as f64 / sealed as f64,
            "bytes",
            Some(format!("of {sent_bytes} bytes sent")),
        ));
    }
    let started = Instant::now();
    let verdict = verify_store(data.store("bench")?.as_ref(), key, None, &|_, _| {});
    anyhow::ensure!(verdict.findings.is_empty(), "the log does not verify: {:?}", verdict.findings);
    let rate = verdict.coverage.records as f64 / started.elapsed().as_secs_f64();
    figures.push(figure(
        "verify the directory, every byte",
        rate,
        "records/s",
        Some(format!("{} of records", output::bytes(verdict.coverage.record_bytes))),
    ));
    figures.push(peak_memory("client, proofs and verification: peak memory", "self")?);
    Ok(())
}

fn wait_until_sealed(log: &Log) {
    while log.stats().segments < log.head().size / indelible_log::RECORDS_PER_SEGMENT {
        std::thread::yield_now();
    }
}

/// The most memory a process had, with the pages of mapped files.
fn peak_memory(name: &str, process: &str) -> anyhow::Result<Figure> {
    Ok(figure(name, Memory::of(process)?.peak as f64 / 1024.0, "MiB", None))
}

/// 1,000 records of 32 bytes a commit, from two threads.
fn embedded(dir: &Path, figures: &mut Figures) -> anyhow::Result<()> {
    const RECORDS: usize = 1000;
    const COMMITS: u64 = 6000;
    let options = Options { max_commit_records: RECORDS, ..Options::default() };
    let data = DataDir::open_or_create(dir, None)?;
    data.create_log("bench", Kind::Raw, &options)?;
    let log = Log::open(data.store("bench")?, &options)?;
    let next = AtomicU64::new(0);
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let commit = next.fetch_add(1, Ordering::Relaxed);
                    if commit >= COMMITS {
                        return;
                    }
                    let mut batch = Batch::new();
                    let mut record = [0u8; 32];
                    for n in 0..RECORDS as u64 {
                        record[..8].copy_from_slice(&(commit * RECORDS as u64 + n).to_le_bytes());
                        if batch.push_raw(&record).is_err() {
                            return;
                        }
                    }
                    if log.append(batch).is_err() {
                        return;
                    }
                }
            });
        }
    });
    let seconds = started.elapsed().as_secs_f64();
    let size = log.head().size;
    anyhow::ensure!(size == COMMITS * RECORDS as u64, "only {size} records were appended");
    figures.push(figure(
        "in process, 1,000 x 32 bytes a commit",
        size as f64 / seconds,
        "records/s",
        Some(format!("{COMMITS} commits, each synced")),
    ));
    log.close();
    Ok(())
}

/// The bounds, in ms, of the bucket that the median of the later observations is in.
fn median_bucket(before: &[(f64, f64)], after: &[(f64, f64)]) -> (f64, f64) {
    let counts: Vec<(f64, f64)> =
        after.iter().zip(before).map(|(new, old)| (new.0, new.1 - old.1)).collect();
    let half = counts.last().map_or(0.0, |last| last.1 / 2.0);
    let at = counts.iter().position(|(_, count)| *count >= half).unwrap_or(0);
    let bound = |at: usize| counts.get(at).map_or(0.0, |(bound, _)| bound * 1000.0);
    (if at == 0 { 0.0 } else { bound(at - 1) }, bound(at))
}
