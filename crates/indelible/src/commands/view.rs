//! `indelible view`: queries with names.

use crate::{
    connect::open_log,
    done::report,
    global::Global,
    output::{self, table},
    when::short,
};
use indelible_api::SaveView;
use std::process::ExitCode;

/// Save, list and delete views: queries with names.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum ViewCommand {
    /// Save a query under a name
    Save {
        /// Name of the log
        log: String,
        /// Name of the view: 1 to 63 of a-z, 0-9 and -
        name: String,
        /// The query
        #[arg(required = true)]
        query: Vec<String>,
        /// What it is for
        #[arg(long)]
        description: Option<String>,
    },
    /// List the views of a log
    List {
        /// Name of the log
        log: String,
    },
    /// Delete a view that you saved
    Delete {
        /// Name of the log
        log: String,
        /// Name of the view
        name: String,
    },
}

impl ViewCommand {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        match self {
            Self::Save { log, name, query, description } => {
                let view = SaveView { q: query.join(" "), description };
                let done = open_log(global, &log, None).await?.save_view(&name, &view).await?;
                report(global, "saved", "view", &done)?;
            }
            Self::List { log } => {
                let views = open_log(global, &log, None).await?.views().await?;
                if global.json {
                    output::json(&views)?;
                } else {
                    let rows = views.into_iter().map(|view| {
                        let what = view.description.unwrap_or_default();
                        vec![view.name, view.saved_by, short(&view.saved_at), view.q, what]
                    });
                    table(&["NAME", "SAVED BY", "WHEN", "QUERY", "FOR"], rows.collect());
                }
            }
            Self::Delete { log, name } => {
                let done = open_log(global, &log, None).await?.delete_view(&name).await?;
                report(global, "deleted", "view", &done)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
