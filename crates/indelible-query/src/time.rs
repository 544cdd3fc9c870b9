//! Times in queries: a moment, a span it stands for, or an age.

/// Microseconds since the epoch.
fn micros(text: &str) -> Option<i64> {
    text.parse::<indelible_event::Timestamp>().ok().map(indelible_event::Timestamp::as_micros)
}

/// The span that a text stands for: `2026`, `2026-03`, `2026-03-01`, `2026-03-01T12`,
/// `2026-03-01T12:30`, a whole RFC 3339 time (one microsecond), or an age such as `7d`
/// (from then on).
pub(crate) fn span(text: &str, now_us: i64) -> Option<(i64, i64)> {
    if let Some(age) = length_us(text) {
        return Some((now_us.saturating_sub(age), now_us));
    }
    let upper = text.to_ascii_uppercase();
    let plain = upper.trim_end_matches('Z');
    let parts: Vec<&str> = plain.split(['-', 'T', ':']).collect();
    let number = |at: usize| parts.get(at).and_then(|part| part.parse::<i64>().ok());
    let at = |y: i64, mo: i64, d: i64, h: i64, mi: i64| {
        micros(&format!("{y:04}-{mo:02}-{d:02}T{h:02}:{mi:02}:00Z"))
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !parts.iter().all(|part| digits(part)) || parts.first().map(|year| year.len()) != Some(4) {
        return micros(text).map(|at| (at, at.saturating_add(1)));
    }
    // No time is written with a year of five digits.
    let end = |next: Option<i64>| next.unwrap_or(i64::MAX);
    const MINUTE: i64 = 60_000_000;
    match parts.len() {
        1 => Some((at(number(0)?, 1, 1, 0, 0)?, end(at(number(0)? + 1, 1, 1, 0, 0)))),
        2 => {
            let (year, month) = (number(0)?, number(1)?);
            let from = at(year, month, 1, 0, 0)?;
            let next = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
            Some((from, end(at(next.0, next.1, 1, 0, 0))))
        }
        3 => {
            let from = at(number(0)?, number(1)?, number(2)?, 0, 0)?;
            Some((from, from + 24 * 60 * MINUTE))
        }
        4 => {
            let from = at(number(0)?, number(1)?, number(2)?, number(3)?, 0)?;
            Some((from, from + 60 * MINUTE))
        }
        5 => {
            let from = at(number(0)?, number(1)?, number(2)?, number(3)?, number(4)?)?;
            Some((from, from + MINUTE))
        }
        _ => micros(text).map(|at| (at, at.saturating_add(1))),
    }
}

/// Microseconds of a length of time such as `90s`, `15m`, `12h`, `7d`, `2w`.
#[must_use]
pub fn length_us(text: &str) -> Option<i64> {
    let unit = text.chars().last()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 7 * 86_400,
        _ => return None,
    };
    let number: i64 = text.strip_suffix(unit)?.parse().ok()?;
    number.checked_mul(seconds * 1_000_000).filter(|age| *age >= 0)
}
