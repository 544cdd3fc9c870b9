//! Durable appends beside PostgreSQL on the same machine, in the same run: plain
//! inserts, and a table whose trigger chains a hash from row to row.

use crate::{root, run, step};
use anyhow::{Context as _, bail};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
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
    let cluster = Cluster::start()?;
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

#[expect(clippy::print_stdout, reason = "the command's result")]
fn report(name: &str, rate: f64) {
    println!("{name:62} {rate:>12.0} events/s");
}

impl Cluster {
    fn start() -> anyhow::Result<Self> {
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
            "-c listen_addresses= -k {} -c fsync=on -c synchronous_commit=on -c max_connections=80",
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
