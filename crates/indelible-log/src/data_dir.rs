//! A data directory: the logs of one site, each in its own folder.

use crate::{
    Kind, LogError, Manifest, Options, create,
    error::{Result, damaged},
    keys::KeyRing,
};
use indelible_event::Timestamp;
use indelible_store::{LocalStore, Store, StoreError};
use indelible_tlog::VerifyingKey;
use std::{path::Path, sync::Arc};
use zeroize::Zeroizing;

const SITE: &str = "site";

/// A directory with the logs of one site.
#[derive(Debug, Clone)]
pub struct DataDir {
    store: LocalStore,
    site: String,
}

/// Checks the name of a log: 1 to 63 of `a-z`, `0-9` and `-`; names that begin with
/// `_` are the system's.
///
/// # Errors
/// [`LogError::Invalid`] with the rule.
pub fn check_log_name(name: &str) -> Result<()> {
    let plain = name.strip_prefix('_').unwrap_or(name);
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if name.len() <= 63 && !plain.is_empty() && plain.bytes().all(allowed) {
        Ok(())
    } else {
        Err(LogError::Invalid(format!("log name {name:?} is not 1 to 63 of a-z, 0-9 and -")))
    }
}

fn check_site(site: &str) -> Result<()> {
    let allowed = |b: u8| b.is_ascii_graphic() && b != b'+';
    if !site.is_empty()
        && site.len() <= 128
        && site.bytes().all(allowed)
        && !site.starts_with('/')
        && !site.ends_with('/')
    {
        Ok(())
    } else {
        Err(LogError::Invalid(format!(
            "site {site:?} is not a name such as logs.example.com (no spaces, no +)"
        )))
    }
}

fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(bytes.as_mut())
        .map_err(|e| LogError::Invalid(format!("the system gives no random bytes: {e}")))?;
    Ok(bytes)
}

impl DataDir {
    /// Opens a data directory, or creates it with `site` (default `indelible-` and
    /// eight random hex digits), which never changes afterwards.
    ///
    /// # Errors
    /// [`LogError::Invalid`] when `site` is another than the directory's.
    pub fn open_or_create(path: &Path, site: Option<&str>) -> Result<Self> {
        let store = LocalStore::create(path)?;
        LocalStore::create(path.join("logs"))?;
        if let Err(StoreError::NotFound { .. }) = store.open(SITE) {
            let new = match site {
                Some(site) => site.to_owned(),
                None => {
                    let number = u32::from_be_bytes(*random::<4>()?);
                    format!("indelible-{number:08x}")
                }
            };
            check_site(&new)?;
            match store.create(SITE, format!("{new}\n").as_bytes()) {
                Ok(()) | Err(StoreError::AlreadyExists { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let data = Self::open(path)?;
        match site {
            Some(wanted) if wanted != data.site => Err(LogError::Invalid(format!(
                "{} belongs to site {:?}, which never changes; {wanted:?} needs a directory of its own",
                path.display(),
                data.site
            ))),
            _ => Ok(data),
        }
    }

    /// Opens an existing data directory.
    ///
    /// # Errors
    /// [`LogError::NoLog`] when it is not one.
    pub fn open(path: &Path) -> Result<Self> {
        let store = LocalStore::open(path)?;
        let site = match store.read(SITE) {
            Err(StoreError::NotFound { .. }) => {
                return Err(LogError::NoLog(path.display().to_string()));
            }
            other => other?,
        };
        let text = String::from_utf8(site).ok();
        let site = text
            .as_deref()
            .and_then(|text| text.strip_suffix('\n'))
            .filter(|site| check_site(site).is_ok());
        let site = site.ok_or_else(|| damaged(SITE, 0, "not the name of a site"))?.to_owned();
        Ok(Self { store, site })
    }

    /// Name of the site.
    #[must_use]
    pub fn site(&self) -> &str {
        &self.site
    }

    /// Path of the directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.store.root()
    }

    /// Origin of a log of this site.
    #[must_use]
    pub fn origin(&self, log: &str) -> String {
        format!("{}/{log}", self.site)
    }

    /// Names of the logs, sorted.
    ///
    /// # Errors
    /// What the system says.
    pub fn logs(&self) -> Result<Vec<String>> {
        let mut names = self.store.folders("logs")?;
        let logs = self.path().join("logs");
        names.retain(|name| logs.join(name).join(crate::manifest::PATH).is_file());
        Ok(names)
    }

    /// The store of an existing log.
    ///
    /// # Errors
    /// [`LogError::NoLog`] when there is none of that name.
    pub fn store(&self, log: &str) -> Result<Arc<dyn Store>> {
        check_log_name(log)?;
        let path = self.path().join("logs").join(log);
        match LocalStore::open(&path) {
            Ok(store) if path.join(crate::manifest::PATH).is_file() => Ok(Arc::new(store)),
            Ok(_) | Err(StoreError::NotFound { .. }) => {
                Err(LogError::NoLog(path.display().to_string()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Creates a log with a new random key, or with the one that an attempt before left.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`] when there is one of that name;
    /// [`LogError::Damaged`] when there is all of one but its manifest.
    pub fn create_log(&self, log: &str, kind: Kind, options: &Options) -> Result<()> {
        check_log_name(log)?;
        let store = LocalStore::create(self.path().join("logs").join(log))?;
        let _lock = store.lock()?;
        create::create(&manifest(&self.origin(log), kind, options), &store, options)
    }

    /// The newest key of an existing log, without opening it.
    ///
    /// # Errors
    /// [`LogError::NoLog`] when there is none of that name.
    pub fn verifying_key(&self, log: &str, options: &Options) -> Result<VerifyingKey> {
        let store = self.store(log)?;
        Ok(KeyRing::load(store.as_ref(), options)?.current().clone())
    }

    /// Removes what is left of a log whose making was cut short, so that the name can
    /// be used; its key stays for the next log of that name. A folder that ever took a record
    /// is never touched.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`] when the log has been in use.
    pub fn discard_unused(&self, log: &str) -> Result<()> {
        check_log_name(log)?;
        let store = match self.store(log) {
            Err(LogError::NoLog(_)) => return Ok(()),
            other => other?,
        };
        let _lock = store.lock()?;
        if let Some(path) = create::in_use(store.as_ref())? {
            return Err(StoreError::AlreadyExists { path }.into());
        }
        store.delete(crate::manifest::PATH)?;
        Ok(())
    }
}

fn manifest(origin: &str, kind: Kind, options: &Options) -> Manifest {
    let created_at = Timestamp::from_micros(options.clock.now_us()).to_string();
    Manifest { origin: origin.to_owned(), kind, created_at }
}

/// Creates a log in a store from a seed for its key.
pub(crate) fn create_in(
    store: &dyn Store,
    origin: &str,
    kind: Kind,
    options: &Options,
    seed: &[u8; 32],
) -> Result<()> {
    create::create_from_seed(&manifest(origin, kind, options), store, options, seed)
}
