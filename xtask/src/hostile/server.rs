//! The server that is measured: started, given logs and tokens, and looked at from
//! outside.

use super::honest::{Client, event};
use crate::running::{Running, announced_url};
use anyhow::Context as _;
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Log of the honest.
pub(super) const LOG: &str = "prod";
/// Log of large events, for tails.
pub(super) const LARGE: &str = "large";
const LARGE_EVENTS: usize = 300;
const LARGE_BYTES: usize = 600 << 10;

pub(super) struct Server {
    running: Running,
    pub(super) address: SocketAddr,
    operator: String,
    binary: PathBuf,
    folder: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        // Stopped before its data goes; what is left of those is in target/ and harmless.
        drop(self.running.0.kill());
        drop(self.running.0.wait());
        drop(fs::remove_dir_all(self.folder.join("data")));
    }
}

impl Server {
    /// Starts it on a free port of 127.0.0.1 over a new data directory in `folder`.
    pub(super) fn start(binary: &Path, folder: &Path) -> anyhow::Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::create_dir_all(folder)?;
        let mut child = Command::new(binary)
            .args(["serve", "--listen", "127.0.0.1:0", "--log-level", "warn", "--data"])
            .arg(folder.join("data"))
            .arg("--bootstrap-token-file")
            .arg(folder.join("operator"))
            .stdout(Stdio::piped())
            .stderr(fs::File::create(folder.join("server.log"))?)
            .spawn()
            .with_context(|| {
                format!("could not start {}: build it, or name another", binary.display())
            })?;
        let announced = announced_url(&mut child);
        let running = Running(child);
        let url = announced?;
        let address = url.trim_start_matches("http://").trim_end_matches('/').parse();
        let operator = fs::read_to_string(folder.join("operator"))?.trim().to_owned();
        Ok(Self {
            running,
            address: address.with_context(|| format!("{url} is not http:// and an address"))?,
            operator,
            binary: binary.to_owned(),
            folder: folder.to_owned(),
        })
    }

    pub(super) fn client(&self, token: &str) -> Client {
        Client::new(self.address, token)
    }

    fn command(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = Command::new(&self.binary)
            .args(["--url", &format!("http://{}", self.address)])
            .args(arguments)
            .env("INDELIBLE_TOKEN", &self.operator)
            .stderr(Stdio::inherit())
            .output()?;
        anyhow::ensure!(output.status.success(), "indelible {} failed", arguments.join(" "));
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// A token with a role on each log.
    pub(super) fn token(&self, name: &str, grants: &[&str]) -> anyhow::Result<String> {
        let mut arguments = vec!["token", "create", name];
        for grant in grants {
            arguments.extend(["--grant", grant]);
        }
        self.command(&arguments)
    }

    /// Creates the logs and fills them.
    pub(super) fn fill(&self) -> anyhow::Result<()> {
        for log in [LOG, LARGE] {
            self.command(&["log", "create", log])?;
        }
        let token = self.token("filler", &["writer:prod", "writer:large"])?;
        let mut client = self.client(&token);
        for number in 0..100 {
            let path = format!("/v1/logs/{LOG}/events");
            client.request("POST", &path, &event(number, 170))?.json()?;
        }
        for number in 0..LARGE_EVENTS {
            let path = format!("/v1/logs/{LARGE}/events");
            client.request("POST", &path, &event(number, LARGE_BYTES))?.json()?;
        }
        Ok(())
    }

    /// Records in `_access`, by a token that may see checkpoints.
    pub(super) fn trail(&self, token: &str) -> anyhow::Result<u64> {
        let log = self.client(token).request("GET", "/v1/logs/_access", "")?.json()?;
        log["size"].as_u64().context("_access has no size")
    }

    /// From here on, the peak of memory is counted anew.
    pub(super) fn forget_peak(&self) -> anyhow::Result<()> {
        fs::write(self.proc("clear_refs"), "5").context("could not reset the peak of memory")
    }

    /// Most bytes that the server had resident since [`Self::forget_peak`].
    pub(super) fn peak(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(self.proc("status")).context("the server ended")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        Ok(kib.context("the server ended: it has no VmHWM")? << 10)
    }

    fn proc(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.running.0.id()))
    }
}
