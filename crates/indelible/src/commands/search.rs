//! `indelible search`.

use crate::{
    connect::{connect, open_log},
    global::Global,
    moment::moment,
    output::{self, BAD, FAINT, count, line, note, table},
    row::{print_row, print_row_of},
};
use anyhow::{Context as _, bail};
use indelible_api::{
    Count, CountRequest, Facets, FacetsRequest, HistogramBuckets, HistogramRequest,
    ReadConsistency, Searched, SearchedLog,
};
use indelible_client::{Client, LogClient};
use std::process::ExitCode;

/// Values that a bucket of a histogram shows.
const VALUES: usize = 3;

/// Find events: newest 50, or counts, values and times of all that match.
///
/// The query is what docs/query.md describes:
/// `actor:alice action:iam.role.* outcome:denied ip:10.0.0.0/8 after:7d -target.type:bucket "free text"`,
/// with OR and parentheses. Every search is in the trail before its answer.
/// Several logs are searched at once: `prod,billing`, `prod-*`, `'*'`.
/// An answer that does not rest on all that is in the logs says so, and the exit code is 3.
#[derive(Debug, clap::Args)]
pub(crate) struct Search {
    /// Name of the log; or several, with commas between, each perhaps with * at its end
    log: String,
    /// Query, best in quotes; after -- if it begins with a minus
    query: Vec<String>,
    /// Use the query of this saved view, narrowed by QUERY
    #[arg(long, value_name = "NAME")]
    view: Option<String>,
    /// How many events at most; more are found page by page
    #[arg(short = 'n', long, default_value_t = 50)]
    lines: usize,
    /// Oldest first
    #[arg(long)]
    oldest: bool,
    /// Only say how many there are
    #[arg(long, conflicts_with_all = ["facet", "histogram"])]
    count: bool,
    /// Show the most frequent values of these fields instead: action, actor, actor.type, by, category, format, ip, outcome, target.type, tenant
    #[arg(long, value_name = "FIELDS", value_delimiter = ',')]
    facet: Vec<String>,
    /// Show how many there are by time instead, in buckets such as 1h, 1d; with --facet and one field its most frequent values in each
    #[arg(long, value_name = "INTERVAL")]
    histogram: Option<String>,
    /// Do not wait until the index, which is about a second behind, has what is in the log now
    #[arg(long)]
    no_wait: bool,
    /// Wait for that: the default
    #[arg(long, conflicts_with = "no_wait", hide = true)]
    head: bool,
}

impl Search {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        if self.log.contains([',', '*']) {
            return self.logs(global).await;
        }
        let log = open_log(global, &self.log, None).await?;
        let mut q = self.query.join(" ");
        if let Some(name) = &self.view {
            let views = log.views().await?;
            let view = views.iter().find(|view| view.name == *name);
            let view = view.with_context(|| {
                format!("there is no view {name:?}; `indelible view list {}` shows them", self.log)
            })?;
            q = format!("({}) {q}", view.q);
        }
        if self.count {
            show_count(&log.count(&self.wanted_count(q)).await?, global)
        } else if let Some(interval) = &self.histogram {
            show_histogram(&log.histogram(&self.wanted_histogram(q, interval)?).await?, global)
        } else if !self.facet.is_empty() {
            show_facets(log.facets(&self.wanted_facets(q)).await?, global)
        } else {
            self.events(&log, &q, global).await
        }
    }

    const fn consistency(&self) -> ReadConsistency {
        if self.no_wait { ReadConsistency::Now } else { ReadConsistency::Head }
    }

    fn wanted_count(&self, q: String) -> CountRequest {
        CountRequest { q, consistency: self.consistency() }
    }

    fn wanted_facets(&self, q: String) -> FacetsRequest {
        let (fields, limit) = (self.facet.clone(), self.lines.min(1000));
        FacetsRequest { q, consistency: self.consistency(), fields, limit }
    }

    fn wanted_histogram(&self, q: String, interval: &str) -> anyhow::Result<HistogramRequest> {
        let by = match self.facet.as_slice() {
            [] => None,
            [field] => Some(field.clone()),
            _ => bail!("a histogram counts the values of one field: --histogram 1h --facet action"),
        };
        let (interval, consistency) = (interval.to_owned(), self.consistency());
        Ok(HistogramRequest { q, consistency, interval, by, limit: VALUES })
    }

    /// In several logs.
    async fn logs(&self, global: &Global) -> anyhow::Result<ExitCode> {
        if self.view.is_some() {
            bail!("--view is about one log");
        }
        let (client, q) = (connect(global)?, self.query.join(" "));
        if self.count {
            show_count(&client.count_logs(&self.log, &self.wanted_count(q)).await?, global)
        } else if let Some(interval) = &self.histogram {
            let wanted = self.wanted_histogram(q, interval)?;
            show_histogram(&client.histogram_logs(&self.log, &wanted).await?, global)
        } else if !self.facet.is_empty() {
            show_facets(client.facets_logs(&self.log, &self.wanted_facets(q)).await?, global)
        } else {
            self.events_of_logs(&client, &q, global).await
        }
    }

    async fn events_of_logs(
        &self,
        client: &Client,
        q: &str,
        global: &Global,
    ) -> anyhow::Result<ExitCode> {
        let (mut shown, mut after, mut ending) = (0, None, ExitCode::SUCCESS);
        while shown < self.lines {
            let limit = (self.lines - shown).min(1000);
            let (after_this, wait) = (after.as_deref(), self.consistency());
            let page =
                client.search_logs(&self.log, q, self.oldest, limit, after_this, wait).await?;
            for event in &page.items {
                if global.json {
                    output::json(event)?;
                } else {
                    print_row_of(&format!("{:12}  ", event.log), &event.view);
                }
            }
            shown += page.items.len();
            ending = whole(&page.searched, global.json)?;
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        self.ending(shown, after.is_some(), global);
        Ok(ending)
    }

    fn ending(&self, shown: usize, is_more: bool, global: &Global) {
        if shown == 0 && !global.json {
            line("nothing found");
        } else if is_more {
            note(format_args!("{FAINT}there may be more: -n shows more{FAINT:#}"));
        }
    }

    async fn events(&self, log: &LogClient, q: &str, global: &Global) -> anyhow::Result<ExitCode> {
        let (mut shown, mut after, mut ending) = (0, None, ExitCode::SUCCESS);
        while shown < self.lines {
            let limit = (self.lines - shown).min(1000);
            let wait = self.consistency();
            let page = log.search(q, self.oldest, limit, after.as_deref(), wait).await?;
            for view in &page.items {
                print_row(view, global.json)?;
            }
            shown += page.items.len();
            ending = whole(&page.searched, global.json)?;
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        self.ending(shown, after.is_some(), global);
        Ok(ending)
    }
}

fn show_count(found: &Count, global: &Global) -> anyhow::Result<ExitCode> {
    // In JSON the answer itself has it.
    let ending = whole(&found.searched, false)?;
    if global.json {
        output::json(found)?;
        return Ok(ending);
    }
    line(count(found.count));
    Ok(ending)
}

fn show_facets(found: Facets, global: &Global) -> anyhow::Result<ExitCode> {
    let ending = whole(&found.searched, false)?;
    if global.json {
        output::json(&found)?;
        return Ok(ending);
    }
    for facet in found.facets {
        let more = facet.distinct.saturating_sub(facet.values.len() as u64);
        let rows = facet.values.into_iter().map(|value| vec![count(value.count), value.value]);
        table(&["COUNT", &facet.field.to_uppercase()], rows.collect());
        if more > 0 {
            line(format_args!("{FAINT}and {} more{FAINT:#}", count(more)));
        }
    }
    Ok(ending)
}

/// Exit code of an answer that does not rest on all that is in the logs.
const NOT_WHOLE: u8 = 3;

/// Says on standard error where not all of a log was searched; the exit code says it too.
/// With JSON, whose lines are events, it is a line of its own.
pub(crate) fn whole(searched: &Searched, json: bool) -> anyhow::Result<ExitCode> {
    for log in &searched.logs {
        let SearchedLog { log, indexed, size, problem } = log;
        let (seen, all) = (count(*indexed), count(*size));
        match problem {
            Some(problem) => {
                note(format_args!("{BAD}{log}: searched {seen} of {all} records: {problem}{BAD:#}"))
            }
            None if indexed < size => note(format_args!(
                "{BAD}{log}: searched {seen} of {all} records: the index is behind, and goes on{BAD:#}"
            )),
            None => {}
        }
    }
    if searched.whole {
        return Ok(ExitCode::SUCCESS);
    }
    if json {
        output::json(&serde_json::json!({ "searched": searched }))?;
    }
    Ok(ExitCode::from(NOT_WHOLE))
}

fn show_histogram(found: &HistogramBuckets, global: &Global) -> anyhow::Result<ExitCode> {
    // In JSON the answer itself has it.
    let ending = whole(&found.searched, false)?;
    if global.json {
        output::json(found)?;
        return Ok(ending);
    }
    let most = found.buckets.iter().map(|bucket| bucket.count).max().unwrap_or(0).max(1);
    for bucket in &found.buckets {
        let bar = "█".repeat((bucket.count * 50).div_ceil(most) as usize);
        let start = moment(&bucket.start);
        let values =
            bucket.values.iter().map(|value| format!("{} {}", value.value, count(value.count)));
        let values = values.collect::<Vec<_>>().join(", ");
        let row = format!("{start}  {:>10}  {bar:50}  {}", count(bucket.count), values);
        output::row(row.trim_end());
    }
    if found.buckets.is_empty() {
        line("nothing found");
    }
    Ok(ending)
}
