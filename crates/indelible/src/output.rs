//! What people see: colours where a terminal has them, errors with causes and hints.

use crate::plain::{escaped, is_plain, rendered};
use anyhow::{Context as _, bail};
use indelible_client::ClientError;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal as _, Write as _};

pub(crate) use crate::plain::{BAD, FAINT, GOOD, STRONG};

/// Prints a line. A reader that went away (`| head`) is not an error of ours.
pub(crate) fn line(text: impl std::fmt::Display) {
    if writeln!(anstream::stdout(), "{}", rendered(text)).is_err() {
        std::process::exit(0);
    }
}

/// Prints a line of a table, cut to the width of the terminal if it goes to one.
pub(crate) fn row(text: &str) {
    let terminal = console::Term::stdout();
    if !terminal.is_term() {
        return line(text);
    }
    let row = rendered(text);
    let row = console::truncate_str(&row, terminal.size().1.into(), "…");
    if writeln!(anstream::stdout(), "{row}").is_err() {
        std::process::exit(0);
    }
}

/// Prints a line of a server's, which goes on when nobody reads it.
pub(crate) fn say(text: impl std::fmt::Display) {
    writeln!(anstream::stdout(), "{}", rendered(text)).unwrap_or_default();
}

/// Prints rows under a heading, each column as wide as its widest cell.
pub(crate) fn table(heading: &[&str], rows: Vec<Vec<String>>) {
    if rows.is_empty() {
        return line(format_args!("{FAINT}none{FAINT:#}"));
    }
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(heading.get(column).map(|text| text.len())).max().unwrap_or(0)
    };
    let last = heading.len().saturating_sub(1);
    let print = |cells: Vec<&str>| -> String {
        let cells = cells.iter().enumerate().map(|(column, cell)| match column == last {
            true => (*cell).to_owned(),
            false => format!("{cell:width$}", width = width(column)),
        });
        cells.collect::<Vec<_>>().join("  ")
    };
    line(format_args!("{STRONG}{}{STRONG:#}", print(heading.to_vec())));
    for cells in &rows {
        row(&print(cells.iter().map(String::as_str).collect()));
    }
}

/// Prints to standard error.
pub(crate) fn note(text: impl std::fmt::Display) {
    // There is nowhere left to report that standard error is closed.
    writeln!(anstream::stderr(), "{}", rendered(text)).unwrap_or_default();
}

/// Prints a value as one line of JSON.
pub(crate) fn json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    line(escaped(&serde_json::to_string(value)?));
    Ok(())
}

/// Prints a value as JSON over several lines, each after `before`.
pub(crate) fn pretty_json(before: &str, value: &indelible_event::Value<'_>) {
    let text = escaped(&format!("{value:#}"));
    text.lines().for_each(|row| line(format_args!("{before}{row}")));
}

/// Writes bytes as they are. A terminal gets them only if they do not steer it.
pub(crate) fn raw(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    if out.is_terminal() && !is_plain(bytes) {
        bail!(
            "these bytes would steer the terminal; send them to a file (> FILE) to have them as they are"
        );
    }
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("could not write to standard output")
        }
        _ => Ok(()),
    }
}

/// `error:`, its causes, and a hint where one helps.
pub(crate) fn print_error(error: &anyhow::Error) {
    note(format_args!("{BAD}error:{BAD:#} {error}"));
    for cause in error.chain().skip(1) {
        note(format_args!("  {FAINT}because:{FAINT:#} {cause}"));
    }
    if let Some(hint) = hint(error) {
        note(format_args!("  {STRONG}hint:{STRONG:#} {hint}"));
    }
}

fn hint(error: &anyhow::Error) -> Option<&'static str> {
    let client = error.chain().find_map(|cause| cause.downcast_ref::<ClientError>());
    if let Some(ClientError::Connect { .. }) = client {
        return Some(
            "is the server running? start it with `indelible serve`, or name another with --url or INDELIBLE_URL",
        );
    }
    if let Some(ClientError::PlainHttp(_)) = client {
        return Some("use an https:// URL, or --plain-http if the network between is yours");
    }
    if let Some(ClientError::Api { status: 401, .. }) = client {
        return Some(
            "`indelible login` stores a token for this server; INDELIBLE_TOKEN and --token-file name one for a single command",
        );
    }
    if let Some(ClientError::Api { status: 403, .. }) = client {
        return Some(
            "`indelible whoami` shows what this credential may do; an operator can `indelible grant add` more",
        );
    }
    let log = error.chain().find_map(|cause| cause.downcast_ref::<indelible_log::LogError>())?;
    match log {
        indelible_log::LogError::Damaged { .. } => {
            Some("restore the file from a copy; `indelible verify` tells what is affected")
        }
        indelible_log::LogError::RolledBack { .. } | indelible_log::LogError::Forked { .. } => {
            Some(
                "this is an older or another copy of the data: restore the newest one; only if that is lost for good, remove the named checkpoint and tell those who hold receipts",
            )
        }
        indelible_log::LogError::Store(indelible_store::StoreError::Locked { .. }) => {
            Some("another indelible process has this data directory open")
        }
        _ => None,
    }
}

/// A progress bar on standard error; invisible where that is no terminal.
pub(crate) fn progress(total: u64, unit: &str) -> ProgressBar {
    let bar = ProgressBar::new(total);
    let template = match unit {
        "bytes" => "{bar:30} {bytes}/{total_bytes} {msg} {eta}".to_owned(),
        unit => format!("{{bar:30}} {{human_pos}}/{{human_len}} {unit} {{per_sec}} {{eta}}"),
    };
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style);
    }
    bar
}

/// 1234567 → "1,234,567".
pub(crate) fn count(n: u64) -> String {
    indicatif::HumanCount(n).to_string()
}

/// Bytes for people.
pub(crate) fn bytes(n: u64) -> String {
    indicatif::HumanBytes(n).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped() {
        assert_eq!(
            [0, 12, 123, 1234, 1_234_567].map(count),
            ["0", "12", "123", "1,234", "1,234,567"]
        );
    }
}
