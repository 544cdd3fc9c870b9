//! Input as it comes: however it is cut, the same is found, and good lines behind anything
//! that has no bracket open are found.
#![no_main]

use indelible_event::{EventError, Item, Kind, Piece, Splitter, Utf16, events_of};
use libfuzzer_sys::fuzz_target;

fn read(input: &[u8], part: usize) -> Vec<String> {
    let (mut splitter, mut buffer, mut found, mut seen, mut gone) =
        (Splitter::default(), Vec::new(), Vec::new(), 0, 0);
    loop {
        let next = (seen + part).min(input.len());
        buffer.extend_from_slice(&input[seen..next]);
        seen = next;
        while let Some(piece) = splitter.next(&buffer, seen == input.len()) {
            match piece {
                Piece::Value { start, end } => {
                    let visited = events_of(&buffer[start..end], start, None, &mut |item| {
                        found.push(match item {
                            Item::Event { format, data, offset } => {
                                assert!(offset >= start && offset < end);
                                format!("{} {} {data}", offset + gone, format.name())
                            }
                            Item::Bad { start: begun, at, error } => {
                                assert!(begun >= start && at <= end);
                                format!("{} bad {error}", at + gone)
                            }
                            Item::Nothing { why, .. } => why.to_owned(),
                        });
                        Ok::<(), EventError>(())
                    });
                    visited.expect("the visitor takes everything");
                }
                Piece::Bad { start, at, problem } => {
                    assert!(start <= at && at <= buffer.len());
                    found.push(format!("{} bad {problem}", at + gone));
                }
            }
        }
        if seen == input.len() {
            return found;
        }
        let passed = splitter.kept_from();
        splitter.forget(passed);
        buffer.drain(..passed);
        gone += passed;
    }
}

fuzz_target!(|bytes: &[u8]| {
    let whole = read(bytes, usize::MAX >> 1);
    for part in [1, 3, 64] {
        assert_eq!(read(bytes, part), whole);
    }
    if let Kind::Utf16Big | Kind::Utf16Little = Kind::of(bytes) {
        let (mut decoder, mut out) = (Utf16::new(Kind::of(bytes) == Kind::Utf16Big), Vec::new());
        decoder.decode(bytes, &mut out);
        decoder.end(&mut out);
        read(&out, 7);
    }
});
