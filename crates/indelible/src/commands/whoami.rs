//! `indelible whoami`.

use crate::{
    connect::connect,
    global::Global,
    output::{self, STRONG, line},
};
use std::process::ExitCode;

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
