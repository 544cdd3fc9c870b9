//! `indelible tail`.

use crate::{commands::search::whole, connect::open_log, global::Global, row::print_row};
use indelible_api::ReadConsistency;
use indelible_client::LogClient;
use std::process::ExitCode;

/// Show the newest events, and follow the log.
#[derive(Debug, clap::Args)]
pub(crate) struct Tail {
    /// Name of the log
    log: String,
    /// Go on showing events as they come
    #[arg(short, long)]
    follow: bool,
    /// Only events that this query finds (see `indelible search`)
    #[arg(long, value_name = "QUERY")]
    query: Option<String>,
    /// How many events to begin with
    #[arg(short = 'n', long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(0..=1000))]
    lines: u16,
}

impl Tail {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let log = open_log(global, &self.log, None).await?;
        if let Some(q) = &self.query {
            return self.filtered(&log, q, global).await;
        }
        let mut newest = log.events(None, usize::from(self.lines.max(1)), true, 0).await?.items;
        let mut last = newest.first().map(|view| view.index);
        newest.truncate(usize::from(self.lines));
        for view in newest.iter().rev() {
            print_row(view, global.json)?;
        }
        if !self.follow {
            return Ok(ExitCode::SUCCESS);
        }
        loop {
            let page = tokio::select! {
                page = log.events(last, 500, false, 30) => page?,
                _ = tokio::signal::ctrl_c() => return Ok(ExitCode::SUCCESS),
            };
            for view in &page.items {
                print_row(view, global.json)?;
            }
            last = page.items.last().map(|view| view.index).or(last);
        }
    }
}

impl Tail {
    /// The newest that a query finds, and then what it finds of what comes.
    async fn filtered(
        &self,
        log: &LogClient,
        q: &str,
        global: &Global,
    ) -> anyhow::Result<ExitCode> {
        let (lines, wait) = (usize::from(self.lines.max(1)), ReadConsistency::Head);
        let page = log.search(q, false, lines, None, wait).await?;
        let newest = page.items.iter().take(usize::from(self.lines)).rev();
        newest.into_iter().try_for_each(|view| print_row(view, global.json))?;
        if !self.follow {
            return whole(&page.searched, global.json);
        }
        // Where the search ended the following begins: no more than what is shown lies behind.
        let indexed = page.searched.logs.first().and_then(|log| log.indexed.checked_sub(1));
        let mut last = indexed.max(page.items.first().map(|view| view.index));
        loop {
            let follow = log.follow(q, last, |view| {
                // A terminal that went away ends the process in print_row.
                drop(print_row(&view, global.json));
            });
            tokio::select! {
                next = follow => last = next?,
                _ = tokio::signal::ctrl_c() => return Ok(ExitCode::SUCCESS),
            }
            // The server ended the stream: it stops, or we were too slow.
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
    }
}
