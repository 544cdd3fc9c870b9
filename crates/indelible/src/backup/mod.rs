//! Copies of a data directory: made while a server runs, and made into one again.
//!
//! **What makes a copy sound.** Of each log the journals are read first, newest first, then
//! segments, then attachments: what is sealed and deleted meanwhile is then in a segment
//! that is listed later, a later journal never shows commits that an earlier one lacks, and
//! what a record refers to was there before the record. Each journal is cut behind its last
//! whole commit. `_control` comes last, and if logs, announcements or keys changed since
//! they were copied, all is done again: so it names what is there, and nothing else.
//!
//! **What a crash leaves.** A target that says it is not complete, and in which each log is
//! whole as of this run or the one before: journals are replaced last.

mod copy;
mod tree;

use anyhow::{Context as _, bail, ensure};
pub(crate) use copy::copy_file;
use copy::{Copied, LogCopy};
use indelible_log::DataDir;
use indelible_store::{LocalStore, Store as _};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// The log whose fold is the configuration.
const CONTROL: &str = "_control";
/// What says what a target is.
const FILE: &str = "backup.json";
/// The same while it is written.
const PART: &str = "backup.part";
/// How often all is done again when logs or keys change meanwhile.
const TRIES: usize = 5;

/// What a target says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Backup {
    /// Version of this file: 1.
    pub(crate) v: u32,
    pub(crate) site: String,
    /// Whether the last run came to its end.
    pub(crate) complete: bool,
    pub(crate) began_at: String,
    pub(crate) finished_at: Option<String>,
    /// Whether secret keys are in it.
    pub(crate) keys: bool,
    /// The signed checkpoint that each log was verified against.
    pub(crate) checkpoints: BTreeMap<String, String>,
    /// The first key of each log, where it could be told.
    pub(crate) vkeys: BTreeMap<String, String>,
}

/// What a run did.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Done {
    pub(crate) logs: u64,
    pub(crate) records: u64,
    /// Files that were written, and their bytes.
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) keys: bool,
}

/// Where the data are in a target.
pub(crate) fn data_in(target: &Path) -> PathBuf {
    target.join("data")
}

impl Backup {
    /// What a target says; none if it is not one.
    pub(crate) fn read(target: &Path) -> anyhow::Result<Option<Self>> {
        let path = target.join(FILE);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.with_context(|| format!("could not read {}", path.display()))?,
        };
        let found: Self = serde_json::from_slice(&text)
            .with_context(|| format!("{} is not what a backup says of itself", path.display()))?;
        ensure!(
            found.v == 1,
            "{} is of version {}, and this program knows 1",
            path.display(),
            found.v
        );
        Ok(Some(found))
    }

    fn write(&self, target: &Path) -> anyhow::Result<()> {
        let part = target.join(PART);
        let write = || {
            let mut options = fs::OpenOptions::new();
            let mut file =
                options.write(true).create(true).truncate(true).mode(0o600).open(&part)?;
            file.write_all(&serde_json::to_vec_pretty(self)?)?;
            file.sync_all()?;
            fs::rename(&part, target.join(FILE))?;
            fs::File::open(target)?.sync_all()
        };
        write().with_context(|| format!("could not write {}", target.join(FILE).display()))
    }
}

/// What must not change while logs are copied.
fn outline(data: &DataDir) -> anyhow::Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for log in data.logs()? {
        let store = data.store(&log)?;
        for folder in ["announcements", "retired", "keys"] {
            found.extend(store.list(folder)?.into_iter().map(|path| format!("{log}/{path}")));
        }
        found.insert(log);
    }
    Ok(found)
}

/// Copies a data directory into a target, or what is new of it.
pub(crate) fn back_up(
    source: &Path,
    target: &Path,
    with_keys: bool,
    now: &str,
    say: &dyn Fn(&str),
) -> anyhow::Result<Done> {
    let data = DataDir::open(source)?;
    let before = Backup::read(target)?;
    match &before {
        Some(before) => ensure!(
            before.site == data.site(),
            "{} is the backup of site {:?}, and {} is {:?}: choose another target",
            target.display(),
            before.site,
            source.display(),
            data.site()
        ),
        // A run that ended before it had said anything leaves what it was about to say.
        None => match fs::remove_file(target.join(PART)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("could not use {}", target.display()));
            }
            _ => check_empty(target)?,
        },
    }
    ensure!(
        !is_inside(target, source),
        "the target {} is inside of {}: choose one on other storage",
        target.display(),
        source.display()
    );
    fs::DirBuilder::new().recursive(true).mode(0o700).create(target)?;
    let (checkpoints, vkeys) = before
        .as_ref()
        .map(|before| (before.checkpoints.clone(), before.vkeys.clone()))
        .unwrap_or_default();
    let mut backup = Backup {
        v: 1,
        site: data.site().to_owned(),
        complete: false,
        began_at: now.to_owned(),
        finished_at: None,
        keys: with_keys || before.is_some_and(|before| before.keys),
        checkpoints,
        vkeys,
    };
    // If we crash from here on the target says that it is not complete.
    backup.write(target)?;
    let mut done = Done { keys: backup.keys, ..Done::default() };
    copy_all(&data, target, &mut backup, with_keys, &mut done, say)?;
    let root = LocalStore::create(data_in(target))?;
    if root.open("site").is_err() {
        root.create("site", format!("{}\n", data.site()).as_bytes())?;
    }
    backup.complete = true;
    backup.finished_at = Some(now.to_owned());
    backup.write(target)?;
    Ok(done)
}

fn copy_all(
    data: &DataDir,
    target: &Path,
    backup: &mut Backup,
    with_keys: bool,
    done: &mut Done,
    say: &dyn Fn(&str),
) -> anyhow::Result<()> {
    for _ in 0..TRIES {
        let before = outline(data)?;
        let mut logs = data.logs()?;
        ensure!(
            logs.iter().any(|log| log == CONTROL),
            "there is no {CONTROL} in {}, which says who may use it",
            data.path().display()
        );
        logs.sort_by_key(|log| log == CONTROL);
        (done.logs, done.records) = (0, 0);
        for log in logs {
            say(&log);
            let known = backup.checkpoints.get(&log).map(String::as_str);
            let to = LocalStore::create(data_in(target).join("logs").join(&log))?;
            let mut copy = LogCopy { from: data.store(&log)?, to, done };
            let copied = copy.run(known, with_keys);
            let Copied { size, note, key } =
                copied.with_context(|| format!("could not back up log {log}"))?;
            done.logs = done.logs.saturating_add(1);
            done.records = done.records.saturating_add(size);
            backup.vkeys.extend(key.map(|key| (log.clone(), key)));
            backup.checkpoints.extend(note.map(|note| (log, note)));
        }
        if outline(data)? == before {
            return Ok(());
        }
    }
    bail!("logs or keys changed again and again while they were copied; try again")
}

/// Whether a path lies below another, as far as both exist.
fn is_inside(path: &Path, folder: &Path) -> bool {
    let Ok(folder) = folder.canonicalize() else { return false };
    let there = path.ancestors().find_map(|above| above.canonicalize().ok());
    let there = there.or_else(|| Path::new(".").canonicalize().ok());
    there.is_some_and(|there| there.starts_with(&folder))
}

/// A folder that something else is in is not ours to fill.
fn check_empty(folder: &Path) -> anyhow::Result<()> {
    match fs::read_dir(folder).map(Iterator::count) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Ok(0) => Ok(()),
        Ok(_) => {
            bail!("{} is not empty and is not a backup: choose an empty folder", folder.display())
        }
        Err(error) => Err(error).with_context(|| format!("could not read {}", folder.display())),
    }
}

/// Makes a data directory of a backup; returns what it said of itself. `verify` is asked
/// of the copy before it gets its place.
pub(crate) fn restore(
    target: &Path,
    data: &Path,
    incomplete: bool,
    verify: impl FnOnce(&Path, &Backup) -> anyhow::Result<()>,
) -> anyhow::Result<Backup> {
    let backup = Backup::read(target)?;
    let backup = backup.with_context(|| format!("{} is not a backup", target.display()))?;
    ensure!(
        backup.complete || incomplete,
        "the last run of the backup in {} did not come to its end: run it again, or take what is there with --incomplete",
        target.display()
    );
    check_empty(data)?;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(data)?;
    // A place of its own until all of it is there and holds. If we crash the directory is
    // not empty, and holds no log.
    let part = data.join("restore.part");
    let store = LocalStore::create(&part)?;
    let from = LocalStore::open(data_in(target))?;
    for path in from.list("logs")? {
        if path.starts_with("logs/") && !path.ends_with("/WRITER") && !path.contains("/tmp/") {
            copy_file(&from, &store, &path)?;
        }
    }
    store.create("site", format!("{}\n", backup.site).as_bytes())?;
    verify(&part, &backup)?;
    fs::rename(part.join("logs"), data.join("logs"))?;
    // If we crash here there is no site yet, and so no data directory.
    fs::rename(part.join("site"), data.join("site"))?;
    fs::remove_dir_all(&part)?;
    fs::File::open(data)?.sync_all()?;
    Ok(backup)
}
