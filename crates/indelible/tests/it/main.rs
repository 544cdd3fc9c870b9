//! The built binary, as its users run it.
#![expect(clippy::unwrap_used, reason = "tests state their expectations by failing")]

mod crash;
mod tour;

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

/// Removes the variables that would lead a test elsewhere.
pub(crate) fn indelible() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_indelible"));
    command
        .env_remove("INDELIBLE_URL")
        .env_remove("INDELIBLE_DATA")
        .env_remove("INDELIBLE_LISTEN")
        .env("NO_COLOR", "1");
    command
}

/// A server process, killed when dropped.
pub(crate) struct Process {
    child: Child,
    pub(crate) url: String,
}

impl Process {
    /// Starts `indelible serve` on a free port and waits until it listens.
    pub(crate) fn serve(data: &Path) -> Self {
        let mut child = indelible()
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--site",
                "test.example",
                "--log-level",
                "error",
                "--data",
            ])
            .arg(data)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let at = line.find("http://").unwrap_or_else(|| panic!("no address in {line:?}"));
        Self { child, url: line[at..].trim().to_owned() }
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Runs a client command against it.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        indelible().env("INDELIBLE_URL", &self.url).args(arguments).output().unwrap()
    }

    /// Runs a client command and expects it to succeed.
    #[track_caller]
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(
            output.status.success(),
            "{arguments:?}: {}{}",
            text(&output.stdout),
            text(&output.stderr)
        );
        text(&output.stdout)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn event(id: &str) -> String {
    format!(
        r#"{{"id":"{id}","time":"2026-03-01T12:00:00Z","action":"a.b","actor":{{"type":"user","id":"ada"}},"outcome":{{"result":"success"}}}}"#
    )
}

/// Files below a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .collect();
    found.sort();
    found
}
