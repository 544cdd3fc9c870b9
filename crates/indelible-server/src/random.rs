//! Random bytes of the system, and hex.

use zeroize::Zeroizing;

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(bytes)
}

/// Random bytes in hex.
pub(crate) fn random_hex<const N: usize>() -> Result<Zeroizing<String>, getrandom::Error> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(bytes.as_mut())?;
    Ok(Zeroizing::new(hex(bytes.as_ref())))
}
