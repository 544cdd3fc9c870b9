//! Times as other systems write them, for the native view.

use crate::{
    Timestamp,
    json::{Map, Value},
};

/// The member of a view that says that its time cannot be read.
const UNREADABLE: &str = "time_unreadable";

/// The time of a view: RFC 3339 where it can be read, else as it was sent, and marked.
pub(super) fn time_of(sent: Option<&Value<'_>>, other: &mut Map<'static>) -> String {
    let text = match sent {
        None | Some(Value::Null) => String::new(),
        Some(Value::Str(text)) => text.clone().into_owned(),
        Some(value) => value.to_string(),
    };
    match read(&text) {
        Some(time) => time,
        None => {
            other.insert(UNREADABLE, Value::Bool(true));
            text
        }
    }
}

/// A time in RFC 3339: as it is, or with the zone that its source documents (UTC), or
/// from a count since 1970 in seconds, milliseconds, microseconds or nanoseconds.
fn read(text: &str) -> Option<String> {
    let text = text.trim();
    if text.parse::<Timestamp>().is_ok() {
        return Some(text.to_owned());
    }
    if let Some(time) = since_1970(text) {
        return Some(time.to_string());
    }
    // `2026-03-01T12:00:00`, `2026-03-01 12:00:00.123 UTC`, as tables and queries have it.
    let bare = ["UTC", "GMT", "Z"]
        .iter()
        .find_map(|zone| text.strip_suffix(zone))
        .unwrap_or(text)
        .trim_end();
    let (date, clock) = bare.split_once(['T', ' '])?;
    let time = format!("{date}T{}Z", clock.trim_start());
    time.parse::<Timestamp>().is_ok().then_some(time)
}

/// A count since 1970, told apart by its length: seconds of the years 1973 to 5138 have
/// nine to eleven digits, and each finer unit three more.
fn since_1970(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let micros_of = match whole.len() {
        9..=11 => 1_000_000.0,
        12..=14 => 1000.0,
        15..=17 => 1.0,
        18..=19 => 0.001,
        _ => return None,
    };
    let whole: i64 = whole.parse().ok()?;
    let count = match micros_of {
        0.001 => whole / 1000,
        1.0 => whole,
        1000.0 => whole.checked_mul(1000)?,
        _ => whole.checked_mul(1_000_000)?,
    };
    let more = format!("0.{fraction}0").parse::<f64>().ok()? * micros_of;
    // Below a whole unit: at most a million.
    #[expect(clippy::cast_possible_truncation, reason = "at most a million")]
    Some(Timestamp::from_micros(count.checked_add(more.round() as i64)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_their_sources_document() {
        let check = |sent: serde_json::Value, time: &str| {
            let (sent, mut other) = (Value::from(sent), Map::new());
            assert_eq!(time_of(Some(&sent), &mut other), time, "{sent}");
            assert!(other.is_empty() && time.parse::<Timestamp>().is_ok(), "{sent}");
        };
        check("2026-03-01T12:00:00Z".into(), "2026-03-01T12:00:00Z");
        check("2026-03-01T13:00:00.5+01:00".into(), "2026-03-01T13:00:00.5+01:00");
        check("2026-03-01T12:00:00".into(), "2026-03-01T12:00:00Z");
        check("2026-03-01 12:00:00.123".into(), "2026-03-01T12:00:00.123Z");
        check("2026-03-01 12:00:00 UTC".into(), "2026-03-01T12:00:00Z");
        check(1_772_366_400.into(), "2026-03-01T12:00:00.000000Z");
        check(1_772_366_400_123_u64.into(), "2026-03-01T12:00:00.123000Z");
        check(1_772_366_400_123_456_u64.into(), "2026-03-01T12:00:00.123456Z");
        check("1772366400123456789".into(), "2026-03-01T12:00:00.123456Z");
        check("1772366400.25".into(), "2026-03-01T12:00:00.250000Z");
    }

    #[test]
    fn what_cannot_be_read_is_kept_and_marked() {
        for (sent, text) in [
            ("yesterday".into(), "yesterday"),
            ("2026-13-01T00:00:00".into(), "2026-13-01T00:00:00"),
            ("01/03/2026 12:00".into(), "01/03/2026 12:00"),
            (7.into(), "7"),
            (serde_json::Value::Null, ""),
            (serde_json::json!({"a":1}), r#"{"a":1}"#),
        ] {
            let (sent, mut other) = (Value::from(sent), Map::new());
            assert_eq!(time_of(Some(&sent), &mut other), text);
            assert_eq!(other.get(UNREADABLE).and_then(Value::as_bool), Some(true), "{sent}");
        }
        assert_eq!(time_of(None, &mut Map::new()), "");
    }
}
