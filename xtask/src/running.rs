//! Programs that the tasks start and stop.

use anyhow::{Context as _, bail};
use std::{
    io::{BufRead as _, BufReader},
    process::Child,
    time::{Duration, Instant},
};

/// A program that is stopped when this is dropped.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.0.kill().unwrap_or_default();
        drop(self.0.wait());
    }
}

/// The address in the server's first line.
pub(crate) fn announced_url(child: &mut Child) -> anyhow::Result<String> {
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
    while Instant::now() < deadline {
        let line = lines.next().context("the server ended")??;
        if let Some(at) = line.find("http://") {
            return Ok(line[at..].trim().to_owned());
        }
    }
    bail!("the server did not say where it listens")
}
