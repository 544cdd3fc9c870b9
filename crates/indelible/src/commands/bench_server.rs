//! The server that `indelible bench` starts on a fresh directory, a process of its own, and
//! the client that drives it: what it sends, and how it checks each answer.

use crate::company::Company;
use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use indelible_api::{CreateToken, Grant, Role};
use indelible_client::{Client, Credentials};
use indelible_event::{NATIVE, RecordHeader, Timestamp};
use indelible_tlog::{Checkpoint, Hash, VerifyingKey, leaf_hash, verify_inclusion};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::net::TcpStream;

/// A connection to the server.
pub(crate) type Sender = http1::SendRequest<Full<Bytes>>;

/// `indelible serve` on a fresh directory.
pub(crate) struct Running {
    process: Process,
    address: String,
    pub(crate) key: VerifyingKey,
    pub(crate) authorization: Arc<str>,
}

/// A process, killed when dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Memory of a process in KiB.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Its own, now: what the system cannot take back.
    pub(crate) own: u64,
    /// The most it ever had, with the pages of mapped files.
    pub(crate) peak: u64,
}

impl Memory {
    /// Of a process as /proc names it: a number, or `self`.
    pub(crate) fn of(process: &str) -> anyhow::Result<Self> {
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        };
        let (own, peak) = (kib("RssAnon:"), kib("VmHWM:"));
        own.zip(peak).map(|(own, peak)| Self { own, peak }).context("no memory in /proc")
    }
}

/// A request body and the events in it.
pub(crate) struct Body {
    pub(crate) body: Bytes,
    events: Vec<String>,
}

/// Distinct batches, made before the clock starts; the ids are the server's, so that
/// sending one again appends again.
pub(crate) fn batch_bodies(batch: usize) -> Vec<Body> {
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
        fs::create_dir_all(dir)?;
        let token = dir.with_extension("operator");
        let mut server = Command::new(std::env::current_exe()?);
        let settings = std::env::vars_os().map(|(name, _)| name);
        for name in settings.filter(|name| name.as_encoded_bytes().starts_with(b"INDELIBLE_")) {
            server.env_remove(name);
        }
        server.args(["serve", "--listen", "127.0.0.1:0", "--log-level", "warn", "--data"]);
        server.arg(dir).arg("--bootstrap-token-file").arg(&token).stdout(Stdio::piped());
        let mut process = Process(server.spawn().context("could not start the server")?);
        let mut line = String::new();
        if let Some(says) = process.0.stdout.take() {
            BufReader::new(says).read_line(&mut line)?;
        }
        let (_, address) = line.trim().rsplit_once("//").context("the server did not start")?;
        let operator = fs::read_to_string(&token)?.trim().to_owned();
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
        let address = address.to_owned();
        Ok(Self { process, address, key: info.vkey.parse()?, authorization })
    }

    /// The server's process, as /proc names it.
    pub(crate) fn process(&self) -> String {
        self.process.0.id().to_string()
    }

    /// Stops it as a service manager would, and waits until it has ended.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        kill_process(Pid::from_child(&self.process.0), Signal::TERM)?;
        let status = self.process.0.wait()?;
        anyhow::ensure!(status.success(), "the server ended with {status}");
        Ok(())
    }

    pub(crate) async fn connect(&self) -> anyhow::Result<Sender> {
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }

    /// Reads of single events, with their latencies.
    pub(crate) async fn reads(
        &self,
        connections: usize,
        duration: Duration,
    ) -> anyhow::Result<Vec<Duration>> {
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
    pub(crate) async fn trail_buckets(&self) -> anyhow::Result<Vec<(f64, f64)>> {
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

    pub(crate) async fn batch_appends(
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

    pub(crate) async fn single_appends(
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

pub(crate) async fn get(
    sender: &mut Sender,
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
    sender: &mut Sender,
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

async fn send(sender: &mut Sender, request: Request<Full<Bytes>>) -> anyhow::Result<Bytes> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_memory_and_one_that_is_not_there_has_none() {
        let Memory { own, peak } = Memory::of("self").unwrap_or_default();
        assert!(0 < own && own <= peak, "{own} {peak}");
        assert!(Memory::of("0").is_err());
    }
}
