//! Where tokens are kept: files that nobody else can read.

use anyhow::{Context as _, bail};
use etcetera::BaseStrategy as _;
use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

/// Reads a file with a token that nobody else can read.
pub(crate) fn read_token(path: &Path) -> anyhow::Result<String> {
    check_private(path)?;
    let text = fs::read_to_string(path)
        .with_context(|| format!("could not read the token file {}", path.display()))?;
    // Editors of some systems put a byte order mark before everything.
    let token = text.trim_start_matches('\u{feff}').trim();
    if token.is_empty() {
        bail!("{} is empty; it should hold a token", path.display());
    }
    Ok(token.to_owned())
}

fn check_private(path: &Path) -> anyhow::Result<()> {
    let found =
        fs::metadata(path).with_context(|| format!("could not look at {}", path.display()))?;
    // Descriptors and pipes (`<(…)`) are the shell's business.
    if found.is_file() && found.permissions().mode() & 0o077 != 0 {
        bail!("{} can be read by others; chmod 600 it", path.display());
    }
    Ok(())
}

pub(crate) fn store_path() -> anyhow::Result<PathBuf> {
    let base = etcetera::choose_base_strategy().context("there is no home directory")?;
    Ok(base.config_dir().join("indelible").join("tokens.json"))
}

pub(crate) fn read_store(path: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    match fs::read(path) {
        Ok(bytes) => {
            check_private(path)?;
            serde_json::from_slice(&bytes)
                .with_context(|| format!("{} is not a store of tokens", path.display()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(error).with_context(|| format!("could not read {}", path.display())),
    }
}

pub(crate) fn write_store(path: &Path, tokens: &BTreeMap<String, String>) -> anyhow::Result<()> {
    let folder = path.parent().context("the store has no folder")?;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .with_context(|| format!("could not write {}", temporary.display()))?;
    file.write_all(serde_json::to_string_pretty(tokens)?.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path).with_context(|| format!("could not write {}", path.display()))
}

/// What tokens are stored under: the URL without a trailing slash.
pub(crate) fn entry(url: &str) -> &str {
    url.trim_end_matches('/')
}

/// The token stored for a server.
pub(crate) fn stored(url: &str) -> anyhow::Result<Option<String>> {
    // Without a home directory nothing can be stored.
    let Ok(path) = store_path() else { return Ok(None) };
    Ok(read_store(&path)?.remove(entry(url)))
}
