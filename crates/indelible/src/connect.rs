//! The way to a server: with which credential, and under which key.

use crate::{
    credentials,
    global::Global,
    output::{FAINT, note},
    trust::read_key,
};
use anyhow::Context as _;
use indelible_client::{Client, Credentials, LogClient};

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
        (Some(path), _) if is_for_it => Some(credentials::read_token(path)?),
        (None, Ok(token)) if is_for_it && !token.trim().is_empty() => Some(token.trim().to_owned()),
        _ => None,
    };
    let token = match given {
        Some(token) => Some(token),
        None => credentials::stored(url)?,
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
