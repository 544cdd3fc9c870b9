//! `indelible trail`: who looked into what.

use crate::{
    commands::search::whole,
    connect::open_log,
    global::Global,
    output::{self, BAD, FAINT, GOOD, STRONG, line},
    when::time_from_now,
};
use indelible_api::{EventView, ReadConsistency};
use serde_json::Value;
use std::process::ExitCode;

/// The log of accesses.
pub(crate) const ACCESS: &str = "_access";

/// Show who looked into what, and who was refused.
///
/// Searches `_access`; it takes the role of auditor. Looking into the trail
/// is in the trail.
#[derive(Debug, clap::Args)]
pub(crate) struct Trail {
    /// Only accesses of this principal: its id or name, or how they begin
    #[arg(long, value_name = "WHO")]
    actor: Option<String>,
    /// Only accesses to this log
    #[arg(long, value_name = "LOG")]
    log: Option<String>,
    /// Only refused requests
    #[arg(long)]
    denied: bool,
    /// Only actions that begin so, such as access.event
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// Not before this time: a date, a time, or an age such as 7d
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// How many to show
    #[arg(short = 'n', long, default_value_t = 50)]
    lines: usize,
}

/// A text of an event; empty, if there is none.
pub(crate) fn text<'a>(event: &'a Value, pointer: &str) -> &'a str {
    event.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn target<'a>(event: &'a Value, kind: &str) -> Option<&'a str> {
    let targets = event.get("targets")?.as_array()?;
    targets.iter().find(|target| text(target, "/type") == kind).map(|target| text(target, "/id"))
}

impl Trail {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let q = self.query()?;
        let log = open_log(global, ACCESS, None).await?;
        let (mut after, mut found, mut ending) = (None, Vec::new(), ExitCode::SUCCESS);
        while found.len() < self.lines {
            let limit = self.lines.clamp(50, 1000);
            // What was done just now is in the answer.
            let wait = ReadConsistency::Head;
            let page = log.search(&q, false, limit, after.as_deref(), wait).await?;
            ending = whole(&page.searched, global.json)?;
            found.extend(page.items.into_iter().filter(|view| self.is_of_log(&view.event)));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        found.truncate(self.lines);
        for view in found.iter().rev() {
            if global.json {
                output::json(view)?;
            } else {
                print(view);
            }
        }
        if found.is_empty() && !global.json {
            line("nothing in the trail fits");
        }
        Ok(ending)
    }

    /// The same as a query.
    fn query(&self) -> anyhow::Result<String> {
        let mut parts = Vec::new();
        parts.extend(self.actor.as_deref().map(|actor| part("actor", actor, true)));
        parts.extend(self.action.as_deref().map(|action| part("action", action, true)));
        parts.extend(self.log.as_deref().map(|log| part("target", log, false)));
        if self.denied {
            parts.push("outcome:denied".to_owned());
        }
        if let Some(since) = &self.since {
            parts.push(part("after", &time_from_now(since, false)?, false));
        }
        Ok(parts.join(" "))
    }

    /// Whether the log that is asked for is meant, not a record of that name.
    fn is_of_log(&self, event: &Value) -> bool {
        self.log.as_deref().is_none_or(|log| target(event, "log") == Some(log))
    }
}

/// A part of a query; what has characters of the query language in it is taken whole.
fn part(field: &str, value: &str, or_begins: bool) -> String {
    let is_plain =
        |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '/' | '@' | '+');
    if or_begins && !value.is_empty() && value.chars().all(is_plain) {
        return format!("{field}:{value}*");
    }
    format!("{field}:\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

/// One access on one line.
pub(crate) fn print(view: &EventView) {
    let event = &view.event;
    let result = text(event, "/outcome/result");
    let style = if result == "success" { GOOD } else { BAD };
    let name = match text(event, "/actor/name") {
        "" => text(event, "/actor/id").to_owned(),
        name => format!("{name} ({})", text(event, "/actor/id")),
    };
    let mut what = target(event, "log").unwrap_or_default().to_owned();
    for kind in ["record", "attachment", "tile", "entry"] {
        if let Some(id) = target(event, kind) {
            what.push_str(&format!(" {kind} {id}"));
        }
    }
    let mut more = Vec::new();
    let metadata = |name: &str| event.pointer(&format!("/metadata/{name}"));
    if let (Some(first), Some(last)) = (metadata("first"), metadata("last")) {
        more.push(if first == last {
            format!("record {first}")
        } else {
            format!("records {first} to {last}")
        });
    }
    if let Some(count) = metadata("more") {
        more.push(format!("{count} more in a minute"));
    }
    if result == "denied" {
        more.push(text(event, "/outcome/reason").to_owned());
    }
    let more = if more.is_empty() { String::new() } else { format!("  ({})", more.join("; ")) };
    line(format_args!(
        "{FAINT}{:>8}{FAINT:#}  {}  {style}{result:8}{style:#}  {STRONG}{}{STRONG:#}  {what}  {name} from {}{more}",
        view.index,
        text(event, "/time").get(..19).unwrap_or_default(),
        text(event, "/action"),
        text(event, "/context/ip"),
    ));
}
