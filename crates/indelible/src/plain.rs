//! What reaches a terminal. Events, names and answers were written by others, who must
//! not steer it: clear lines, move the cursor, or turn the order of the letters around.
//!
//! Every command prints through [`crate::output`], which renders here: only our own
//! colours are let through, and all else is made [`plain`]. Nothing has to remember which
//! text was whose.

use anstyle::{AnsiColor, Style as Ansi};
use std::{
    fmt,
    hash::{BuildHasher as _, RandomState},
    sync::LazyLock,
};

/// A colour, written into a text as a mark: `{GOOD}holds{GOOD:#}`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Style {
    Good,
    Bad,
    Faint,
    Strong,
}

pub(crate) const GOOD: Style = Style::Good;
pub(crate) const BAD: Style = Style::Bad;
pub(crate) const FAINT: Style = Style::Faint;
pub(crate) const STRONG: Style = Style::Strong;

/// Begins each mark. Nobody who sends an event knows it: it is drawn anew for each process.
static MARK: LazyLock<String> =
    LazyLock::new(|| format!("\u{1b}{:016x}", RandomState::new().hash_one("mark")));
/// Ends a colour.
const END: char = '#';

impl Style {
    const ALL: [Self; 4] = [Self::Good, Self::Bad, Self::Faint, Self::Strong];

    const fn letter(self) -> char {
        match self {
            Self::Good => 'g',
            Self::Bad => 'b',
            Self::Faint => 'f',
            Self::Strong => 's',
        }
    }

    const fn ansi(self) -> Ansi {
        match self {
            Self::Good => AnsiColor::Green.on_default().bold(),
            Self::Bad => AnsiColor::Red.on_default().bold(),
            Self::Faint => Ansi::new().dimmed(),
            Self::Strong => Ansi::new().bold(),
        }
    }
}

impl fmt::Display for Style {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = if f.alternate() { END } else { self.letter() };
        write!(f, "{}{letter}", *MARK)
    }
}

/// Whether a character would steer a terminal: all control characters, and those that
/// change the direction of what follows, or begin a line.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text without what would steer the reader's terminal.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if steers(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// One line for a terminal: marks become colours, and all else plain.
pub(crate) fn rendered(text: impl fmt::Display) -> String {
    let text = text.to_string();
    let mut parts = text.split(MARK.as_str());
    let mut line = plain(parts.next().unwrap_or_default());
    for part in parts {
        let mut rest = part.chars();
        let letter = rest.next();
        let style = Style::ALL.into_iter().find(|style| Some(style.letter()) == letter);
        line.push_str(&match style {
            Some(style) => style.ansi().render().to_string(),
            None => anstyle::Reset.render().to_string(),
        });
        line.push_str(&plain(rest.as_str()));
    }
    line
}

/// The same JSON, with what would steer a terminal as `\u` escapes; the spaces between
/// its parts stay.
pub(crate) fn escaped(json: &str) -> String {
    json.chars().fold(String::with_capacity(json.len()), |mut out, c| {
        // Below U+0020 nothing stands inside the strings of JSON.
        match c >= ' ' && steers(c) {
            true => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            false => out.push(c),
        }
        out
    })
}

/// Whether bytes can be shown as they are, in lines.
pub(crate) fn is_plain(bytes: &[u8]) -> bool {
    let text = std::str::from_utf8(bytes);
    text.is_ok_and(|text| !text.chars().any(|c| !matches!(c, '\n' | '\t') && steers(c)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEERING: &str = "\u{1b}[2K\u{1b}[1Gholds\u{9b}31m\u{202e}\u{2066}\u{200f}\u{200e}\u{61c}\u{2028}\n\r\u{7f}\u{8}é";

    #[test]
    fn only_our_own_colours_are_let_through() {
        let line = rendered(format_args!("{GOOD}holds{GOOD:#} {STEERING}"));
        let (start, rest) = line.split_once("holds").unwrap_or_default();
        assert_eq!(start, GOOD.ansi().render().to_string());
        let rest = rest.strip_prefix(&anstyle::Reset.render().to_string()).unwrap_or_default();
        assert!(rest.starts_with(" \u{fffd}[2K\u{fffd}[1Gholds\u{fffd}31m"), "{rest:?}");
        assert!(rest.ends_with('é') && !rest.chars().any(steers), "{rest:?}");
    }

    #[test]
    fn a_mark_cannot_be_guessed() {
        for guess in ["\u{1b}0000000000000000g", "\u{1b}[32m", "\u{1b}g"] {
            assert!(!rendered(guess).contains('\u{1b}'), "{guess:?}");
        }
    }

    #[test]
    fn escaped_json_is_the_same_json() {
        let value = serde_json::json!({ STEERING: [STEERING, 1.5, null], "a": "b\\" });
        for text in [value.to_string(), format!("{value:#}")] {
            let shown = escaped(&text);
            assert!(!shown.chars().any(|c| c != '\n' && steers(c)), "{shown:?}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).ok(), Some(value.clone()));
        }
    }
}
