//! `indelible tail`.

use crate::{
    commands::search::whole,
    connect::open_log,
    global::Global,
    output::{FAINT, note},
    row::print_row,
};
use indelible_api::ReadConsistency;
use indelible_client::{ClientError, LogClient};
use std::{process::ExitCode, time::Duration};

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
        let mut away = Away::default();
        loop {
            let page = tokio::select! {
                page = log.events(last, 500, false, 30) => page,
                _ = tokio::signal::ctrl_c() => return Ok(ExitCode::SUCCESS),
            };
            let page = match page {
                Ok(page) => page,
                Err(error) => {
                    away.wait(error).await?;
                    continue;
                }
            };
            away.is_back();
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
        let mut away = Away::default();
        loop {
            let mut seen = last;
            let follow = log.follow(q, last, |view| {
                seen = Some(view.index);
                // A terminal that went away ends the process in print_row.
                drop(print_row(&view, global.json));
            });
            let ended = tokio::select! {
                ended = follow => ended,
                _ = tokio::signal::ctrl_c() => return Ok(ExitCode::SUCCESS),
            };
            // What was shown before the connection broke is not shown again.
            let has_shown = seen != last;
            last = seen;
            if has_shown {
                away.is_back();
            }
            match ended {
                // The server ended the stream: it stops, or we were too slow.
                Ok(next) => {
                    last = next;
                    away.is_back();
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                Err(error) => away.wait(error).await?,
            }
        }
    }
}

/// A server that is away while it is followed.
#[derive(Default)]
struct Away {
    pauses: u32,
}

impl Away {
    /// Waits before it is asked again, longer each time, and says so.
    ///
    /// # Errors
    /// What does not pass by waiting.
    async fn wait(&mut self, error: ClientError) -> anyhow::Result<()> {
        if !error.may_pass() {
            return Err(error.into());
        }
        let pause = Duration::from_millis(500) * 2_u32.pow(self.pauses.min(5));
        self.pauses = self.pauses.saturating_add(1);
        note(format_args!("{FAINT}{error}; asked again in {} s{FAINT:#}", pause.as_secs_f32()));
        tokio::select! {
            () = tokio::time::sleep(pause) => Ok(()),
            _ = tokio::signal::ctrl_c() => std::process::exit(0),
        }
    }

    fn is_back(&mut self) {
        if std::mem::take(&mut self.pauses) > 0 {
            note(format_args!("{FAINT}the server is back{FAINT:#}"));
        }
    }
}
