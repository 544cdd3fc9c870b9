//! What an act of control did, or that it waits.

use crate::{
    global::Global,
    output::{self, BAD, FAINT, GOOD, STRONG, line, note},
};
use indelible_api::Done;

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

/// Says that it waits for a second person, if it does.
pub(crate) fn waits(pending: Option<&str>) {
    if let Some(id) = pending {
        note(format_args!(
            "{BAD}waits{BAD:#} for a second person: somebody else runs `indelible approve {id}`"
        ));
    }
}
