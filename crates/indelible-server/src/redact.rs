//! Text that somebody sent, as the trail and `_control` may keep it: whole, but without
//! credentials. A credential is told by its exact form, so that nothing else is lost:
//! `ind_` and 76 hex digits, or the three parts of a JWT.

/// How every token begins, so that secret scanners find it: `ind_[0-9a-f]{76}`.
pub(crate) const TOKEN_PREFIX: &str = "ind_";
/// Hex digits of a token behind its prefix.
pub(crate) const TOKEN_DIGITS: usize = 76;
/// How a JWT begins: the first bytes of `{"` in base64url.
const JWT_PREFIX: &str = "eyJ";
/// What stands in place of a credential.
const REDACTED: &str = "[redacted]";
/// Characters of what was asked that are kept: more than the longest query.
const MAX_ASKED: usize = 16 << 10;
/// How often text is decoded in search of a credential that was encoded.
const MAX_DECODED: usize = 4;

/// What somebody asked for, as the trail keeps it.
pub(crate) fn asked(text: &str) -> serde_json::Value {
    let mut text = redact_encoded(text);
    if let Some((end, _)) = text.char_indices().nth(MAX_ASKED) {
        text.truncate(end);
        text.push_str(" … (cut)");
    }
    text.into()
}

/// Text without credentials.
pub(crate) fn redact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((start, end)) = credential(rest) {
        out.push_str(rest.get(..start).unwrap_or_default());
        out.push_str(REDACTED);
        rest = rest.get(end..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// Whether a credential stands in the text.
pub(crate) fn holds_credential(text: &str) -> bool {
    let redacted = redact_encoded(text);
    redacted != text
}

/// Text without credentials, percent-encoded ones too; what holds none is kept as it was
/// spelled.
fn redact_encoded(text: &str) -> String {
    let mut decoded = text.to_owned();
    for _ in 0..MAX_DECODED {
        if credential(&decoded).is_some() {
            return redact(&decoded);
        }
        match percent_decoded(&decoded) {
            Some(next) => decoded = next,
            None => break,
        }
    }
    text.to_owned()
}

/// The text decoded once; `None` if nothing in it is encoded.
fn percent_decoded(text: &str) -> Option<String> {
    if !text.contains('%') {
        return None;
    }
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8_lossy();
    (decoded != text).then(|| decoded.into_owned())
}

/// Where the first credential begins and ends.
fn credential(text: &str) -> Option<(usize, usize)> {
    [token(text), jwt(text)].into_iter().flatten().min()
}

fn token(text: &str) -> Option<(usize, usize)> {
    text.match_indices('_').find_map(|(at, _)| {
        let start = at.checked_sub(TOKEN_PREFIX.len() - 1)?;
        let prefix = text.get(start..=at)?;
        let digits = text.get(at + 1..at + 1 + TOKEN_DIGITS)?;
        let found = prefix.eq_ignore_ascii_case(TOKEN_PREFIX)
            && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        found.then_some((start, at + 1 + TOKEN_DIGITS))
    })
}

fn jwt(text: &str) -> Option<(usize, usize)> {
    let in_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    text.match_indices(JWT_PREFIX).find_map(|(start, _)| {
        let from = text.get(start..)?;
        let end = from.find(|c: char| !(in_base64(c) || c == '.')).unwrap_or(from.len());
        let parts = from.get(..end)?.split('.');
        (parts.filter(|part| part.len() >= 2).count() >= 3).then_some((start, start + end))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn secret() -> String {
        format!("{TOKEN_PREFIX}{}", "0123456789ab".repeat(7).get(..TOKEN_DIGITS).unwrap_or(""))
    }

    #[test]
    fn credentials_go_and_nothing_else_does() {
        let secret = secret();
        let text = format!("?q={secret}&x=eyJhbGciOi.eyJzdWIi.si-g_%20{secret}");
        assert_eq!(redact(&text), "?q=[redacted]&x=[redacted]%20[redacted]");
        for harmless in ["rebind_ceo-salary", "ind_", "eyJ", "eyJhbGciOi.eyJ", "bind_12", ""] {
            assert_eq!(redact(harmless), harmless);
            assert_eq!(asked(harmless), harmless);
        }
        assert_eq!(redact(&secret.to_uppercase()), REDACTED);
    }

    #[test]
    fn an_encoded_credential_is_one() {
        let secret = secret();
        let encode = |text: &str| text.bytes().map(|b| format!("%{b:02X}")).collect::<String>();
        let once = format!("q=x&t={}", secret.replace('_', "%5F"));
        assert_eq!(asked(&once), "q=x&t=[redacted]");
        assert_eq!(asked(&encode(&secret)), REDACTED);
        assert_eq!(asked(&encode(&encode(&secret))), REDACTED);
        // What holds none stays as it was spelled.
        assert_eq!(asked("q=a%26b%2520c"), "q=a%26b%2520c");
    }

    #[test]
    fn a_whole_query_is_kept() {
        let query = format!("{}actor:u4711", " ".repeat(2_100));
        assert_eq!(asked(&query), query);
        let long = "x".repeat(40_000);
        let kept = asked(&long);
        assert!(kept.as_str().is_some_and(|kept| kept.len() < 17_000 && kept.ends_with("(cut)")));
    }

    proptest! {
        #[test]
        fn a_credential_is_found_anywhere(before: String, after: String) {
            let text = format!("{before}{}{after}", secret());
            prop_assert!(!redact(&text).contains(&secret()));
            prop_assert!(holds_credential(&text));
        }
    }
}
