use super::*;
use proptest::prelude::*;

fn check_round_trip(key: &SigningKey, text: &str) {
    let note = Note { text: text.into(), signatures: vec![key.sign(text)] };
    let bytes = note.to_string();
    let parsed = Note::parse(bytes.as_bytes()).unwrap();
    assert_eq!(parsed, note);
    assert_eq!(parsed.verify(&[key.verifying_key().clone()]).unwrap(), [key.verifying_key()]);
}

#[test]
fn key_texts_round_trip_and_bind_the_name() {
    let key = SigningKey::from_seed("example.com/log", &[3; 32]).unwrap();
    let secret = key.to_secret_text();
    let again: SigningKey = secret.parse().unwrap();
    assert_eq!(again.verifying_key(), key.verifying_key());
    let vkey = key.verifying_key().to_string();
    assert_eq!(vkey.parse::<VerifyingKey>().as_ref(), Ok(key.verifying_key()));
    assert_eq!(vkey.replace("/log", "/lot").parse::<VerifyingKey>(), Err(KeyError::Id));
    assert_eq!(format!("{key:?}"), format!("SigningKey({vkey})"));
    for bad in
        ["", "a", "a+b", "a+00000000+", "a b+00000000+AAAA", "+00000000+AAAA", "a+0000000G+AAAA"]
    {
        assert!(bad.parse::<VerifyingKey>().is_err(), "{bad}");
    }
    assert!(matches!(SigningKey::from_seed("a+b", &[0; 32]), Err(KeyError::Name)));
}

#[test]
fn other_type_is_refused() {
    let typed = [vec![2u8], vec![0; 32]].concat();
    let text = format!("a+{:08x}+{}", key_id("a", &typed), base64::encode(&typed));
    assert_eq!(text.parse::<VerifyingKey>(), Err(KeyError::Type));
}

#[test]
fn unknown_signatures_are_ignored_and_a_bad_known_one_is_fatal() {
    let a = SigningKey::from_seed("a", &[1; 32]).unwrap();
    let b = SigningKey::from_seed("b", &[2; 32]).unwrap();
    let text = "hello\n\nworld\n";
    let mut note = Note { text: text.into(), signatures: vec![a.sign(text), b.sign(text)] };
    let keys = |k: &SigningKey| [k.verifying_key().clone()];
    assert_eq!(note.verify(&keys(&b)).unwrap(), [b.verifying_key()]);
    note.signatures[0].signature[0] ^= 1;
    assert!(note.verify(&keys(&b)).is_ok());
    assert_eq!(note.verify(&keys(&a)), Err(NoteError::BadSignature("a".into())));
    let stranger = SigningKey::from_seed("c", &[3; 32]).unwrap();
    assert_eq!(note.verify(&keys(&stranger)), Err(NoteError::Unsigned));
}

#[test]
fn the_last_blank_line_splits() {
    let key = SigningKey::from_seed("a", &[1; 32]).unwrap();
    check_round_trip(&key, "x\n\ny\n");
    check_round_trip(&key, "\n");
}

#[test]
fn malformed_notes() {
    let key = SigningKey::from_seed("a", &[1; 32]).unwrap();
    let line = key.sign("x\n").to_string();
    for bad in [
        String::new(),
        "x\n".into(),
        "x\n\n\u{2014} a AAAA".into(),
        format!("x\n\n{}", line.trim_end()),
        format!("x\n{line}"),
        format!("x\r\n\n{line}"),
        format!("x\n\n{}", line.replace('\u{2014}', "-")),
        format!("x\n\n{}", line.replace(" a ", " a+b ")),
        "x\n\n\u{2014} a AAAAAA==\n".into(),
        "x\n\n\u{2014} a !!!!\n".into(),
        format!("x\n\n{}", line.repeat(101)),
        format!("{}\n\n{line}", "x".repeat(MAX_NOTE_LEN)),
    ] {
        assert!(matches!(Note::parse(bad.as_bytes()), Err(NoteError::Malformed(_))), "{bad:.60?}");
    }
    assert!(matches!(Note::parse(b"\xff\n\n"), Err(NoteError::Malformed("not UTF-8"))));
    let many = format!("x\n\n{}", line.repeat(16));
    assert_eq!(Note::parse(many.as_bytes()).unwrap().signatures.len(), 16);
}

#[test]
fn agrees_with_signed_note() {
    use signed_note::Verifier as _;
    let key = SigningKey::from_seed("example.com/oracle", &[9; 32]).unwrap();
    let text = "oracle\nhere\n";
    let vkey = key.verifying_key().to_string();
    let oracle = signed_note::StandardVerifier::new(&vkey).unwrap();
    assert_eq!(oracle.key_id(), key.verifying_key().id());
    assert!(oracle.verify(text.as_bytes(), &key.sign(text).signature));
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_round_trip(bytes: Vec<u8>) {
        if let Ok(note) = Note::parse(&bytes) {
            prop_assert_eq!(note.to_string().into_bytes(), bytes);
        }
    }

    #[test]
    fn altered_notes_never_verify(position: prop::sample::Index, bit in 0u8..8) {
        let key = SigningKey::from_seed("a", &[1; 32]).unwrap();
        let text = "some text\n";
        let mut bytes = Note { text: text.into(), signatures: vec![key.sign(text)] }.to_string().into_bytes();
        let position = position.index(bytes.len());
        bytes[position] ^= 1 << bit;
        let keys = [key.verifying_key().clone()];
        prop_assert!(Note::parse(&bytes).is_err() || Note::parse(&bytes).unwrap().verify(&keys).is_err());
    }
}
