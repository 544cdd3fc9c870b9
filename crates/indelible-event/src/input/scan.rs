//! Where a JSON value ends, and where it stops being one: its structure, in parts as they
//! come. What stands in strings and scalars is read later, by whoever takes the value.

/// How deep values nest at most; as deep as they are parsed.
const DEEPEST: u32 = 127;

/// What may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    Value,
    /// Just behind `[`.
    ValueOrEnd,
    Name,
    /// Just behind `{`.
    NameOrEnd,
    Colon,
    CommaOrEnd,
    /// Within a string; whether it is a name.
    Text(bool),
    /// Behind a backslash in a string.
    Escape(bool),
    /// Within a number or a word.
    Word,
}

/// How far a scan came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reached {
    /// The value ends before this offset.
    End(usize),
    /// All bytes are seen, and it goes on.
    More,
    /// At this offset stands what cannot.
    Wrong(usize, &'static str),
}

/// A value being scanned.
#[derive(Debug, Clone)]
pub(super) struct Scan {
    expect: Expect,
    /// Open brackets from the lowest bit: 1 is an object.
    open: u128,
    depth: u32,
}

impl Scan {
    /// At the first byte of a value.
    pub(super) const fn new() -> Self {
        Self { expect: Expect::Value, open: 0, depth: 0 }
    }

    /// Brackets that are open.
    pub(super) const fn depth(&self) -> u32 {
        self.depth
    }

    fn enter(&mut self, object: bool) -> Result<(), &'static str> {
        if self.depth == DEEPEST {
            return Err("this is nested more than 127 deep");
        }
        self.open = self.open << 1 | u128::from(object);
        self.depth += 1;
        self.expect = if object { Expect::NameOrEnd } else { Expect::ValueOrEnd };
        Ok(())
    }

    fn leave(&mut self) {
        self.open >>= 1;
        self.depth = self.depth.saturating_sub(1);
        self.expect = Expect::CommaOrEnd;
    }

    /// Goes on at `at`.
    pub(super) fn go(&mut self, bytes: &[u8], mut at: usize) -> Reached {
        while let Some(byte) = bytes.get(at).copied() {
            match self.expect {
                Expect::Text(name) => {
                    let rest = bytes.get(at..).unwrap_or_default();
                    let stop = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
                    let Some(passed) = stop else { return Reached::More };
                    at += passed;
                    match rest.get(passed) {
                        Some(b'"') if name => self.expect = Expect::Colon,
                        Some(b'"') => self.expect = Expect::CommaOrEnd,
                        Some(b'\\') => self.expect = Expect::Escape(name),
                        Some(b'\n' | b'\r') => {
                            return Reached::Wrong(at, "the line ends within a string");
                        }
                        Some(0) => return Reached::Wrong(at, "a NUL byte stands here"),
                        _ => {
                            return Reached::Wrong(at, "a control character stands in a string");
                        }
                    }
                }
                Expect::Escape(_) if byte < 0x20 => {
                    return Reached::Wrong(at, "the line ends within a string");
                }
                Expect::Escape(name) => self.expect = Expect::Text(name),
                Expect::Word if is_word(byte) => {}
                Expect::Word => {
                    self.expect = Expect::CommaOrEnd;
                    if self.depth == 0 {
                        return Reached::End(at);
                    }
                    continue;
                }
                _ if matches!(byte, b' ' | b'\n' | b'\r' | b'\t') => {}
                _ => {
                    if let Err(problem) = self.step(byte) {
                        return Reached::Wrong(at, problem);
                    }
                }
            }
            at += 1;
            if self.depth == 0 && self.expect == Expect::CommaOrEnd {
                return Reached::End(at);
            }
        }
        Reached::More
    }

    /// Whether all bytes being seen is the end of the value: nothing ends a number but
    /// what follows it.
    pub(super) fn may_end(&self) -> bool {
        self.depth == 0 && self.expect == Expect::Word
    }

    /// One byte that is no white space, outside of strings and words.
    fn step(&mut self, byte: u8) -> Result<(), &'static str> {
        let object = self.open & 1 == 1;
        match (self.expect, byte) {
            (Expect::Value | Expect::ValueOrEnd, b'{') => return self.enter(true),
            (Expect::Value | Expect::ValueOrEnd, b'[') => return self.enter(false),
            (Expect::Value | Expect::ValueOrEnd, b'"') => self.expect = Expect::Text(false),
            (Expect::Value | Expect::ValueOrEnd, _) if is_word(byte) => self.expect = Expect::Word,
            (Expect::ValueOrEnd, b']') | (Expect::NameOrEnd, b'}') => self.leave(),
            (Expect::Name | Expect::NameOrEnd, b'"') => self.expect = Expect::Text(true),
            (Expect::Colon, b':') => self.expect = Expect::Value,
            (Expect::CommaOrEnd, b',') => {
                self.expect = if object { Expect::Name } else { Expect::Value };
            }
            (Expect::CommaOrEnd, b'}') if object => self.leave(),
            (Expect::CommaOrEnd, b']') if !object => self.leave(),
            (_, 0) => return Err("a NUL byte stands here"),
            (Expect::Value | Expect::ValueOrEnd, _) => return Err("a value is expected here"),
            (Expect::Name, _) => return Err("a name in quotes is expected here"),
            (Expect::NameOrEnd, _) => return Err("a name in quotes or } is expected here"),
            (Expect::Colon, _) => return Err("a colon is expected here"),
            _ if object => return Err("a comma or } is expected here"),
            _ => return Err("a comma or ] is expected here"),
        }
        Ok(())
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scan(text: &str, part: usize) -> Reached {
        let mut scan = Scan::new();
        let mut seen = 0;
        let bytes = text.as_bytes();
        loop {
            let next = (seen + part).min(bytes.len());
            match scan.go(&bytes[..next], seen) {
                Reached::More if next < bytes.len() => seen = next,
                reached => return reached,
            }
        }
    }

    #[test]
    fn values_end_where_they_end() {
        for part in [1, 2, 3, 1000] {
            let check =
                |text: &str, reached: Reached| assert_eq!(scan(text, part), reached, "{text}");
            check(r#"{"a":[1,{"b":"}"}],"c":"\"]"} rest"#, Reached::End(29));
            check("[]x", Reached::End(2));
            check(r#""s\\"x"#, Reached::End(5));
            check("-1.5e3,", Reached::End(6));
            check("true", Reached::More);
            check(r#"{"a""#, Reached::More);
            check(r#"{"a":1 "b"}"#, Reached::Wrong(7, "a comma or } is expected here"));
            check(r#"[1 2]"#, Reached::Wrong(3, "a comma or ] is expected here"));
            check(r#"{a:1}"#, Reached::Wrong(1, "a name in quotes or } is expected here"));
            check(r#"{"a":1,}"#, Reached::Wrong(7, "a name in quotes is expected here"));
            check(r#"{"a":}"#, Reached::Wrong(5, "a value is expected here"));
            check(r#"{"a"1}"#, Reached::Wrong(4, "a colon is expected here"));
            check("{\"a\":\"x\ny", Reached::Wrong(7, "the line ends within a string"));
            check("{\"a\":\"x\\\ny", Reached::Wrong(8, "the line ends within a string"));
            check("{\"a\":\"x\0y", Reached::Wrong(7, "a NUL byte stands here"));
            check("{\"a\":\0", Reached::Wrong(5, "a NUL byte stands here"));
            check("[1}", Reached::Wrong(2, "a comma or ] is expected here"));
            let deep = "[".repeat(500);
            check(&deep, Reached::Wrong(127, "this is nested more than 127 deep"));
            let deep = format!("{}{}", "[".repeat(127), "]".repeat(127));
            check(&deep, Reached::End(254));
        }
    }

    proptest! {
        #[test]
        fn what_a_parser_takes_ends_at_its_end(text in r#"[\[\]{}",:a1\\ ]{0,24}"#) {
            let whole = serde_json::from_str::<&serde_json::value::RawValue>(&text);
            if let Ok(value) = whole && text.trim_start().starts_with(['{', '[', '"']) {
                prop_assert_eq!(scan(text.trim_start(), 3), Reached::End(value.get().len()));
            }
        }

        #[test]
        fn any_bytes_are_read(text: String, part in 1usize..9) {
            scan(&text, part);
        }
    }
}
