//! What a log signs of an export.

use indelible_api::Manifest;

const HEAD: &str = "indelible-export/v1";
/// What writes files: another version may show a record otherwise.
pub const VERSION: &str = concat!("indelible ", env!("CARGO_PKG_VERSION"));

/// The text that the log signs: a line that no checkpoint has, the origin, and the manifest
/// as one line of JSON.
#[must_use]
pub fn manifest_text(manifest: &Manifest) -> String {
    let json = serde_json::to_string(manifest).unwrap_or_default();
    format!("{HEAD}\n{}\n{json}\n", manifest.origin)
}

/// The manifest in a signed text; `None` unless it is the one text of it.
#[must_use]
pub fn parse_manifest(text: &str) -> Option<Manifest> {
    let json = text.lines().nth(2)?;
    let manifest: Manifest = serde_json::from_str(json).ok()?;
    (manifest_text(&manifest) == text).then_some(manifest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use indelible_api::ExportFormat;

    #[test]
    fn a_manifest_has_one_text() {
        let manifest = Manifest {
            v: 2,
            written_by: VERSION.to_owned(),
            log: "prod".to_owned(),
            origin: "s/prod".to_owned(),
            raw: false,
            q: "actor:\"a\nb\"".to_owned(),
            format: ExportFormat::Csv,
            proofs: true,
            made_by: "token:1".to_owned(),
            made_at: "2026-03-01T12:00:00.000000Z".to_owned(),
            narrowed: false,
            size: 9,
            checkpoint: "s/prod\n9\nAAAA\n\n— s/prod AAAA\n".to_owned(),
            count: 2,
            first: Some(3),
            last: Some(4),
            bytes: 10,
            sha256: "00".repeat(32),
        };
        let text = manifest_text(&manifest);
        assert_eq!(text.lines().count(), 3, "{text}");
        assert_eq!(parse_manifest(&text), Some(manifest));
        for other in [
            text.replace("v1", "v2"),
            text.replace("\"count\":2", "\"count\":2 "),
            text.replace("\"count\":2", "\"count\":2,\"more\":1"),
            text.replace("\ns/prod\n", "\ns/other\n"),
            format!("{text}more\n"),
        ] {
            assert_eq!(parse_manifest(&other), None, "{other}");
        }
    }
}
