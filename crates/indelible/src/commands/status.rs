//! `indelible status`.

use crate::{
    connect::connect,
    global::Global,
    output::{self, BAD, FAINT, GOOD, STRONG, bytes, count, line},
    when::short,
};
use indelible_api::{LogStatus, ScrubStatus, Status};
use std::process::ExitCode;

/// Exits 1 where anything is wrong, so that a script need not read it.
pub(crate) async fn status(global: &Global) -> anyhow::Result<ExitCode> {
    let status = connect(global)?.status().await?;
    let is_well = is_well(&status);
    if global.json {
        output::json(&status)?;
    } else {
        show(&status, is_well);
    }
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn is_well(status: &Status) -> bool {
    let found = status.scrub.as_ref().is_some_and(|scrub| !scrub.findings.is_empty());
    let misfits = status.control_misfits.is_some_and(|misfits| misfits > 0);
    let low = status.disk.is_some_and(|disk| disk.low);
    let logs = status.logs.iter().all(|log| trouble_of(log).is_none());
    status.ready && status.failures.is_empty() && logs && !found && !misfits && !low
}

fn show(status: &Status, is_well: bool) {
    let said = match (is_well, status.ready) {
        (true, _) => format!("{GOOD}well{GOOD:#}"),
        (false, true) => format!("{BAD}works, with trouble{BAD:#}"),
        (false, false) => format!("{BAD}does not do its work{BAD:#}"),
    };
    line(format_args!(
        "{STRONG}{}{STRONG:#}  indelible {}  up {}  {said}",
        status.site,
        status.version,
        long(status.uptime_s)
    ));
    for failure in &status.failures {
        let of = failure.log.as_ref().map_or_else(String::new, |log| format!(" of {log}"));
        line(format_args!(
            "  {BAD}{}{of} fails{BAD:#} since {}: {}",
            failure.part,
            short(&failure.since),
            failure.effect
        ));
        if !failure.cause.is_empty() {
            line(format_args!("    {FAINT}because: {}{FAINT:#}", failure.cause));
        }
    }
    let rows = status.logs.iter().map(row).collect();
    output::table(
        &["LOG", "RECORDS", "A SECOND", "LAST COMMIT", "UNSEALED", "INDEX LAG", ""],
        rows,
    );
    if let Some(clock) = &status.clock {
        let steps = match (clock.steps, &clock.last_step_at) {
            (0, _) | (_, None) => "no jumps".to_owned(),
            (steps, Some(at)) => format!("{steps} jumps, the last {}", short(at)),
        };
        line(format_args!(
            "clock  {} µs against a steady count since the start, {steps}",
            clock.offset_us
        ));
    }
    if let Some(disk) = &status.disk {
        let low = if disk.low { format!("  {BAD}low{BAD:#}") } else { String::new() };
        line(format_args!("disk   {} of {} free{low}", bytes(disk.free), bytes(disk.total)));
    }
    if let Some(scrub) = &status.scrub {
        show_scrub(scrub);
    }
    if let Some(misfits) = status.control_misfits.filter(|misfits| *misfits > 0) {
        line(format_args!(
            "{BAD}{misfits} events of _control do not apply{BAD:#}; the server's log names them"
        ));
    }
}

fn show_scrub(scrub: &ScrubStatus) {
    let last = match (&scrub.finished_at, &scrub.verdict) {
        (Some(at), Some(verdict)) => format!("{verdict} at {}", short(at)),
        _ => "not through yet".to_owned(),
    };
    let now = match &scrub.since {
        Some(_) => format!("; reading again: {} of {}", bytes(scrub.done), bytes(scrub.total)),
        None if scrub.period_s == 0 => "; switched off".to_owned(),
        None => String::new(),
    };
    line(format_args!("scrub  {last}{now}"));
    for finding in &scrub.findings {
        let of = finding.log.as_ref().map_or_else(String::new, |log| format!(" in {log}"));
        let at =
            finding.index.map_or_else(String::new, |index| format!(" record {}", count(index)));
        line(format_args!("  {BAD}{}{BAD:#}{of}{at}: {}", finding.kind, finding.message));
    }
}

fn row(log: &LogStatus) -> Vec<String> {
    vec![
        log.name.clone(),
        count(log.size),
        format!("{:.1}", log.rate),
        log.committed_at
            .as_deref()
            .map_or_else(|| "-".to_owned(), |at| at.get(..19).unwrap_or(at).replace('T', " ")),
        count(log.unsealed_segments),
        log.index_lag.map_or_else(|| "-".to_owned(), count),
        trouble_of(log).unwrap_or_default().to_owned(),
    ]
}

/// What is wrong with a log, in a word.
fn trouble_of(log: &LogStatus) -> Option<&'static str> {
    if !log.accepting {
        Some("STOPPED")
    } else if log.sealing_error.is_some() {
        Some("sealing fails")
    } else if log.index_problem.is_some() {
        Some("the index does not go on")
    } else {
        None
    }
}

/// 93784 → "1d 2h 3m".
fn long(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m"),
        (0, ..) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h {minutes}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_told_in_a_few_words() {
        assert_eq!([5, 65, 3660, 93_784].map(long), ["5s", "1m", "1h 1m", "1d 2h 3m"]);
    }
}
