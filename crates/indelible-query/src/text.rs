//! Words: index and query take texts apart through this file, so that they agree.
//!
//! A word is a run of letters and digits. In scripts that put no spaces between words
//! (Chinese, Japanese, Thai, Lao, Khmer, Burmese, and Korean, which glues endings to its
//! words) a run is found by any part of it; where such a run and another script meet, two
//! words meet.

use std::borrow::Cow;

/// Longest term of the index, in bytes; longer words are found by what they begin with,
/// and read.
pub const MAX_TOKEN: usize = 64;

/// A word of a text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Word<'a> {
    /// Its text.
    pub text: Cow<'a, str>,
    /// Whether it is a run of a script without spaces.
    pub is_run: bool,
}

/// What a character is to words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Between them.
    None,
    /// A letter or digit.
    Letter,
    /// A letter, sign or mark of a script without spaces.
    Run,
}

fn class(c: char) -> Class {
    if c.is_ascii() {
        return if c.is_ascii_alphanumeric() { Class::Letter } else { Class::None };
    }
    match c {
        // Thai and Lao with their vowels and tones; not the baht, nor marks of paragraphs.
        '\u{e01}'..='\u{e3a}' | '\u{e40}'..='\u{e4e}' | '\u{e50}'..='\u{e59}' => Class::Run,
        '\u{e81}'..='\u{edf}' => Class::Run,
        // Burmese, Khmer; Tai Le to New Tai Lue.
        '\u{1000}'..='\u{1049}'
        | '\u{1050}'..='\u{109d}'
        | '\u{a9e0}'..='\u{a9fe}'
        | '\u{aa60}'..='\u{aa7f}' => Class::Run,
        '\u{1780}'..='\u{17d3}' | '\u{17d7}' | '\u{17dc}'..='\u{17e9}' => Class::Run,
        '\u{1950}'..='\u{19df}' | '\u{1a20}'..='\u{1aad}' => Class::Run,
        // Korean, Japanese, Chinese; 々, 〆, 〇 and half-width forms are of their words.
        '\u{1100}'..='\u{11ff}' | '\u{a960}'..='\u{a97c}' | '\u{ac00}'..='\u{d7fb}' => Class::Run,
        '\u{3005}'..='\u{3007}' | '\u{3031}'..='\u{3035}' | '\u{3041}'..='\u{309f}' => Class::Run,
        '\u{30a1}'..='\u{30fa}'
        | '\u{30fc}'..='\u{318e}'
        | '\u{31a0}'..='\u{31bf}'
        | '\u{31f0}'..='\u{31ff}' => Class::Run,
        '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{a4cf}' | '\u{f900}'..='\u{faff}' => Class::Run,
        '\u{ff66}'..='\u{ffdc}' | '\u{1b000}'..='\u{1b2ff}' | '\u{20000}'..='\u{3fffd}' => {
            Class::Run
        }
        c if c.is_alphanumeric() => Class::Letter,
        _ => Class::None,
    }
}

/// The next word of a text in lower case, and what follows it.
fn next_word(text: &str) -> Option<(Word<'_>, &str)> {
    let text = text.get(start(text)..)?;
    let is_run = class(text.chars().next()?) == Class::Run;
    let end = if is_run { end(text, Class::Run) } else { letters(text) };
    let (word, rest) = text.split_at_checked(end)?;
    Some((Word { text: Cow::Borrowed(word), is_run }, rest))
}

/// Where the first word begins. Nearly all is ASCII, which needs no decoding.
fn start(text: &str) -> usize {
    let at = text.bytes().position(|byte| !byte.is_ascii() || byte.is_ascii_alphanumeric());
    let at = at.unwrap_or(text.len());
    let rest = text.get(at..).unwrap_or_default();
    match rest.as_bytes().first() {
        Some(byte) if !byte.is_ascii() => {
            rest.find(|c| class(c) != Class::None).map_or(text.len(), |found| at + found)
        }
        _ => at,
    }
}

fn letters(text: &str) -> usize {
    let at = text.bytes().position(|byte| !byte.is_ascii_alphanumeric()).unwrap_or(text.len());
    match text.as_bytes().get(at) {
        Some(byte) if !byte.is_ascii() => {
            at + end(text.get(at..).unwrap_or_default(), Class::Letter)
        }
        _ => at,
    }
}

fn end(text: &str, of: Class) -> usize {
    text.find(|c| class(c) != of).unwrap_or(text.len())
}

/// The words of a text that is in lower case.
pub fn words(text: &str) -> impl Iterator<Item = Word<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (word, after) = next_word(rest)?;
        rest = after;
        Some(word)
    })
}

/// The next term that the index has of a text in lower case, and what follows: a word, or
/// two neighbours of a run (or its last character alone).
#[must_use]
pub fn next_term(text: &str) -> Option<(&str, &str)> {
    let text = text.get(start(text)..)?;
    let mut chars = text.char_indices();
    let (_, first) = chars.next()?;
    if class(first) != Class::Run {
        return text.split_at_checked(letters(text));
    }
    let after = text.get(first.len_utf8()..)?;
    let second = after.chars().next().filter(|c| class(*c) == Class::Run);
    let len = first.len_utf8() + second.map_or(0, char::len_utf8);
    Some((text.get(..len)?, after))
}

impl Word<'_> {
    /// The terms that a text with the word surely has; of a single character of a run,
    /// none but that one begins with it.
    pub fn terms(&self) -> impl Iterator<Item = &str> {
        let mut rest = self.text.as_ref();
        let is_one = rest.chars().nth(1).is_none();
        let is_run = self.is_run;
        std::iter::from_fn(move || {
            let (term, after) = next_term(rest)?;
            rest = after;
            // The last of a run may go on in the text.
            let is_last = is_run && !is_one && term.chars().nth(1).is_none();
            (!is_last).then_some(term)
        })
    }

    /// Whether it is one character of a run.
    #[must_use]
    pub fn is_single(&self) -> bool {
        self.is_run && self.text.chars().nth(1).is_none()
    }

    /// The same, borrowing nothing.
    #[must_use]
    pub fn into_owned(self) -> Word<'static> {
        Word { text: Cow::Owned(self.text.into_owned()), is_run: self.is_run }
    }
}

/// Whether words stand together in a text; the last may go on, if it is a prefix. A run
/// goes on at both ends, but not towards a neighbour.
pub(crate) fn contains(text: &str, wanted: &[Word<'_>], prefix: bool) -> bool {
    let lower = lower(text);
    let found: Vec<Word<'_>> = words(&lower).collect();
    let last = wanted.len().saturating_sub(1);
    let is_there = |at: usize, word: &Word<'_>, wanted: &Word<'_>| {
        let (word_text, wanted_text) = (word.text.as_ref(), wanted.text.as_ref());
        word.is_run == wanted.is_run
            && match (wanted.is_run, at == 0, at == last) {
                (false, _, true) if prefix => word_text.starts_with(wanted_text),
                (false, ..) | (true, false, false) => word_text == wanted_text,
                (true, true, true) => word_text.contains(wanted_text),
                (true, true, false) => word_text.ends_with(wanted_text),
                (true, false, true) => word_text.starts_with(wanted_text),
            }
    };
    found.windows(wanted.len().max(1)).any(|window| {
        window.iter().zip(wanted).enumerate().all(|(at, (word, wanted))| is_there(at, word, wanted))
    })
}

/// Lower case, in which texts that differ only in case are the same: ß and SS, ς and σ,
/// ﬁ and FI, İ and I. The index and the query must do it alike.
#[must_use]
pub fn lower(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return match text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            true => Cow::Owned(text.to_ascii_lowercase()),
            false => Cow::Borrowed(text),
        };
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() {
            out.push(c.to_ascii_lowercase());
        } else if c == '\u{307}' && out.ends_with('i') {
            // The dot of an İ that somebody wrote in lower case.
        } else if c == 'İ' {
            out.push('i');
        } else {
            // By way of upper case, which many letters of lower case share.
            let upper = c.to_lowercase().flat_map(char::to_uppercase);
            out.extend(upper.flat_map(char::to_lowercase));
        }
    }
    Cow::Owned(out)
}

/// Cuts a text at a character's boundary.
#[must_use]
pub fn cut(text: &str, len: usize) -> &str {
    text.get(..text.floor_char_boundary(len)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn has(text: &str, query: &str) -> bool {
        let query = lower(query);
        let wanted: Vec<Word<'_>> = words(&query).collect();
        contains(text, &wanted, false)
    }

    #[test]
    fn case_is_folded() {
        for (a, b) in [
            ("Straße", "STRASSE"),
            ("STRAẞE", "strasse"),
            ("ΣΑΣ", "σας"),
            ("ﬁle", "FILE"),
            ("İstanbul", "istanbul"),
            ("i\u{307}stanbul", "İSTANBUL"),
            ("ſet", "SET"),
            ("\u{212a}elvin", "kelvin"),
            ("ŉ", "ŉ"),
        ] {
            assert_eq!(lower(a), lower(b), "{a} {b}");
        }
        assert_eq!(lower("plain"), "plain");
    }

    #[test]
    fn runs_are_found_by_their_parts() {
        for (text, query) in [
            ("用户登录失败密码错误", "登录失败"),
            ("用户登录失败密码错误", "误"),
            ("铁路12306", "12306"),
            ("中国铁路12306客户", "铁路12306客"),
            ("ユーザーがログインに失敗しました", "ログイン"),
            ("ผู้ใช้เข้าสู่ระบบไม่สำเร็จ", "เข้าสู่ระบบ"),
            ("ຜູ້ໃຊ້ເຂົ້າສູ່ລະບົບ", "ລະບົບ"),
            ("អ្នកប្រើចូលប្រព័ន្ធ", "ប្រព័ន្ធ"),
            ("အသုံးပြုသူဝင်ရောက်", "ဝင်ရောက်"),
            ("로그인을 실패", "로그인"),
            ("user用户login", "LOGIN"),
        ] {
            assert!(has(text, query), "{query} in {text}");
        }
        assert!(!has("登录，失败", "登录失败") && !has("铁路123060", "12306"));
        assert!(!has("失败登录", "登录失败") && !has("路12306", "铁路12306"));
    }

    #[test]
    fn long_words_are_whole() {
        let long = "a".repeat(200);
        assert!(has(&format!("x {long}b"), &format!("{long}b")));
        assert!(!has(&format!("x {long}c"), &format!("{long}b")));
    }

    proptest! {
        #[test]
        fn lower_case_is_lower_case(text: String) {
            let once = lower(&text).into_owned();
            prop_assert_eq!(lower(&once), once.as_str());
            prop_assert_eq!(lower(&text.to_uppercase()).is_empty(), lower(&text).is_empty());
        }

        #[test]
        fn a_text_has_the_terms_of_what_it_has(
            before in "[a用b户 ,1ก]{0,6}", query in "[a用b户 ,1ก]{1,6}", after in "[a用b户 ,1ก]{0,6}",
        ) {
            let text = format!("{before}{query}{after}");
            let wanted: Vec<Word<'_>> = words(&query).collect();
            prop_assume!(!wanted.is_empty());
            if contains(&text, &wanted, false) {
                let mut terms = Vec::new();
                let mut rest = text.as_str();
                while let Some((term, after)) = next_term(rest) {
                    terms.push(term);
                    rest = after;
                }
                for word in &wanted {
                    for term in word.terms() {
                        let is_there = terms.iter().any(|own| match word.is_single() {
                            true => own.starts_with(term),
                            false => *own == term,
                        });
                        prop_assert!(is_there, "{} of {:?} in {:?}", term, word, terms);
                    }
                }
            }
        }
    }
}
