//! Which member of an object holds the events, found without reading the object whole.

use super::scan::{Reached, Scan};

/// Members that hold the events of a container.
const ARRAYS: [&[u8]; 5] =
    [b"\"Records\"", b"\"items\"", b"\"Events\"", b"\"logEvents\"", b"\"QueryResultRows\""];

/// Offset of the `[` of the first member that holds events as an array.
pub(super) fn array_in(value: &[u8]) -> Option<usize> {
    let blank = |mut at: usize| {
        while value.get(at).is_some_and(|byte| byte.is_ascii_whitespace()) {
            at += 1;
        }
        at
    };
    let past = |at: usize| match Scan::new().go(value, at) {
        Reached::End(end) => Some(end),
        _ => None,
    };
    let mut at = blank(0);
    if value.get(at) != Some(&b'{') {
        return None;
    }
    loop {
        let name = blank(at + 1);
        if value.get(name) != Some(&b'"') {
            return None;
        }
        let colon = past(name)?;
        let is_array = ARRAYS.contains(&value.get(name..colon)?);
        let colon = blank(colon);
        if value.get(colon) != Some(&b':') {
            return None;
        }
        let member = blank(colon + 1);
        if is_array && value.get(member) == Some(&b'[') {
            return Some(member);
        }
        at = blank(past(member)?);
        if value.get(at) != Some(&b',') {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::array_in;

    #[test]
    fn the_array_is_found_in_what_is_broken_behind_it() {
        let check = |text: &str, found: Option<usize>| {
            assert_eq!(array_in(text.as_bytes()), found, "{text}")
        };
        check(r#"{"Records":[{"a""#, Some(11));
        check(r#" { "kind" : "EventList", "metadata":{"x":[1]}, "items" : [ "#, Some(57));
        check(r#"{"items":null}"#, None);
        check(r#"{"a":{"Records":[]}}"#, None);
        check(r#"{"a":1"#, None);
        check("[1]", None);
        check("", None);
    }
}
