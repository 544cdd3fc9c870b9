//! What a verification says.

use indelible_log::{LogError, chain};
use indelible_store::StoreError;
use indelible_tlog::{Checkpoint, CheckpointError, NoteError};
use std::fmt;

/// What kind of trouble a finding is. Ordered: the first is the gravest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FindingKind {
    /// Bytes are not what was recorded.
    Altered,
    /// Something that must be there is not.
    Missing,
    /// Something is there that must not be.
    Unexpected,
    /// It cannot be checked with the given key.
    Unverifiable,
    /// The system did not let it be read.
    Unreadable,
    /// Others can read what must be secret.
    Exposed,
}

impl FindingKind {
    /// All kinds, gravest first.
    pub const ALL: [Self; 6] = [
        Self::Altered,
        Self::Missing,
        Self::Unexpected,
        Self::Unverifiable,
        Self::Unreadable,
        Self::Exposed,
    ];

    /// One word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Altered => "altered",
            Self::Missing => "missing",
            Self::Unexpected => "unexpected",
            Self::Unverifiable => "unverifiable",
            Self::Unreadable => "unreadable",
            Self::Exposed => "exposed",
        }
    }

    /// The exit code of a program whose gravest finding this is.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Altered => 10,
            Self::Missing => 11,
            Self::Unverifiable => 12,
            Self::Unreadable => 13,
            Self::Unexpected => 14,
            Self::Exposed => 15,
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What kind of trouble.
    pub kind: FindingKind,
    /// Name of the log it is about, where several are verified.
    pub log: Option<String>,
    /// First record it affects, where that is known.
    pub index: Option<u64>,
    /// What is wrong, and where.
    pub message: String,
}

impl Finding {
    /// A finding that names no log.
    pub fn new(kind: FindingKind, index: Option<u64>, message: impl Into<String>) -> Self {
        Self { kind, log: None, index, message: message.into() }
    }

    /// What an error of the engine means here.
    #[must_use]
    pub fn of(index: Option<u64>, error: &LogError) -> Self {
        Self::new(kind_of(error), index, chain(error))
    }
}

fn kind_of(error: &LogError) -> FindingKind {
    match error {
        LogError::Damaged { .. } | LogError::Forked { .. } | LogError::Key { .. } => {
            FindingKind::Altered
        }
        LogError::Checkpoint { source, .. } => of_checkpoint(source),
        LogError::NewerFormat { .. } => FindingKind::Unverifiable,
        LogError::NoLog(_)
        | LogError::RolledBack { .. }
        | LogError::NoRecord(_)
        | LogError::NoCheckpoint { .. }
        | LogError::Store(StoreError::NotFound { .. }) => FindingKind::Missing,
        _ => FindingKind::Unreadable,
    }
}

/// Signed by none of the keys is not the same as altered.
#[must_use]
pub(crate) const fn of_checkpoint(error: &CheckpointError) -> FindingKind {
    match error {
        CheckpointError::Note(NoteError::Unsigned | NoteError::Replaced { .. })
        | CheckpointError::Origin { .. } => FindingKind::Unverifiable,
        _ => FindingKind::Altered,
    }
}

/// What a verification did not prove, though nothing was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unproven {
    /// That nothing was cut off at the end.
    End,
    /// That an event was recorded only once under its id.
    Ids,
    /// That the search index shows all there is.
    Index,
    /// That the logs and their keys are those of `_control`.
    Control,
    /// That the key of a log is the right one: it was taken from its own folder.
    Key,
    /// That records are in the log, one by one: the export has no proofs.
    Records,
    /// That each record stands in the file as this version would write it.
    Rendering,
    /// That the query finds no others: the log says so by its signature, and no more.
    Others,
    /// That there are not others which its maker could not see.
    Narrowed,
    /// That the checkpoints of the proof and from before belong together.
    Continuity,
}

impl Unproven {
    /// One word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::End => "end",
            Self::Ids => "ids",
            Self::Index => "index",
            Self::Control => "control",
            Self::Key => "key",
            Self::Records => "records",
            Self::Rendering => "rendering",
            Self::Others => "others",
            Self::Narrowed => "narrowed",
            Self::Continuity => "continuity",
        }
    }
}

impl fmt::Display for Unproven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::End => {
                "that nothing was cut off at the end: keep a checkpoint elsewhere and give it with --since"
            }
            Self::Ids => "that no id occurs twice: id runs are missing, and there are too many ids to hold",
            Self::Index => "that the search index shows all there is: it is derived, delete it to have it made anew",
            Self::Control => "that the logs and their keys are those of _control: verify the whole directory",
            Self::Key => "that the key is the right one: none was pinned, it is the one in the folder",
            Self::Records => "that its records are in the log: it has no proofs, only the log's signature over the file",
            Self::Rendering => "that each record is shown as this version shows it: another version wrote the file, and signed it",
            Self::Others => "that the query finds no others: that is the log's word, by its signature",
            Self::Narrowed => "anything about records that its maker may not see",
            Self::Continuity => "that the checkpoint of the proof continues the one from before: that takes the log",
        })
    }
}

/// What was checked. What there was none of is 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Logs.
    pub logs: u64,
    /// Records hashed; of a log they are `[0, records)` when there is no finding.
    pub records: u64,
    /// Bytes of those records.
    pub record_bytes: u64,
    /// Bytes of files read.
    pub file_bytes: u64,
    /// Sealed segments.
    pub segments: u64,
    /// Commits in journals.
    pub commits: u64,
    /// Checkpoints, by signature and by root.
    pub checkpoints: u64,
    /// Attachments.
    pub attachments: u64,
    /// Runs of ids, against the ids of the records.
    pub id_runs: u64,
    /// Entry bundles and hash tiles fetched from a server.
    pub tiles: u64,
    /// The newest checkpoint, and so what all of this is a statement about.
    pub head: Option<Checkpoint>,
    /// The secret key was there and is that of the pinned key.
    pub key_checked: bool,
    /// An incomplete commit at the end, which no one was given a receipt for: being
    /// written just now, or left by a crash.
    pub incomplete_tail: bool,
    /// The size of the checkpoint held from before, if it was given and holds.
    pub since: Option<u64>,
    /// What was not proven.
    pub unproven: std::collections::BTreeSet<Unproven>,
}

impl Coverage {
    /// Adds what was checked of another log.
    pub(crate) fn add(&mut self, other: &Self) {
        self.logs += other.logs;
        self.records += other.records;
        self.record_bytes += other.record_bytes;
        self.file_bytes += other.file_bytes;
        self.segments += other.segments;
        self.commits += other.commits;
        self.checkpoints += other.checkpoints;
        self.attachments += other.attachments;
        self.id_runs += other.id_runs;
        self.tiles += other.tiles;
        self.incomplete_tail |= other.incomplete_tail;
        self.unproven.extend(&other.unproven);
    }
}

/// The result of a verification.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What was checked.
    pub coverage: Coverage,
    /// What is wrong, lowest index first. Empty: everything holds.
    pub findings: Vec<Finding>,
}

impl Verdict {
    /// A verdict of one finding.
    pub fn finding(kind: FindingKind, message: impl Into<String>) -> Self {
        let findings = vec![Finding::new(kind, None, message)];
        Self { coverage: Coverage::default(), findings }
    }

    /// The gravest kind of finding.
    #[must_use]
    pub fn worst(&self) -> Option<FindingKind> {
        self.findings.iter().map(|finding| finding.kind).min()
    }

    /// The lowest record index that a finding names.
    #[must_use]
    pub fn first_bad_index(&self) -> Option<u64> {
        self.findings.iter().filter_map(|finding| finding.index).min()
    }

    /// 0 if everything holds, else that of the gravest finding.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.worst().map_or(0, FindingKind::exit_code)
    }

    pub(crate) fn fail(&mut self, index: Option<u64>, error: &LogError) {
        self.findings.push(Finding::of(index, error));
    }

    pub(crate) fn find(
        &mut self,
        kind: FindingKind,
        index: Option<u64>,
        message: impl Into<String>,
    ) {
        self.findings.push(Finding::new(kind, index, message));
    }

    /// Findings without an index concern all of it, and stand first.
    pub(crate) fn sorted(mut self) -> Self {
        self.findings.sort_by_key(|finding| (finding.index, finding.kind));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_a_code_and_a_word_of_its_own() {
        let codes: std::collections::BTreeSet<u8> =
            FindingKind::ALL.iter().map(|kind| kind.exit_code()).collect();
        let words: std::collections::BTreeSet<&str> =
            FindingKind::ALL.iter().map(|kind| kind.word()).collect();
        assert_eq!((codes.len(), words.len()), (FindingKind::ALL.len(), FindingKind::ALL.len()));
        assert!(codes.iter().all(|code| *code >= 10), "0 to 2 are the program's own");
    }

    #[test]
    fn the_gravest_finding_decides() {
        let mut verdict = Verdict::default();
        assert_eq!(verdict.exit_code(), 0);
        verdict.find(FindingKind::Exposed, Some(3), "key");
        verdict.find(FindingKind::Altered, Some(9), "record");
        assert_eq!((verdict.exit_code(), verdict.first_bad_index()), (10, Some(3)));
    }
}
