//! The first operator, and another one for who lost theirs.

use crate::{
    access::token::Secret,
    control::{Controller, error::ControlError, new_id, token::TokenIssued},
    settings::AccessConfig,
};
use indelible_api::{Grant, Role};
use std::{
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

/// Why there is no operator's token.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The file is not its owner's alone.
    #[error("{0} can be read by others (mode {1:04o}): chmod 600 it")]
    Readable(PathBuf, u32),
    /// The file holds something else.
    #[error("{0} does not hold a token: ind_ and 76 lower-case hex digits")]
    NoToken(PathBuf),
    /// The file holds a token that was issued, and perhaps revoked because others have it.
    #[error(
        "{0} holds token {1}, which was issued before and is not issued again: remove the file, and a new token is written there"
    )]
    Known(PathBuf, String),
    /// The file cannot be read.
    #[error("could not read {0}")]
    Read(PathBuf, #[source] io::Error),
    /// The file cannot be written.
    #[error("could not write {0}")]
    Write(PathBuf, #[source] io::Error),
    /// No token can be made.
    #[error("the system gives no random bytes")]
    NoRandom,
    /// What a start leaves in `_control` cannot be written.
    #[error("could not write the start into _control")]
    Control(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<ControlError> for BootstrapError {
    fn from(error: ControlError) -> Self {
        Self::Control(Box::new(error))
    }
}

/// What the first start leaves in `_control`, and one that makes another operator. Returns
/// the operator's token if one was issued that is to be shown.
pub(crate) async fn begin(
    controller: &Controller,
    config: &AccessConfig,
) -> Result<Option<String>, BootstrapError> {
    let control = controller.current();
    let is_first = control.tokens.is_empty() && control.grants.is_empty();
    let mut shown = None;
    if is_first || config.new_operator_token {
        let secret = match &config.bootstrap_token_file {
            Some(path) => {
                let secret = token_in(path)?;
                if control.tokens.contains_key(secret.id()) {
                    return Err(BootstrapError::Known(path.clone(), secret.id().to_owned()));
                }
                secret
            }
            None => {
                let secret = Secret::generate().map_err(|_| BootstrapError::NoRandom)?;
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
            grants: [(new_id("g")?, Grant::new(Role::Operator, "*"))].into(),
        };
        controller.record(issued).await?;
    }
    Ok(shown)
}

/// The token in a file; a new one is written there if there is no file.
fn token_in(path: &Path) -> Result<Secret, BootstrapError> {
    let shown = || path.to_owned();
    match std::fs::metadata(path) {
        Ok(found) => {
            let mode = found.permissions().mode();
            if mode & 0o077 != 0 {
                return Err(BootstrapError::Readable(shown(), mode & 0o7777));
            }
            let text =
                std::fs::read_to_string(path).map_err(|e| BootstrapError::Read(shown(), e))?;
            let text = zeroize::Zeroizing::new(text);
            Secret::parse(text.trim()).ok_or_else(|| BootstrapError::NoToken(shown()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let secret = Secret::generate().map_err(|_| BootstrapError::NoRandom)?;
            let written = std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)
                .and_then(|mut file| {
                    writeln!(file, "{}", secret.reveal())?;
                    file.sync_all()
                });
            written.map_err(|e| BootstrapError::Write(shown(), e))?;
            Ok(secret)
        }
        Err(error) => Err(BootstrapError::Read(shown(), error)),
    }
}
