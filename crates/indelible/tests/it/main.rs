//! The built binary, as its users run it.
#![expect(clippy::unwrap_used, reason = "tests state their expectations by failing")]

mod backup;
mod control;
mod crash;
mod full_disk;
mod hostile;
mod search;
mod tour;

use indelible_client::{Client, Credentials};
use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::OpenOptionsExt as _,
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
        .env_remove("INDELIBLE_TOKEN")
        .env_remove("INDELIBLE_TOKEN_FILE")
        // No login of whoever runs the tests.
        .env("XDG_CONFIG_HOME", "/nonexistent")
        .env("NO_COLOR", "1");
    command
}

/// A server process, killed when dropped.
pub(crate) struct Process {
    child: Child,
    pub(crate) url: String,
    /// File with a token of every role; beside it, that of the operator.
    token_file: PathBuf,
}

/// A file beside a data directory.
pub(crate) fn beside(data: &Path, extension: &str) -> PathBuf {
    let mut name = data.as_os_str().to_owned();
    name.push(extension);
    PathBuf::from(name)
}

/// Writes a file that nobody else can read.
pub(crate) fn write_private(path: &Path, text: &str) {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

impl Process {
    /// Starts `indelible serve` on a free port and waits until it listens.
    pub(crate) fn serve(data: &Path) -> Self {
        Self::serve_in(data, &[], &[])
    }

    /// The same with more arguments and variables.
    pub(crate) fn serve_in(data: &Path, arguments: &[&str], variables: &[(&str, &Path)]) -> Self {
        let mut child = indelible()
            .envs(variables.iter().copied())
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
            .arg("--bootstrap-token-file")
            .arg(beside(data, ".operator"))
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let at = line.find("http").unwrap_or_else(|| panic!("no address in {line:?}"));
        let url = line[at..].trim().to_owned();
        let server = Self { child, url, token_file: beside(data, ".token") };
        if !server.token_file.exists() {
            let roles = ["writer:*", "auditor:*", "operator:*", "verifier:*"];
            let grants = roles.iter().flat_map(|role| ["--grant", role]);
            let arguments: Vec<&str> =
                ["token", "create", "test"].into_iter().chain(grants).collect();
            write_private(
                &server.token_file,
                &server.ok_as(&beside(data, ".operator"), &arguments),
            );
        }
        server
    }

    /// A client with the token of every role.
    pub(crate) fn client(&self) -> Client {
        let token = std::fs::read_to_string(&self.token_file).unwrap().trim().to_owned();
        Client::new(&self.url, &Credentials { token: Some(token), ..Credentials::default() })
            .unwrap()
    }

    /// A client command, with the token of every role.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.command_as(&self.token_file, arguments)
    }

    fn command_as(&self, token_file: &Path, arguments: &[&str]) -> Command {
        let mut command = indelible();
        command.env("INDELIBLE_URL", &self.url).env("INDELIBLE_TOKEN_FILE", token_file);
        command.args(arguments);
        command
    }

    /// Runs a client command with the token in this file.
    pub(crate) fn run_as(&self, token_file: &Path, arguments: &[&str]) -> Output {
        self.command_as(token_file, arguments).output().unwrap()
    }

    /// The same, and expects it to succeed.
    #[track_caller]
    pub(crate) fn ok_as(&self, token_file: &Path, arguments: &[&str]) -> String {
        let output = self.run_as(token_file, arguments);
        assert!(
            output.status.success(),
            "{arguments:?}: {}{}",
            text(&output.stdout),
            text(&output.stderr)
        );
        text(&output.stdout)
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Runs a client command against it.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.run_as(&self.token_file, arguments)
    }

    /// Runs a client command and expects it to succeed.
    #[track_caller]
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        self.ok_as(&self.token_file, arguments)
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
