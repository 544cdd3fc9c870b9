//! `indelible pending`, `approve` and `reject`: acts that need two persons.

use crate::{
    connect::connect,
    done::report,
    global::Global,
    output::{self, FAINT, STRONG, line},
    when::short,
};
use std::process::ExitCode;

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
