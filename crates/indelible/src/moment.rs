//! Times as people read them: one zone for all, and always said.

use indelible_event::{nanos, utc};
use jiff::{Timestamp, fmt::strtime, tz::TimeZone};
use std::sync::OnceLock;

/// The zone of this machine, if times are shown in it.
static ZONE: OnceLock<TimeZone> = OnceLock::new();

/// From now on times are shown in the zone of this machine.
pub(crate) fn show_local() {
    ZONE.get_or_init(TimeZone::system);
}

/// A time to the second, in UTC or in the zone of this machine, with the zone. What is no
/// time is shown as it is; the sender's own text is in the event.
pub(crate) fn moment(text: &str) -> String {
    match ZONE.get() {
        Some(zone) => in_zone(text, zone).unwrap_or_else(|| in_utc(text)),
        None => in_utc(text),
    }
}

fn in_utc(text: &str) -> String {
    let utc = utc(text).unwrap_or_else(|| text.to_owned());
    let seconds = utc.get(..19).filter(|_| utc.ends_with(['Z', 'z']));
    seconds.map_or(utc.clone(), |seconds| format!("{seconds}Z"))
}

fn in_zone(text: &str, zone: &TimeZone) -> Option<String> {
    let time = Timestamp::from_nanosecond(nanos(text)?).ok()?.to_zoned(zone.clone());
    strtime::format("%Y-%m-%dT%H:%M:%S%:z", &time).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_instant_reads_the_same() {
        for text in ["2026-03-01T23:30:00-08:00", "2026-03-02T07:30:00Z", "2026-03-02T07:30:00.25Z"]
        {
            assert_eq!(in_utc(text), "2026-03-02T07:30:00Z", "{text}");
            let east = TimeZone::fixed(jiff::tz::offset(2));
            assert_eq!(in_zone(text, &east).as_deref(), Some("2026-03-02T09:30:00+02:00"));
        }
        assert_eq!(in_utc("9999-12-31T23:59:59.999999999Z"), "9999-12-31T23:59:59Z");
        assert_eq!(in_utc("noon"), "noon");
    }
}
