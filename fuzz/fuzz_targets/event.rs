//! Records and all event formats: what is accepted can be shown.
#![no_main]

use indelible_event::{Envelope, Payload, RecordHeader, Timestamp, format_named, format_names, record_id};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = record_id(bytes);
    let _ = Envelope::parse(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = text.parse::<Timestamp>();
    for name in format_names() {
        let Ok(format) = format_named(name) else { continue };
        let Ok(id) = format.accept(text) else { continue };
        assert!(format.view(text).is_ok(), "accepted but not shown");
        let mut record = Vec::new();
        let id = id.unwrap_or_else(|| "made".into());
        RecordHeader::new(Timestamp::from_micros(0), "fuzz", name).encode(&id, Payload::Inline(text.trim()), &mut record);
        let envelope = Envelope::parse(&record).expect("a record of an accepted event parses");
        assert_eq!((envelope.id.as_ref(), envelope.payload()), (id.as_ref(), Ok(Payload::Inline(text.trim()))));
    }
});
