//! `indelible bench`: what this machine does, client included, with syncs on.

use crate::{
    Global,
    commands::bench_search::{measure, print_events},
    company::Company,
    output::{self, FAINT, STRONG, count, line},
};
use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use indelible_api::{CreateToken, Grant, Role};
use indelible_client::{Client, Credentials};
use indelible_event::{NATIVE, RecordHeader, Timestamp};
use indelible_log::{Batch, DataDir, Kind, Log, Options, verify::verify_store};
use indelible_server::{AccessConfig, Config, IndexOptions, Limits, Server, access_cost};
use indelible_tlog::{Checkpoint, Hash, VerifyingKey, leaf_hash, verify_inclusion};
use serde::Serialize;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::net::TcpStream;

/// Measure this machine: appends, proofs, verification.
///
/// Starts its own server on a fresh directory, with the durability of `serve`. The
/// client runs in the same process and is part of every figure; it checks each
/// answer's checkpoint and recomputes every leaf hash.
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

/// One line of the result.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

pub(crate) type Figures = Vec<Figure>;

pub(crate) fn figure(name: &str, value: f64, unit: &'static str, note: Option<String>) -> Figure {
    Figure { name: name.to_owned(), value, unit, note }
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
            running.stop().await
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
            running.stop().await
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
            running.stop().await?;
            anyhow::Ok((key, sent_bytes))
        })?;
        figures.push(figure("resident memory, peak so far", peak_memory_mb(), "MB", None));
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
    figures.push(figure("resident memory, peak", peak_memory_mb(), "MB", None));
    Ok(())
}

fn wait_until_sealed(log: &Log) {
    while log.stats().segments < log.head().size / indelible_log::RECORDS_PER_SEGMENT {
        std::thread::yield_now();
    }
}

/// Highest resident set of this process, from /proc.
fn peak_memory_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok())
        .map_or(0.0, |kib| kib / 1024.0)
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

/// A server on a fresh directory, in this process.
pub(crate) struct Running {
    address: SocketAddr,
    key: VerifyingKey,
    pub(crate) authorization: Arc<str>,
    stop: tokio::sync::oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

/// A request body and the events in it.
struct Body {
    body: Bytes,
    events: Vec<String>,
}

/// Distinct batches, made before the clock starts; the ids are the server's, so that
/// sending one again appends again.
fn batch_bodies(batch: usize) -> Vec<Body> {
    let mut company = Company::new(7);
    (0..24)
        .map(|n| {
            let events: Vec<String> = (0..batch as i64)
                .map(|k| company.event(1_772_409_600_000_000 + (n * batch as i64 + k) * 250_000))
                .collect();
            Body { body: events.join("\n").into(), events }
        })
        .collect()
}

impl Running {
    pub(crate) async fn start(dir: &Path) -> anyhow::Result<Self> {
        let config = Config {
            data: dir.to_owned(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            site: None,
            guard: None,
            access: AccessConfig::default(),
            limits: Limits::default(),
            log: Options::default(),
            index: IndexOptions::default(),
        };
        let server = Server::bind(&config).await?;
        let address = server.address().context("the server has no address")?;
        let operator = server.operator_token().context("no operator's token")?.to_owned();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(server.run(async move { drop(stopped.await) }));
        let url = format!("http://{address}");
        let client = |token: String| {
            Client::new(&url, &Credentials { token: Some(token), ..Credentials::default() })
        };
        let operator = client(operator)?;
        let info = operator.create_log("bench", false).await?;
        let wanted = CreateToken {
            name: "bench".to_owned(),
            grants: [Role::Writer, Role::Reader, Role::Verifier]
                .map(|role| Grant::new(role, "bench"))
                .into(),
            expires_at: None,
            reason: None,
        };
        let token = operator.create_token(&wanted).await?.token;
        let authorization: Arc<str> = format!("Bearer {token}").into();
        Ok(Self { address, key: info.vkey.parse()?, authorization, stop, task })
    }

    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        drop(self.stop);
        Ok(self.task.await?)
    }

    pub(crate) async fn connect(&self) -> anyhow::Result<http1::SendRequest<Full<Bytes>>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }

    /// Reads of single events, with their latencies.
    async fn reads(&self, connections: usize, duration: Duration) -> anyhow::Result<Vec<Duration>> {
        let deadline = Instant::now() + duration;
        let mut tasks = Vec::new();
        for connection in 0..connections {
            let mut sender = self.connect().await?;
            let authorization = Arc::clone(&self.authorization);
            tasks.push(tokio::spawn(async move {
                let mut latencies = Vec::new();
                let mut index = connection * 397;
                while Instant::now() < deadline {
                    index = (index + 7919) % 20_000;
                    let started = Instant::now();
                    let path = format!("/v1/logs/bench/events/{index}");
                    get(&mut sender, &path, &authorization).await?;
                    latencies.push(started.elapsed());
                }
                anyhow::Ok(latencies)
            }));
        }
        let mut all = Vec::new();
        for task in tasks {
            all.extend(task.await??);
        }
        Ok(all)
    }

    /// The server's histogram of what the trail adds: upper bound in seconds, and how
    /// many were at most that.
    async fn trail_buckets(&self) -> anyhow::Result<Vec<(f64, f64)>> {
        let mut sender = self.connect().await?;
        let text = get(&mut sender, "/metrics", &self.authorization).await?;
        let text = String::from_utf8_lossy(&text).into_owned();
        let bucket = |line: &str| {
            let rest = line.strip_prefix("indelible_trail_seconds_bucket{le=\"")?;
            let (bound, count) = rest.split_once("\"} ")?;
            Some((bound.parse().ok()?, count.trim().parse().ok()?))
        };
        Ok(text.lines().filter_map(bucket).collect())
    }

    async fn batch_appends(
        &self,
        bodies: &Arc<Vec<Body>>,
        events: u64,
        batch: usize,
        connections: usize,
    ) -> anyhow::Result<()> {
        let requests = events.div_ceil(batch as u64);
        let next = Arc::new(AtomicU64::new(0));
        let mut tasks = Vec::new();
        for _ in 0..connections {
            let (mut sender, bodies, next, key) =
                (self.connect().await?, Arc::clone(bodies), Arc::clone(&next), self.key.clone());
            let authorization = Arc::clone(&self.authorization);
            tasks.push(tokio::spawn(async move {
                loop {
                    let request = next.fetch_add(1, Ordering::Relaxed);
                    if request >= requests {
                        return anyhow::Ok(());
                    }
                    let body = &bodies[(request % bodies.len() as u64) as usize];
                    let answer = post(
                        &mut sender,
                        "/v1/logs/bench/events",
                        &authorization,
                        "application/x-ndjson",
                        body.body.clone(),
                    )
                    .await?;
                    let (bodies, key) = (Arc::clone(&bodies), key.clone());
                    let at = (request % bodies.len() as u64) as usize;
                    tokio::task::spawn_blocking(move || {
                        check_batch(&answer, &bodies[at].events, &key)
                    })
                    .await??;
                }
            }));
        }
        for task in tasks {
            task.await??;
        }
        Ok(())
    }

    async fn single_appends(
        &self,
        connections: usize,
        duration: Duration,
        rate: Option<f64>,
    ) -> anyhow::Result<Vec<Duration>> {
        let deadline = Instant::now() + duration;
        let mut tasks = Vec::new();
        for connection in 0..connections {
            let (mut sender, key) = (self.connect().await?, self.key.clone());
            let authorization = Arc::clone(&self.authorization);
            let interval = rate.map(|rate| Duration::from_secs_f64(connections as f64 / rate));
            tasks.push(tokio::spawn(async move {
                let mut company = Company::new(connection as u64);
                let mut latencies = Vec::new();
                let mut ticks = interval.map(tokio::time::interval);
                while Instant::now() < deadline {
                    if let Some(ticks) = &mut ticks {
                        ticks.tick().await;
                    }
                    let event = company.event(1_772_409_600_000_000);
                    let started = Instant::now();
                    let answer = post(
                        &mut sender,
                        "/v1/logs/bench/events?proof=true",
                        &authorization,
                        "application/json",
                        event.clone().into(),
                    )
                    .await?;
                    latencies.push(started.elapsed());
                    check_single(&answer, event, &key)?;
                }
                anyhow::Ok(latencies)
            }));
        }
        let mut all = Vec::new();
        for task in tasks {
            all.extend(task.await??);
        }
        Ok(all)
    }
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

pub(crate) async fn get(
    sender: &mut http1::SendRequest<Full<Bytes>>,
    path: &str,
    authorization: &str,
) -> anyhow::Result<Bytes> {
    let request = Request::get(path)
        .header("host", "bench")
        .header("authorization", authorization)
        .body(Full::new(Bytes::new()))?;
    send(sender, request).await
}

pub(crate) async fn post(
    sender: &mut http1::SendRequest<Full<Bytes>>,
    path: &str,
    authorization: &str,
    content_type: &str,
    body: Bytes,
) -> anyhow::Result<Bytes> {
    let request = Request::post(path)
        .header("host", "bench")
        .header("authorization", authorization)
        .header("content-type", content_type)
        .body(Full::new(body))?;
    send(sender, request).await
}

async fn send(
    sender: &mut http1::SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> anyhow::Result<Bytes> {
    sender.ready().await?;
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    anyhow::ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&body));
    Ok(body)
}

/// A receipt, borrowed from the answer.
#[derive(serde::Deserialize)]
struct BenchReceipt<'a> {
    index: u64,
    id: &'a str,
    leaf_hash: &'a str,
    #[serde(default)]
    inclusion_proof: Option<Vec<&'a str>>,
}

#[derive(serde::Deserialize)]
struct BenchAnswer<'a> {
    #[serde(borrow)]
    receipts: Vec<BenchReceipt<'a>>,
    checkpoint: String,
    received_at: &'a str,
    recorded_by: &'a str,
}

/// Checks a signed checkpoint; answers of one commit carry the same bytes, which are
/// checked once.
fn check_note(note: &str, key: &VerifyingKey) -> anyhow::Result<Checkpoint> {
    static LAST: std::sync::Mutex<Option<(String, Checkpoint)>> = std::sync::Mutex::new(None);
    let mut last = LAST.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some((_, checkpoint)) = last.as_ref().filter(|(known, _)| known == note) {
        return Ok(checkpoint.clone());
    }
    let checkpoint = Checkpoint::verify(note.as_bytes(), key)?;
    *last = Some((note.to_owned(), checkpoint.clone()));
    Ok(checkpoint)
}

/// Checks the checkpoint's signature, every leaf hash, and every proof there is.
fn check_batch(answer: &[u8], events: &[String], key: &VerifyingKey) -> anyhow::Result<()> {
    let answer: BenchAnswer<'_> = serde_json::from_slice(answer)?;
    let checkpoint = check_note(&answer.checkpoint, key)?;
    anyhow::ensure!(answer.receipts.len() == events.len(), "a receipt is missing");
    let received_at: Timestamp = answer.received_at.parse()?;
    let header = RecordHeader::new(received_at, answer.recorded_by, NATIVE);
    let mut record = Vec::new();
    for (receipt, event) in answer.receipts.iter().zip(events) {
        record.clear();
        header.encode(receipt.id, indelible_event::Payload::Inline(event), &mut record);
        let leaf: Hash = receipt.leaf_hash.parse()?;
        anyhow::ensure!(
            leaf == leaf_hash(&record) && receipt.index < checkpoint.size,
            "a receipt is not for what was sent"
        );
        if let Some(proof) = &receipt.inclusion_proof {
            let proof: Vec<Hash> =
                proof.iter().map(|hash| hash.parse()).collect::<Result<_, _>>()?;
            let root = checkpoint.root;
            verify_inclusion(leaf.as_ref(), receipt.index, checkpoint.size, &proof, root.as_ref())?;
        }
    }
    Ok(())
}

fn check_single(answer: &[u8], event: String, key: &VerifyingKey) -> anyhow::Result<()> {
    anyhow::ensure!(answer.windows(15).any(|part| part == b"inclusion_proof"), "no proof");
    check_batch(answer, &[event], key)
}
