//! `interop/reader.py`, written from docs/formats.md alone, and `indelible verify` must say
//! the same of a directory, whole or damaged.

use crate::run::{root, run, step};
use anyhow::{Context as _, ensure};
use serde_json::Value;
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

struct Readers<'a> {
    indelible: &'a Path,
    python: PathBuf,
    data: PathBuf,
    folder: &'a Path,
}

/// Compares the two on the data directory in `folder`, which no server uses.
pub(crate) fn judge(indelible: &Path, folder: &Path) -> anyhow::Result<()> {
    let venv = folder.join("venv");
    let readers =
        Readers { indelible, python: venv.join("bin/python"), data: folder.join("data"), folder };
    step("install what interop/reader.py needs", || {
        run("python3", &["-m", "venv", &venv.display().to_string()])?;
        let wanted = root().join("interop/requirements.txt").display().to_string();
        let python = readers.python.display().to_string();
        run(&python, &["-m", "pip", "install", "--quiet", "--requirement", &wanted])
    })?;
    let old = fs::read_to_string(folder.join("prod.old.vkey"))?;
    let new = fs::read_to_string(folder.join("prod.vkey"))?;
    step("interop/reader.py and verify agree on every log and key", || {
        readers.agree("prod", old.trim())?;
        let keys = readers.agree("prod", new.trim())?;
        ensure!(keys == 2, "the log has {keys} keys, not 2");
        for log in ["_control", "_access"] {
            readers.agree(log, &readers.own_key(log)?)?;
        }
        Ok(())
    })?;
    step("both find each of the bytes that are changed", || readers.damage(new.trim()))
}

impl Readers<'_> {
    /// What each says, as JSON, and whether it holds.
    fn ask(&self, log: &str, key: &str) -> anyhow::Result<[(Value, bool); 2]> {
        let ours = Command::new(self.indelible)
            .args(["--json", "verify"])
            .arg(&self.data)
            .args(["--log", log, "--key", key])
            .output()?;
        let theirs = Command::new(&self.python)
            .arg(root().join("interop/reader.py"))
            .arg(&self.data)
            .args([log, key])
            .output()?;
        let said = |output: &std::process::Output| -> anyhow::Result<(Value, bool)> {
            let value = serde_json::from_slice(&output.stdout)
                .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
            Ok((value, output.status.success()))
        };
        Ok([said(&ours)?, said(&theirs)?])
    }

    /// Both say that the log holds, of as many records with the same root. Returns the
    /// number of its keys.
    fn agree(&self, log: &str, key: &str) -> anyhow::Result<u64> {
        let [(ours, holds), (theirs, also)] = self.ask(log, key)?;
        ensure!(holds && also, "{log}: verify says {ours}, the reader {theirs}");
        let coverage = &ours["coverage"];
        for (part, ours) in [
            ("records", &coverage["records"]),
            ("root", &coverage["checkpoint"]["root"]),
            ("attachments", &coverage["attachments"]),
        ] {
            ensure!(*ours == theirs[part], "{log}: {part}: {ours} and {theirs}");
        }
        theirs["keys"].as_u64().context("the reader counts keys")
    }

    /// The key of a log from the secret in its folder.
    fn own_key(&self, log: &str) -> anyhow::Result<String> {
        let secret = self.data.join("logs").join(log).join("key");
        let key = Command::new(&self.python)
            .arg(root().join("interop/reader.py"))
            .arg("vkey")
            .arg(secret)
            .output()?;
        ensure!(key.status.success(), "{}", String::from_utf8_lossy(&key.stderr));
        Ok(String::from_utf8(key.stdout)?.trim().to_owned())
    }

    /// Flips a bit at some places of each kind of file; both must find it.
    fn damage(&self, key: &str) -> anyhow::Result<()> {
        let log = self.data.join("logs/prod");
        let attachment = first_file(&log.join("attachments"))?;
        let journal = first_file(&log.join("journal"))?;
        let places = [
            (log.join("log"), vec![0, 40]),
            (log.join("features"), vec![30]),
            (log.join("announcements/0002"), vec![5, 150, 300]),
            (log.join("retired/0001"), vec![60]),
            (log.join("segments/0000000000.segment"), vec![9, 5_000, 400_000]),
            // A field, the table or the records of the first frame.
            (journal, vec![20, 130, 700]),
            (attachment, vec![1_000]),
        ];
        for (path, at) in places {
            let sound = fs::read(&path)?;
            let mode = fs::metadata(&path)?.permissions();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
            // From the end too: trailers, notes.
            let at = at.into_iter().chain([sound.len() - 50]);
            for at in at.filter(|at| *at < sound.len()) {
                let mut bytes = sound.clone();
                bytes[at] ^= 1;
                fs::write(&path, bytes)?;
                let said = self.ask("prod", key);
                fs::write(&path, &sound)?;
                let [(ours, holds), (theirs, also)] = said?;
                let name = path.strip_prefix(self.folder).unwrap_or(&path).display();
                ensure!(!holds && !also, "{name} at {at}: verify says {ours}, the reader {theirs}");
            }
            fs::set_permissions(&path, mode)?;
        }
        self.agree("prod", key).map(drop)
    }
}

/// The first file below a folder, by name.
fn first_file(folder: &Path) -> anyhow::Result<PathBuf> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    paths.sort();
    let first =
        paths.into_iter().next().with_context(|| format!("{} is empty", folder.display()))?;
    if first.is_dir() { first_file(&first) } else { Ok(first) }
}
