//! What people type: texts with and without quotes, and stars.

use crate::parse::{Parser, Result};

/// A value as it was typed.
pub(crate) struct Typed {
    pub(crate) text: String,
    /// All of it, or the end of a name.
    pub(crate) quoted: bool,
    pub(crate) column: usize,
}

/// The sign that ends what this one begins, if it begins a quote.
fn closes(open: char) -> Option<&'static [char]> {
    match open {
        '"' => Some(&['"']),
        // Text programs turn quotes round; which way is of no meaning here.
        '“' | '”' | '„' | '‟' => Some(&['“', '”', '"']),
        '«' => Some(&['»']),
        '\'' => Some(&['\'']),
        '‘' | '’' | '‚' => Some(&['‘', '’']),
        _ => None,
    }
}

const fn is_single(quote: char) -> bool {
    matches!(quote, '\'' | '‘' | '’' | '‚')
}

impl Parser {
    /// A quoted text, or characters up to a space or a parenthesis (and up to a colon
    /// where a field may stand; there members may be quoted: `data."a:b".c`).
    pub(crate) fn value(&mut self, may_be_field: bool) -> Result<Typed> {
        let start = self.at;
        if let Some(text) = self.quoted()? {
            return Ok(Typed { text, quoted: true, column: start });
        }
        let (mut text, mut quoted) = (String::new(), false);
        while let Some(next) = self.peek() {
            if may_be_field
                && text.ends_with('.')
                && text.get(..5).is_some_and(|stem| stem.eq_ignore_ascii_case("data."))
                && let Some(name) = self.quoted()?
            {
                text.push_str(&name);
                quoted = true;
                continue;
            }
            let is_end = next.is_whitespace() || matches!(next, '(' | ')' | '"' | '“' | '”' | '„');
            if is_end || (may_be_field && next == ':') {
                break;
            }
            text.push(next);
            self.at += 1;
        }
        if text.is_empty() {
            let problem = match self.peek() {
                Some(':') => "there is no field before this colon",
                _ => "a value is missing here",
            };
            return Err(self.error(start, problem));
        }
        Ok(Typed { text, quoted, column: start })
    }

    /// A text in quotes, if one begins here.
    fn quoted(&mut self) -> Result<Option<String>> {
        let start = self.at;
        let Some((open, close)) = self.peek().and_then(|open| Some((open, closes(open)?))) else {
            return Ok(None);
        };
        self.at += 1;
        let mut text = String::new();
        loop {
            let next = self.peek();
            let after = self.chars.get(self.at + 1).copied();
            match next {
                // An apostrophe is no quote.
                None if is_single(open) => {
                    self.at = start;
                    return Ok(None);
                }
                None => return Err(self.error(start, "this quote is never closed")),
                Some(c) if close.contains(&c) && (!is_single(open) || is_end(after)) => break,
                Some('\\') if after.is_some_and(|c| c == '\\' || close.contains(&c)) => {
                    self.at += 1;
                    text.extend(after);
                }
                Some(other) => text.push(other),
            }
            self.at += 1;
        }
        self.at += 1;
        Ok(Some(text))
    }

    /// The text without a star at its end; stars elsewhere are an error, and so is `?`.
    pub(crate) fn star(&self, typed: &Typed) -> Result<(String, bool)> {
        if typed.quoted {
            return Ok((typed.text.clone(), false));
        }
        let (text, prefix) = match typed.text.strip_suffix('*') {
            Some(text) => (text, true),
            None => (typed.text.as_str(), false),
        };
        if text.contains('*') {
            return Err(self.error(
                typed.column,
                "a star may stand at the end only; put the value in quotes if the star is meant",
            ));
        }
        if text.contains('?') {
            return Err(self.error(
                typed.column,
                "? stands for nothing here; a star at the end stands for anything; put the value in quotes if the ? is meant",
            ));
        }
        if let Some(sign) = ["&&", "||"].into_iter().find(|sign| text.contains(sign)) {
            let word = if sign == "&&" { "AND" } else { "OR" };
            return Err(self.error(
                typed.column,
                format!("write {word} with spaces around it, or put the value in quotes if {sign} is meant"),
            ));
        }
        Ok((text.to_owned(), prefix))
    }
}

/// Whether a value can end before this.
fn is_end(next: Option<char>) -> bool {
    next.is_none_or(|next| next.is_whitespace() || matches!(next, '(' | ')' | ':'))
}
