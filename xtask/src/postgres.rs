//! Durable appends beside PostgreSQL on the same machine, in the same run: plain
//! inserts, and a table whose trigger chains a hash from row to row. And the same searches.

use crate::run::{root, run, step};
use anyhow::{Context as _, bail};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

const SECONDS: &str = "5";

const SCHEMA: &str = "
create extension if not exists pgcrypto;
create table plain (id bigserial primary key, received_at timestamptz not null default now(), data jsonb not null);
create table chained (id bigserial primary key, received_at timestamptz not null default now(), data jsonb not null, hash bytea not null);
create table chain_head (one int primary key default 1 check (one = 1), hash bytea not null);
insert into chain_head (hash) values ('\\x00');
create function chain() returns trigger language plpgsql as $$
declare previous bytea;
begin
  select hash into previous from chain_head for update;
  new.hash := digest(previous || convert_to(new.data::text, 'UTF8'), 'sha256');
  update chain_head set hash = new.hash;
  return new;
end $$;
create trigger chain before insert on chained for each row execute function chain();
";

/// An event of the size that `indelible bench` sends.
fn event() -> String {
    format!(
        r#"{{"time":"2026-03-02T09:00:00Z","action":"customer.viewed","category":"access","actor":{{"type":"user","id":"u-ada","name":"Ada Okafor"}},"targets":[{{"type":"customer","id":"customer-0042"}}],"outcome":{{"result":"success"}},"context":{{"ip":"10.20.1.11","request_id":"req-0badcafe"}},"metadata":{{"padding":"{}"}}}}"#,
        "x".repeat(170)
    )
}

/// A PostgreSQL cluster of its own, stopped and removed at the end.
struct Cluster {
    bin: PathBuf,
    folder: PathBuf,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.as_postgres("pg_ctl", &["-D", &self.data(), "-m", "fast", "stop"]));
        drop(fs::remove_dir_all(&self.folder));
    }
}

pub(crate) fn compare() -> anyhow::Result<()> {
    step("build", || run("cargo", &["build", "--release", "--package", "indelible"]))?;
    let cluster = Cluster::start("")?;
    cluster.psql(SCHEMA)?;
    let event = event().replace('\'', "''");
    for (table, rows) in [("plain", 1), ("plain", 1000), ("chained", 1), ("chained", 1000)] {
        let values = vec![format!("('{event}')"); rows].join(",");
        let script = cluster.folder.join("script.sql");
        fs::write(&script, format!("insert into {table} (data) values {values};\n"))?;
        for clients in ["1", "50"] {
            let rate = cluster.pgbench(&script, clients)?;
            report(
                &format!("PostgreSQL {table}, {rows} row(s) a statement, {clients} client(s)"),
                rate * rows as f64,
            );
        }
    }
    let bench = root().join("target/release/indelible");
    run(
        &bench.display().to_string(),
        &["bench", "singles", "batches", "--events", "1000000", "--seconds", SECONDS],
    )
}

const SEARCH_SETTINGS: &str = "-c shared_buffers=4GB -c work_mem=64MB -c maintenance_work_mem=1GB -c max_wal_size=16GB -c effective_cache_size=12GB -c random_page_cost=1.1 -c wal_compression=on";

const SEARCH_SCHEMA: &str = "
create table loaded (data jsonb not null);
create table events (id bigint primary key, received_at timestamptz not null default now(), time timestamptz not null, actor text not null, action text not null, outcome text not null, ip inet, request_id text, words tsvector not null, data jsonb not null);
";

/// From the rows as they were loaded; each index as somebody who knows PostgreSQL adds it
/// for the questions of `indelible bench search`.
const SEARCH_STEPS: [(&str, &str); 7] = [
    (
        "PostgreSQL, columns from the data",
        "insert into events (id, time, actor, action, outcome, ip, request_id, words, data) select row_number() over () - 1, (data->>'time')::timestamptz, data->'actor'->>'id', data->>'action', data->'outcome'->>'result', (data->'context'->>'ip')::inet, data->'context'->>'request_id', jsonb_to_tsvector('simple', data, '[\"string\", \"numeric\"]'), data from loaded",
    ),
    ("PostgreSQL, index by actor", "create index on events (actor, id desc)"),
    ("PostgreSQL, index by actor and time", "create index on events (actor, time)"),
    ("PostgreSQL, index by outcome", "create index on events (outcome, id desc)"),
    ("PostgreSQL, index by request id", "create index on events (request_id)"),
    ("PostgreSQL, index by time and action", "create index on events (time, action)"),
    ("PostgreSQL, index of words (GIN)", "create index on events using gin (words)"),
];

/// `indelible bench search` and the same questions to PostgreSQL, in the same run.
pub(crate) fn compare_search(events: u64) -> anyhow::Result<()> {
    step("build", || run("cargo", &["build", "--release", "--package", "indelible"]))?;
    let program = root().join("target/release/indelible").display().to_string();
    let number = events.to_string();
    run(&program, &["bench", "search", "--events", &number])?;
    let cluster = Cluster::start(SEARCH_SETTINGS)?;
    cluster.psql(SEARCH_SCHEMA)?;
    timed(events, "PostgreSQL, rows loaded (COPY)", || cluster.load(&program, &number))?;
    for (name, sql) in SEARCH_STEPS {
        timed(events, name, || cluster.psql(sql))?;
    }
    cluster.psql("drop table loaded")?;
    cluster.psql("vacuum analyze events")?;
    let week = |start: u64| {
        format!(
            "time >= timestamptz '2026-03-02T00:00:00Z' + {start} * interval '250 ms' and time < timestamptz '2026-03-09T00:00:00Z' + {start} * interval '250 ms'"
        )
    };
    let newest = |condition: &str| {
        format!(
            "select id, received_at, data from events where {condition} order by id desc limit 50"
        )
    };
    let rare = "select id, received_at, data from events where request_id = 'req-rare-one'";
    let questions = [
        ("newest 50 by actor", newest("actor = 'u-kira'"), 200),
        ("newest 50 by actor in a week", newest(&format!("actor = 'u-kira' and {}", week(events / 2))), 200),
        ("newest 50 by outcome alone", newest("outcome = 'denied'"), 200),
        ("newest 50 by free-text word", newest("words @@ 'timeout'::tsquery"), 200),
        ("newest 50 by two words and a negation", newest("words @@ 'helpdesk & timeout'::tsquery and actor <> 'u-kira'"), 200),
        ("a rare id, in the sender's data", rare.to_owned(), 200),
        ("histogram by hour with top actions", "select * from (select hour, action, n, row_number() over (partition by hour order by n desc) as place from (select date_trunc('hour', time) as hour, action, count(*) as n from events group by 1, 2) counted) ranked where place <= 3".to_owned(), 4),
    ];
    for (name, sql, rounds) in questions {
        let mut times = cluster.times(&sql, rounds)?;
        let first = times.first().copied().unwrap_or_default();
        times.sort_by(f64::total_cmp);
        let at =
            |share: usize| times.get((times.len() * share / 100).min(times.len() - 1)).copied();
        show(&format!(
            "PostgreSQL, {name:38} p50 {:>9.2} ms  p99 {:>9.2} ms  first {first:>9.2} ms",
            at(50).unwrap_or_default(),
            at(99).unwrap_or_default()
        ));
    }
    let sizes = "select 'table ' || pg_table_size('events') / count(*) || ', indexes ' || pg_indexes_size('events') / count(*) || ' bytes an event' from events";
    show(&format!("PostgreSQL, {}", cluster.answer(sizes)?.trim()));
    Ok(())
}

fn timed(events: u64, name: &str, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let started = Instant::now();
    work()?;
    let seconds = started.elapsed().as_secs_f64();
    show(&format!("{name:52} {seconds:>8.0} s  {:>9.0} events/s", events as f64 / seconds));
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the command's result")]
fn show(text: &str) {
    println!("{text}");
}

#[expect(clippy::print_stdout, reason = "the command's result")]
fn report(name: &str, rate: f64) {
    println!("{name:62} {rate:>12.0} events/s");
}

impl Cluster {
    fn start(more: &str) -> anyhow::Result<Self> {
        let bin = fs::read_dir("/usr/lib/postgresql")
            .context("PostgreSQL is needed: install the package postgresql")?
            .filter_map(Result::ok)
            .map(|entry| entry.path().join("bin"))
            .find(|bin| bin.join("pgbench").exists())
            .context("PostgreSQL with pgbench is needed: install the package postgresql")?;
        // Beside the data of `indelible bench`, so that both use the same disk; open to
        // the user postgres, as PostgreSQL does not run as root.
        let folder =
            std::env::current_dir()?.join(format!("target/postgres-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let cluster = Self { bin, folder };
        run("chown", &["-R", "postgres", &cluster.folder.display().to_string()])?;
        cluster
            .as_postgres("initdb", &["-D", &cluster.data(), "--auth=trust", "--no-instructions"])?;
        let settings = format!(
            "-c listen_addresses= -k {} -c fsync=on -c synchronous_commit=on -c max_connections=80 {more}",
            cluster.folder.display()
        );
        let log = cluster.folder.join("log").display().to_string();
        cluster.as_postgres(
            "pg_ctl",
            &["-D", &cluster.data(), "-w", "-l", &log, "-o", &settings, "start"],
        )?;
        Ok(cluster)
    }

    fn data(&self) -> String {
        self.folder.join("data").display().to_string()
    }

    fn as_postgres(&self, program: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let output = Command::new("runuser")
            .args(["-u", "postgres", "--"])
            .arg(self.bin.join(program))
            .args(arguments)
            .stdin(Stdio::null())
            .current_dir("/")
            .output()
            .with_context(|| format!("could not run {program}"))?;
        if !output.status.success() {
            bail!("{program}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn psql(&self, sql: &str) -> anyhow::Result<()> {
        let host = self.folder.display().to_string();
        self.as_postgres(
            "psql",
            &["-h", &host, "-v", "ON_ERROR_STOP=1", "-q", "-c", sql, "postgres"],
        )
        .map(drop)
    }

    /// What a query answers, as text.
    fn answer(&self, sql: &str) -> anyhow::Result<String> {
        let host = self.folder.display().to_string();
        self.as_postgres("psql", &["-h", &host, "-A", "-t", "-c", sql, "postgres"])
    }

    /// Loads the events that `indelible bench events` prints.
    fn load(&self, program: &str, events: &str) -> anyhow::Result<()> {
        let psql = self.bin.join("psql").display().to_string();
        let copy = "copy loaded from stdin with (format csv, quote e'\\x01', delimiter e'\\x02')";
        let pipe = format!(
            "set -o pipefail; '{program}' bench events --events {events} | runuser -u postgres -- '{psql}' -h '{}' -v ON_ERROR_STOP=1 -q -c \"{copy}\" postgres",
            self.folder.display()
        );
        run("bash", &["-c", &pipe])
    }

    /// Milliseconds of each of some rounds of a query, in one session.
    fn times(&self, sql: &str, rounds: usize) -> anyhow::Result<Vec<f64>> {
        let script = self.folder.join("search.sql");
        let repeated = format!("{sql};\n").repeat(rounds);
        fs::write(&script, format!("\\timing on\n\\o /dev/null\n{repeated}"))?;
        let (host, script) = (self.folder.display().to_string(), script.display().to_string());
        run("chown", &["postgres", &script])?;
        let output = self.as_postgres("psql", &["-h", &host, "-q", "-f", &script, "postgres"])?;
        let time = |line: &str| line.strip_prefix("Time: ")?.split(' ').next()?.parse().ok();
        let times: Vec<f64> = output.lines().filter_map(time).collect();
        if times.len() != rounds {
            bail!("{} of {rounds} rounds have a time", times.len());
        }
        Ok(times)
    }

    /// Transactions per second.
    fn pgbench(&self, script: &Path, clients: &str) -> anyhow::Result<f64> {
        run("chown", &["postgres", &script.display().to_string()])?;
        let (host, script) = (self.folder.display().to_string(), script.display().to_string());
        let arguments = [
            "-h", &host, "-n", "-M", "simple", "-f", &script, "-c", clients, "-j", "2", "-T",
            SECONDS, "postgres",
        ];
        let output = self.as_postgres("pgbench", &arguments)?;
        let tps = output
            .lines()
            .find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
        tps.context("pgbench reported no rate")
    }
}
