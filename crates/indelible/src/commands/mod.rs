//! The commands, one file per subject.

pub(crate) mod append;
pub(crate) mod bench;
pub(crate) mod demo;
pub(crate) mod log;
pub(crate) mod read;
pub(crate) mod serve;
pub(crate) mod verify;

use anyhow::Context as _;
use indelible_client::{Client, LogClient};
use indelible_tlog::VerifyingKey;
use std::path::Path;

/// Reads a key given as a file or as text.
pub(crate) fn read_key(given: &str) -> anyhow::Result<VerifyingKey> {
    let text = match Path::new(given).is_file() {
        true => std::fs::read_to_string(given)
            .with_context(|| format!("could not read the key file {given}"))?,
        false => given.to_owned(),
    };
    text.trim().parse().with_context(|| format!("{given:?} is neither a vkey (name+id+key) nor a file with one; `indelible key show LOG` prints it"))
}

/// A log of the server, with the key pinned if one was given.
pub(crate) async fn open_log(
    url: &str,
    name: &str,
    key: Option<&str>,
) -> anyhow::Result<LogClient> {
    let key = key.map(read_key).transpose()?;
    Ok(Client::new(url)?.log(name, key).await?)
}
