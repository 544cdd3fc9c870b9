//! `indelible policy`.

use crate::{
    connect::connect,
    done::report,
    global::Global,
    output::{self, line},
};
use anyhow::bail;
use indelible_api::{Act, Policy};
use std::process::ExitCode;

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
