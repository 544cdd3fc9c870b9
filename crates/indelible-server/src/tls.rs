//! TLS 1.2 and 1.3, client certificates, and certificates that are replaced while the
//! server runs.

use parking_lot::RwLock;
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, RootCertStore, ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
        server::{NoServerSessionStorage, WebPkiClientVerifier},
    },
};

/// How often the files are looked at.
pub(crate) const RELOAD: Duration = Duration::from_secs(5);

/// Files of TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsConfig {
    /// Certificate chain, PEM, the server's own first.
    pub certificates: PathBuf,
    /// Its private key, PEM; readable by its owner alone.
    pub key: PathBuf,
    /// Authorities whose client certificates are taken, PEM. Clients without a
    /// certificate are let in all the same and need another credential.
    pub client_authorities: Option<PathBuf>,
}

/// Why TLS cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("could not read {0}")]
    File(PathBuf, #[source] io::Error),
    /// A file does not hold what it should.
    #[error("{0} holds no {1} in PEM form")]
    Pem(PathBuf, &'static str),
    /// Others can read the private key.
    #[error("{0} can be read by others: chmod 600 it")]
    Open(PathBuf),
    /// They do not fit together.
    #[error("the certificate {0} and the key {1} cannot be used")]
    Use(PathBuf, PathBuf, #[source] rustls::Error),
    /// The client authorities cannot be used.
    #[error("the client authorities in {0} cannot be used: {1}")]
    Authorities(PathBuf, String),
}

/// The configuration for new connections, replaced when its files are.
#[derive(Debug)]
pub(crate) struct Tls {
    config: TlsConfig,
    current: RwLock<(Arc<ServerConfig>, Vec<Option<SystemTime>>)>,
}

impl Tls {
    pub(crate) fn open(config: &TlsConfig) -> Result<Self, TlsError> {
        let stamps = stamps(config);
        let current = RwLock::new((Arc::new(load(config)?), stamps));
        Ok(Self { config: config.clone(), current })
    }

    /// An acceptor for one connection.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.current.read().0))
    }

    /// Loads the files again if one of them changed; what cannot be used is logged and
    /// the old ones stay in use.
    pub(crate) fn reload(&self) {
        let stamps = stamps(&self.config);
        if self.current.read().1 == stamps {
            return;
        }
        match load(&self.config) {
            Ok(loaded) => {
                *self.current.write() = (Arc::new(loaded), stamps);
                tracing::info!("certificates were replaced; new connections use them");
            }
            Err(error) => {
                self.current.write().1 = stamps;
                let error = indelible_log::chain(&error);
                tracing::error!(error, "the new certificates cannot be used; the old ones stay");
            }
        }
    }
}

fn stamps(config: &TlsConfig) -> Vec<Option<SystemTime>> {
    [Some(&config.certificates), Some(&config.key), config.client_authorities.as_ref()]
        .into_iter()
        .flatten()
        .map(|path| std::fs::metadata(path).and_then(|found| found.modified()).ok())
        .collect()
}

fn load(config: &TlsConfig) -> Result<ServerConfig, TlsError> {
    check_private(&config.key)?;
    let certificates = certificates(&config.certificates)?;
    let key = PrivateKeyDer::from_pem_slice(&read(&config.key)?)
        .map_err(|_| TlsError::Pem(config.key.clone(), "private key"))?;
    warn_of_expiry(&config.certificates, &certificates);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let use_error = |e| TlsError::Use(config.certificates.clone(), config.key.clone(), e);
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(use_error)?;
    let builder = match &config.client_authorities {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let refused = |e: String| TlsError::Authorities(path.clone(), e);
            let mut roots = RootCertStore::empty();
            for authority in self::certificates(path)? {
                roots.add(authority).map_err(|e| refused(e.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .allow_unauthenticated()
                .build()
                .map_err(|e| refused(e.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut loaded = builder.with_single_cert(certificates, key).map_err(use_error)?;
    loaded.alpn_protocols = vec![b"http/1.1".to_vec()];
    if config.client_authorities.is_some() {
        // A resumed session would show a certificate that nobody checked anew: one that
        // has expired meanwhile, or whose authority was replaced.
        loaded.session_storage = Arc::new(NoServerSessionStorage {});
        loaded.send_tls13_tickets = 0;
    }
    Ok(loaded)
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|e| TlsError::File(path.to_owned(), e))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(path)?).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(TlsError::Pem(path.to_owned(), "certificate")),
    }
}

fn check_private(path: &Path) -> Result<(), TlsError> {
    use std::os::unix::fs::PermissionsExt as _;
    let found = std::fs::metadata(path).map_err(|e| TlsError::File(path.to_owned(), e))?;
    if found.permissions().mode() & 0o077 == 0 {
        Ok(())
    } else {
        Err(TlsError::Open(path.to_owned()))
    }
}

fn warn_of_expiry(path: &Path, certificates: &[CertificateDer<'_>]) {
    use x509_parser::prelude::{FromDer as _, X509Certificate};
    let Some((_, own)) = certificates.first().and_then(|der| X509Certificate::from_der(der).ok())
    else {
        return;
    };
    let path = path.display();
    match own.validity().time_to_expiration() {
        None => tracing::error!(%path, "the certificate has expired: clients will refuse it"),
        Some(left) if left.whole_days() < 14 => {
            tracing::warn!(%path, days = left.whole_days(), "the certificate expires soon");
        }
        Some(_) => {}
    }
}
