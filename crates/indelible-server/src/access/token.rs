//! Tokens: `ind_`, 12 hex digits that name it, 64 that are the secret (256 random
//! bits). Only the SHA-256 of the text is kept: what is random needs no slow hash.

use super::Principal;
use crate::subject::token_subject;
use crate::{
    control::fold::Control,
    random::{hex, random_hex},
    redact::{TOKEN_DIGITS, TOKEN_PREFIX as PREFIX},
};
use indelible_event::Timestamp;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

const ID_LEN: usize = 12;
const LEN: usize = PREFIX.len() + TOKEN_DIGITS;

/// A token's text. Wiped when dropped, never printed by `Debug`.
pub(crate) struct Secret(Zeroizing<String>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
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

    proptest! {
        #[test]
        fn any_text_is_refused_or_named(text: String) {
            prop_assert!(Secret::parse(&text).is_none());
        }
    }
}
