//! What bytes are, by how they begin.

/// What an input is, told by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text, or what will be found not to be.
    Text,
    /// Compressed with gzip.
    Gzip,
    /// Compressed with zstd.
    Zstd,
    /// UTF-16, low byte first.
    Utf16Little,
    /// UTF-16, high byte first.
    Utf16Big,
    /// Something that no events are read from; what it is.
    Other(&'static str),
}

const OTHERS: [(&[u8], &str); 14] = [
    (b"PK\x03\x04", "a zip archive; unpack it first"),
    (b"BZh", "compressed with bzip2; unpack it first (bunzip2 -c FILE | indelible append …)"),
    (b"\xfd7zXZ\0", "compressed with xz; unpack it first (xz -dc FILE | indelible append …)"),
    (b"\x04\x22\x4d\x18", "compressed with lz4; unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it first"),
    (b"\xff\x06\0\0sNaPpY", "compressed with snappy; unpack it first"),
    (b"PAR1", "a Parquet file; export it as JSON first"),
    (b"Obj\x01", "an Avro file; export it as JSON first"),
    (b"ORC", "an ORC file; export it as JSON first"),
    (b"SQLite format 3\0", "an SQLite database; export it as JSON first"),
    (b"ElfFile\0", "a Windows event log (evtx); export it as JSON first"),
    (b"\x7fELF", "a program"),
    (b"\xff\xfe\0\0", "UTF-32; convert it to UTF-8 first"),
    (b"\0\0\xfe\xff", "UTF-32; convert it to UTF-8 first"),
];

impl Kind {
    /// Bytes from which the kind is told at best.
    pub const LOOK: usize = 16;

    /// What an input is that begins with these bytes, [`Kind::LOOK`] or all there are.
    #[must_use]
    pub fn of(start: &[u8]) -> Self {
        if let Some((_, what)) = OTHERS.iter().find(|(magic, _)| start.starts_with(magic)) {
            return Self::Other(what);
        }
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            // A skippable frame, as seekable and parallel compressors write.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [0xff, 0xfe, ..] => Self::Utf16Little,
            [0xfe, 0xff, ..] => Self::Utf16Big,
            // Without a mark: JSON begins with two ASCII characters (RFC 4627 §3).
            [b'{' | b'[', 0, next, 0, ..] if *next != 0 => Self::Utf16Little,
            [0, b'{' | b'[', 0, next, ..] if *next != 0 => Self::Utf16Big,
            _ => Self::Text,
        }
    }
}

/// Makes UTF-8 of UTF-16, part by part. The records then hold UTF-8: JSON between systems
/// is UTF-8 (RFC 8259 §8.1), and so is the record around it.
#[derive(Debug)]
pub struct Utf16 {
    big: bool,
    /// Half a unit.
    byte: Option<u8>,
    /// Half a pair.
    high: Option<u16>,
}

impl Utf16 {
    /// A decoder of one of the two byte orders.
    #[must_use]
    pub const fn new(big: bool) -> Self {
        Self { big, byte: None, high: None }
    }

    /// Appends the UTF-8 of the next part to `out`. What is no character is written as
    /// a byte that no UTF-8 has (0xff), so that the event with it is refused by its place.
    pub fn decode(&mut self, part: &[u8], out: &mut Vec<u8>) {
        for byte in part {
            let Some(first) = self.byte.take() else {
                self.byte = Some(*byte);
                continue;
            };
            let pair = [first, *byte];
            self.unit(
                if self.big { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) },
                out,
            );
        }
    }

    /// The input ends.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        if self.byte.take().is_some() | self.high.take().is_some() {
            out.push(0xff);
        }
    }

    fn unit(&mut self, unit: u16, out: &mut Vec<u8>) {
        let units = [self.high.take(), Some(unit)];
        let is_high = (0xd800..=0xdbff).contains(&unit);
        if is_high {
            if units[0].is_some() {
                out.push(0xff);
            }
            self.high = Some(unit);
            return;
        }
        for decoded in char::decode_utf16(units.into_iter().flatten()) {
            match decoded {
                Ok(character) => {
                    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                Err(_) => out.push(0xff),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn kinds_are_told_by_the_first_bytes() {
        let check = |start: &[u8], kind: Kind| assert_eq!(Kind::of(start), kind, "{start:x?}");
        check(b"", Kind::Text);
        check(b"{\"a\":1}", Kind::Text);
        check(b"\xef\xbb\xbf{", Kind::Text);
        check(b"\x1f\x8b\x08\0", Kind::Gzip);
        check(b"\x28\xb5\x2f\xfd\0", Kind::Zstd);
        check(b"\x50\x2a\x4d\x18\0", Kind::Zstd);
        check(b"\xff\xfe{\0", Kind::Utf16Little);
        check(b"\xfe\xff\0{", Kind::Utf16Big);
        check(b"{\0\"\0", Kind::Utf16Little);
        check(b"\0[\0{", Kind::Utf16Big);
        check(b"\0\0\0\0", Kind::Text);
        assert!(matches!(Kind::of(b"PK\x03\x04rest"), Kind::Other(what) if what.contains("zip")));
        assert!(matches!(Kind::of(b"\xff\xfe\0\0"), Kind::Other(what) if what.contains("UTF-32")));
    }

    fn decoded(bytes: &[u8], big: bool, part: usize) -> Vec<u8> {
        let (mut decoder, mut out) = (Utf16::new(big), Vec::new());
        bytes.chunks(part).for_each(|part| decoder.decode(part, &mut out));
        decoder.end(&mut out);
        out
    }

    #[test]
    fn what_is_no_character_is_no_utf8() {
        let bytes: Vec<u8> = [0xd800_u16, 0x61, 0xdc00, 0xd83d, 0xd83d, 0xde00]
            .into_iter()
            .flat_map(u16::to_le_bytes)
            .chain([0x20])
            .collect();
        assert_eq!(decoded(&bytes, false, 1), b"\xffa\xff\xff\xf0\x9f\x98\x80\xff");
    }

    proptest! {
        #[test]
        fn any_text_comes_through(text: String, big: bool, part in 1usize..9) {
            let bytes: Vec<u8> = text
                .encode_utf16()
                .flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() })
                .collect();
            prop_assert_eq!(decoded(&bytes, big, part), text.into_bytes());
        }

        #[test]
        fn any_bytes_are_read(bytes: Vec<u8>, big: bool) {
            decoded(&bytes, big, 3);
            let _kind = Kind::of(&bytes);
        }
    }
}
