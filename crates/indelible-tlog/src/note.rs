//! C2SP signed notes: a text with signature lines, and the keys that make and check them.

use crate::base64;
use crate::cosignature::{Cosignature, message};
use ed25519_dalek::Signer as _;
use sha2::{Digest, Sha256};
use std::{fmt, str::FromStr};
use zeroize::Zeroizing;

/// Longest note that is parsed, in bytes.
pub const MAX_NOTE_LEN: usize = 1_000_000;
/// Most signature lines that are parsed.
pub const MAX_SIGNATURES: usize = 100;

/// Signature type: Ed25519 over the text.
const ED25519: u8 = 0x01;
/// Signature type: timestamped Ed25519 cosignature.
const COSIGNATURE: u8 = 0x04;
const PREFIX: &str = "\u{2014} ";
const SECRET_PREFIX: &str = "PRIVATE+KEY+";

/// Why bytes are not a signed note, or why its signatures do not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Not the form of a signed note.
    #[error("malformed note: {0}")]
    Malformed(&'static str),
    /// A signature by a known key does not verify: the note was altered.
    #[error("signature by {0} does not verify")]
    BadSignature(String),
    /// No signature by any known key.
    #[error("no signature by a known key")]
    Unsigned,
    /// Signed by no key but such as were replaced before the log had so many records.
    #[error("of {size} records, but signed only by a key that was replaced at {until}")]
    Replaced {
        /// Records the note is about.
        size: u64,
        /// Records up to which the key that signed counts.
        until: u64,
    },
}

/// Why text is not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not `name+keyid+base64` (or, secret, `PRIVATE+KEY+name+keyid+base64`).
    #[error("malformed key text")]
    Malformed,
    /// Empty, or holds white space or a plus sign.
    #[error("invalid key name")]
    Name,
    /// The key id in the text is not that of the key.
    #[error("key id does not match the key")]
    Id,
    /// Neither Ed25519 (0x01) nor an Ed25519 cosignature (0x04).
    #[error("unsupported key type")]
    Type,
    /// Not a point that can be a public key.
    #[error("invalid public key")]
    Point,
}

/// One signature line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    /// Name of the key.
    pub name: String,
    /// Key id: the first four bytes of the signature blob, big-endian.
    pub key_id: u32,
    /// The rest of the blob.
    pub signature: Vec<u8>,
}

impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut blob = self.key_id.to_be_bytes().to_vec();
        blob.extend_from_slice(&self.signature);
        writeln!(f, "{PREFIX}{} {}", self.name, base64::encode(&blob))
    }
}

/// A parsed note. Its signatures are not checked until [`Note::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The signed text, its final newline included.
    pub text: String,
    /// All signature lines, known or not.
    pub signatures: Vec<NoteSignature>,
}

impl Note {
    /// Parses the bytes of a signed note.
    ///
    /// # Errors
    /// [`NoteError::Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > MAX_NOTE_LEN {
            return Err(NoteError::Malformed("longer than 1000000 bytes"));
        }
        let note = std::str::from_utf8(bytes).map_err(|_| NoteError::Malformed("not UTF-8"))?;
        if note.bytes().any(|b| b < 0x20 && b != b'\n') {
            return Err(NoteError::Malformed("control character"));
        }
        let split = note.rfind("\n\n").ok_or(NoteError::Malformed("no blank line"))?;
        let (text, rest) = note.split_at(split.saturating_add(1));
        let lines = rest.strip_prefix('\n').unwrap_or(rest);
        if !lines.ends_with('\n') {
            return Err(NoteError::Malformed("does not end in a newline"));
        }
        let mut signatures = Vec::new();
        for line in lines.lines() {
            if signatures.len() == MAX_SIGNATURES {
                return Err(NoteError::Malformed("more than 100 signatures"));
            }
            signatures.push(parse_signature(line)?);
        }
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// Checks every signature by one of `keys`, ignores the rest, and returns the
    /// keys that signed.
    ///
    /// # Errors
    /// [`NoteError::BadSignature`] when a known key's signature does not verify,
    /// [`NoteError::Unsigned`] when no known key signed.
    pub fn verify<'k>(&self, keys: &'k [VerifyingKey]) -> Result<Vec<&'k VerifyingKey>, NoteError> {
        let mut signers = Vec::new();
        for line in &self.signatures {
            let known = keys.iter().find(|key| key.id == line.key_id && key.name == line.name);
            let Some(key) = known else { continue };
            if !key.verifies(&self.text, &line.signature) {
                return Err(NoteError::BadSignature(key.name.clone()));
            }
            if !signers.contains(&key) {
                signers.push(key);
            }
        }
        if signers.is_empty() { Err(NoteError::Unsigned) } else { Ok(signers) }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|line| line.fmt(f))
    }
}

fn parse_signature(line: &str) -> Result<NoteSignature, NoteError> {
    let malformed = || NoteError::Malformed("signature line");
    let (name, blob) =
        line.strip_prefix(PREFIX).and_then(|rest| rest.split_once(' ')).ok_or_else(malformed)?;
    if !valid_name(name) {
        return Err(NoteError::Malformed("key name in a signature line"));
    }
    let blob = base64::decode(blob).ok_or_else(malformed)?;
    let (key_id, signature) = blob.split_first_chunk::<4>().ok_or_else(malformed)?;
    if signature.is_empty() {
        return Err(malformed());
    }
    Ok(NoteSignature {
        name: name.to_owned(),
        key_id: u32::from_be_bytes(*key_id),
        signature: signature.to_vec(),
    })
}

fn valid_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c == '+')
}

/// SHA-256(name ‖ 0x0A ‖ type ‖ key)[..4]; `typed_key` starts with the type.
fn key_id(name: &str, typed_key: &[u8]) -> u32 {
    let mut hasher = Sha256::new();
    hasher.update(name);
    hasher.update(b"\n");
    hasher.update(typed_key);
    let digest: [u8; 32] = hasher.finalize().into();
    digest.first_chunk::<4>().map_or(0, |id| u32::from_be_bytes(*id))
}

/// A key that checks signatures. Text form: `name+keyid+base64(type ‖ key)`, "vkey".
#[derive(Clone, PartialEq, Eq)]
pub struct VerifyingKey {
    name: String,
    id: u32,
    kind: u8,
    key: ed25519_dalek::VerifyingKey,
}

impl VerifyingKey {
    fn new(name: &str, kind: u8, key: ed25519_dalek::VerifyingKey) -> Self {
        let mut typed = vec![kind];
        typed.extend_from_slice(key.as_bytes());
        Self { name: name.to_owned(), id: key_id(name, &typed), kind, key }
    }

    /// The log key named `name` with this Ed25519 public key, for a secret that is
    /// kept elsewhere.
    ///
    /// # Errors
    /// [`KeyError::Name`] or [`KeyError::Point`].
    pub fn from_public(name: &str, key: &[u8; 32]) -> Result<Self, KeyError> {
        if !valid_name(name) {
            return Err(KeyError::Name);
        }
        let key = ed25519_dalek::VerifyingKey::from_bytes(key).map_err(|_| KeyError::Point)?;
        Ok(Self::new(name, ED25519, key))
    }

    /// The signature line that carries a signature made elsewhere.
    #[must_use]
    pub fn line(&self, signature: Vec<u8>) -> NoteSignature {
        NoteSignature { name: self.name.clone(), key_id: self.id, signature }
    }

    /// Name of the key; for a log, its origin.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Id that signature lines carry.
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// Whether this is a cosigner's key (type 0x04).
    #[must_use]
    pub const fn is_cosigner(&self) -> bool {
        self.kind == COSIGNATURE
    }

    fn verifies(&self, text: &str, signature: &[u8]) -> bool {
        if self.is_cosigner() {
            return Cosignature::parse(signature).is_some_and(|cosignature| {
                self.verifies_raw(&cosignature.message(text), &cosignature.signature)
            });
        }
        self.verifies_raw(text.as_bytes(), signature)
    }

    fn verifies_raw(&self, message: &[u8], signature: &[u8]) -> bool {
        ed25519_dalek::Signature::from_slice(signature)
            .is_ok_and(|signature| self.key.verify_strict(message, &signature).is_ok())
    }
}

/// Cosigns a checkpoint text; `key` must be a cosigner's.
/// Returns `None` for a key of another type or a time over 2^63 - 1.
#[must_use]
pub fn cosign(key: &SigningKey, checkpoint_text: &str, time_s: u64) -> Option<NoteSignature> {
    if !key.verifying_key().is_cosigner() || time_s > i64::MAX.unsigned_abs() {
        return None;
    }
    let mut payload = time_s.to_be_bytes().to_vec();
    payload.extend_from_slice(&key.sign_raw(&message(time_s, checkpoint_text)));
    Some(key.line(payload))
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut typed = vec![self.kind];
        typed.extend_from_slice(self.key.as_bytes());
        write!(f, "{}+{:08x}+{}", self.name, self.id, base64::encode(&typed))
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({self})")
    }
}

impl FromStr for VerifyingKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let (name, id, typed) = parse_key(text)?;
        let (kind, key) = typed.split_first().ok_or(KeyError::Malformed)?;
        if !matches!(*kind, ED25519 | COSIGNATURE) {
            return Err(KeyError::Type);
        }
        let key: [u8; 32] = key.try_into().map_err(|_| KeyError::Malformed)?;
        let key = ed25519_dalek::VerifyingKey::from_bytes(&key).map_err(|_| KeyError::Point)?;
        let key = Self::new(name, *kind, key);
        if key.id == id { Ok(key) } else { Err(KeyError::Id) }
    }
}

/// A signature could not be made; the text says why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("could not sign: {0}")]
pub struct SignError(pub String);

/// Signs notes, wherever its secret is: in memory ([`SigningKey`]) or in a hardware
/// module.
pub trait Signer: Send + Sync + fmt::Debug {
    /// The key that checks its signatures.
    fn verifying_key(&self) -> &VerifyingKey;

    /// Signs a text, which must end in a newline, and returns the signature line.
    ///
    /// # Errors
    /// [`SignError`] when the secret cannot be used now.
    fn sign_text(&self, text: &str) -> Result<NoteSignature, SignError>;
}

impl Signer for SigningKey {
    fn verifying_key(&self) -> &VerifyingKey {
        &self.public
    }

    fn sign_text(&self, text: &str) -> Result<NoteSignature, SignError> {
        Ok(self.sign(text))
    }
}

/// A key that signs notes (or, made by [`SigningKey::cosigner`], cosigns
/// checkpoints). The seed is wiped when dropped and never printed by `Debug`.
#[derive(Clone)]
pub struct SigningKey {
    public: VerifyingKey,
    secret: ed25519_dalek::SigningKey,
}

impl SigningKey {
    /// The log key named `name` with this Ed25519 seed.
    ///
    /// # Errors
    /// [`KeyError::Name`].
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, KeyError> {
        Self::new(name, ED25519, seed)
    }

    /// The cosigner's key named `name` with this Ed25519 seed.
    ///
    /// # Errors
    /// [`KeyError::Name`].
    pub fn cosigner(name: &str, seed: &[u8; 32]) -> Result<Self, KeyError> {
        Self::new(name, COSIGNATURE, seed)
    }

    fn new(name: &str, kind: u8, seed: &[u8; 32]) -> Result<Self, KeyError> {
        if !valid_name(name) {
            return Err(KeyError::Name);
        }
        let secret = ed25519_dalek::SigningKey::from_bytes(seed);
        Ok(Self { public: VerifyingKey::new(name, kind, secret.verifying_key()), secret })
    }

    /// The key that checks this key's signatures.
    #[must_use]
    pub const fn verifying_key(&self) -> &VerifyingKey {
        &self.public
    }

    /// Signs a text, which must end in a newline, and returns the signature line.
    #[must_use]
    pub fn sign(&self, text: &str) -> NoteSignature {
        self.line(self.sign_raw(text.as_bytes()))
    }

    pub(crate) fn sign_raw(&self, message: &[u8]) -> Vec<u8> {
        self.secret.sign(message).to_vec()
    }

    pub(crate) fn line(&self, signature: Vec<u8>) -> NoteSignature {
        NoteSignature { name: self.public.name.clone(), key_id: self.public.id, signature }
    }

    /// Secret text form `PRIVATE+KEY+name+keyid+base64(type ‖ seed)`.
    #[must_use]
    pub fn to_secret_text(&self) -> Zeroizing<String> {
        let mut typed = Zeroizing::new(vec![self.public.kind]);
        typed.extend_from_slice(self.secret.as_bytes());
        let encoded = Zeroizing::new(base64::encode(&typed));
        Zeroizing::new(format!(
            "{SECRET_PREFIX}{}+{:08x}+{}",
            self.public.name,
            self.public.id,
            encoded.as_str()
        ))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public)
    }
}

impl FromStr for SigningKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let rest = text.strip_prefix(SECRET_PREFIX).ok_or(KeyError::Malformed)?;
        let (name, id, typed) = parse_key(rest)?;
        let typed = Zeroizing::new(typed);
        let (kind, seed) = typed.split_first().ok_or(KeyError::Malformed)?;
        if !matches!(*kind, ED25519 | COSIGNATURE) {
            return Err(KeyError::Type);
        }
        let seed: Zeroizing<[u8; 32]> =
            Zeroizing::new(seed.try_into().map_err(|_| KeyError::Malformed)?);
        let key = Self::new(name, *kind, &seed)?;
        if key.public.id == id { Ok(key) } else { Err(KeyError::Id) }
    }
}

/// `name+keyid+base64`; only the first two plus signs split, as base64 may hold more.
fn parse_key(text: &str) -> Result<(&str, u32, Vec<u8>), KeyError> {
    let mut parts = text.splitn(3, '+');
    let (Some(name), Some(id), Some(blob)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(KeyError::Malformed);
    };
    if !valid_name(name) {
        return Err(KeyError::Name);
    }
    let lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if id.len() != 8 || !id.bytes().all(lower_hex) {
        return Err(KeyError::Malformed);
    }
    let id = u32::from_str_radix(id, 16).map_err(|_| KeyError::Malformed)?;
    let blob = base64::decode(blob).ok_or(KeyError::Malformed)?;
    Ok((name, id, blob))
}

#[cfg(test)]
mod tests;
