//! Programs we did not write judge a running server: Tessera's `fsck` and the Go
//! reference implementation of signed notes and proofs. A reader written from
//! docs/formats.md alone judges its directory.

use crate::{
    reader,
    run::{root, run, step},
    running::{Running, announced_url},
};
use anyhow::{Context as _, bail};
use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

const FSCK: &str = "github.com/transparency-dev/tessera/cmd/fsck@v1.0.4";
const RECORDS: usize = 70_000;

struct Tools {
    indelible: PathBuf,
    fsck: PathBuf,
    interop: PathBuf,
    folder: PathBuf,
}

pub(crate) fn judge() -> anyhow::Result<()> {
    let folder = root().join("target/interop");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let tools = Tools {
        indelible: root().join("target/debug/indelible"),
        fsck: folder.join("fsck"),
        interop: folder.join("interop"),
        folder,
    };
    // As the tests have built it: with other features much would be compiled again.
    step("build the server", || {
        run("cargo", &["test", "--workspace", "--all-targets", "--no-run"])
    })?;
    step("build the judges", || tools.build())?;
    let server = tools.serve()?;
    step("append 70,000 records", || tools.append(0, RECORDS))?;
    fs::write(tools.key(), tools.output(&["key", "show", "prod"])?)?;
    step("fsck accepts the log", || tools.fsck(&server.1, true))?;
    step("fsck accepts the log while it grows", || tools.fsck_while_growing(&server.1))?;
    step("golang.org/x/mod/sumdb accepts proofs and checkpoints", || tools.check(&server.1))?;
    drop(server);
    let server = tools.serve()?;
    step("replace the key and append what is an attachment", || tools.rotate(&server.1))?;
    drop(server);
    reader::judge(&tools.indelible, &tools.folder)?;
    let server = tools.serve()?;
    step("fsck accepts the log after a restart", || tools.fsck(&server.1, true))?;
    step("golang.org/x/mod/sumdb accepts it after a restart", || tools.check(&server.1))?;
    for path in ["tile/0/007", "tile/1/000", "tile/entries/100"] {
        step(&format!("fsck rejects the log with one byte of {path} changed"), || {
            tools.fsck_tampered(&server.1, path)
        })?;
    }
    Ok(())
}

impl Tools {
    fn key(&self) -> PathBuf {
        self.folder.join("prod.vkey")
    }

    fn build(&self) -> anyhow::Result<()> {
        let status = Command::new("go").args(["install", FSCK]).env("GOBIN", &self.folder).status();
        if !status.context("go is needed for this step")?.success() {
            bail!("could not build {FSCK}");
        }
        let status = Command::new("go")
            .args(["build", "-o"])
            .arg(&self.interop)
            .arg(".")
            .current_dir(root().join("interop"))
            .status()?;
        if status.success() { Ok(()) } else { bail!("could not build interop/") }
    }

    /// Starts the server on a free port and waits for its address.
    fn serve(&self) -> anyhow::Result<(Running, String)> {
        let mut child = Command::new(&self.indelible)
            .args(["serve", "--listen", "127.0.0.1:0", "--log-level", "warn", "--data"])
            .arg(self.folder.join("data"))
            .arg("--bootstrap-token-file")
            .arg(self.folder.join("operator"))
            .stdout(Stdio::piped())
            .spawn()
            .context("could not start the server")?;
        let url = announced_url(&mut child)?;
        let running = Running(child);
        if !self.folder.join("data/logs/prod").exists() {
            let operator = fs::read_to_string(self.folder.join("operator"))?;
            self.client(&url, operator.trim(), &["log", "create", "prod"])?;
            let grants = ["--grant", "writer:prod", "--grant", "auditor:prod"];
            let create = [["token", "create"].as_slice(), &["interop"], &grants].concat();
            let token = self.client(&url, operator.trim(), &create)?;
            fs::write(self.folder.join("token"), token)?;
        }
        fs::write(self.folder.join("url"), &url)?;
        Ok((running, url))
    }

    /// The token that may append and read.
    fn token(&self) -> anyhow::Result<String> {
        Ok(fs::read_to_string(self.folder.join("token"))?.trim().to_owned())
    }

    fn client(&self, url: &str, token: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let output = Command::new(&self.indelible)
            .args(["--url", url])
            .args(arguments)
            .env("INDELIBLE_TOKEN", token)
            .stderr(Stdio::inherit())
            .output()?;
        anyhow::ensure!(output.status.success(), "indelible {} failed", arguments.join(" "));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// A second key, which signs alone from now on, and an event too large for a record.
    fn rotate(&self, url: &str) -> anyhow::Result<()> {
        let operator = fs::read_to_string(self.folder.join("operator"))?;
        let rotate = ["key", "rotate", "prod", "--overlap", "0"];
        self.client(url, operator.trim(), &rotate)?;
        fs::copy(self.key(), self.folder.join("prod.old.vkey"))?;
        fs::write(self.key(), self.output(&["key", "show", "prod"])?)?;
        let path = self.folder.join("large.ndjson");
        let large = "x".repeat(70_000);
        fs::write(
            &path,
            format!(
                r#"{{"id":"large","time":"2026-03-01T12:00:00Z","action":"interop.tested","actor":{{"type":"service","id":"xtask"}},"outcome":{{"result":"success"}},"metadata":{{"large":"{large}"}}}}"#
            ) + "\n",
        )?;
        self.output(&["append", "prod", &path.display().to_string()])?;
        self.append(RECORDS + 20_000, 100)
    }

    fn output(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.client(&fs::read_to_string(self.folder.join("url"))?, &self.token()?, arguments)
    }

    fn append(&self, first: usize, count: usize) -> anyhow::Result<()> {
        let path = self.folder.join("events.ndjson");
        let mut file = std::io::BufWriter::new(File::create(&path)?);
        for n in first..first + count {
            writeln!(
                file,
                r#"{{"id":"interop-{n}","time":"2026-03-01T12:00:00Z","action":"interop.tested","actor":{{"type":"service","id":"xtask"}},"outcome":{{"result":"success"}}}}"#
            )?;
        }
        file.into_inner()?;
        self.output(&["append", "prod", &path.display().to_string()]).map(drop)
    }

    fn fsck_command(&self, url: &str) -> anyhow::Result<Command> {
        let mut command = Command::new(&self.fsck);
        command.arg(format!("-storage_url={url}/tlog/prod/"));
        command.arg(format!("-public_key={}", self.key().display()));
        command.args(["-ui=false", "-N=8"]);
        command.arg(format!("-bearer_token={}", self.token()?));
        Ok(command)
    }

    /// fsck ends with status 0 whatever it finds: what counts is what it says. It gets
    /// several workers because one that met a bad tile stops, and with none left it
    /// would wait for ever.
    fn fsck(&self, url: &str, accept: bool) -> anyhow::Result<()> {
        let said = self.folder.join("fsck.log");
        let mut child = self.fsck_command(url)?.stderr(File::create(&said)?).spawn()?;
        let deadline = Instant::now() + Duration::from_secs(120);
        while child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                drop(Running(child));
                bail!("fsck did not end within two minutes");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let text = fs::read_to_string(&said)?;
        let accepted = text.contains("Successfully fsck'd log");
        let rejected = text.contains("fsck failed");
        if accepted != rejected && accepted == accept {
            return Ok(());
        }
        bail!(
            "fsck {}:\n{text:.2000}",
            if accept { "refused the log" } else { "accepted a tampered log" }
        )
    }

    /// fsck checks one checkpoint; more records come in while it reads.
    fn fsck_while_growing(&self, url: &str) -> anyhow::Result<()> {
        std::thread::scope(|scope| {
            let growing =
                scope.spawn(|| (0..20).try_for_each(|n| self.append(RECORDS + n * 1000, 1000)));
            let mut rounds = 0;
            while !growing.is_finished() || rounds == 0 {
                self.fsck(url, true)?;
                rounds += 1;
            }
            growing.join().map_err(|_| anyhow::anyhow!("the appending thread panicked"))?
        })
    }

    fn check(&self, url: &str) -> anyhow::Result<()> {
        let key = self.key().display().to_string();
        let status = Command::new(&self.interop)
            .args(["check", "-url", url, "-log", "prod", "-key", &key])
            .env("INDELIBLE_TOKEN", self.token()?)
            .status()?;
        if status.success() { Ok(()) } else { bail!("golang.org/x/mod/sumdb refuses the log") }
    }

    fn fsck_tampered(&self, url: &str, path: &str) -> anyhow::Result<()> {
        let mut child = Command::new(&self.interop)
            .args(["tamper", "-url", url, "-path", path])
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
        let _running = Running(child);
        self.fsck(line.trim(), false)
    }
}
