//! Times for people.

use anyhow::anyhow;
use indelible_event::Timestamp;
use indelible_log::{Clock as _, SystemClock};
use jiff::{Span, SpanRelativeTo};
use std::time::Duration;

/// A time as people and machines write it: RFC 3339, a date, or a span from now (or
/// before now) such as 90d, 12h, 1h30m. A day has 24 hours and a year 365 days.
pub(crate) fn time_from_now(text: &str, forward: bool) -> anyhow::Result<String> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time.to_string());
    }
    if let Ok(time) = format!("{text}T00:00:00Z").parse::<Timestamp>() {
        return Ok(time.to_string());
    }
    let span = span_us(text).ok_or_else(|| {
        anyhow!(
            "{text:?} is not a time: write 2026-06-30, 2026-06-30T12:00:00Z, or a span such as 90d, 12h, 30m"
        )
    })?;
    let now = SystemClock.now_us();
    let at = if forward { now.saturating_add(span) } else { now.saturating_sub(span) };
    Ok(Timestamp::from_micros(at).to_string())
}

/// Microseconds of a span.
fn span_us(text: &str) -> Option<i64> {
    let span: Span = text.parse().ok()?;
    if span.is_negative() || span.get_months() != 0 {
        return None;
    }
    let years = i64::from(span.get_years()).checked_mul(365 * 86_400_000_000)?;
    let rest = span.years(0).to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    years.checked_add(i64::try_from(rest.as_micros()).ok()?)
}

/// A span such as 7d, 12h, 30m, 0s.
pub(crate) fn span(text: &str) -> anyhow::Result<Duration> {
    let text = if text == "0" { "0s" } else { text };
    let micros = span_us(text).and_then(|span| u64::try_from(span).ok());
    let micros = micros.ok_or_else(|| anyhow!("{text:?} is not a span such as 7d, 12h, 30m"))?;
    Ok(Duration::from_micros(micros))
}

/// 2026-03-01T12:00:00.000000Z → 2026-03-01 12:00.
pub(crate) fn short(time: &str) -> String {
    time.get(..16).unwrap_or(time).replace('T', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_people_write_them() {
        const HOUR: i64 = 3_600_000_000;
        let spans = [
            ("0s", 0),
            ("90m", 3 * HOUR / 2),
            ("1h30m", 3 * HOUR / 2),
            ("12h", 12 * HOUR),
            ("7d", 168 * HOUR),
            ("2w", 336 * HOUR),
            ("1y", 365 * 24 * HOUR),
        ];
        for (text, expected) in spans {
            assert_eq!(span_us(text), Some(expected), "{text}");
        }
        for wrong in ["", "7", "d", "-7d", "7d ago", "2026", "1mo", "99999999y", "7q"] {
            assert_eq!(span_us(wrong), None, "{wrong}");
        }
    }
}
