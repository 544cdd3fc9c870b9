//! Copying one log, and files.

use super::{
    Done,
    tree::{Tree, check_segment},
};
use anyhow::{Context as _, bail, ensure};
use indelible_log::stored::{self, Found};
use indelible_store::{Blob, LocalStore, Store};
use indelible_tlog::VerifyingKey;
use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    sync::Arc,
    time::Duration,
};

/// Bytes copied at a time.
const CHUNK: usize = 1 << 20;
/// How often a commit that is being written is looked at again.
const LOOKS: u32 = 40;
const LOOK: Duration = Duration::from_millis(25);

/// Copies an object; it is durable and read-only then, a journal writable by its owner.
pub(crate) fn copy_file(from: &dyn Store, to: &LocalStore, path: &str) -> anyhow::Result<u64> {
    let blob = from.open(path)?;
    let mut writer = to.writer(path)?;
    let mut at = 0;
    while at < blob.size() {
        let len = usize::try_from(blob.size() - at).unwrap_or(CHUNK).min(CHUNK);
        writer
            .write_all(&blob.read_vec(at, len)?)
            .with_context(|| format!("could not write {path}"))?;
        at += len as u64;
    }
    writer.finish()?;
    if path.split('/').rev().nth(1) == Some("journal") {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(to.root().join(path), mode)?;
    }
    Ok(blob.size())
}

/// Folder of journals that have not got their place yet.
const STAGED: &str = "tmp/journals";

/// What a copy of a log is.
pub(super) struct Copied {
    pub(super) size: u64,
    pub(super) note: Option<String>,
    pub(super) key: Option<String>,
}

/// The copy of one log.
pub(super) struct LogCopy<'a> {
    pub(super) from: Arc<dyn Store>,
    pub(super) to: LocalStore,
    pub(super) done: &'a mut Done,
}

impl LogCopy<'_> {
    /// Copies what is new; returns the size of the copy, its signed checkpoint, and the first
    /// key of the log if its secret can be read here. `known` is the checkpoint that the
    /// target had: what is copied must continue it.
    pub(super) fn run(&mut self, known: Option<&str>, with_keys: bool) -> anyhow::Result<Copied> {
        let journals = self.stage_journals()?;
        let new = self.objects("segments")?;
        let small = self.from.list("")?;
        let is_small = |path: &&String| {
            let about_keys = ["announcements/", "retired/"];
            matches!(path.as_str(), "log" | "features")
                || about_keys.iter().any(|folder| path.starts_with(folder))
        };
        for path in small.iter().filter(is_small) {
            self.same_object(path)?;
        }
        if with_keys {
            for path in small.iter().filter(|path| *path == "key" || path.starts_with("keys/")) {
                self.same_object(path)?;
            }
        }
        for path in self.objects("attachments")? {
            stored::attachment_at(&self.to, &path)?;
        }
        self.check_segments(&new)?;
        // A key in a hardware module cannot be read: then signatures are for `verify`.
        let own = stored::secret_keys(self.from.as_ref()).unwrap_or_default();
        let holds = |key: &VerifyingKey| stored::manifest(&self.to, key).is_ok();
        let first = own.into_iter().find(holds);
        let keys = first.as_ref().map(|first| stored::key_line(&self.to, first)).transpose()?;
        let staged = LocalStore::open(self.to.root().join(STAGED))?;
        let tree = Tree::read(&self.to, &staged, &journals, keys.as_ref(), known)?;
        let (size, note) = tree.head();
        let note = note.map(str::to_owned);
        self.place_journals(&journals)?;
        Ok(Copied { size, note, key: first.map(|key| key.to_string()) })
    }

    /// Reads all journals, newest first, into files beside; returns their names, oldest
    /// first. Those without a commit are left out.
    fn stage_journals(&mut self) -> anyhow::Result<Vec<String>> {
        let folder = self.to.root().join(STAGED);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder.join("journal"))?;
        // Open all first: what is deleted meanwhile stays readable.
        let mut open = Vec::new();
        for path in stored::journals(self.from.as_ref())? {
            match self.from.open(&path) {
                Ok(blob) => open.push((path, blob)),
                // Sealed since it was listed: a segment has its records.
                Err(indelible_store::StoreError::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let mut staged = Vec::new();
        for (number, (path, blob)) in open.iter().enumerate().rev() {
            let end = last_commit(path, blob.as_ref(), number + 1 == open.len())?;
            if end == 0 {
                continue;
            }
            let name = folder.join(path);
            let mut options = fs::OpenOptions::new();
            let mut file = options.write(true).create_new(true).mode(0o600).open(&name)?;
            let mut at = 0;
            while at < end {
                let len = usize::try_from(end - at).unwrap_or(CHUNK).min(CHUNK);
                file.write_all(&blob.read_vec(at, len)?)?;
                at += len as u64;
            }
            file.sync_all()?;
            staged.push(path.clone());
        }
        staged.reverse();
        Ok(staged)
    }

    /// Copies the objects of a folder that the target lacks; returns them.
    fn objects(&mut self, folder: &str) -> anyhow::Result<Vec<String>> {
        let there: BTreeSet<String> = self.to.list(folder)?.into_iter().collect();
        let mut new = Vec::new();
        for path in self.from.list(folder)? {
            if !there.contains(&path) {
                self.count(copy_file(self.from.as_ref(), &self.to, &path)?);
                new.push(path);
            }
        }
        Ok(new)
    }

    /// Copies a small object, or finds that the target has the same.
    fn same_object(&mut self, path: &str) -> anyhow::Result<()> {
        let ours = self.from.read(path)?;
        match self.to.read(path) {
            Ok(theirs) if theirs == ours => Ok(()),
            Ok(_) => {
                bail!("{path} in the target is another: it is the backup of another directory")
            }
            Err(indelible_store::StoreError::NotFound { .. }) => {
                self.to.create(path, &ours)?;
                self.count(ours.len() as u64);
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Reads new segments of the target back from its disk, every record of them. One that
    /// does not hold is removed: the next run copies it again.
    fn check_segments(&self, new: &[String]) -> anyhow::Result<()> {
        for path in new {
            let number = stored::segment_number(path);
            let number = number.with_context(|| format!("{path} is not the name of a segment"))?;
            if let Err(error) = check_segment(&self.to, number) {
                self.to.delete(path)?;
                return Err(error.context(format!(
                    "{path} does not hold as it was copied; run `indelible verify` on the source"
                )));
            }
        }
        Ok(())
    }

    /// Gives the staged journals their names, and removes those that are sealed.
    fn place_journals(&mut self, journals: &[String]) -> anyhow::Result<()> {
        let root = self.to.root().to_owned();
        let staged = root.join(STAGED);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(root.join("journal"))?;
        for path in journals {
            let bytes = fs::metadata(staged.join(path))?.len();
            let is_new = fs::metadata(root.join(path)).map_or(true, |there| there.len() != bytes);
            // If we crash here this journal is the one from before or the new one; both are
            // whole, and go on from the segments.
            fs::rename(staged.join(path), root.join(path))?;
            if is_new {
                self.count(bytes);
            }
        }
        for path in stored::journals(&self.to)? {
            if !journals.contains(&path) {
                self.to.delete(&path)?;
            }
        }
        fs::File::open(root.join("journal"))?.sync_all()?;
        fs::remove_dir_all(staged)?;
        Ok(())
    }

    fn count(&mut self, bytes: u64) {
        self.done.files = self.done.files.saturating_add(1);
        self.done.bytes = self.done.bytes.saturating_add(bytes);
    }
}

/// Where the last whole commit of a journal ends. The newest may be written just now: what
/// does not hold at its end is looked at again.
fn last_commit(path: &str, journal: &dyn Blob, is_newest: bool) -> anyhow::Result<u64> {
    let (mut at, mut looks) = (0, 0);
    loop {
        match stored::commit_at(journal, at)? {
            Found::Commit(commit) => (at, looks) = (commit.next_at, 0),
            Found::End | Found::Torn => return Ok(at),
            Found::Damaged { offset, problem } => {
                ensure!(
                    is_newest && looks < LOOKS,
                    "{path} is damaged at offset {offset}: {problem}; run `indelible verify` on the source"
                );
                looks += 1;
                std::thread::sleep(LOOK);
            }
        }
    }
}
