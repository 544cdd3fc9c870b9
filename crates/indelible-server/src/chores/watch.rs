//! What fails and since when: samples become few events. A failure that comes and goes is
//! one failure until it has been away for a minute, so that a flapping part makes two
//! events a minute at most; and all parts together make no more than [`AT_ONCE`] between
//! two samples. What could not be written waits: nothing is forgotten but numbers.

use crate::{
    control::{
        event::Change,
        system::{FailureBegan, FailureEnded},
    },
    redact::redact,
    troubles::Part,
};
use indelible_event::Timestamp;
use std::collections::BTreeMap;

/// Microseconds that a failure must be away before it is over.
const AWAY_US: i64 = 60_000_000;
/// Events written after one sample at most.
const AT_ONCE: usize = 8;
/// Characters of a cause that are kept.
const CAUSE: usize = 400;

/// What fails: a part, of a log or of the whole server.
pub(crate) type What = (Part, Option<String>);

/// A failure, as a sample shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) what: What,
    /// Why; it may name paths.
    pub(crate) cause: String,
    /// Requests refused because of it since the start of the server.
    pub(crate) refused: u64,
}

/// A failure that is going on, or was lately.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) since: Timestamp,
    pub(crate) until: Timestamp,
    pub(crate) cause: String,
    /// Whether the last sample showed it, and the one before.
    pub(crate) is_here: bool,
    was_here: bool,
    /// When it was seen last, by a clock that nobody can set.
    seen_us: i64,
    times: u64,
    /// Requests refused, and how many had been when it began; none if it began in a run
    /// of the server before this one.
    refused: Option<(u64, u64)>,
    /// Its beginning is in `_control`.
    is_written: bool,
}

/// All failures.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    failures: BTreeMap<What, Failure>,
    /// Requests refused at the last sample: what a failure refuses is counted from there.
    refused: BTreeMap<What, u64>,
}

impl Watch {
    /// What had not ended when the server stopped, as `_control` says.
    pub(crate) fn resume(&mut self, began: &BTreeMap<What, Timestamp>, elapsed_us: i64) {
        for (what, since) in began {
            let failure = Failure {
                since: *since,
                until: *since,
                cause: String::new(),
                is_here: true,
                was_here: true,
                seen_us: elapsed_us,
                times: 1,
                refused: None,
                is_written: true,
            };
            self.failures.insert(what.clone(), failure);
        }
    }

    /// Takes a sample. Returns what has just begun, for the server's log.
    pub(crate) fn sample(&mut self, now: Timestamp, elapsed_us: i64, seen: Vec<Seen>) -> Vec<What> {
        let mut begun = Vec::new();
        for failure in self.failures.values_mut() {
            failure.was_here = std::mem::take(&mut failure.is_here);
        }
        for Seen { what, cause, refused } in seen {
            let before = self.refused.insert(what.clone(), refused).unwrap_or_default();
            let failure = self.failures.entry(what.clone()).or_insert_with(|| {
                begun.push(what);
                Failure {
                    since: now,
                    until: now,
                    cause: String::new(),
                    is_here: true,
                    was_here: false,
                    seen_us: elapsed_us,
                    times: 0,
                    refused: Some((before, refused)),
                    is_written: false,
                }
            });
            failure.times = failure.times.saturating_add(u64::from(!failure.was_here));
            (failure.until, failure.seen_us, failure.is_here) = (now, elapsed_us, true);
            failure.cause = redact(&cause.chars().take(CAUSE).collect::<String>());
            if let Some((_, last)) = &mut failure.refused {
                *last = refused;
            }
        }
        begun
    }

    /// What is to be written now, in order.
    pub(crate) fn due(&self, elapsed_us: i64) -> Vec<(What, Change)> {
        let due = self.failures.iter().filter_map(|(what, failure)| {
            let is_over = failure.is_over(elapsed_us);
            let change = match (failure.is_written, is_over) {
                (false, _) => failure.began(what),
                (true, true) => failure.ended(what),
                (true, false) => return None,
            };
            Some((what.clone(), change))
        });
        due.take(AT_ONCE).collect()
    }

    /// That change is in `_control` now.
    pub(crate) fn written(&mut self, what: &What, change: &Change) {
        match change {
            Change::FailureEnded(_) => drop(self.failures.remove(what)),
            _ => {
                if let Some(failure) = self.failures.get_mut(what) {
                    failure.is_written = true;
                }
            }
        }
    }

    /// What goes on now.
    pub(crate) fn going(&self) -> impl Iterator<Item = (&What, &Failure)> {
        self.failures.iter().filter(|(_, failure)| failure.is_here)
    }
}

impl Failure {
    fn is_over(&self, elapsed_us: i64) -> bool {
        !self.is_here && elapsed_us.saturating_sub(self.seen_us) >= AWAY_US
    }

    fn began(&self, (part, log): &What) -> Change {
        FailureBegan {
            part: *part,
            log: log.clone(),
            since: self.since,
            effect: part.effect().to_owned(),
            cause: self.cause.clone(),
        }
        .into()
    }

    fn ended(&self, (part, log): &What) -> Change {
        FailureEnded {
            part: *part,
            log: log.clone(),
            since: self.since,
            until: self.until,
            times: self.times,
            refused: self.refused.map(|(first, last)| last.saturating_sub(first)),
            lost: part.lost().to_owned(),
        }
        .into()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests state their expectations by failing")]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * SECOND)
    }

    fn seen(part: Part, log: &str, refused: u64) -> Seen {
        Seen { what: (part, Some(log.to_owned())), cause: "why".to_owned(), refused }
    }

    /// Writes what is due; returns it as actions.
    fn write(watch: &mut Watch, seconds: i64) -> Vec<Change> {
        let due = watch.due(seconds * SECOND);
        due.iter().for_each(|(what, change)| watch.written(what, change));
        due.into_iter().map(|(_, change)| change).collect()
    }

    #[test]
    fn a_failure_has_a_beginning_an_end_and_what_it_refused() {
        let mut watch = Watch::default();
        watch.sample(at(99), 0, vec![seen(Part::Key, "a", 3)]);
        // It cannot be written at first, as when the disk is what fails.
        assert_eq!(watch.due(0).len(), 1);
        for second in 1..20 {
            let begun =
                watch.sample(at(99 + second), second * SECOND, vec![seen(Part::Key, "a", 10)]);
            assert!(begun.is_empty());
        }
        let began = write(&mut watch, 20);
        let [Change::FailureBegan(began)] = began.as_slice() else { panic!("{began:?}") };
        assert_eq!((began.part, began.log.as_deref()), (Part::Key, Some("a")));
        assert_eq!((began.since, began.cause.as_str()), (at(99), "why"));
        for second in 20..79 {
            watch.sample(at(99 + second), second * SECOND, Vec::new());
            assert_eq!(watch.going().count(), 0);
            assert_eq!(write(&mut watch, second), []);
        }
        watch.sample(at(178), 79 * SECOND, Vec::new());
        let ended = write(&mut watch, 79);
        let [Change::FailureEnded(ended)] = ended.as_slice() else { panic!("{ended:?}") };
        assert_eq!((ended.since, ended.until), (at(99), at(118)));
        assert_eq!((ended.times, ended.refused, ended.lost.as_str()), (1, Some(10), "nothing"));
        // What it refused before is not counted again.
        watch.sample(at(300), 200 * SECOND, vec![seen(Part::Key, "a", 11)]);
        watch.sample(at(301), 201 * SECOND, Vec::new());
        let again = write(&mut watch, 300);
        assert!(matches!(again.as_slice(), [Change::FailureBegan(_)]), "{again:?}");
        let again = write(&mut watch, 300);
        let [Change::FailureEnded(again)] = again.as_slice() else { panic!("{again:?}") };
        assert_eq!(again.refused, Some(1));
    }

    #[test]
    fn a_flapping_failure_makes_two_events_a_minute_at_most() {
        let mut watch = Watch::default();
        let mut events = 0;
        for second in 0..3600 {
            let here = (second % 2 == 0).then(|| seen(Part::Sealing, "a", 0));
            watch.sample(at(second), second * SECOND, here.into_iter().collect());
            events += write(&mut watch, second).len();
        }
        assert_eq!(events, 1);
        // The worst: gone for just a minute, again and again.
        for second in 3600..7200 {
            let here = (second % 61 == 0).then(|| seen(Part::Sealing, "a", 0));
            watch.sample(at(second), second * SECOND, here.into_iter().collect());
            events += write(&mut watch, second).len();
        }
        assert!(events <= 1 + 2 * 60, "{events}");
        // Whatever fails at once, a sample writes a few.
        let all = (0..1000).map(|n| seen(Part::Index, &format!("l{n}"), 0)).collect();
        watch.sample(at(9000), 9000 * SECOND, all);
        assert_eq!(write(&mut watch, 9000).len(), AT_ONCE);
    }

    #[test]
    fn what_had_not_ended_before_a_start_goes_on_or_ends() {
        let mut watch = Watch::default();
        let what = (Part::Log, Some("a".to_owned()));
        let other = (Part::Disk, None);
        watch.resume(&[(what.clone(), at(5)), (other, at(6))].into(), 0);
        watch.sample(at(10), SECOND, vec![seen(Part::Log, "a", 0)]);
        assert_eq!(write(&mut watch, 1), []);
        watch.sample(at(100), 90 * SECOND, vec![seen(Part::Log, "a", 0)]);
        let ended = write(&mut watch, 90);
        let [Change::FailureEnded(ended)] = ended.as_slice() else { panic!("{ended:?}") };
        assert_eq!((ended.part, ended.since, ended.refused), (Part::Disk, at(6), None));
        assert_eq!(watch.going().map(|(what, _)| what.clone()).collect::<Vec<_>>(), [what]);
        assert_eq!(watch.failures.values().next().unwrap().times, 1);
    }
}
