//! `indelible token`.

use crate::{
    commands::grant::Window,
    connect::connect,
    done::{report, waits},
    global::Global,
    output::{self, FAINT, GOOD, STRONG, line, note, table},
    when::{short, time_from_now},
};
use indelible_api::{CreateToken, Grant};
use std::process::ExitCode;

/// Issue, list and revoke tokens.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum TokenCommand {
    /// Issue a token; it is printed once, on standard output, and nothing else is
    Create {
        /// Name for people
        name: String,
        /// What it may do: ROLE:LOG or ROLE:LOG@TENANT, such as writer:prod, reader:team-*@tenant-a; roles are writer, reader, auditor, operator, verifier
        #[arg(long = "grant", required = true, value_name = "GRANT")]
        grants: Vec<Grant>,
        /// It stops working then: a date, a time, or a span from now such as 90d
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
        #[command(flatten)]
        window: Window,
        /// Why, for the trail (a ticket, say)
        #[arg(long)]
        reason: Option<String>,
    },
    /// List the tokens
    List {
        /// Revoked and expired ones too
        #[arg(long)]
        all: bool,
    },
    /// Revoke a token, at once
    Revoke {
        /// Id of the token
        id: String,
    },
}

impl TokenCommand {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = connect(global)?;
        match self {
            Self::Create { name, grants, expires, window, reason } => {
                let grants: anyhow::Result<Vec<Grant>> =
                    grants.into_iter().map(|grant| window.narrow(grant)).collect();
                let expires_at =
                    expires.as_deref().map(|text| time_from_now(text, true)).transpose()?;
                let wanted = CreateToken { name, grants: grants?, expires_at, reason };
                let created = client.create_token(&wanted).await?;
                if global.json {
                    output::json(&created)?;
                    return Ok(ExitCode::SUCCESS);
                }
                let grants: Vec<_> = created.grants.iter().map(ToString::to_string).collect();
                note(format_args!(
                    "{GOOD}issued{GOOD:#} token {STRONG}{}{STRONG:#} ({}): {}",
                    created.id,
                    created.name,
                    grants.join(", ")
                ));
                if let Some(end) = &created.expires_at {
                    note(format_args!("  expires {end}"));
                }
                waits(created.pending.as_deref());
                note(format_args!("  {FAINT}keep it now: it is shown only once{FAINT:#}"));
                line(created.token);
            }
            Self::List { all } => {
                let mut tokens = client.tokens().await?;
                let now = time_from_now("0s", true)?;
                let expired = |end: &Option<String>| end.as_ref().is_some_and(|end| *end <= now);
                tokens.retain(|token| {
                    all || (token.revoked_at.is_none() && !expired(&token.expires_at))
                });
                if global.json {
                    output::json(&tokens)?;
                    return Ok(ExitCode::SUCCESS);
                }
                let rows = tokens.into_iter().map(|token| {
                    let state = match (&token.revoked_at, &token.expires_at) {
                        (Some(at), _) => format!("revoked {}", short(at)),
                        (None, Some(end)) => format!("until {}", short(end)),
                        (None, None) => "no end".to_owned(),
                    };
                    let grants: Vec<_> = token.grants.iter().map(ToString::to_string).collect();
                    let used = token.last_used_at.as_deref().map_or_else(|| "-".to_owned(), short);
                    vec![token.id, token.name, state, used, grants.join(", ")]
                });
                table(&["ID", "NAME", "STATE", "LAST USED", "GRANTS"], rows.collect());
            }
            Self::Revoke { id } => {
                let done = client.revoke_token(&id).await?;
                report(global, "revoked", "token", &done)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
