//! Points in time as audit logs write them.

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

impl Timestamp {
    /// First and last time RFC 3339 can write, with a day of room for offsets.
    const RANGE: std::ops::RangeInclusive<i64> = -62_167_132_800_000_000..=253_402_207_200_000_000;

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
        match jiff::Timestamp::from_microsecond(self.micros) {
            Ok(time) => write!(f, "{time:.6}"),
            Err(_) => Err(fmt::Error),
        }
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    /// Parses RFC 3339; digits below a microsecond are dropped.
    fn from_str(text: &str) -> Result<Self, TimestampError> {
        // jiff also reads forms that are not RFC 3339, such as a trailing [zone].
        let plain = text.is_ascii() && !text.contains('[');
        let time: jiff::Timestamp = text.parse().map_err(|_| TimestampError)?;
        if plain { Ok(Self { micros: time.as_microsecond() }) } else { Err(TimestampError) }
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
}
