//! Points in time as audit logs write them.

use jiff::{
    SignedDuration,
    civil::{DateTime, date},
    fmt::temporal::Pieces,
};
use std::{fmt, str::FromStr};

/// Microseconds since 1970-01-01T00:00:00Z; its text is RFC 3339 UTC with six
/// fractional digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp {
    micros: i64,
}

/// Text that is not an RFC 3339 time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected an RFC 3339 time such as 2026-03-01T12:00:00Z")]
pub struct TimestampError;

const EPOCH: DateTime = date(1970, 1, 1).at(0, 0, 0, 0);

/// What a text says: the moment in the time of its offset, and the offset in seconds.
fn read(text: &str) -> Option<(DateTime, i64)> {
    // jiff also reads forms that are not RFC 3339, such as a trailing [zone].
    if !text.is_ascii() || text.contains('[') {
        return None;
    }
    let pieces = Pieces::parse(text).ok()?;
    let offset = pieces.to_numeric_offset()?;
    Some((pieces.date().to_datetime(pieces.time()?), i64::from(offset.seconds())))
}

/// Nanoseconds since the epoch of an RFC 3339 time; digits below are none.
#[must_use]
pub fn nanos(text: &str) -> Option<i128> {
    let (local, offset) = read(text)?;
    let since = local.duration_since(EPOCH);
    Some(since.checked_sub(SignedDuration::from_secs(offset))?.as_nanos())
}

/// The same time in UTC, with as many fractional digits; one that says it is in UTC as it
/// stands. `None` for what is no RFC 3339 time, or is beyond the year 9999 in UTC.
#[must_use]
pub fn utc(text: &str) -> Option<String> {
    let (local, offset) = read(text)?;
    if offset == 0 {
        return Some(text.to_owned());
    }
    let utc = local.checked_sub(SignedDuration::from_secs(offset)).ok()?;
    let fraction = text.split_once(['.', ',']).map_or("", |(_, after)| after);
    let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
    (utc.year() >= 0).then(|| format!("{utc:.digits$}Z"))
}

impl Timestamp {
    /// First and last time that RFC 3339 can write in UTC.
    const RANGE: std::ops::RangeInclusive<i64> = -62_167_219_200_000_000..=253_402_300_799_999_999;

    /// From microseconds since the epoch, clamped to the years 0 to 9999.
    #[must_use]
    pub fn from_micros(micros: i64) -> Self {
        Self { micros: micros.clamp(*Self::RANGE.start(), *Self::RANGE.end()) }
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.micros
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // One that was read can be a day beyond, in UTC.
        let micros = Self::from_micros(self.micros).micros;
        let time =
            EPOCH.checked_add(SignedDuration::from_micros(micros)).map_err(|_| fmt::Error)?;
        write!(f, "{time:.6}Z")
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    /// Parses RFC 3339; digits below a microsecond are dropped.
    fn from_str(text: &str) -> Result<Self, TimestampError> {
        let micros = nanos(text).map(|nanos| nanos.div_euclid(1000));
        let micros = micros.and_then(|micros| i64::try_from(micros).ok());
        micros.map(|micros| Self { micros }).ok_or(TimestampError)
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_forms() {
        let time: Timestamp = "2026-03-01T13:00:00.1234567+01:00".parse().unwrap();
        assert_eq!(time.to_string(), "2026-03-01T12:00:00.123456Z");
        assert_eq!(time.to_string().parse(), Ok(time));
        for bad in [
            "",
            "yesterday",
            "2026-03-01",
            "2026-13-01T00:00:00Z",
            "2026-03-01T00:00:00",
            "2026-03-01T00:00:00Z[UTC]",
        ] {
            assert!(bad.parse::<Timestamp>().is_err(), "{bad}");
        }
        for extreme in [i64::MIN, i64::MAX, 0] {
            assert!(Timestamp::from_micros(extreme).to_string().ends_with('Z'));
        }
    }

    #[test]
    fn the_first_and_the_last_year() {
        for (text, shown) in [
            ("9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999999Z"),
            ("9999-12-31T23:59:59-12:00", "9999-12-31T23:59:59.999999Z"),
            ("9999-12-31T00:00:00Z", "9999-12-31T00:00:00.000000Z"),
            ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00.000000Z"),
            ("0000-01-01T00:00:00+12:00", "0000-01-01T00:00:00.000000Z"),
            ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59.000000Z"),
        ] {
            assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), shown, "{text}");
        }
        let last = Timestamp::from_micros(i64::MAX);
        assert_eq!(last.to_string(), "9999-12-31T23:59:59.999999Z");
        assert_eq!(last.to_string().parse(), Ok(last));
    }

    #[test]
    fn one_zone_and_all_digits() {
        for (text, shown) in [
            ("2026-03-01T23:30:00-08:00", Some("2026-03-02T07:30:00Z")),
            ("2026-03-01T23:30:00.120456789-08:00", Some("2026-03-02T07:30:00.120456789Z")),
            ("2026-03-01T23:30:00.10+00:30", Some("2026-03-01T23:00:00.10Z")),
            ("2026-03-01T12:00:00.500Z", Some("2026-03-01T12:00:00.500Z")),
            ("9999-12-31T23:59:59-12:00", None),
            ("0000-01-01T00:00:00+12:00", None),
            ("noon", None),
        ] {
            assert_eq!(utc(text).as_deref(), shown, "{text}");
        }
        assert_eq!(nanos("1970-01-01T01:00:00.000000001+01:00"), Some(1));
        assert_eq!(nanos("1969-12-31T23:59:59.999999999Z"), Some(-1));
    }
}
