//! What the files of a piece are: a hash of every 64 KiB of each, under a keyed hash of the
//! whole. Whoever can write the files, but not sign for the log, cannot hide an event from
//! a search: what was altered is noticed before an answer rests on it.

use hmac::{Hmac, KeyInit as _, Mac as _};
use indelible_log::{Log, chain};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeMap,
    fs, io,
    io::{Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

/// Bytes that are hashed, and later checked, together.
pub(crate) const CHUNK: usize = 64 << 10;
/// Where the seal of a piece is.
const FILE: &str = "piece.json";
const PURPOSE: &str = "indelible index v1";
/// Where the key is, if the log's own is in a key store.
const KEY_FILE: &str = "key";

/// What pieces are sealed with.
pub(crate) type Key = [u8; 32];

/// The key of an index: of the log's own, or a random one in the folder.
pub(crate) fn key(log: &Log, folder: &Path) -> io::Result<Key> {
    match log.derived_key(PURPOSE) {
        Ok(Some(key)) => return Ok(*key),
        Ok(None) => {}
        Err(error) => return Err(io::Error::other(chain(&error))),
    }
    let path = folder.join(KEY_FILE);
    if let Ok(key) = fs::read(&path)
        && let Ok(key) = Key::try_from(key)
    {
        return Ok(key);
    }
    let mut key = Key::default();
    getrandom::fill(&mut key).map_err(|error| io::Error::other(error.to_string()))?;
    // Without it all pieces are built again, which is all that a crash here costs.
    fs::remove_file(&path).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })?;
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o400).open(&path)?;
    file.write_all(&key)?;
    file.sync_all()?;
    Ok(key)
}

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sealed {
    pub(crate) len: u64,
    /// SHA-256 of each chunk, hex, one after the other.
    chunks: String,
}

impl Sealed {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let chunks = bytes.chunks(CHUNK).map(|chunk| hex(&Sha256::digest(chunk))).collect();
        Self { len: bytes.len() as u64, chunks }
    }

    fn read(path: &Path, is_durable: bool) -> io::Result<Self> {
        let file = fs::File::open(path)?;
        if is_durable {
            // Before the seal that names it.
            file.sync_all()?;
        }
        let (mut len, mut chunks) = (0, String::new());
        loop {
            let mut chunk = Vec::with_capacity(CHUNK);
            (&file).take(CHUNK as u64).read_to_end(&mut chunk)?;
            if chunk.is_empty() {
                return Ok(Self { len, chunks });
            }
            len += chunk.len() as u64;
            chunks.push_str(&hex(&Sha256::digest(&chunk)));
        }
    }

    /// Whether a chunk is what it was.
    pub(crate) fn holds(&self, at: usize, chunk: &[u8]) -> bool {
        self.chunks.get(at * 64..(at + 1) * 64) == Some(hex(&Sha256::digest(chunk)).as_str())
    }

    /// Whether all of a file is what it was.
    pub(crate) fn is(&self, bytes: &[u8]) -> bool {
        *self == Self::of(bytes)
    }
}

/// What a piece is of, and what its files are.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Seal<F> {
    pub(crate) facts: F,
    pub(crate) files: BTreeMap<String, Sealed>,
}

#[derive(Serialize, Deserialize)]
struct Written {
    /// The seal as JSON, which is what the keyed hash is of.
    seal: String,
    mac: String,
}

impl<F: Serialize + serde::de::DeserializeOwned> Seal<F> {
    /// Seals the files of a folder, made durable first if that is asked for. If the power
    /// fails before others are, the seal does not hold, and they are built again.
    pub(crate) fn make(folder: &Path, facts: F, is_durable: bool) -> io::Result<Self> {
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.starts_with('.') {
                // Locks, and a list that only writers want.
                fs::remove_file(&path)?;
            } else {
                files.insert(name.to_owned(), Sealed::read(&path, is_durable)?);
            }
        }
        Ok(Self { facts, files })
    }

    /// Writes it into the folder; a crash leaves the old one or none.
    pub(crate) fn write(&self, folder: &Path, key: &Key, is_durable: bool) -> io::Result<()> {
        let seal = serde_json::to_string(self)?;
        let mac = hex(&mac(key, seal.as_bytes())?.finalize().into_bytes());
        let temporary = folder.join("piece.json.tmp");
        let mut file = fs::File::create(&temporary)?;
        file.write_all(&serde_json::to_vec(&Written { seal, mac })?)?;
        if is_durable {
            file.sync_all()?;
        }
        fs::rename(&temporary, folder.join(FILE))?;
        if is_durable { sync(folder) } else { Ok(()) }
    }

    /// Reads and checks it.
    pub(crate) fn read(folder: &Path, key: &Key) -> io::Result<Self> {
        let Written { seal, mac: found } = serde_json::from_slice(&fs::read(folder.join(FILE))?)?;
        let found = unhex(&found).ok_or_else(|| io::Error::other("its seal cannot be read"))?;
        mac(key, seal.as_bytes())?
            .verify_slice(&found)
            .map_err(|_| io::Error::other("its seal does not hold"))?;
        Ok(serde_json::from_str(&seal)?)
    }
}

/// Makes the names in a folder durable.
pub(crate) fn sync(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

fn mac(key: &Key, bytes: &[u8]) -> io::Result<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(io::Error::other)?;
    mac.update(bytes);
    Ok(mac)
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
    if rest.is_empty() { bytes } else { None }
}
