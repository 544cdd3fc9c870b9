//! C2SP entry bundles: up to 256 entries, each a big-endian `u16` length and its bytes.

/// Longest entry a bundle can carry, in bytes.
pub const MAX_ENTRY_LEN: usize = 65_535;

/// Why bytes are not an entry bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// The entry is longer than [`MAX_ENTRY_LEN`].
    #[error("entry of {0} bytes is over the limit of 65535")]
    EntryTooLong(usize),
    /// The bytes end inside an entry.
    #[error("bundle ends inside an entry")]
    Truncated,
}

/// Appends one entry to a bundle under construction.
///
/// # Errors
/// [`BundleError::EntryTooLong`]; the bundle is then unchanged.
pub fn push_entry(bundle: &mut Vec<u8>, entry: &[u8]) -> Result<(), BundleError> {
    let len = u16::try_from(entry.len()).map_err(|_| BundleError::EntryTooLong(entry.len()))?;
    bundle.extend_from_slice(&len.to_be_bytes());
    bundle.extend_from_slice(entry);
    Ok(())
}

/// Iterator over the entries of a bundle; ends after the first error.
#[derive(Debug, Clone)]
pub struct BundleEntries<'a> {
    rest: &'a [u8],
}

impl<'a> BundleEntries<'a> {
    /// Starts at the first entry of `bundle`.
    #[must_use]
    pub const fn new(bundle: &'a [u8]) -> Self {
        Self { rest: bundle }
    }

    /// The bytes not yet iterated.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for BundleEntries<'a> {
    type Item = Result<&'a [u8], BundleError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let parsed = self
            .rest
            .split_first_chunk::<2>()
            .and_then(|(len, rest)| rest.split_at_checked(usize::from(u16::from_be_bytes(*len))));
        let Some((entry, rest)) = parsed else {
            self.rest = &[];
            return Some(Err(BundleError::Truncated));
        };
        self.rest = rest;
        Some(Ok(entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn round_trip(entries: Vec<Vec<u8>>) {
            let mut bundle = Vec::new();
            for entry in &entries {
                push_entry(&mut bundle, entry).unwrap();
            }
            let read: Result<Vec<_>, _> = BundleEntries::new(&bundle).collect();
            prop_assert_eq!(read.unwrap(), entries.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }

        #[test]
        fn any_bytes_end(bytes: Vec<u8>) {
            let entries: Vec<_> = BundleEntries::new(&bytes).collect();
            prop_assert!(entries.len() <= bytes.len());
        }
    }

    #[test]
    fn golden_bytes_and_limits() {
        let mut bundle = Vec::new();
        push_entry(&mut bundle, b"ab").unwrap();
        push_entry(&mut bundle, b"").unwrap();
        assert_eq!(bundle, [0, 2, b'a', b'b', 0, 0]);
        assert_eq!(push_entry(&mut bundle, &[0; 65_536]), Err(BundleError::EntryTooLong(65_536)));
        let mut cut = BundleEntries::new(&bundle[..3]);
        assert_eq!(cut.next(), Some(Err(BundleError::Truncated)));
        assert_eq!(cut.next(), None);
    }
}
