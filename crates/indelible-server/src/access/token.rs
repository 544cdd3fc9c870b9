//! Tokens: `ind_`, 12 hex digits that name it, 64 that are the secret (256 random
//! bits). Only the SHA-256 of the text is kept: what is random needs no slow hash.

use super::Principal;
use crate::control::fold::{Control, token_subject};
use indelible_event::Timestamp;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// How every token begins, so that secret scanners find it:
/// `ind_[0-9a-f]{76}`.
pub(crate) const PREFIX: &str = "ind_";
const ID_LEN: usize = 12;
const LEN: usize = PREFIX.len() + ID_LEN + 64;

/// A token's text. Wiped when dropped, never printed by `Debug`.
pub(crate) struct Secret(Zeroizing<String>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|n| char::from_digit(n.into(), 16))
        .collect()
}

/// Random bytes in hex.
pub(crate) fn random_hex<const N: usize>() -> Result<Zeroizing<String>, getrandom::Error> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(bytes.as_mut())?;
    Ok(Zeroizing::new(hex(bytes.as_ref())))
}

impl Secret {
    /// A new random token.
    pub(crate) fn generate() -> Result<Self, getrandom::Error> {
        let (id, secret) = (random_hex::<6>()?, random_hex::<32>()?);
        Ok(Self(Zeroizing::new(format!("{PREFIX}{}{}", id.as_str(), secret.as_str()))))
    }

    /// A token as somebody sent it, if it has the form of one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let hex = text.strip_prefix(PREFIX)?;
        let lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        (text.len() == LEN && hex.bytes().all(lower_hex))
            .then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// The part that names the token; no secret.
    pub(crate) fn id(&self) -> &str {
        self.0.get(PREFIX.len()..PREFIX.len() + ID_LEN).unwrap_or_default()
    }

    /// SHA-256 of the text, hex.
    pub(crate) fn sha256(&self) -> String {
        hex(&Sha256::digest(self.0.as_bytes()))
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

/// Why a token is not taken. The caller is told no more than "unknown, expired or
/// revoked"; the trail says which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Malformed,
    Unknown,
    Expired,
    Revoked,
}

impl Refusal {
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "malformed token",
            Self::Unknown => "unknown token",
            Self::Expired => "expired token",
            Self::Revoked => "revoked token",
        }
    }
}

/// The principal of a token.
pub(crate) fn authenticate(
    control: &Control,
    text: &str,
    now: Timestamp,
) -> Result<Principal, (Refusal, Option<String>)> {
    let secret = Secret::parse(text).ok_or((Refusal::Malformed, None))?;
    let entry = control.tokens.get(secret.id()).ok_or((Refusal::Unknown, None))?;
    if !bool::from(entry.sha256.as_bytes().ct_eq(secret.sha256().as_bytes())) {
        return Err((Refusal::Unknown, None));
    }
    let id = token_subject(secret.id());
    if entry.revoked_at.is_some() {
        return Err((Refusal::Revoked, Some(id)));
    }
    if entry.expires_at.is_some_and(|end| now >= end) {
        return Err((Refusal::Expired, Some(id)));
    }
    Ok(Principal {
        id,
        name: Some(entry.name.clone()),
        groups: Vec::new(),
        expires_at: entry.expires_at,
    })
}

/// What somebody asked for, as the trail keeps it: its first 2,048 characters, without
/// what looks like a credential.
pub(crate) fn asked(text: &str) -> serde_json::Value {
    redact(&text.chars().take(2048).collect::<String>()).into()
}

/// Text without what looks like a credential: tokens of ours, and JWTs.
pub(crate) fn redact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = [PREFIX, "eyJ"].iter().filter_map(|mark| rest.find(mark)).min() {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        out.push_str("[redacted]");
        let end = from
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')))
            .unwrap_or(from.len());
        rest = from.get(end..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests state their expectations by failing")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tokens_have_their_form_and_differ() {
        let (a, b) = (Secret::generate().unwrap(), Secret::generate().unwrap());
        assert_ne!(a.reveal(), b.reveal());
        let back = Secret::parse(a.reveal()).unwrap();
        assert_eq!((back.id(), back.sha256()), (a.id(), a.sha256()));
        assert_eq!(a.reveal().len(), 80);
        assert!(!format!("{a:?}").contains(a.id()));
        for bad in
            ["", "ind_", &a.reveal()[1..], &a.reveal().to_uppercase(), &format!("{}0", a.reveal())]
        {
            assert!(Secret::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn credentials_are_redacted_wherever_they_are() {
        let secret = Secret::generate().unwrap();
        let text =
            format!("?q={}&x=eyJhbGciOi.eyJzdWIi.sig%20{}", secret.reveal(), secret.reveal());
        assert_eq!(redact(&text), "?q=[redacted]&x=[redacted]%20[redacted]");
        assert_eq!(redact("nothing here"), "nothing here");
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_named(text: String) {
            prop_assert!(Secret::parse(&text).is_none());
            prop_assert!(!redact(&text).contains(PREFIX));
        }
    }
}
