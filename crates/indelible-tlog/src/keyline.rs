//! The row of a log's keys, and the one rule of what each of them may sign.
//!
//! A key is replaced by an *announcement* that the old and the new one sign: from `size`
//! records on, whose root it names, the new key signs. **Rule:** a signature over `size`
//! records counts if it is by the key in charge of that size, or by a later one. So an old
//! key, stolen, is worth nothing for what came after it. Announcements form one line: each
//! names the key before it, and a second for the same place is refused.

use crate::{
    checkpoint::{Checkpoint, CheckpointError},
    hash::Hash,
    note::{Note, NoteError, VerifyingKey},
};
use std::fmt;

const ANNOUNCEMENT: &str = "indelible-key/v2";
const END: &str = "indelible-key-end/v1";

/// Why keys and what announces them are not one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Not a note of this kind.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// A signature is missing or wrong.
    #[error("its signatures do not hold")]
    Note(#[from] NoteError),
    /// It does not follow the one before it.
    #[error("it does not continue the line of keys: {0}")]
    Broken(&'static str),
    /// The line does not have the key that is trusted.
    #[error("the line of keys does not have the key that is trusted")]
    Stranger,
}

/// "From `size` records on, with this root, `key` signs in place of `previous`."
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// The key that is replaced.
    pub previous: VerifyingKey,
    /// The key that replaces it.
    pub key: VerifyingKey,
    /// Records of the log when it was announced: checkpoints of more are the new key's.
    pub size: u64,
    /// Root of the tree of so many records.
    pub root: Hash,
    /// Until when the old key signs beside the new one, for those who do not know the
    /// announcement; RFC 3339.
    pub overlap: String,
}

impl fmt::Display for Announcement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{ANNOUNCEMENT}\n{}", self.key.name())?;
        writeln!(f, "previous {}\nkey {}", self.previous, self.key)?;
        writeln!(f, "size {}\nroot {}\noverlap {}", self.size, self.root, self.overlap)
    }
}

/// The text of a note that is nothing but a note, byte for byte.
fn exact(bytes: &[u8]) -> Result<Note, LineError> {
    let note = Note::parse(bytes)?;
    match note.to_string().as_bytes() == bytes {
        true => Ok(note),
        false => Err(LineError::Malformed("not in the one form of a note")),
    }
}

impl Announcement {
    /// Reads an announcement and checks that both keys, and nobody else, signed it.
    ///
    /// # Errors
    /// [`LineError`]; never [`LineError::Stranger`].
    pub fn read(bytes: &[u8]) -> Result<Self, LineError> {
        let note = exact(bytes)?;
        let parsed = Self::parse(&note.text).ok_or(LineError::Malformed("not an announcement"))?;
        let both = [parsed.previous.clone(), parsed.key.clone()];
        if note.verify(&both)?.len() != 2 || note.signatures.len() != 2 {
            return Err(LineError::Malformed("not signed by the key before it and the new one"));
        }
        Ok(parsed)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines().skip(2);
        let mut value = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
        let parsed = Self {
            previous: value("previous")?.parse().ok()?,
            key: value("key")?.parse().ok()?,
            size: value("size")?.parse().ok()?,
            root: value("root")?.parse().ok()?,
            overlap: value("overlap")?.to_owned(),
        };
        let log_keys = !parsed.previous.is_cosigner() && !parsed.key.is_cosigner();
        let same = parsed.previous.name() == parsed.key.name() && parsed.previous != parsed.key;
        (log_keys && same && parsed.to_string() == text).then_some(parsed)
    }
}

/// "`key` signed nothing above `size` records, which have this root"; by a later key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyEnd {
    /// The key that signs no more.
    pub key: VerifyingKey,
    /// Records of the largest checkpoint it may have signed.
    pub size: u64,
    /// Root of the tree of so many records.
    pub root: Hash,
}

impl fmt::Display for KeyEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, size, root } = self;
        writeln!(f, "{END}\n{}\nkey {key}\nsize {size}\nroot {root}", key.name())
    }
}

impl KeyEnd {
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines().skip(2);
        let mut value = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
        let parsed = Self {
            key: value("key")?.parse().ok()?,
            size: value("size")?.parse().ok()?,
            root: value("root")?.parse().ok()?,
        };
        (parsed.to_string() == text).then_some(parsed)
    }
}

/// All keys of a log, oldest first; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyLine {
    first: VerifyingKey,
    /// The first too.
    keys: Vec<VerifyingKey>,
    /// Size and root at which each key but the first was announced.
    from: Vec<(u64, Hash)>,
}

impl KeyLine {
    /// The line of a log whose key was never replaced.
    #[must_use]
    pub fn new(first: VerifyingKey) -> Self {
        Self { keys: vec![first.clone()], first, from: Vec::new() }
    }

    /// The line that announcements, in order, make; `trusted` must be one of its keys.
    ///
    /// # Errors
    /// [`LineError`].
    pub fn read<B: AsRef<[u8]>>(
        trusted: &VerifyingKey,
        announcements: &[B],
    ) -> Result<Self, LineError> {
        let mut line: Option<Self> = None;
        for bytes in announcements {
            let next = Announcement::read(bytes.as_ref())?;
            line.get_or_insert_with(|| Self::new(next.previous.clone())).announce(&next)?;
        }
        let line = line.unwrap_or_else(|| Self::new(trusted.clone()));
        if line.keys.contains(trusted) { Ok(line) } else { Err(LineError::Stranger) }
    }

    /// Adds an announcement that was read.
    ///
    /// # Errors
    /// [`LineError::Broken`] when it does not follow the newest key.
    pub fn announce(&mut self, next: &Announcement) -> Result<(), LineError> {
        let problem = if next.previous != *self.newest() {
            "the key it replaces is not the newest"
        } else if self.keys.contains(&next.key) {
            "its key was in use before"
        } else if self.from.last().is_some_and(|(size, _)| next.size < *size) {
            "it begins before the one before it"
        } else {
            self.keys.push(next.key.clone());
            self.from.push((next.size, next.root));
            return Ok(());
        };
        Err(LineError::Broken(problem))
    }

    /// Reads the note that says where a replaced key ended; a later one must have signed.
    ///
    /// # Errors
    /// [`LineError`].
    pub fn read_end(&self, bytes: &[u8]) -> Result<KeyEnd, LineError> {
        let note = exact(bytes)?;
        let end = KeyEnd::parse(&note.text).ok_or(LineError::Malformed("not the end of a key"))?;
        let at = self.keys.iter().position(|key| *key == end.key).ok_or(LineError::Stranger)?;
        let later = self.keys.get(at.saturating_add(1)..).unwrap_or_default();
        if note.verify(later)?.len() != note.signatures.len() {
            return Err(LineError::Malformed("signed by others than later keys"));
        }
        // A key without a successor has no end: no later key could have signed it.
        match self.from.get(at) {
            Some((announced, _)) if end.size >= *announced => Ok(end),
            _ => Err(LineError::Broken("the key ends before it was replaced")),
        }
    }

    /// All keys, oldest first.
    #[must_use]
    pub fn keys(&self) -> &[VerifyingKey] {
        &self.keys
    }

    /// The first key, which signed what the log is.
    #[must_use]
    pub const fn first(&self) -> &VerifyingKey {
        &self.first
    }

    /// The newest key.
    #[must_use]
    pub fn newest(&self) -> &VerifyingKey {
        self.keys.last().unwrap_or(&self.first)
    }

    /// Sizes at which keys were announced, and the roots they named: as good as
    /// checkpoints that both keys signed.
    #[must_use]
    pub fn announced(&self) -> &[(u64, Hash)] {
        &self.from
    }

    /// Checks that a note about a log of `size` records is signed by a key that counts for
    /// that size, and that no signature by a key of the line is wrong.
    ///
    /// # Errors
    /// [`NoteError::Replaced`] when only keys that were replaced before signed it.
    pub fn verifies(&self, note: &Note, size: u64) -> Result<(), NoteError> {
        let signers = note.verify(&self.keys)?;
        let mut until = 0;
        for (n, key) in self.keys.iter().enumerate() {
            if signers.contains(&key) {
                match self.from.get(n) {
                    Some((end, _)) if *end < size => until = *end,
                    _ => return Ok(()),
                }
            }
        }
        Err(NoteError::Replaced { size, until })
    }

    /// Parses a signed checkpoint and checks that a key that counts for its size signed it
    /// and that it is of this log.
    ///
    /// # Errors
    /// [`CheckpointError`] tells which part does not hold.
    pub fn checkpoint(&self, bytes: &[u8]) -> Result<Checkpoint, CheckpointError> {
        let note = Note::parse(bytes)?;
        let checkpoint = Checkpoint::parse(&note.text);
        // The signature first: of what nobody signed it is no matter what it says.
        let size = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.size);
        self.verifies(&note, size)?;
        let checkpoint = checkpoint?;
        if checkpoint.origin == self.first.name() {
            return Ok(checkpoint);
        }
        Err(CheckpointError::Origin {
            found: checkpoint.origin,
            expected: self.first.name().to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::note::SigningKey;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed("example.com/log", &[seed; 32]).unwrap()
    }

    fn signed(text: &str, keys: &[&SigningKey]) -> String {
        let lines: String = keys.iter().map(|key| key.sign(text).to_string()).collect();
        format!("{text}\n{lines}")
    }

    fn announcement(old: &SigningKey, new: &SigningKey, size: u64) -> String {
        let announcement = Announcement {
            previous: old.verifying_key().clone(),
            key: new.verifying_key().clone(),
            size,
            root: Hash([size as u8; 32]),
            overlap: "2026-03-01T12:00:00Z".into(),
        };
        signed(&announcement.to_string(), &[old, new])
    }

    fn checkpoint(size: u64, keys: &[&SigningKey]) -> String {
        let text = Checkpoint::new("example.com/log".into(), size, Hash::default()).to_string();
        signed(&text, keys)
    }

    #[test]
    fn a_key_counts_for_the_sizes_it_was_in_charge_of_and_those_before() {
        let (one, two, three) = (key(1), key(2), key(3));
        let notes = [announcement(&one, &two, 10), announcement(&two, &three, 25)];
        for trusted in [&one, &two, &three] {
            let line = KeyLine::read(trusted.verifying_key(), &notes).unwrap();
            let holds = |size, keys: &[&SigningKey]| {
                line.checkpoint(checkpoint(size, keys).as_bytes()).map(|found| found.size)
            };
            for (size, alone) in [
                (0, [true; 3]),
                (10, [true; 3]),
                (11, [false, true, true]),
                (26, [false, false, true]),
            ] {
                for (key, counts) in [&one, &two, &three].into_iter().zip(alone) {
                    assert_eq!(holds(size, &[key]).is_ok(), counts, "{size}");
                    // During an overlap both sign.
                    assert_eq!(holds(size, &[key, &three]), Ok(size));
                }
            }
            assert_eq!(
                holds(11, &[&one]),
                Err(CheckpointError::Note(NoteError::Replaced { size: 11, until: 10 }))
            );
            assert_eq!(holds(1, &[&key(9)]), Err(CheckpointError::Note(NoteError::Unsigned)));
            // One good signature does not excuse a wrong one.
            let other = one.sign("another text\n").to_string();
            let bad = format!("{}{other}", checkpoint(1, &[&three]));
            assert!(line.checkpoint(bad.as_bytes()).is_err());
        }
    }

    #[test]
    fn announcements_are_one_line_or_refused() {
        let (one, two, three) = (key(1), key(2), key(3));
        let first = announcement(&one, &two, 10);
        let read =
            |trusted: &SigningKey, notes: &[String]| KeyLine::read(trusted.verifying_key(), notes);
        assert_eq!(read(&two, std::slice::from_ref(&first)).unwrap().keys().len(), 2);
        // The old key, stolen, announces another: beside the true one, or in its place.
        let fork = announcement(&one, &three, 12);
        let broken = read(&two, &[first.clone(), fork.clone()]);
        assert!(matches!(broken, Err(LineError::Broken(_))), "{broken:?}");
        assert_eq!(read(&two, std::slice::from_ref(&fork)), Err(LineError::Stranger));
        for next in [announcement(&two, &one, 12), announcement(&two, &three, 9)] {
            let broken = read(&two, &[first.clone(), next]);
            assert!(matches!(broken, Err(LineError::Broken(_))), "{broken:?}");
        }
        // Half signed, or by one more.
        let text = first.split_once("\n\n").unwrap().0.to_owned() + "\n";
        for keys in [&[&one][..], &[&two], &[&one, &three], &[&one, &two, &three], &[&one, &one]] {
            assert!(Announcement::read(signed(&text, keys).as_bytes()).is_err());
        }
        for at in 0..first.len() {
            let mut bytes = first.clone().into_bytes();
            bytes[at] ^= 1;
            assert!(Announcement::read(&bytes).is_err(), "{at}");
        }
    }

    #[test]
    fn where_a_key_ended_is_said_by_a_later_one() {
        let (one, two, three) = (key(1), key(2), key(3));
        let notes = [announcement(&one, &two, 10), announcement(&two, &three, 25)];
        let line = KeyLine::read(one.verifying_key(), &notes).unwrap();
        let end = |of: &SigningKey, size, by: &[&SigningKey]| {
            let end = KeyEnd { key: of.verifying_key().clone(), size, root: Hash::default() };
            line.read_end(signed(&end.to_string(), by).as_bytes())
        };
        assert_eq!(end(&one, 12, &[&two]).unwrap().size, 12);
        assert!(end(&one, 10, &[&three]).is_ok());
        for wrong in [
            end(&one, 9, &[&two]),
            end(&one, 12, &[&one]),
            end(&one, 12, &[&one, &two]),
            end(&two, 30, &[&one]),
            end(&three, 30, &[&three]),
            end(&key(9), 12, &[&two]),
        ] {
            assert!(wrong.is_err(), "{wrong:?}");
        }
    }
}
