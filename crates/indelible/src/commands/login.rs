//! `indelible login`, `logout`, `whoami`, and where tokens are kept.

use crate::{
    Global,
    commands::{connect, connect_as},
    output::{self, FAINT, GOOD, STRONG, line},
};
use anyhow::{Context as _, bail};
use etcetera::BaseStrategy as _;
use std::{
    collections::BTreeMap,
    fs,
    io::{IsTerminal as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Store a token for this server, so that commands find it.
///
/// The token is asked for, or read from standard input; it is never an argument, which
/// others on the machine could see.
#[derive(Debug, clap::Args)]
pub(crate) struct Login {}

/// Reads a file with a token that nobody else can read.
pub(crate) fn read_token(path: &Path) -> anyhow::Result<String> {
    check_private(path)?;
    let text = fs::read_to_string(path)
        .with_context(|| format!("could not read the token file {}", path.display()))?;
    let token = text.trim();
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

fn store_path() -> anyhow::Result<PathBuf> {
    let base = etcetera::choose_base_strategy().context("there is no home directory")?;
    Ok(base.config_dir().join("indelible").join("tokens.json"))
}

fn read_store(path: &Path) -> anyhow::Result<BTreeMap<String, String>> {
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

fn write_store(path: &Path, tokens: &BTreeMap<String, String>) -> anyhow::Result<()> {
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
fn entry(url: &str) -> &str {
    url.trim_end_matches('/')
}

/// The token stored for a server.
pub(crate) fn stored(url: &str) -> anyhow::Result<Option<String>> {
    // Without a home directory nothing can be stored.
    let Ok(path) = store_path() else { return Ok(None) };
    Ok(read_store(&path)?.remove(entry(url)))
}

impl Login {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let token = match &global.token_file {
            Some(path) => read_token(path)?,
            None if std::io::stdin().is_terminal() => {
                rpassword::prompt_password(format!("token for {}: ", global.url))
                    .context("could not ask for the token")?
            }
            None => std::io::read_to_string(std::io::stdin().lock())
                .context("could not read the token from standard input")?,
        };
        let token = token.trim().to_owned();
        if token.is_empty() {
            bail!("no token was given");
        }
        let me = connect_as(global, &global.url, Some(token.clone()))?.whoami().await?;
        let path = store_path()?;
        let mut tokens = read_store(&path)?;
        tokens.insert(entry(&global.url).to_owned(), token);
        write_store(&path, &tokens)?;
        line(format_args!(
            "{GOOD}logged in{GOOD:#} to {} as {STRONG}{}{STRONG:#}{}",
            global.url,
            me.principal,
            me.name.map_or_else(String::new, |name| format!(" ({name})"))
        ));
        line(format_args!("  {FAINT}stored in {}{FAINT:#}", path.display()));
        Ok(ExitCode::SUCCESS)
    }
}

/// Forgets the token stored for the server; the token itself goes on working.
pub(crate) fn logout(global: &Global) -> anyhow::Result<ExitCode> {
    let path = store_path()?;
    let mut tokens = read_store(&path)?;
    if tokens.remove(entry(&global.url)).is_none() {
        bail!("no token is stored for {}", global.url);
    }
    write_store(&path, &tokens)?;
    line(format_args!(
        "forgot the token for {}; it still works until it is revoked (`indelible token revoke`)",
        global.url
    ));
    Ok(ExitCode::SUCCESS)
}

/// Shows who the server takes the caller for.
pub(crate) async fn whoami(global: &Global) -> anyhow::Result<ExitCode> {
    let me = connect(global)?.whoami().await?;
    if global.json {
        output::json(&me)?;
        return Ok(ExitCode::SUCCESS);
    }
    let name = me.name.map_or_else(String::new, |name| format!("  ({name})"));
    line(format_args!("{STRONG}{}{STRONG:#}{name}", me.principal));
    for group in &me.groups {
        line(format_args!("  in       {group}"));
    }
    for grant in &me.grants {
        line(format_args!("  may      {grant}"));
    }
    if me.grants.is_empty() {
        line("  may do nothing: it holds no grant");
    }
    if let Some(end) = me.expires_at {
        line(format_args!("  expires  {end}"));
    }
    Ok(ExitCode::SUCCESS)
}
