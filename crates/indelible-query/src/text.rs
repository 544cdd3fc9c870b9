//! Words: index and query take texts apart through this file, so that they agree.

/// Longest word, in bytes; longer ones are cut.
pub const MAX_TOKEN: usize = 64;

/// The next word of a text, a run of letters and digits, and what follows it.
#[must_use]
pub fn next_word(text: &str) -> Option<(&str, &str)> {
    let text = text.get(word_at(text, true)..)?;
    let (word, rest) = text.split_at_checked(word_at(text, false))?;
    (!word.is_empty()).then_some((word, rest))
}

/// Where the first character stands that is of a word, or that is of none; the end, if
/// there is none. Nearly all is ASCII, which needs no decoding.
fn word_at(text: &str, is_word: bool) -> usize {
    let ascii =
        text.bytes().position(|byte| !byte.is_ascii() || byte.is_ascii_alphanumeric() == is_word);
    let Some(at) = ascii else { return text.len() };
    let rest = text.get(at..).unwrap_or_default();
    if rest.as_bytes().first().is_some_and(u8::is_ascii) {
        return at;
    }
    rest.find(|c: char| c.is_alphanumeric() == is_word).map_or(text.len(), |found| at + found)
}

/// The words of a text, in lower case, cut at 64 bytes.
pub fn tokens(text: &str) -> impl Iterator<Item = String> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (word, after) = next_word(rest)?;
        rest = after;
        Some(cut(&lower(word), MAX_TOKEN).to_owned())
    })
}

/// Lower case, character by character: the index and the query must do it alike.
#[must_use]
pub fn lower(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.chars().flat_map(char::to_lowercase).collect()
}

/// Cuts a text at a character's boundary.
#[must_use]
pub fn cut(text: &str, len: usize) -> &str {
    text.get(..text.floor_char_boundary(len)).unwrap_or(text)
}
