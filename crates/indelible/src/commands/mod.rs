//! The commands, one file per subject.

pub(crate) mod access;
pub(crate) mod append;
pub(crate) mod bench;
pub(crate) mod bench_search;
pub(crate) mod bench_server;
pub(crate) mod demo;
pub(crate) mod export;
pub(crate) mod log;
pub(crate) mod login;
pub(crate) mod read;
pub(crate) mod search;
pub(crate) mod serve;
pub(crate) mod trail;
pub(crate) mod verify;
pub(crate) mod verify_export;

use crate::{
    Global,
    output::{FAINT, note},
};
use anyhow::Context as _;
use indelible_client::{Client, Credentials, LogClient};
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

/// A client of the server, with the credential that the options, the environment or
/// `indelible login` name.
pub(crate) fn connect(global: &Global) -> anyhow::Result<Client> {
    connect_to(global, &global.url)
}

/// The same, of another URL. A token goes only where it is for: the one that options and
/// environment name is for the server they name, others have the one that was stored for
/// them, or none. Whoever is verified may be a stranger.
pub(crate) fn connect_to(global: &Global, url: &str) -> anyhow::Result<Client> {
    let is_for_it = Client::is_same_server(&global.url, url);
    let given = match (&global.token_file, std::env::var("INDELIBLE_TOKEN")) {
        (Some(path), _) if is_for_it => Some(login::read_token(path)?),
        (None, Ok(token)) if is_for_it && !token.trim().is_empty() => Some(token.trim().to_owned()),
        _ => None,
    };
    let token = match given {
        Some(token) => Some(token),
        None => login::stored(url)?,
    };
    if token.is_none() && !is_for_it {
        note(format_args!(
            "{FAINT}no token is sent to {url}: `indelible login --url {url}` stores one, or name this server with --url{FAINT:#}"
        ));
    }
    connect_as(global, url, token)
}

/// The same, with a token in hand.
pub(crate) fn connect_as(
    global: &Global,
    url: &str,
    token: Option<String>,
) -> anyhow::Result<Client> {
    let read = |path: &Option<std::path::PathBuf>| match path {
        None => Ok(None),
        Some(path) => std::fs::read(path)
            .map(Some)
            .with_context(|| format!("could not read {}", path.display())),
    };
    let credentials = Credentials {
        token,
        authorities: read(&global.ca)?,
        identity: read(&global.client_cert)?,
        plain_http: global.plain_http,
    };
    Ok(Client::new(url, &credentials)?)
}

/// A log of the server, with the key pinned if one was given.
pub(crate) async fn open_log(
    global: &Global,
    name: &str,
    key: Option<&str>,
) -> anyhow::Result<LogClient> {
    let key = key.map(read_key).transpose()?;
    Ok(connect(global)?.log(name, key).await?)
}

/// Times for people and machines: RFC 3339, a date, or an age such as 90d.
pub(crate) fn time_from_now(text: &str, forward: bool) -> anyhow::Result<String> {
    use indelible_log::Clock as _;
    if let Ok(time) = text.parse::<indelible_event::Timestamp>() {
        return Ok(time.to_string());
    }
    if let Ok(time) = format!("{text}T00:00:00Z").parse::<indelible_event::Timestamp>() {
        return Ok(time.to_string());
    }
    let wrong = || {
        anyhow::anyhow!(
            "{text:?} is not a time: write 2026-06-30, 2026-06-30T12:00:00Z, or a span such as 90d, 12h, 30m"
        )
    };
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 7 * 86_400,
        'y' => 365 * 86_400,
        _ => return Err(wrong()),
    };
    let number: i64 = text.trim_end_matches(unit).parse().map_err(|_| wrong())?;
    let span = number.checked_mul(seconds * 1_000_000).ok_or_else(wrong)?;
    let now = indelible_log::SystemClock.now_us();
    let at = if forward { now.saturating_add(span) } else { now.saturating_sub(span) };
    Ok(indelible_event::Timestamp::from_micros(at).to_string())
}
