//! The program that runs.

use crate::random::hex;
use sha2::{Digest as _, Sha256};
use std::{fs::File, io, sync::LazyLock};

/// SHA-256 of the program that runs, hex; read once. Whoever replaced the file since has
/// not replaced what runs, and it is that which is read. Blocks.
pub(crate) fn digest() -> Option<String> {
    static DIGEST: LazyLock<Option<String>> = LazyLock::new(|| match read() {
        Ok(digest) => Some(digest),
        Err(error) => {
            tracing::warn!(%error, "the program that runs could not be read, so its digest is not written down");
            None
        }
    });
    DIGEST.clone()
}

fn read() -> io::Result<String> {
    // The link leads to the file that was started, even if its name has another by now.
    let mut file =
        File::open("/proc/self/exe").or_else(|_| File::open(std::env::current_exe()?))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match io::Read::read(&mut file, &mut buffer)? {
            0 => return Ok(hex(&hasher.finalize())),
            n => hasher.update(buffer.get(..n).unwrap_or_default()),
        }
    }
}
