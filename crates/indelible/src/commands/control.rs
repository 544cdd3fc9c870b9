//! `indelible control history`: changes of configuration, read and proven.

use crate::{
    commands::trail::{ACCESS, print, text},
    connect::connect,
    global::Global,
    output::{self, BAD, FAINT, GOOD, STRONG, line, note},
};
use anyhow::Context as _;
use indelible_api::{EventView, RecordName};
use indelible_client::{ClientError, LogClient};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

const CONTROL: &str = "_control";

/// Show who changed the configuration, when, and on whose request, with proofs.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum ControlCommand {
    /// Every change of configuration, and what was done with it
    History(History),
}

/// Every change of configuration, each proven under the latest checkpoint.
///
/// With --about: who made it (a token, a grant, a log, a person), who asked and who
/// approved, what became of it, and every access made with it.
#[derive(Debug, clap::Args)]
pub(crate) struct History {
    /// Only what concerns this: an id or a name
    #[arg(long, value_name = "WHAT")]
    about: Option<String>,
    /// Write each record and its offline proof into this folder
    #[arg(long, value_name = "DIR")]
    proofs: Option<PathBuf>,
    /// Server starts, stops and last uses of credentials too
    #[arg(long)]
    all: bool,
}

impl ControlCommand {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let Self::History(history) = self;
        history.run(global).await
    }
}

/// A record that was proven.
#[derive(serde::Serialize)]
struct Proven {
    log: &'static str,
    #[serde(flatten)]
    view: EventView,
    proof: String,
}

impl History {
    async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = connect(global)?;
        let control = client.log(CONTROL, None).await?;
        let mut about: Option<BTreeSet<String>> =
            self.about.clone().map(|about| std::iter::once(about).collect());
        let mut found = Vec::new();
        let mut views = Vec::new();
        each(&control, |view| views.push(view)).await?;
        for view in views {
            let action = text(&view.event, "/action");
            let routine =
                action.starts_with("control.server") || action.starts_with("control.credentials");
            let wanted = match &mut about {
                None => self.all || !routine,
                Some(ids) => !routine && mentions(&view.event, ids),
            };
            if wanted {
                found.push(prove(&control, CONTROL, view).await?);
            }
        }
        if let Some(ids) = &about {
            match client.log(ACCESS, None).await {
                Ok(access) => {
                    let mut views = Vec::new();
                    each(&access, |view| {
                        let actor = text(&view.event, "/actor/id");
                        let name = text(&view.event, "/actor/name");
                        if ids.contains(actor) || ids.contains(name) {
                            views.push(view);
                        }
                    })
                    .await?;
                    for view in views {
                        found.push(prove(&access, ACCESS, view).await?);
                    }
                }
                Err(ClientError::Api { status: 403 | 404, .. }) => note(format_args!(
                    "{BAD}accesses are not shown{BAD:#}: that takes the role of auditor on _access"
                )),
                Err(error) => return Err(error.into()),
            }
        }
        found.sort_by(|a, b| text(&a.view.event, "/time").cmp(text(&b.view.event, "/time")));
        if let Some(folder) = &self.proofs {
            fs::create_dir_all(folder)?;
            for log in [&control, &client.log(ACCESS, None).await.unwrap_or(control.clone())] {
                let name = log.key().name().rsplit('/').next().unwrap_or_default().to_owned();
                fs::write(folder.join(format!("{name}.vkey")), format!("{}\n", log.key()))?;
            }
            for proven in &found {
                write_proof(&client, folder, proven).await?;
            }
        }
        for proven in &found {
            if global.json {
                output::json(proven)?;
            } else {
                show(proven);
            }
        }
        if !global.json {
            match found.len() {
                0 => line("nothing fits"),
                n => line(format_args!(
                    "{GOOD}{n} records{GOOD:#}, each proven under a signed checkpoint{}",
                    match &self.proofs {
                        Some(folder) => format!("; records and proofs are in {}", folder.display()),
                        None => "; --proofs DIR keeps the proofs".to_owned(),
                    }
                )),
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Visits every event of a log, oldest first.
async fn each(log: &LogClient, mut visit: impl FnMut(EventView)) -> anyhow::Result<()> {
    let mut after = None;
    loop {
        let page = log.events(after, 1000, false, 0).await?;
        page.items.into_iter().for_each(&mut visit);
        match page.next.and_then(|next| next.parse().ok()) {
            Some(next) => after = Some(next),
            None => return Ok(()),
        }
    }
}

async fn prove(log: &LogClient, name: &'static str, view: EventView) -> anyhow::Result<Proven> {
    let proof = log.prove(&RecordName::Index(view.index), None).await?;
    Ok(Proven { log: name, view, proof: proof.to_string() })
}

async fn write_proof(
    client: &indelible_client::Client,
    folder: &Path,
    proven: &Proven,
) -> anyhow::Result<()> {
    let log = client.log(proven.log, None).await?;
    let record = log.record(&RecordName::Index(proven.view.index)).await?;
    let stem = format!("{}-{}", proven.log, proven.view.index);
    fs::write(folder.join(format!("{stem}.record")), record)
        .and_then(|()| fs::write(folder.join(format!("{stem}.tlog-proof")), &proven.proof))
        .with_context(|| format!("could not write the proof of {stem}"))
}

/// Whether an event of control concerns one of these; what it adds to them (the id of a
/// token with that name, of its grants, of the act that proposed it) is looked for next.
fn mentions(event: &Value, ids: &mut BTreeSet<String>) -> bool {
    let mut strings = Vec::new();
    for part in ["actor", "targets", "control"] {
        if let Some(value) = event.get(part) {
            collect(value, &mut strings);
        }
    }
    if !strings.iter().any(|text| ids.contains(*text)) {
        return false;
    }
    let acted = ids.contains(text(event, "/actor/id"));
    for target in event.get("targets").and_then(Value::as_array).into_iter().flatten() {
        let (kind, id) = (text(target, "/type"), text(target, "/id"));
        // What somebody else's token does is not about this one.
        if !acted && matches!(kind, "act" | "token" | "grant") {
            ids.insert(id.to_owned());
            if kind == "token" {
                ids.insert(format!("token:{id}"));
            }
        }
        if acted && kind == "act" {
            ids.insert(id.to_owned());
        }
    }
    true
}

fn collect<'a>(value: &'a Value, strings: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => strings.push(text),
        Value::Array(items) => items.iter().for_each(|item| collect(item, strings)),
        Value::Object(members) => members.iter().for_each(|(name, item)| {
            strings.push(name);
            collect(item, strings);
        }),
        _ => {}
    }
}

fn show(proven: &Proven) {
    let event = &proven.view.event;
    if proven.log == ACCESS {
        return print(&proven.view);
    }
    let who = match text(event, "/actor/name") {
        "" => text(event, "/actor/id").to_owned(),
        name => format!("{name} ({})", text(event, "/actor/id")),
    };
    let reason = match text(event, "/metadata/reason") {
        "" => String::new(),
        reason => format!("  because {reason}"),
    };
    line(format_args!(
        "{FAINT}{:>8}{FAINT:#}  {}  {GOOD}control {GOOD:#}  {STRONG}{}{STRONG:#}  by {who}{reason}",
        proven.view.index,
        text(event, "/time").get(..19).unwrap_or_default(),
        text(event, "/metadata/summary"),
    ));
}
