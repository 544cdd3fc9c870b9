//! `indelible login` and `logout`.

use crate::{
    connect::connect_as,
    credentials::{entry, read_store, read_token, store_path, write_store},
    global::Global,
    output::{FAINT, GOOD, STRONG, line},
};
use anyhow::{Context as _, bail};
use std::{io::IsTerminal as _, process::ExitCode};

/// Store a token for this server, so that commands find it.
///
/// The token is asked for, or read from standard input; it is never an argument, which
/// others on the machine could see.
#[derive(Debug, clap::Args)]
pub(crate) struct Login {}

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
