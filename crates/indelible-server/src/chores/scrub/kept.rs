//! What is kept of the scrub across starts.

use indelible_api::ScrubFinding;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs, io,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
};

const FILE: &str = "scrub.json";

/// What is kept. Derived: without it the next round begins anew.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Kept {
    /// The round that is going on.
    pub(super) round: Option<Round>,
    /// When the last whole round ended, and what it said.
    pub(super) finished_at: Option<String>,
    pub(super) verdict: Option<String>,
    /// What is known to be wrong.
    pub(super) findings: Vec<ScrubFinding>,
}

/// A round.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Round {
    pub(super) since: String,
    /// The first segment of each log that it has not read.
    pub(super) next: BTreeMap<String, u64>,
}

impl Round {
    pub(super) const fn new(since: String) -> Self {
        Self { since, next: BTreeMap::new() }
    }
}

impl Kept {
    /// What was kept; nothing if that cannot be read.
    pub(super) fn read(data: &Path) -> Self {
        let text = fs::read(data.join(FILE)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    pub(super) fn write(&self, data: &Path) -> io::Result<()> {
        let part = data.join("tmp/scrub.json");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(data.join("tmp"))?;
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&part)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_data()?;
        // If we crash before this the progress before is kept.
        fs::rename(part, data.join(FILE))
    }

    /// Whether a finding was told before.
    pub(super) fn knows(&self, finding: &ScrubFinding) -> bool {
        self.findings.iter().any(|known| {
            (&known.log, &known.kind, known.index, &known.message)
                == (&finding.log, &finding.kind, finding.index, &finding.message)
        })
    }
}
