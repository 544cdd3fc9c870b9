//! The clock, watched by a count that nobody can set.

use crate::control::system::{ClockRead, ClockStepped};
use indelible_log::Clock;

/// Microseconds that the clock may move against the count between two looks: more is a
/// jump. A clock that is slewed moves by half a millisecond a second.
const JUMP_US: i64 = 2_000_000;
/// A look that took longer than this, because the machine did something else, tells
/// nothing.
const LOOK_US: i64 = 100_000;
/// Microseconds between two events about jumps: those between are added up.
const QUIET_US: i64 = 30_000_000;
/// Microseconds between two readings that are written.
const HOUR_US: i64 = 3_600_000_000;

/// The clock, as it was watched.
#[derive(Debug, Clone, Default)]
pub(crate) struct ClockWatch {
    /// Clock less count: at the start, at the last reading written, and at the last look.
    first_us: Option<i64>,
    read_us: i64,
    last_us: i64,
    /// When the last reading, and the last event about jumps, was written, by the count.
    written_us: i64,
    told_us: Option<i64>,
    /// Jumps that are not written yet: by how much in all, how often.
    jumped: (i64, u64),
    /// Jumps since the last reading, and since the start.
    steps: u64,
    pub(crate) all_steps: u64,
    /// The last jump: by how much, and when by the clock after it.
    pub(crate) last_step: Option<(i64, i64)>,
}

impl ClockWatch {
    /// Looks at the clock.
    pub(crate) fn look(&mut self, clock: &dyn Clock) {
        let before = clock.elapsed_us();
        let now_us = clock.now_us();
        let elapsed_us = clock.elapsed_us();
        if elapsed_us.saturating_sub(before) > LOOK_US {
            return;
        }
        let offset = now_us.saturating_sub(elapsed_us);
        if self.first_us.is_none() {
            (self.first_us, self.read_us, self.last_us) = (Some(offset), offset, offset);
            self.written_us = elapsed_us;
        }
        let moved = offset.saturating_sub(self.last_us);
        self.last_us = offset;
        if moved.saturating_abs() > JUMP_US {
            tracing::warn!(by_us = moved, "the clock was set, or the machine slept");
            self.jumped = (self.jumped.0.saturating_add(moved), self.jumped.1.saturating_add(1));
            self.steps = self.steps.saturating_add(1);
            self.all_steps = self.all_steps.saturating_add(1);
            self.last_step = Some((moved, now_us));
        }
    }

    /// How far the clock has gone ahead of the count since the start, microseconds.
    pub(crate) fn offset_us(&self) -> i64 {
        self.last_us.saturating_sub(self.first_us.unwrap_or(self.last_us))
    }

    /// Jumps that are to be written now, if any.
    pub(crate) fn stepped(&self, elapsed_us: i64) -> Option<ClockStepped> {
        let is_quiet = self.told_us.is_none_or(|told| elapsed_us.saturating_sub(told) >= QUIET_US);
        let (by_us, times) = self.jumped;
        (times > 0 && is_quiet).then_some(ClockStepped { by_us, times, between_runs: false })
    }

    /// Those jumps are in `_control` now.
    pub(crate) fn told(&mut self, step: &ClockStepped, elapsed_us: i64) {
        // It may have jumped again meanwhile.
        self.jumped =
            (self.jumped.0.saturating_sub(step.by_us), self.jumped.1.saturating_sub(step.times));
        self.told_us = Some(elapsed_us);
    }

    /// The reading of the hour, if it is time.
    pub(crate) fn reading(&self, elapsed_us: i64) -> Option<ClockRead> {
        (elapsed_us.saturating_sub(self.written_us) >= HOUR_US).then(|| ClockRead {
            source: "system".to_owned(),
            offset_us: self.offset_us(),
            change_us: self.last_us.saturating_sub(self.read_us),
            steps: self.steps,
        })
    }

    /// That reading is in `_control` now.
    pub(crate) fn read(&mut self, reading: &ClockRead, elapsed_us: i64) {
        self.read_us = self.read_us.saturating_add(reading.change_us);
        self.steps = self.steps.saturating_sub(reading.steps);
        self.written_us = elapsed_us;
    }
}

/// How far the clock stands behind the last event of `_control` at a start, if that is a
/// jump: nobody watched it between the runs.
pub(crate) fn behind(now_us: i64, last_us: i64) -> Option<ClockStepped> {
    let by_us = now_us.saturating_sub(last_us);
    (by_us < -JUMP_US).then_some(ClockStepped { by_us, times: 1, between_runs: true })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests state their expectations by failing")]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicI64, Ordering};

    /// Clock and count, each set by hand.
    #[derive(Debug, Default)]
    struct Both(AtomicI64, AtomicI64);

    impl Clock for Both {
        fn now_us(&self) -> i64 {
            self.0.load(Ordering::Relaxed)
        }

        fn elapsed_us(&self) -> i64 {
            self.1.load(Ordering::Relaxed)
        }
    }

    impl Both {
        fn pass(&self, clock: i64, count: i64) {
            self.0.fetch_add(clock, Ordering::Relaxed);
            self.1.fetch_add(count, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_jump_is_told_and_a_slow_clock_is_read() {
        const SECOND: i64 = 1_000_000;
        let clock = Both::default();
        let mut watch = ClockWatch::default();
        watch.look(&clock);
        // Slewed: half a millisecond a second, for an hour.
        for _ in 0..3600 {
            assert_eq!(watch.reading(clock.elapsed_us()), None);
            clock.pass(SECOND - 500, SECOND);
            watch.look(&clock);
        }
        assert_eq!(watch.stepped(clock.elapsed_us()), None);
        let reading = watch.reading(clock.elapsed_us()).unwrap();
        assert_eq!(
            (reading.offset_us, reading.change_us, reading.steps),
            (-1_800_000, -1_800_000, 0)
        );
        watch.read(&reading, clock.elapsed_us());
        assert_eq!(watch.reading(clock.elapsed_us()), None);
        // Set back by two hours, then forward by one, again and again.
        clock.pass(SECOND - 7200 * SECOND, SECOND);
        watch.look(&clock);
        let step = watch.stepped(clock.elapsed_us()).unwrap();
        assert_eq!((step.by_us, step.times, step.between_runs), (-7200 * SECOND, 1, false));
        watch.told(&step, clock.elapsed_us());
        for _ in 0..29 {
            clock.pass(SECOND + 3600 * SECOND, SECOND);
            watch.look(&clock);
            assert_eq!(watch.stepped(clock.elapsed_us()), None);
        }
        clock.pass(SECOND, SECOND);
        watch.look(&clock);
        let step = watch.stepped(clock.elapsed_us()).unwrap();
        assert_eq!((step.by_us, step.times), (29 * 3600 * SECOND, 29));
        assert_eq!((watch.all_steps, watch.last_step.unwrap().0), (30, 3600 * SECOND));
    }

    #[test]
    fn a_clock_that_is_behind_at_a_start_is_told() {
        assert_eq!(behind(10_000_000, 11_000_000), None);
        assert_eq!(behind(12_000_000, 11_000_000), None);
        assert_eq!(behind(0, 11_000_000).map(|step| step.by_us), Some(-11_000_000));
    }
}
