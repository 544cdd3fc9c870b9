//! Queries: any text is parsed, or refused at one of its columns.
#![no_main]

use indelible_query::parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (i64, &str)| {
    let (now_us, text) = input;
    if let Err(error) = parse(text, now_us) {
        assert!((1..=text.chars().count() + 1).contains(&error.column), "{error}");
    }
});
