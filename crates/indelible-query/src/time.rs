//! Times in queries: a moment, a span it stands for, or an age.

/// Nanoseconds since the epoch.
type Nanos = i128;

const SECOND: Nanos = 1_000_000_000;
const DAY: Nanos = 24 * 3600 * SECOND;

/// The span that a text stands for, in nanoseconds since the epoch: `2026`, `2026-03`,
/// `2026-03-01`, `2026-03-01T12`, `…T12:30`, `…T12:30:05`, with up to nine fractional
/// digits (what is shorter is a span), a zone or none (UTC), a space instead of the T; or
/// an age such as `7d` (from then on).
pub(crate) fn span(text: &str, now_us: i64) -> Option<(Nanos, Nanos)> {
    if let Some(age) = length_us(text) {
        let from = now_us.saturating_sub(age);
        return Some((Nanos::from(from) * 1000, Nanos::from(now_us) * 1000));
    }
    let mut rest = Rest(text.trim());
    let year = rest.number(4)?;
    let day = |month: u32, day: u32| clock(year, month, day, 0, 0, 0);
    let year_end = || Some(day(12, 31)? + DAY);
    if !rest.has_part("-") {
        return Some((day(1, 1)?, year_end()?)).map(rest.in_zone()?);
    }
    rest.eat("-");
    let month = rest.number(2)?;
    if !rest.has_part("-") {
        let end = if month == 12 { year_end() } else { day(month + 1, 1) };
        return Some((day(month, 1)?, end?)).map(rest.in_zone()?);
    }
    rest.eat("-");
    let date = rest.number(2)?;
    let from = day(month, date)?;
    if !rest.has_part("Tt ") {
        return Some((from, from + DAY)).map(rest.in_zone()?);
    }
    rest.eat("Tt ");
    let hour = rest.number(2)?;
    if !rest.eat(":") {
        let from = clock(year, month, date, hour, 0, 0)?;
        return Some((from, from + 3600 * SECOND)).map(rest.in_zone()?);
    }
    let minute = rest.number(2)?;
    if !rest.eat(":") {
        let from = clock(year, month, date, hour, minute, 0)?;
        return Some((from, from + 60 * SECOND)).map(rest.in_zone()?);
    }
    let second = rest.number(2)?;
    let from = clock(year, month, date, hour, minute, second)?;
    if !rest.eat(".,") {
        return Some((from, from + SECOND)).map(rest.in_zone()?);
    }
    let digits = rest.0.bytes().take_while(u8::is_ascii_digit).count();
    let unit = SECOND / 10_i128.pow(u32::try_from(digits).ok().filter(|n| (1..=9).contains(n))?);
    let from = from + Nanos::from(rest.number(digits)?) * unit;
    Some((from, from + unit)).map(rest.in_zone()?)
}

/// A moment in UTC; no day, hour, minute or second that there is not.
fn clock(year: u32, month: u32, day: u32, hour: u32, minute: u32, second: u32) -> Option<Nanos> {
    indelible_event::nanos(&format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
    ))
}

/// What is not read yet.
struct Rest<'a>(&'a str);

impl Rest<'_> {
    /// So many digits.
    fn number(&mut self, digits: usize) -> Option<u32> {
        let (number, rest) = self.0.split_at_checked(digits)?;
        let is_digits = number.bytes().all(|byte| byte.is_ascii_digit());
        let number = number.parse().ok().filter(|_| is_digits)?;
        self.0 = rest;
        Some(number)
    }

    /// One of these characters.
    fn eat(&mut self, any: &str) -> bool {
        let first = self.0.chars().next().filter(|first| any.contains(*first));
        self.0 = self.0.get(first.map_or(0, char::len_utf8)..).unwrap_or_default();
        first.is_some()
    }

    /// Whether one of these and two digits come next, and no zone west of Greenwich.
    fn has_part(&self, any: &str) -> bool {
        let digits = self.0.bytes().skip(1).take_while(u8::is_ascii_digit).count();
        self.0.starts_with(|first| any.contains(first))
            && digits == 2
            && !(self.0.starts_with('-') && self.0.get(3..4) == Some(":"))
    }

    /// What a zone, if one stands here at the end, makes of a span.
    fn in_zone(mut self) -> Option<impl Fn((Nanos, Nanos)) -> (Nanos, Nanos)> {
        let mut offset = 0;
        if !self.eat("Zz") && !self.0.is_empty() {
            let sign = if self.0.starts_with('-') { -1 } else { 1 };
            if !self.eat("+-") {
                return None;
            }
            let hours = self.number(2).filter(|hours| *hours < 24)?;
            let minutes = match self.eat(":") || !self.0.is_empty() {
                true => self.number(2).filter(|minutes| *minutes < 60)?,
                false => 0,
            };
            offset = sign * Nanos::from(hours * 60 + minutes) * 60 * SECOND;
        }
        self.0.is_empty().then_some(move |(from, to): (Nanos, Nanos)| (from - offset, to - offset))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shorter_is_a_span() {
        for (text, from, length) in [
            ("2026", "2026-01-01T00:00:00Z", 365 * DAY),
            ("2026-02", "2026-02-01T00:00:00Z", 28 * DAY),
            ("2026-12Z", "2026-12-01T00:00:00Z", 31 * DAY),
            ("2026-03-01", "2026-03-01T00:00:00Z", DAY),
            ("2026-03-01+02:00", "2026-02-28T22:00:00Z", DAY),
            ("2026-03-01-08:00", "2026-03-01T08:00:00Z", DAY),
            ("2026-03-01T12", "2026-03-01T12:00:00Z", 3600 * SECOND),
            ("2026-03-01 12Z", "2026-03-01T12:00:00Z", 3600 * SECOND),
            ("2026-03-01T12:30", "2026-03-01T12:30:00Z", 60 * SECOND),
            ("2026-03-01T12:30-05:30", "2026-03-01T18:00:00Z", 60 * SECOND),
            ("2026-03-01t12:30:05z", "2026-03-01T12:30:05Z", SECOND),
            ("2026-03-01 12:30:05", "2026-03-01T12:30:05Z", SECOND),
            ("2026-03-01T12:30:05.5", "2026-03-01T12:30:05.5Z", SECOND / 10),
            ("2026-03-01T12:30:05.123456789+0100", "2026-03-01T11:30:05.123456789Z", 1),
            ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z", SECOND),
            ("9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999999999Z", 1),
            ("9999", "9999-01-01T00:00:00Z", 365 * DAY),
            ("9999-12", "9999-12-01T00:00:00Z", 31 * DAY),
            ("9999-12-31", "9999-12-31T00:00:00Z", DAY),
            ("0001", "0001-01-01T00:00:00Z", 365 * DAY),
        ] {
            let from = indelible_event::nanos(from);
            assert_eq!(span(text, 0), from.map(|from| (from, from + length)), "{text}");
        }
        for bad in [
            "",
            "26",
            "2026-",
            "2026-00",
            "2026-13",
            "2026-02-30",
            "2026-03-01T",
            "2026-03-01T24",
            "2026-03-01T12:60",
            "2026-03-01T12:00:61",
            "2026-03-01T12:00:00.",
            "2026-03-01T12:00:00.1234567890",
            "2026-03-01T12:00Zx",
            "10000",
            "20260301",
            "2026-3-1",
            "2026-03-01T12:00+25:00",
            "٢٠٢٦",
        ] {
            assert_eq!(span(bad, 0), None, "{bad}");
        }
        assert_eq!(span("7d", 0), Some((-7 * DAY, 0)));
    }
}
