//! The first operator, and another one for who lost theirs.

use crate::{
    access::token::Secret,
    app::{AccessConfig, App, StartError},
    control::{error::ControlError, new_id, server::ServerStarted, token::TokenIssued},
};
use indelible_api::{Grant, Role};
use std::{
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

fn failed(error: impl Into<ControlError>) -> StartError {
    StartError::Begin(Box::new(error.into()))
}

/// What the first start, and every start, leaves in `_control`. Returns the operator's
/// token if one was issued that is to be shown.
pub(crate) async fn begin(app: &App, config: &AccessConfig) -> Result<Option<String>, StartError> {
    let control = app.control.current();
    let is_first = control.tokens.is_empty() && control.grants.is_empty();
    let mut shown = None;
    if is_first || config.new_operator_token {
        let secret = match &config.bootstrap_token_file {
            Some(path) => {
                let secret = token_in(path).map_err(StartError::Bootstrap)?;
                if control.tokens.contains_key(secret.id()) {
                    // It may have been revoked because somebody else has it.
                    return Err(StartError::Bootstrap(format!(
                        "{} holds token {}, which was issued before and is not issued again: remove the file, and a new token is written there",
                        path.display(),
                        secret.id()
                    )));
                }
                secret
            }
            None => {
                let secret = Secret::generate().map_err(|_| failed(ControlError::NoRandom))?;
                shown = Some(secret.reveal().to_owned());
                secret
            }
        };
        let name = if is_first { "first operator" } else { "operator, made at start" };
        let issued = TokenIssued {
            token: secret.id().to_owned(),
            name: name.to_owned(),
            sha256: secret.sha256(),
            expires_at: None,
            grants: [(new_id("g").map_err(failed)?, Grant::new(Role::Operator, "*"))].into(),
        };
        app.control.record(issued).await.map_err(failed)?;
    }
    let started = ServerStarted { version: env!("CARGO_PKG_VERSION").to_owned() };
    app.control.record(started).await.map_err(failed)?;
    Ok(shown)
}

/// The token in a file; a new one is written there if there is no file.
fn token_in(path: &Path) -> Result<Secret, String> {
    let shown = path.display();
    match std::fs::metadata(path) {
        Ok(found) => {
            let mode = found.permissions().mode();
            if mode & 0o077 != 0 {
                return Err(format!(
                    "{shown} can be read by others (mode {:04o}): chmod 600 it",
                    mode & 0o7777
                ));
            }
            let text = std::fs::read_to_string(path)
                .map_err(|e| format!("could not read {shown}: {e}"))?;
            let text = zeroize::Zeroizing::new(text);
            Secret::parse(text.trim()).ok_or_else(|| {
                format!("{shown} does not hold a token: ind_ and 76 lower-case hex digits")
            })
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let secret =
                Secret::generate().map_err(|e| format!("the system gives no random bytes: {e}"))?;
            let written = std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)
                .and_then(|mut file| {
                    writeln!(file, "{}", secret.reveal())?;
                    file.sync_all()
                });
            written.map_err(|e| format!("could not write {shown}: {e}"))?;
            Ok(secret)
        }
        Err(error) => Err(format!("could not read {shown}: {error}")),
    }
}
