//! C2SP tlog-checkpoint: the text a log signs.

use crate::{
    hash::Hash,
    note::{Note, NoteError, SigningKey, VerifyingKey},
};
use std::fmt;

/// Why a note is not a checkpoint of this log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The text is not that of a checkpoint.
    #[error("malformed checkpoint: {0}")]
    Malformed(&'static str),
    /// It is not a note, or not signed by the log's key.
    #[error("checkpoint signature does not hold")]
    Note(#[from] NoteError),
    /// It is about another log.
    #[error("checkpoint is of {found}, not of {expected}")]
    Origin {
        /// Origin in the checkpoint.
        found: String,
        /// Name of the key it was checked with.
        expected: String,
    },
}

/// "The log `origin` has `size` records with root `root`."
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Origin of the log.
    pub origin: String,
    /// Number of records.
    pub size: u64,
    /// Root of the tree of that size.
    pub root: Hash,
    /// Opaque extension lines; ours never have any.
    pub extensions: Vec<String>,
}

impl Checkpoint {
    /// A checkpoint without extensions.
    #[must_use]
    pub const fn new(origin: String, size: u64, root: Hash) -> Self {
        Self { origin, size, root, extensions: Vec::new() }
    }

    /// Parses the text of a note.
    ///
    /// # Errors
    /// [`CheckpointError::Malformed`].
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let malformed = CheckpointError::Malformed;
        let body = text.strip_suffix('\n').ok_or(malformed("does not end in a newline"))?;
        let mut lines = body.split('\n');
        let mut line = |what| lines.next().filter(|l| !l.is_empty()).ok_or(malformed(what));
        let origin = line("no origin")?;
        let size = line("no size")?;
        let root = line("no root")?;
        let canonical =
            size.bytes().all(|b| b.is_ascii_digit()) && (size == "0" || !size.starts_with('0'));
        let size = size.parse().ok().filter(|_| canonical).ok_or(malformed("size"))?;
        let root = root.parse().map_err(|_| malformed("root hash"))?;
        let extensions: Vec<String> = lines.map(str::to_owned).collect();
        if extensions.iter().any(String::is_empty) {
            return Err(malformed("empty extension line"));
        }
        Ok(Self { origin: origin.to_owned(), size, root, extensions })
    }

    /// Parses a signed checkpoint and checks that `key` signed it and that the key's
    /// name is its origin.
    ///
    /// # Errors
    /// [`CheckpointError`] tells which part does not hold.
    pub fn verify(note: &[u8], key: &VerifyingKey) -> Result<Self, CheckpointError> {
        Self::verify_any(note, std::slice::from_ref(key))
    }

    /// Parses a signed checkpoint and checks that at least one of `keys` signed it, that
    /// no signature by one of them is wrong, and that the signer's name is its origin.
    ///
    /// # Errors
    /// [`CheckpointError`] tells which part does not hold.
    pub fn verify_any(note: &[u8], keys: &[VerifyingKey]) -> Result<Self, CheckpointError> {
        let note = Note::parse(note)?;
        let signers = note.verify(keys)?;
        let checkpoint = Self::parse(&note.text)?;
        match signers.iter().find(|key| key.name() != checkpoint.origin) {
            None => Ok(checkpoint),
            Some(other) => Err(CheckpointError::Origin {
                found: checkpoint.origin,
                expected: other.name().to_owned(),
            }),
        }
    }

    /// The signed note of this checkpoint.
    #[must_use]
    pub fn sign(&self, key: &SigningKey) -> String {
        let text = self.to_string();
        let signature = key.sign(&text);
        format!("{text}\n{signature}")
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, self.root)?;
        self.extensions.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::EMPTY_ROOT;
    use proptest::prelude::*;

    #[test]
    fn golden_text_and_signature() {
        let key = SigningKey::from_seed("example.com/log", &[7; 32]).unwrap();
        let checkpoint = Checkpoint::new("example.com/log".into(), 0, EMPTY_ROOT);
        assert_eq!(
            checkpoint.to_string(),
            "example.com/log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
        );
        let note = checkpoint.sign(&key);
        assert_eq!(Checkpoint::verify(note.as_bytes(), key.verifying_key()), Ok(checkpoint));
        let other = SigningKey::from_seed("example.com/other", &[7; 32]).unwrap();
        assert_eq!(
            Checkpoint::verify(note.as_bytes(), other.verifying_key()),
            Err(CheckpointError::Note(NoteError::Unsigned))
        );
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let key = SigningKey::from_seed("example.com/log", &[7; 32]).unwrap();
        let note = Checkpoint::new("example.com/log".into(), 5, EMPTY_ROOT).sign(&key).into_bytes();
        for position in 0..note.len() {
            for bit in 0..8 {
                let mut altered = note.clone();
                altered[position] ^= 1 << bit;
                assert!(
                    Checkpoint::verify(&altered, key.verifying_key()).is_err(),
                    "{position}.{bit}"
                );
            }
        }
    }

    #[test]
    fn refused_texts() {
        let root = EMPTY_ROOT.to_string();
        for bad in [
            String::new(),
            "o\n0\n".into(),
            format!("o\n01\n{root}\n"),
            format!("o\n+1\n{root}\n"),
            format!("o\n-1\n{root}\n"),
            format!("o\n18446744073709551616\n{root}\n"),
            format!("\n1\n{root}\n"),
            format!("o\n1\n{root}"),
            format!("o\n1\n{root}\n\n"),
            "o\n1\nAAAA\n".into(),
        ] {
            assert!(Checkpoint::parse(&bad).is_err(), "{bad:?}");
        }
        assert_eq!(Checkpoint::parse(&format!("o\n1\n{root}\next\n")).unwrap().extensions, ["ext"]);
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_canonical(text in "[a-z0-9+/=\n]{0,80}") {
            if let Ok(checkpoint) = Checkpoint::parse(&text) {
                prop_assert_eq!(checkpoint.to_string(), text);
            }
        }
    }
}
