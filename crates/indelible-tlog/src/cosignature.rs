//! C2SP tlog-cosignature, Ed25519 form (`cosignature/v1`): a witness's timestamped
//! statement about a checkpoint.

/// The payload of a cosignature line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosignature {
    /// When the witness signed, in POSIX seconds; at most 2^63 - 1.
    pub time_s: u64,
    /// The Ed25519 signature.
    pub signature: [u8; 64],
}

impl Cosignature {
    /// Parses the payload of a signature line (after the key id).
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let (time, signature) = payload.split_first_chunk::<8>()?;
        let time_s = u64::from_be_bytes(*time);
        let signature = signature.try_into().ok()?;
        (time_s <= i64::MAX.unsigned_abs()).then_some(Self { time_s, signature })
    }

    /// The bytes that are signed: header, time, and the whole checkpoint text.
    pub(crate) fn message(&self, checkpoint_text: &str) -> Vec<u8> {
        message(self.time_s, checkpoint_text)
    }
}

pub(crate) fn message(time_s: u64, checkpoint_text: &str) -> Vec<u8> {
    format!("cosignature/v1\ntime {time_s}\n{checkpoint_text}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::note::{SigningKey, cosign};
    use crate::{Checkpoint, EMPTY_ROOT, Note, NoteError};

    #[test]
    fn a_witness_line_verifies_and_an_altered_one_is_refused() {
        let log = SigningKey::from_seed("example.com/log", &[1; 32]).unwrap();
        let witness = SigningKey::cosigner("example.com/witness", &[2; 32]).unwrap();
        let checkpoint = Checkpoint::new("example.com/log".into(), 0, EMPTY_ROOT);
        let line = cosign(&witness, &checkpoint.to_string(), 1_700_000_000).unwrap();
        let text = format!("{}{line}", checkpoint.sign(&log));
        let note = Note::parse(text.as_bytes()).unwrap();
        let keys = [log.verifying_key().clone(), witness.verifying_key().clone()];
        assert_eq!(note.verify(&keys).unwrap().len(), 2);
        assert_eq!(
            Cosignature::parse(&note.signatures[1].signature).unwrap().time_s,
            1_700_000_000
        );

        let mut later = note.clone();
        later.signatures[1].signature[7] ^= 1;
        assert_eq!(later.verify(&keys), Err(NoteError::BadSignature("example.com/witness".into())));
        assert_eq!(cosign(&log, &checkpoint.to_string(), 1), None);
        assert_eq!(cosign(&witness, &checkpoint.to_string(), u64::MAX), None);
    }
}
