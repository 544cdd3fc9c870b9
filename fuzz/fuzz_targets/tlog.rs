//! Every text and byte format of indelible-tlog. Run: `cargo +nightly fuzz run tlog`.
#![no_main]

use indelible_tlog::{BundleEntries, Checkpoint, Cosignature, Hash, Note, OfflineProof, SigningKey, TilePath, VerifyingKey};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(note) = Note::parse(bytes) {
        assert_eq!(note.to_string().as_bytes(), bytes);
    }
    if let Ok(proof) = OfflineProof::parse(bytes) {
        assert_eq!(proof.to_string().as_bytes(), bytes);
    }
    let entries = BundleEntries::new(bytes).filter(Result::is_ok).count();
    assert!(entries <= bytes.len());
    let _ = Cosignature::parse(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(checkpoint) = Checkpoint::parse(text) {
        assert_eq!(checkpoint.to_string(), text);
    }
    if let Ok(path) = text.parse::<TilePath>() {
        assert_eq!(path.to_string(), text);
    }
    if let Ok(key) = text.parse::<VerifyingKey>() {
        assert_eq!(key.to_string(), text);
    }
    if let Ok(key) = text.parse::<SigningKey>() {
        assert_eq!(key.to_secret_text().as_str(), text);
    }
    if let Ok(hash) = text.parse::<Hash>() {
        assert_eq!(hash.to_string(), text);
    }
});
