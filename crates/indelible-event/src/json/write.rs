//! Writing JSON: compact, or over several lines with `{:#}`.

use super::Value;
use std::fmt::{self, Write as _};

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let indent = f.alternate().then_some(0);
        write(self, f, indent)
    }
}

fn write(value: &Value<'_>, f: &mut fmt::Formatter<'_>, indent: Option<usize>) -> fmt::Result {
    let inner = indent.map(|indent| indent + 1);
    match value {
        Value::Null => f.write_str("null"),
        Value::Bool(yes) => f.write_str(if *yes { "true" } else { "false" }),
        Value::Number(text) => f.write_str(text),
        Value::Str(text) => quoted(text, f),
        Value::Array(items) if items.is_empty() => f.write_str("[]"),
        Value::Object(members) if members.is_empty() => f.write_str("{}"),
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                f.write_char(if at == 0 { '[' } else { ',' })?;
                line(f, inner)?;
                write(item, f, inner)?;
            }
            line(f, indent)?;
            f.write_char(']')
        }
        Value::Object(members) => {
            for (at, (name, member)) in members.iter().enumerate() {
                f.write_char(if at == 0 { '{' } else { ',' })?;
                line(f, inner)?;
                quoted(name, f)?;
                f.write_str(if indent.is_some() { ": " } else { ":" })?;
                write(member, f, inner)?;
            }
            line(f, indent)?;
            f.write_char('}')
        }
    }
}

fn line(f: &mut fmt::Formatter<'_>, indent: Option<usize>) -> fmt::Result {
    let Some(indent) = indent else { return Ok(()) };
    f.write_char('\n')?;
    (0..indent).try_for_each(|_| f.write_str("  "))
}

fn quoted(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_char('"')?;
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f)) {
        let (plain, special) = rest.split_at_checked(at).unwrap_or_default();
        f.write_str(plain)?;
        let mut special = special.chars();
        match special.next() {
            Some('"') => f.write_str("\\\"")?,
            Some('\\') => f.write_str("\\\\")?,
            Some('\n') => f.write_str("\\n")?,
            Some('\r') => f.write_str("\\r")?,
            Some('\t') => f.write_str("\\t")?,
            Some('\u{8}') => f.write_str("\\b")?,
            Some('\u{c}') => f.write_str("\\f")?,
            Some(other) => write!(f, "\\u{:04x}", u32::from(other))?,
            None => {}
        }
        rest = special.as_str();
    }
    f.write_str(rest)?;
    f.write_char('"')
}
