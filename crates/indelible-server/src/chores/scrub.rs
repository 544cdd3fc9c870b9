//! The scrub: everything that is kept is read again from the disk itself and compared with
//! the tree, at a bounded rate, again and again. Damage is found within its period without
//! anybody asking.
//!
//! **Invariants**
//! - It shares nothing with the running logs: it checks as `indelible verify` does.
//! - What it found is kept across starts until a later round finds that it holds again.
//! - A round that a stop cut short begins, after the start, with what it had not read.

mod files;
mod kept;
mod pace;

use crate::{
    chores::life::Life,
    control::system::{ScrubFinished, ScrubFound},
    reading::desk::Desk,
    redact::redact,
    settings::ScrubOptions,
    troubles::Part,
};
use files::Files;
use indelible_api::{ScrubFinding, ScrubStatus};
use indelible_log::{Log, RECORDS_PER_SEGMENT};
use indelible_verify::{Finding, FindingKind, LogCheck, Options, Piece, Verdict};
use kept::{Kept, Round};
use pace::Pace;
use parking_lot::Mutex;
use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

/// Findings that are kept and shown at most; all are counted.
const SHOWN: usize = 100;
/// Findings of a round that get an event each.
const TOLD: u64 = 10;
/// Segments after which the progress of a round is kept.
const KEEP_EVERY: u64 = 16;

/// The scrub of a server.
#[derive(Debug)]
pub(crate) struct Scrub {
    data: PathBuf,
    options: ScrubOptions,
    kept: Mutex<Kept>,
    /// When the last round of this run ended, by the count that nobody can set.
    ended_us: Mutex<Option<i64>>,
    pace: Mutex<Arc<Pace>>,
}

/// What a round adds up to.
#[derive(Debug, Default)]
struct Sum {
    logs: u64,
    records: u64,
    bytes: u64,
    findings: u64,
    worst: Option<FindingKind>,
    told: u64,
}

impl Scrub {
    /// Takes up what was kept of the rounds before. Blocks.
    pub(crate) fn open(data: PathBuf, options: ScrubOptions) -> Self {
        let kept = Kept::read(&data);
        Self {
            data,
            options,
            kept: Mutex::new(kept),
            ended_us: Mutex::default(),
            pace: Mutex::new(Arc::new(Pace::new(0, options.rate))),
        }
    }

    /// How it stands.
    pub(crate) fn status(&self) -> ScrubStatus {
        let (kept, pace) = (self.kept.lock(), Arc::clone(&self.pace.lock()));
        ScrubStatus {
            period_s: self.options.period.as_secs(),
            since: kept.round.as_ref().map(|round| round.since.clone()),
            done: pace.done(),
            total: pace.total().max(pace.done()),
            finished_at: kept.finished_at.clone(),
            verdict: kept.verdict.clone(),
            findings: kept.findings.clone(),
        }
    }

    /// Does a round if it is time. Blocks for as long as that takes, or until the server
    /// stops.
    pub(crate) fn work(&self, desk: &Desk, life: &Life) {
        if self.options.period.is_zero() {
            return;
        }
        self.remind(desk);
        if self.is_due(life) && !*desk.stopping.borrow() {
            self.round(desk, life);
        }
    }

    /// What is known to be damaged stays a failure until a round finds it sound.
    fn remind(&self, desk: &Desk) {
        for finding in &self.kept.lock().findings {
            let log = finding.log.clone().unwrap_or_default();
            desk.troubles.note(Part::Storage, &log, &finding.message);
        }
    }

    /// Whether a round is to begin, or one that was cut short to go on: by the clock since
    /// the last one, and by the steady count, so that a clock set back does not put it off.
    fn is_due(&self, life: &Life) -> bool {
        let kept = self.kept.lock();
        let period_us = i64::try_from(self.options.period.as_micros()).unwrap_or(i64::MAX);
        let first_us = i64::try_from(self.options.first.as_micros()).unwrap_or(i64::MAX);
        let now_us = life.now().as_micros();
        let since_us = |at: &String| {
            let at: indelible_event::Timestamp = at.parse().unwrap_or_default();
            now_us.saturating_sub(at.as_micros())
        };
        if let Some(ended_us) = *self.ended_us.lock() {
            return life.uptime_us().saturating_sub(ended_us) >= period_us;
        }
        if life.uptime_us() < first_us {
            return false;
        }
        match &kept.finished_at {
            _ if kept.round.is_some() => true,
            None => true,
            // A time to come was written by a clock that was wrong.
            Some(at) => !(0..period_us).contains(&since_us(at)),
        }
    }

    fn round(&self, desk: &Desk, life: &Life) {
        let before = {
            let mut kept = self.kept.lock();
            let round = kept.round.get_or_insert_with(|| Round::new(life.now().to_string()));
            round.clone()
        };
        let rate = self.options.rate_for(files::bytes_below(&self.data));
        let pace = Arc::new(Pace::new(files::bytes_below(&self.data), rate));
        *self.pace.lock() = Arc::clone(&pace);
        self.keep();
        let mut sum = Sum::default();
        for (name, log) in self.in_order(desk) {
            if !self.log(desk, life, &name, &log, &before, &pace, &mut sum) {
                return self.keep();
            }
        }
        let mut other = Files::new(&self.data, &pace, desk);
        let Some(found) = other.check() else { return self.keep() };
        sum.bytes = sum.bytes.saturating_add(other.bytes);
        self.take(desk, life, None, &found, &mut sum);
        self.settle(desk, None, &found, life);
        self.finish(life, &before, &sum);
    }

    /// The logs, those with damage first.
    fn in_order(&self, desk: &Desk) -> Vec<(String, Arc<Log>)> {
        let kept = self.kept.lock();
        let mut logs = desk.logs();
        logs.sort_by_key(|(name, _)| {
            !kept.findings.iter().any(|finding| finding.log.as_deref() == Some(name))
        });
        logs
    }

    /// Reads one log; false if the server stopped meanwhile.
    #[expect(clippy::too_many_arguments, reason = "what a round hands to each of its logs")]
    fn log(
        &self,
        desk: &Desk,
        life: &Life,
        name: &str,
        log: &Log,
        before: &Round,
        pace: &Pace,
        sum: &mut Sum,
    ) -> bool {
        let Ok(store) = desk.site.store(name) else { return true };
        let stopping = || *desk.stopping.borrow();
        let pace_of = |bytes: u64| pace.read(bytes, &stopping);
        let options = Options { from_disk: true, pace: &pace_of };
        let control = desk.control.current();
        // The key that `_control` names first vouches for the others.
        let pinned = control.logs.get(name).and_then(|entry| entry.keys.first());
        let pinned = pinned.and_then(|(vkey, _)| vkey.parse().ok());
        let Some(key) = pinned.or_else(|| log.verifying_keys().into_iter().next()) else {
            return true;
        };
        let mut check = LogCheck::new(store.as_ref(), &key, options);
        let segments = log.stats().segments;
        let unread = before.next.get(name).copied().unwrap_or_default();
        check.begin_with(&(unread..segments).collect::<Vec<_>>());
        check.begin_with(&self.near_damage(name));
        let mut seen = 0;
        while let Some(piece) = check.next_piece() {
            if stopping() {
                return false;
            }
            let bytes = check.check(&piece);
            pace.read(bytes, &stopping);
            let found = check.findings().get(seen..).unwrap_or_default().to_vec();
            seen = check.findings().len();
            self.take(desk, life, Some(name), &found, sum);
            if let Piece::Segment(number) = piece {
                self.progress(name, number);
            }
        }
        let verdict = check.finish();
        if stopping() {
            return false;
        }
        let Verdict { coverage, findings } = verdict;
        sum.logs = sum.logs.saturating_add(1);
        sum.records = sum.records.saturating_add(coverage.records);
        sum.bytes = sum.bytes.saturating_add(coverage.file_bytes);
        self.settle(desk, Some(name), &findings, life);
        true
    }

    /// Segments of a log that lie beside damage that was found before.
    fn near_damage(&self, name: &str) -> Vec<u64> {
        let kept = self.kept.lock();
        let found = kept.findings.iter().filter(|finding| finding.log.as_deref() == Some(name));
        let segments =
            found.filter_map(|finding| finding.index).map(|index| index / RECORDS_PER_SEGMENT);
        let near = segments.flat_map(|n| n.saturating_sub(1)..=n.saturating_add(1));
        near.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Notes that a segment was read.
    fn progress(&self, name: &str, number: u64) {
        if let Some(round) = &mut self.kept.lock().round {
            let next = round.next.entry(name.to_owned()).or_default();
            if *next == number {
                *next = number.saturating_add(1);
            }
        }
        if number.is_multiple_of(KEEP_EVERY) {
            self.keep();
        }
    }

    /// Tells what was just found, once.
    fn take(&self, desk: &Desk, life: &Life, log: Option<&str>, found: &[Finding], sum: &mut Sum) {
        for finding in found {
            let message = redact(&finding.message);
            sum.findings = sum.findings.saturating_add(1);
            sum.worst = sum.worst.into_iter().chain([finding.kind]).min();
            desk.troubles.note(Part::Storage, log.unwrap_or_default(), &message);
            let shown = ScrubFinding {
                log: log.map(str::to_owned),
                kind: finding.kind.word().to_owned(),
                index: finding.index,
                message,
                found_at: life.now().to_string(),
            };
            let is_known = self.kept.lock().knows(&shown);
            if is_known {
                continue;
            }
            tracing::error!(
                log,
                kind = shown.kind,
                index = shown.index,
                message = shown.message,
                "the scrub found damage: restore it from a copy, and run `indelible verify`"
            );
            if sum.told < TOLD {
                sum.told = sum.told.saturating_add(1);
                let (log, kind) = (shown.log.clone(), shown.kind.clone());
                life.say(ScrubFound {
                    log,
                    kind,
                    index: shown.index,
                    message: shown.message.clone(),
                });
            }
            let mut kept = self.kept.lock();
            if kept.findings.len() < SHOWN {
                kept.findings.push(shown);
            }
        }
    }

    /// Forgets what was found before in a part that was now read whole, and found sound.
    fn settle(&self, desk: &Desk, log: Option<&str>, found: &[Finding], life: &Life) {
        if found.is_empty() {
            desk.troubles.pass(&[Part::Storage], log.unwrap_or_default());
        }
        let mut kept = self.kept.lock();
        let messages: BTreeSet<String> =
            found.iter().map(|finding| redact(&finding.message)).collect();
        let before = kept.findings.len();
        kept.findings
            .retain(|finding| finding.log.as_deref() != log || messages.contains(&finding.message));
        let healed = before.saturating_sub(kept.findings.len());
        if healed > 0 {
            tracing::info!(log, healed, at = %life.now(), "what the scrub found before holds again");
        }
    }

    fn finish(&self, life: &Life, round: &Round, sum: &Sum) {
        let verdict = sum.worst.map_or("holds", FindingKind::word).to_owned();
        let finished = ScrubFinished {
            since: round.since.parse().unwrap_or_default(),
            logs: sum.logs,
            records: sum.records,
            bytes: sum.bytes,
            verdict: verdict.clone(),
            findings: sum.findings,
        };
        tracing::info!(
            logs = sum.logs,
            records = sum.records,
            verdict,
            "the scrub read everything"
        );
        life.say(finished);
        *self.ended_us.lock() = Some(life.uptime_us());
        let mut kept = self.kept.lock();
        kept.round = None;
        kept.finished_at = Some(life.now().to_string());
        kept.verdict = Some(verdict);
        drop(kept);
        self.keep();
    }

    fn keep(&self) {
        let kept = self.kept.lock().clone();
        if let Err(error) = kept.write(&self.data) {
            tracing::warn!(%error, "the progress of the scrub could not be kept; a start begins the round anew");
        }
    }
}
