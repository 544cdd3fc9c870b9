//! `indelible grant`.

use crate::{
    connect::connect,
    done::report,
    global::Global,
    output::{self, table},
    when::{short, time_from_now},
};
use indelible_api::{AddGrant, Grant};
use std::process::ExitCode;

/// A window that narrows grants.
#[derive(Debug, clap::Args)]
pub(crate) struct Window {
    /// The grants begin then: a date, a time, or a span from now such as 2d
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// The grants end then
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

impl Window {
    /// The grant, in the window alone.
    pub(crate) fn narrow(&self, grant: Grant) -> anyhow::Result<Grant> {
        let time = |text: &Option<String>| {
            text.as_deref().map(|text| time_from_now(text, true)).transpose()
        };
        Ok(Grant { not_before: time(&self.from)?, not_after: time(&self.until)?, ..grant })
    }
}

/// Grant roles to groups, persons, certificates and tokens.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum GrantCommand {
    /// Grant a role
    Add {
        /// To whom: group:NAME or oidc:SUBJECT (identity provider), cert:CN=app,O=acme (client certificate), token:ID
        subject: String,
        /// What: ROLE:LOG or ROLE:LOG@TENANT
        grant: Grant,
        #[command(flatten)]
        window: Window,
        /// Why, for the trail
        #[arg(long)]
        reason: Option<String>,
    },
    /// List the grants in force
    List,
    /// Remove a grant, at once
    Remove {
        /// Id of the grant
        id: String,
    },
}

impl GrantCommand {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = connect(global)?;
        match self {
            Self::Add { subject, grant, window, reason } => {
                let grant = window.narrow(grant)?;
                let done = client.add_grant(&AddGrant { subject, grant, reason }).await?;
                report(global, "added", "grant", &done)?;
            }
            Self::List => {
                let grants = client.grants().await?;
                if global.json {
                    output::json(&grants)?;
                    return Ok(ExitCode::SUCCESS);
                }
                let rows = grants.into_iter().map(|entry| {
                    let by = match entry.approved_by {
                        Some(second) => format!("{} + {second}", entry.granted_by),
                        None => entry.granted_by,
                    };
                    let when = short(&entry.granted_at);
                    vec![entry.id, entry.subject, entry.grant.to_string(), when, by]
                });
                table(&["ID", "SUBJECT", "GRANT", "GRANTED", "BY"], rows.collect());
            }
            Self::Remove { id } => {
                let done = client.remove_grant(&id).await?;
                report(global, "removed", "grant", &done)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
