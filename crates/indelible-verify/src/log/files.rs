//! Every file of a log's folder is known: by its name, its mode, and what it must hold.

use super::{LogCheck, segments::Named};
use crate::verdict::FindingKind;
use indelible_event::Attachment;
use indelible_log::{LogError, stored};
use indelible_store::StoreError;
use rayon::prelude::*;
use std::collections::BTreeSet;

/// Whether a file of a log's folder has a name that docs/formats.md gives.
fn is_known(path: &str) -> bool {
    let hex = |text: &str, len: usize| {
        text.len() == len && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let digits =
        |text: &str, len: usize| text.len() == len && text.bytes().all(|b| b.is_ascii_digit());
    match path.split_once('/') {
        None => matches!(path, "log" | "key" | "features" | "WRITER"),
        Some(("keys", name)) => hex(name, 8),
        Some(("announcements" | "retired", name)) => digits(name, 4),
        Some(("journal", name)) => name.strip_suffix(".journal").is_some_and(|n| digits(n, 10)),
        Some(("segments", name)) => name.strip_suffix(".segment").is_some_and(|n| digits(n, 10)),
        Some(("ids", name)) => name
            .strip_suffix(".ids")
            .and_then(|name| name.split_once('-'))
            .is_some_and(|(first, count)| digits(first, 10) && digits(count, 4)),
        Some(("attachments", name)) => name
            .split_once('/')
            .is_some_and(|(folder, name)| hex(name, 64) && name.get(..2) == Some(folder)),
        // Unfinished objects, and segments that did not hold: kept for who looks.
        Some(("tmp" | "set-aside", name)) => !name.contains('/'),
        Some(_) => false,
    }
}

impl LogCheck<'_> {
    /// Every file must be one that is known.
    pub(super) fn files(&mut self) {
        let listed = match self.store.list("") {
            Ok(listed) => listed,
            Err(error) => return self.verdict.fail(None, &error.into()),
        };
        for path in listed.iter().filter(|path| !is_known(path)) {
            let message = format!("{path}: no such file belongs to a log");
            self.verdict.find(FindingKind::Unexpected, None, message);
        }
        let secrets = listed.iter().filter(|path| *path == "key" || path.starts_with("keys/"));
        for path in secrets {
            if matches!(self.store.is_private(path), Ok(false)) {
                let message = format!(
                    "{path}: others can read the secret key; chmod 400 it, and replace the key"
                );
                self.verdict.find(FindingKind::Exposed, None, message);
            }
        }
    }

    /// The secret key is not part of the evidence, and an auditor's copy does not have
    /// it; but if it is there it must be the one that signs this log.
    pub(super) fn secret_key(&mut self) {
        match stored::secret_keys(self.store) {
            Ok(found) => match found.iter().find(|key| !self.keys.contains(key)) {
                None => self.verdict.coverage.key_checked = !found.is_empty(),
                Some(other) => {
                    let message = format!(
                        "the secret key in the folder is that of {other}, for which the pinned key does not vouch"
                    );
                    self.verdict.find(FindingKind::Unverifiable, None, message);
                }
            },
            // Not there, not readable by us, or open to others, which is found elsewhere.
            Err(LogError::NoLog(_) | LogError::Store(_) | LogError::KeyStore { .. }) => {}
            Err(error) => self.verdict.fail(None, &error),
        }
    }

    /// Attachments whose name begins with two hex digits, read whole: each that a record
    /// names must be there, and each that is there must be what its name says.
    pub(super) fn attachments_below(&mut self, folder: &str) -> u64 {
        let mut from = Named { attachment: [0; 32], size: 0, index: 0 };
        from.attachment[0] = u8::from_str_radix(folder, 16).unwrap_or_default();
        let below = |named: &&Named| named.attachment[0] == from.attachment[0];
        let named: Vec<Named> = self.attachments.range(from..).take_while(below).copied().collect();
        let store = self.store;
        let read: Vec<(u64, Option<LogError>)> = named
            .par_iter()
            .map(|named| match stored::attachment(store, &of(named)) {
                Ok(data) => (data.len() as u64, None),
                Err(error) => (0, Some(error)),
            })
            .collect();
        let mut bytes = 0;
        for (named, (len, problem)) in named.iter().zip(read) {
            bytes += len;
            match problem {
                None => self.verdict.coverage.attachments += 1,
                Some(error) => self.verdict.fail(Some(named.index), &error),
            }
        }
        // A crash between attachment and record leaves one that no record names.
        let known: BTreeSet<String> =
            named.iter().map(|named| stored::attachment_path(&of(named))).collect();
        for path in self.store.list(&format!("attachments/{folder}")).unwrap_or_default() {
            if known.contains(&path) || !is_known(&path) {
                continue;
            }
            match stored::attachment_at(self.store, &path) {
                Ok(len) => bytes += len,
                Err(LogError::Store(StoreError::NotFound { .. })) => {}
                Err(error) => self.verdict.fail(None, &error),
            }
        }
        self.verdict.coverage.file_bytes += bytes;
        bytes
    }
}

const fn of(named: &Named) -> Attachment {
    Attachment { sha256: named.attachment, size: named.size }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_formats() {
        let attachment = format!("attachments/ab/{}", "ab".repeat(32));
        for known in [
            "log",
            "key",
            "features",
            "keys/0123abcd",
            "announcements/0002",
            "retired/0001",
            "journal/0000000000.journal",
            "segments/0000000000.segment",
            "ids/0000000000-0001.ids",
            attachment.as_str(),
            "set-aside/0000000000.1",
        ] {
            assert!(is_known(known), "{known}");
        }
        for unknown in [
            "log2",
            "keys/0123ABCD",
            "keys/0123abcd/x",
            "announcements/2",
            "journal/0.journal",
            "segments/0000000000.segment.bak",
            "segments/more/0000000000.segment",
            "ids/0000000000.ids",
            &attachment.replace("/ab/", "/cd/"),
            "attachments/ab/notes",
            ".hidden",
            "set-aside/a/b",
        ] {
            assert!(!is_known(unknown), "{unknown}");
        }
    }
}
