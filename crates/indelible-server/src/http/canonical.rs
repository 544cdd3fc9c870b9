//! One spelling a path: a path that is not its own canonical encoding is refused before
//! anything is decided, so that nothing hangs on which of several spellings was sent.

use crate::error::{ApiError, Result};

/// Whether every octet of the path is written in the one way it can be: unreserved
/// characters (RFC 3986 §2.3) as they are, others perhaps encoded with upper-case hex,
/// never a `/` within a segment that is not an id, no empty segment and none of dots, UTF-8 throughout.
///
/// # Errors
/// What is spelled otherwise.
pub(super) fn check(path: &str) -> Result<()> {
    let refused = |why: &str| {
        Err(ApiError::invalid(format!(
            "the path is not in its canonical form ({why}); send each segment encoded once, with only what must be encoded"
        )))
    };
    let Some(rest) = path.strip_prefix('/') else { return refused("it does not begin with /") };
    if rest.is_empty() {
        return Ok(());
    }
    for segment in rest.split('/') {
        match segment {
            "" => return refused("an empty segment"),
            "." | ".." => return refused("a segment of dots"),
            _ => {}
        }
        let mut octets = segment.bytes();
        while let Some(octet) = octets.next() {
            if octet != b'%' {
                continue;
            }
            let (Some(high), Some(low)) =
                (octets.next().and_then(hex), octets.next().and_then(hex))
            else {
                return refused("% without two upper-case hex digits");
            };
            let octet = high << 4 | low;
            if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
                return refused("a character encoded that needs no encoding");
            }
            // An id is whatever its sender chose, and a segment of no route's own.
            let is_slash = octet == b'/' && !segment.starts_with("id:");
            if is_slash || octet < 0x20 || octet == 0x7f {
                return refused("an encoded slash or control character");
            }
        }
        if segment.contains('%')
            && percent_encoding::percent_decode_str(segment).decode_utf8().is_err()
        {
            return refused("not UTF-8");
        }
    }
    Ok(())
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_spelling() {
        for good in [
            "/",
            "/v1/logs/prod/events/id:a%20b",
            "/v1/logs/prod/events/id:%2565",
            "/tlog/prod/tile/0/x001/067.p/8",
            "/v1/logs/pr%C3%B6d",
        ] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "//v1/logs",
            "/v1/logs/",
            "/v1/logs//events",
            "/v1/./logs",
            "/v1/logs/prod/../_control",
            "/v1/logs/prod%2Fevents",
            "/v1/logs/prod%2fevents",
            "/v1/logs/%70rod",
            "/tlog/prod/tile/%65ntries/000",
            "/v1/logs/%2E%2E/events",
            "/v1/logs/pr%c3%b6d",
            "/v1/logs/%FF/events",
            "/v1/logs/%",
            "/v1/logs/%4",
            "/v1/logs/a%00",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
