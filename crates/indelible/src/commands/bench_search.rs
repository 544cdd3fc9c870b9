//! `indelible bench search`: ingest with indexing, and what an investigator asks.

use crate::{
    commands::{
        bench_server::{Memory, Running, Sender, get, post},
        figure::{Figures, figure},
    },
    company::Company,
    output::{self, count},
};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Monday 2026-03-02, microseconds since the epoch.
const MONDAY_US: i64 = 1_772_409_600_000_000;
/// Time between two events.
const APART_US: i64 = 250_000;
const BATCH: u64 = 1000;
const ROUNDS: usize = 200;
/// Events whose way into the index is timed.
const LAGS: u64 = 100;

/// What is asked, and its name.
fn queries(events: u64) -> Vec<(&'static str, String)> {
    let week = |start: i64| {
        let time = |at: i64| indelible_event::Timestamp::from_micros(at).to_string();
        format!("time:{}..{}", time(start), time(start + 7 * 86_400_000_000))
    };
    let middle = MONDAY_US + (events / 2) as i64 * APART_US;
    vec![
        ("newest 50 by actor", "actor:u-kira".to_owned()),
        ("newest 50 by actor in a week", format!("actor:u-kira {}", week(middle))),
        ("newest 50 by outcome alone", "outcome:denied".to_owned()),
        ("newest 50 by free-text word", "timeout".to_owned()),
        ("newest 50 by two words and a negation", "helpdesk timeout -actor:u-kira".to_owned()),
        ("a rare id, in the sender's data", format!("data.context.request_id:{}", RARE)),
    ]
}

/// The request id of one event in the first batch.
const RARE: &str = "req-rare-one";
const REQUEST: &str = "\"request_id\":\"";

fn encode(text: &str) -> String {
    text.bytes().map(|b| format!("%{b:02X}")).collect()
}

pub(crate) async fn measure(
    dir: &Path,
    events: u64,
    connections: usize,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let running = Running::start(dir).await?;
    let memory = Watched::start(running.process());
    let started = Instant::now();
    ingest(&running, events, connections).await?;
    let appended = started.elapsed();
    wait_until_indexed(&running, events).await?;
    let indexed = started.elapsed();
    let rate = |time: Duration| events as f64 / time.as_secs_f64();
    figures.push(figure("ingest over HTTP while indexing", rate(appended), "events/s", None));
    figures.push(figure("the same, until all is indexed", rate(indexed), "events/s", None));
    memory.push("until then", figures)?;
    let size = folder_size(&dir.join("index/bench"))?;
    figures.push(figure("index per event", size as f64 / events as f64, "bytes", None));
    let mut sender = running.connect().await?;
    for (name, q) in queries(events) {
        let path = format!("/v1/logs/bench/events?order=desc&limit=50&q={}", encode(&q));
        let mut times = Vec::new();
        let mut found = 0;
        for _ in 0..ROUNDS {
            let started = Instant::now();
            let answer = get(&mut sender, &path, &running.authorization).await?;
            times.push(started.elapsed());
            let page: serde_json::Value = serde_json::from_slice(&answer)?;
            found = page["items"].as_array().map_or(0, Vec::len);
        }
        push(figures, name, &mut times, &format!("{found} found"));
    }
    for (name, rounds) in [("histogram by hour with top actions, cold", 1), ("the same, warm", 20)]
    {
        let body = r#"{"interval":"1h","by":"action","limit":3}"#;
        let mut times = Vec::new();
        for _ in 0..rounds {
            let started = Instant::now();
            post(
                &mut sender,
                "/v1/logs/bench/histogram",
                &running.authorization,
                "application/json",
                body.into(),
            )
            .await?;
            times.push(started.elapsed());
        }
        push(figures, name, &mut times, "");
    }
    memory.push("searches included", figures)?;
    let mut times = lag(&running, events).await?;
    let note = format!("{} events/s beside it", count(BATCH / 10 * 100));
    push(figures, "from an append's answer until a search finds it", &mut times, &note);
    running.stop()
}

/// The events that [`measure`] appends, for other systems to be measured with.
pub(crate) fn print_events(events: u64) {
    let mut company = Company::new(0);
    for n in 0..events {
        let mut event = company.event(MONDAY_US + n as i64 * APART_US);
        if n == 0 {
            set_request(&mut event, RARE);
        }
        output::line(event);
    }
}

/// Gives the first event in a text another request id.
fn set_request(text: &mut String, id: &str) {
    if let Some(at) = text.find(REQUEST) {
        let from = at + REQUEST.len();
        let len = text.get(from..).and_then(|rest| rest.find('"')).unwrap_or_default();
        text.replace_range(from..from + len, id);
    }
}

/// Watches how much memory of its own the server has at most.
struct Watched {
    process: String,
    peak: Arc<AtomicU64>,
    watch: tokio::task::JoinHandle<()>,
}

impl Watched {
    fn start(process: String) -> Self {
        let peak = Arc::new(AtomicU64::new(0));
        let (seen, of) = (Arc::clone(&peak), process.clone());
        let watch = tokio::spawn(async move {
            while let Ok(memory) = Memory::of(&of) {
                seen.fetch_max(memory.own, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        Self { process, peak, watch }
    }

    fn push(&self, when: &str, figures: &mut Figures) -> anyhow::Result<()> {
        let with_files = Memory::of(&self.process)?.peak >> 10;
        let own = (self.peak.load(Ordering::Relaxed) >> 10) as f64;
        let note = format!("{} MiB with mapped files", count(with_files));
        figures.push(figure(&format!("server's peak memory, {when}"), own, "MiB", Some(note)));
        Ok(())
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

fn push(figures: &mut Figures, name: &str, times: &mut [Duration], note: &str) {
    times.sort_unstable();
    let at = |share: f64| {
        let place = ((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1));
        times.get(place).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
    };
    let note = format!("p50 {:.2} ms {note}", at(0.5));
    figures.push(figure(&format!("{name}, p99"), at(0.99), "ms", Some(note)));
}

async fn ingest(running: &Running, events: u64, connections: usize) -> anyhow::Result<()> {
    let next = Arc::new(AtomicU64::new(0));
    let bar = output::progress(events, "events");
    let mut tasks = Vec::new();
    for connection in 0..connections {
        let mut sender = running.connect().await?;
        let (next, authorization) = (Arc::clone(&next), Arc::clone(&running.authorization));
        let bar = bar.clone();
        tasks.push(tokio::spawn(async move {
            let mut company = Company::new(connection as u64);
            loop {
                let first = next.fetch_add(BATCH, Ordering::Relaxed);
                if first >= events {
                    return anyhow::Ok(());
                }
                let last = (first + BATCH).min(events);
                let mut body = String::with_capacity(BATCH as usize * 640);
                for n in first..last {
                    company.write(MONDAY_US + n as i64 * APART_US, &mut body);
                    body.push('\n');
                }
                if first == 0 {
                    set_request(&mut body, RARE);
                }
                append(&mut sender, &authorization, body).await?;
                bar.inc(last - first);
            }
        }));
    }
    for task in tasks {
        task.await??;
    }
    bar.finish_and_clear();
    Ok(())
}

/// How long after its append was answered an event is found, while a steady load of a tenth
/// of a batch comes every ten milliseconds.
async fn lag(running: &Running, events: u64) -> anyhow::Result<Vec<Duration>> {
    let time = move |n: u64| MONDAY_US + (events + n) as i64 * APART_US;
    let mut sender = running.connect().await?;
    let authorization = Arc::clone(&running.authorization);
    let load = tokio::spawn(async move {
        let mut company = Company::new(events);
        let mut pace = tokio::time::interval(Duration::from_millis(10));
        for n in 0.. {
            pace.tick().await;
            let lines = (0..BATCH / 10).map(|of| company.event(time(n * BATCH / 10 + of)));
            let body = lines.collect::<Vec<_>>().join("\n");
            append(&mut sender, &authorization, body).await?;
        }
        anyhow::Ok(())
    });
    let (mut sender, mut company) = (running.connect().await?, Company::new(events + 1));
    let mut times = Vec::new();
    for n in 0..LAGS {
        let id = format!("req-lag{n}");
        let mut event = company.event(time(n));
        set_request(&mut event, &id);
        append(&mut sender, &running.authorization, event).await?;
        let answered = Instant::now();
        let path = format!("/v1/logs/bench/events?order=desc&limit=1&q=request:{id}");
        loop {
            let answer = get(&mut sender, &path, &running.authorization).await?;
            let page: serde_json::Value = serde_json::from_slice(&answer)?;
            if page["items"].as_array().is_some_and(|items| !items.is_empty()) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        times.push(answered.elapsed());
    }
    anyhow::ensure!(!load.is_finished(), "the load beside it ended");
    load.abort();
    Ok(times)
}

async fn append(sender: &mut Sender, authorization: &str, body: String) -> anyhow::Result<()> {
    let path = "/v1/logs/bench/events";
    post(sender, path, authorization, "application/x-ndjson", body.into()).await?;
    Ok(())
}

async fn wait_until_indexed(running: &Running, events: u64) -> anyhow::Result<()> {
    let mut sender = running.connect().await?;
    loop {
        let body =
            get(&mut sender, "/v1/logs/bench/events?q=index:0&limit=1", &running.authorization)
                .await?;
        let page: serde_json::Value = serde_json::from_slice(&body)?;
        if page["indexed"].as_u64() >= Some(events) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn folder_size(path: &Path) -> std::io::Result<u64> {
    let mut total = 0;
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let found = entry.metadata()?;
        total += if found.is_dir() { folder_size(&entry.path())? } else { found.len() };
    }
    Ok(total)
}
