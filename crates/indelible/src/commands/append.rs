//! `indelible append`.

mod input;
mod sender;

use crate::{
    connect::open_log,
    global::Global,
    output::{self, BAD, FAINT, GOOD, count, line, note},
};
use anyhow::{Context as _, bail};
use indelible_event::{Format, format_named};
use indelible_tlog::Checkpoint;
use input::{Found, State};
use sender::{Counts, Held, Sender, fate, refused};
use std::{
    cell::Cell,
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
    rc::Rc,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
};

/// How long an event waits for others at most.
const LINGER: Duration = Duration::from_millis(400);
/// How long a server that is away is asked again for files, which can be appended again.
const PATIENCE: u64 = 60;

/// Append events from files or standard input, and check every receipt.
///
/// Takes native events, CloudTrail files and Kubernetes audit events in every shape that
/// they come in, one a line, one behind the other, or in arrays; gzip, zstd, UTF-16 and
/// byte order marks are told by themselves. From a pipe events leave within a second.
/// What is wrong is named by file, line and column, and what stands around it is
/// appended. Running it again appends nothing twice where events have ids.
///
/// Exit status: 0 everything was appended, 1 something was refused or not appended, 130,
/// 143 or 129 when a signal ended it (what was read by then was sent, if nothing else is
/// said).
#[derive(Debug, clap::Args)]
pub(crate) struct Append {
    /// Name of the log
    log: String,
    /// Files; `-` or none: standard input
    files: Vec<PathBuf>,
    /// Write a receipt with its offline proof for each event to FILE, one JSON object a line; it must not exist; `-` is standard output
    #[arg(long, value_name = "FILE")]
    receipts: Option<PathBuf>,
    /// Key of the log, a vkey or a file with one; without it the server is asked for it
    #[arg(long, value_name = "VKEY")]
    key: Option<String>,
    /// Take everything as this format instead of recognising it; `json` takes any object
    #[arg(long, value_name = "NAME")]
    format: Option<String>,
    /// Append nothing unless everything can be: in one request
    #[arg(long)]
    all_or_nothing: bool,
    /// Seconds to wait for a server that is away [default: 60; for standard input until it is back]
    #[arg(long, value_name = "SECONDS")]
    retry_for: Option<u64>,
}

impl Append {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let forced =
            self.format.as_deref().map(format_named).transpose().with_context(|| {
                format!("known are {}", indelible_event::format_names().join(", "))
            })?;
        let log = open_log(global, &self.log, self.key.as_deref()).await?;
        let files = if self.files.is_empty() { vec![PathBuf::from("-")] } else { self.files };
        for path in &files {
            input::check(path).with_context(|| {
                format!("could not open {}; nothing was appended", path.display())
            })?;
        }
        let is_live = files.iter().any(|path| path.as_os_str() == "-");
        let to_output = self.receipts.as_deref() == Some(Path::new("-"));
        let receipts = self.receipts.as_deref().map(create).transpose()?;
        let patience = match self.retry_for {
            Some(seconds) => Some(seconds),
            None => (!is_live).then_some(PATIENCE),
        };
        let stopping = Rc::new(Cell::new(None));
        let sender = Sender {
            log,
            receipts,
            patience: patience.map(Duration::from_secs),
            all_or_nothing: self.all_or_nothing,
            stopping: Rc::clone(&stopping),
            batch: Vec::new(),
            batch_bytes: 0,
            counts: Counts::default(),
        };
        let mut signals = Signals::new(stopping)?;
        let mut run = Run { sender, bad: 0, nothing: 0, failed: false };
        let ended = run.all(files, forced, &mut signals).await?;
        run.report(global, &signals, ended, to_output).await
    }
}

/// Makes the file of receipts, which must not exist.
fn create(path: &Path) -> anyhow::Result<Box<dyn Write>> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(std::io::stdout()));
    }
    match File::create_new(path) {
        Ok(file) => Ok(Box::new(file)),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            bail!("{} exists already; choose another file for the receipts", path.display())
        }
        Err(error) => Err(error).with_context(|| format!("could not create {}", path.display())),
    }
}

/// What asks to stop: the first time after what was read, the second time at once.
struct Signals {
    kinds: [Signal; 3],
    /// Status that the first one ends with.
    status: Option<u8>,
    stopping: Rc<Cell<Option<Instant>>>,
}

impl Signals {
    fn new(stopping: Rc<Cell<Option<Instant>>>) -> anyhow::Result<Self> {
        let kinds = [
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ];
        Ok(Self { kinds, status: None, stopping })
    }

    /// Waits for a signal; true when it is not the first.
    async fn next(&mut self) -> bool {
        let [interrupt, terminate, hangup] = &mut self.kinds;
        let status = tokio::select! {
            _ = interrupt.recv() => 130,
            _ = terminate.recv() => 143,
            _ = hangup.recv() => 129,
        };
        if self.status.is_some() {
            return true;
        }
        self.status = Some(status);
        self.stopping.set(Some(Instant::now()));
        note("stopping: what was read is sent; once more stops at once");
        false
    }
}

/// How it ended.
enum Ended {
    /// With the input, or with a signal and everything sent.
    Well,
    /// With an error: what waits was not appended, or it is not known.
    Badly(anyhow::Error),
    /// With a second signal.
    Now,
}

/// Reading and sending.
struct Run {
    sender: Sender,
    /// What was refused here.
    bad: u64,
    /// Documents without events.
    nothing: u64,
    /// Whether a file could not be read to its end.
    failed: bool,
}

impl Run {
    async fn all(
        &mut self,
        files: Vec<PathBuf>,
        forced: Option<&'static dyn Format>,
        signals: &mut Signals,
    ) -> anyhow::Result<Ended> {
        let sizes = files.iter().filter_map(|path| std::fs::metadata(path).ok());
        let bar = output::progress(sizes.map(|found| found.len()).sum(), "bytes");
        let ticks = bar.clone();
        let (found, state) = input::read(files, forced, move |bytes| ticks.inc(bytes))?;
        let ended = {
            let work = self.work(found, &state);
            tokio::pin!(work);
            loop {
                tokio::select! {
                    ended = &mut work => break ended.map_or_else(Ended::Badly, |()| Ended::Well),
                    again = signals.next() => {
                        state.stop.store(true, Ordering::SeqCst);
                        if again {
                            break Ended::Now;
                        }
                    }
                }
            }
        };
        bar.finish_and_clear();
        if signals.status.is_some()
            && let Some((at, bytes)) = &*state.part.lock().unwrap_or_else(PoisonError::into_inner)
        {
            let what = format_args!(
                "{BAD}not sent{BAD:#} {at}: {bytes} bytes of an event that has no end yet"
            );
            note(what);
            self.failed = true;
        }
        Ok(ended)
    }

    /// Sends what is read, soon after it is read, until the input ends or is to be left.
    async fn work(
        &mut self,
        mut found: mpsc::Receiver<Vec<Found>>,
        state: &Arc<State>,
    ) -> anyhow::Result<()> {
        let mut due: Option<tokio::time::Instant> = None;
        let mut look = tokio::time::interval(Duration::from_millis(50));
        loop {
            let group = tokio::select! {
                group = found.recv() => group,
                () = sleep_until(due) => {
                    self.sender.flush().await?;
                    due = None;
                    continue;
                }
                _ = look.tick(), if self.sender.stopping.get().is_some() => {
                    // A read that has not ended by now is of what comes later.
                    let is_all = state.waits.load(Ordering::SeqCst) && found.is_empty();
                    if is_all { None } else { continue }
                }
            };
            let Some(group) = group else { break };
            for found in group {
                self.take(found).await?;
            }
            due = match self.sender.batch.is_empty() || self.sender.all_or_nothing {
                true => None,
                false => due.or_else(|| Some(tokio::time::Instant::now() + LINGER)),
            };
        }
        if self.sender.all_or_nothing && (self.bad > 0 || self.failed) {
            bail!(
                "not everything can be appended (see above), and with --all-or-nothing nothing was"
            );
        }
        self.sender.flush().await
    }

    async fn take(&mut self, found: Found) -> anyhow::Result<()> {
        match found {
            Found::Event { at, format, data } => {
                self.sender.take(Held { at, format: format.name(), data }).await?;
            }
            Found::Bad { at, code, problem, start } => {
                self.bad += 1;
                refused(&at, code, &problem, &start);
            }
            Found::Nothing { at, why } => {
                self.nothing += 1;
                note(format_args!("{FAINT}no events{FAINT:#} {at}: {why}"));
            }
            Found::Failed { at, problem } => {
                self.failed = true;
                note(format_args!("{BAD}not read{BAD:#} {at} and on: {problem}"));
            }
        }
        Ok(())
    }

    async fn report(
        self,
        global: &Global,
        signals: &Signals,
        ended: Ended,
        to_output: bool,
    ) -> anyhow::Result<ExitCode> {
        let Counts { created, duplicates, refused, bytes } = self.sender.counts;
        let refused = refused + self.bad;
        let waiting = self.sender.batch.len() as u64;
        // What is said about it goes where receipts do not.
        let say = |text: String| if to_output { note(text) } else { line(text) };
        let checkpoint = match &ended {
            Ended::Well => Some(self.sender.log.advance(None).await?.0),
            _ => None,
        };
        if global.json && !to_output {
            output::json(&serde_json::json!({
                "created": created, "duplicates": duplicates, "refused": refused, "not_appended": waiting,
                "size": checkpoint.as_ref().map(|head| head.size),
                "root": checkpoint.as_ref().map(|head| head.root.to_string()),
            }))?;
        } else {
            let there = match duplicates {
                0 => String::new(),
                there => format!(", {} were there already", count(there)),
            };
            say(format!(
                "{GOOD}appended{GOOD:#} {} events ({}){there}; every receipt checked",
                count(created),
                output::bytes(bytes)
            ));
            if let Some(Checkpoint { size, root, .. }) = &checkpoint {
                say(format!("  log now has {} records, root {root}", count(*size)));
            }
            if refused > 0 {
                say(format!("  {BAD}{} events were refused{BAD:#}, see above", count(refused)));
            }
            if self.nothing > 0 {
                say(format!("  {} documents hold no events, see above", count(self.nothing)));
            }
        }
        if waiting > 0 {
            let fate = match &ended {
                Ended::Badly(error) => fate(error),
                _ => "were not sent, or their receipts were not waited for",
            };
            let first = self.sender.batch.first().map(|held| held.at.to_string());
            note(format_args!(
                "{BAD}{} events from {} on {fate}{BAD:#}; what comes after them was not",
                count(waiting),
                first.unwrap_or_default()
            ));
        }
        match (ended, signals.status) {
            (Ended::Badly(error), _) => Err(error),
            (_, Some(status)) => Ok(ExitCode::from(status)),
            _ if refused > 0 || self.failed => Ok(ExitCode::FAILURE),
            _ => Ok(ExitCode::SUCCESS),
        }
    }
}

async fn sleep_until(due: Option<tokio::time::Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
