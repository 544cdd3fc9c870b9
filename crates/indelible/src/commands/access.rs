//! `indelible token`, `grant`, `pending`, `approve`, `reject`, `policy`.

use crate::{
    Global,
    commands::{connect, time_from_now},
    output::{self, BAD, FAINT, GOOD, STRONG, line, note, table},
};
use anyhow::bail;
use indelible_api::{Act, AddGrant, CreateToken, Done, Grant, Policy};
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
    fn narrow(&self, grant: Grant) -> anyhow::Result<Grant> {
        let time = |text: &Option<String>| {
            text.as_deref().map(|text| time_from_now(text, true)).transpose()
        };
        Ok(Grant { not_before: time(&self.from)?, not_after: time(&self.until)?, ..grant })
    }
}

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

/// Approve or reject an act that waits.
#[derive(Debug, clap::Args)]
pub(crate) struct Settle {
    /// Id of the act, from `indelible pending`
    id: String,
    /// Why, for the trail
    #[arg(long)]
    reason: Option<String>,
}

impl Settle {
    pub(crate) async fn run(self, global: &Global, approve: bool) -> anyhow::Result<ExitCode> {
        let done = connect(global)?.settle(&self.id, approve, self.reason).await?;
        report(global, if approve { "approved" } else { "rejected" }, "act", &done)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Lists the acts that wait.
pub(crate) async fn pending(global: &Global) -> anyhow::Result<ExitCode> {
    let acts = connect(global)?.pending().await?;
    if global.json {
        output::json(&acts)?;
    } else if acts.is_empty() {
        line("nothing waits for a second person");
    }
    for act in acts.iter().filter(|_| !global.json) {
        line(format_args!("{STRONG}{}{STRONG:#}  {}", act.id, act.summary));
        let reason =
            act.reason.as_ref().map_or_else(String::new, |reason| format!(" because {reason}"));
        line(format_args!(
            "  {FAINT}asked by {} at {}{reason}; lapses {}{FAINT:#}",
            act.proposed_by,
            short(&act.proposed_at),
            short(&act.expires_at)
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// Show and change which acts need two persons.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum PolicyCommand {
    /// Show which acts need two persons
    Show,
    /// Set which acts need two persons, and for how long one waits
    Set {
        /// Acts: grant_operator, grant_reading, publish, replace_key, relax_policy; `none` for none
        #[arg(long, value_delimiter = ',', required = true, value_name = "ACTS")]
        two_person: Vec<String>,
        /// Hours after which a waiting act lapses
        #[arg(long, default_value_t = 72)]
        pending_hours: u32,
    },
}

impl PolicyCommand {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = connect(global)?;
        match self {
            Self::Show => {
                let policy = client.policy().await?;
                if global.json {
                    output::json(&policy)?;
                    return Ok(ExitCode::SUCCESS);
                }
                for act in Act::ALL {
                    let two = policy.two_person.contains(&act);
                    line(format_args!(
                        "{:16} {}",
                        act.name(),
                        if two { "two persons" } else { "one person" }
                    ));
                }
                line(format_args!("a waiting act lapses after {} hours", policy.pending_hours));
            }
            Self::Set { two_person, pending_hours } => {
                let acts: Result<Vec<Act>, _> = match two_person.as_slice() {
                    [none] if none == "none" => Ok(Vec::new()),
                    acts => acts.iter().map(|act| act.parse()).collect(),
                };
                let Ok(two_person) = acts else {
                    bail!("--two-person takes {}, or none", Act::ALL.map(Act::name).join(", "));
                };
                let done = client.change_policy(&Policy { two_person, pending_hours }).await?;
                report(global, "changed", "policy", &done)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Says what was done, and whether it waits.
pub(crate) fn report(global: &Global, what: &str, kind: &str, done: &Done) -> anyhow::Result<()> {
    if global.json {
        return output::json(done);
    }
    if done.pending.is_none() {
        line(format_args!("{GOOD}{what}{GOOD:#} {kind} {STRONG}{}{STRONG:#}", done.id));
    } else {
        waits(done.pending.as_deref());
    }
    line(format_args!("  {FAINT}record {} of _control{FAINT:#}", done.control_index));
    Ok(())
}

fn waits(pending: Option<&str>) {
    if let Some(id) = pending {
        note(format_args!(
            "{BAD}waits{BAD:#} for a second person: somebody else runs `indelible approve {id}`"
        ));
    }
}

/// 2026-03-01T12:00:00.000000Z → 2026-03-01 12:00.
pub(crate) fn short(time: &str) -> String {
    time.get(..16).unwrap_or(time).replace('T', " ")
}
