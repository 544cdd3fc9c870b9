//! TLS with certificates made here: versions, client certificates, replacement.

use crate::config;
use indelible_server::{Server, StartError, TlsConfig};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair,
};
use reqwest::{Certificate, Identity, StatusCode, tls::Version};
use serde_json::Value;
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::io::AsyncReadExt as _;

/// An authority.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate and its key, PEM.
    fn certify(
        &self,
        subject: &[(DnType, &str)],
        use_for: ExtendedKeyUsagePurpose,
        expired: bool,
    ) -> (String, String) {
        let mut params =
            CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in subject {
            params.distinguished_name.push(kind.clone(), *value);
        }
        params.extended_key_usages = vec![use_for];
        if expired {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    fn server(&self) -> (String, String) {
        self.certify(&[(DnType::CommonName, "server")], ExtendedKeyUsagePurpose::ServerAuth, false)
    }

    fn client(&self, subject: &[(DnType, &str)], expired: bool) -> Identity {
        let (certificate, key) =
            self.certify(subject, ExtendedKeyUsagePurpose::ClientAuth, expired);
        Identity::from_pem(format!("{certificate}{key}").as_bytes()).unwrap()
    }
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn files(folder: &Path) -> TlsConfig {
    let path = |name: &str| -> PathBuf { folder.join(name) };
    TlsConfig {
        certificates: path("cert.pem"),
        key: path("key.pem"),
        client_authorities: Some(path("clients.pem")),
    }
}

fn client(
    authority: &Authority,
    identity: Option<Identity>,
    version: Option<Version>,
) -> reqwest::Client {
    let root = Certificate::from_pem(authority.pem.as_bytes()).unwrap();
    let mut builder = reqwest::Client::builder().tls_certs_only([root]);
    if let Some(identity) = identity {
        builder = builder.identity(identity);
    }
    if let Some(version) = version {
        builder = builder.tls_version_min(version).tls_version_max(version);
    }
    builder.build().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_client_certificates_and_replacement() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, clients) = (Authority::new(), Authority::new());
    let tls = files(folder.path());
    let (certificate, key) = authority.server();
    write(&tls.certificates, &certificate);
    write(&tls.key, &key);
    write(tls.client_authorities.as_ref().unwrap(), &clients.pem);
    let mut config = config(&folder.path().join("data"));
    config.access.tls = Some(tls.clone());
    config.access.bootstrap_token_file = None;
    config.limits.idle = Duration::from_secs(1);
    // With TLS it may listen where other machines connect.
    config.listen = "0.0.0.0:0".parse().unwrap();
    let server = Server::bind(&config).await.unwrap();
    let operator = server.operator_token().unwrap().to_owned();
    let port = server.address().unwrap().port();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let task = tokio::spawn(server.run(async move { drop(stopped.await) }));
    let url = |path: &str| format!("https://localhost:{port}{path}");
    for version in [Version::TLS_1_2, Version::TLS_1_3] {
        let http = client(&authority, None, Some(version));
        let answer = http.get(url("/v1/whoami")).bearer_auth(&operator).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(answer.headers().contains_key("strict-transport-security"));
        assert_eq!(
            http.get(url("/v1/whoami")).send().await.unwrap().status(),
            StatusCode::UNAUTHORIZED
        );
    }
    // A client certificate is a principal: without a grant it may nothing, with one what it says.
    let subject = [(DnType::CommonName, "app"), (DnType::OrganizationName, "acme")];
    let app = client(&authority, Some(clients.client(&subject, false)), None);
    let me: Value = app.get(url("/v1/whoami")).send().await.unwrap().json().await.unwrap();
    assert_eq!((&me["principal"], &me["name"]), (&"cert:CN=app,O=acme".into(), &"app".into()));
    assert_eq!(me["grants"], serde_json::json!([]));
    let http = client(&authority, None, None);
    let create = http.post(url("/v1/logs")).bearer_auth(&operator).body(r#"{"name":"prod"}"#);
    assert_eq!(create.send().await.unwrap().status(), StatusCode::CREATED);
    let append = || app.post(url("/v1/logs/prod/events")).body(crate::event("e")).send();
    assert_eq!(append().await.unwrap().status(), StatusCode::NOT_FOUND);
    let grant = serde_json::json!({ "subject": "cert:CN=app,O=acme", "grant": { "role": "writer", "log": "prod" } });
    let add = http.post(url("/v1/grants")).bearer_auth(&operator).json(&grant);
    assert_eq!(add.send().await.unwrap().status(), StatusCode::CREATED);
    let appended: Value = append().await.unwrap().json().await.unwrap();
    assert_eq!(appended["recorded_by"], "cert:CN=app,O=acme");
    // Strangers' and expired certificates do not get as far as HTTP.
    for identity in [Authority::new().client(&subject, false), clients.client(&subject, true)] {
        let refused = client(&authority, Some(identity), None).get(url("/v1/whoami")).send().await;
        assert!(refused.is_err(), "{refused:?}");
    }
    // Plain HTTP on the port, and a handshake that never comes, are let go.
    assert!(reqwest::get(format!("http://localhost:{port}/healthz")).await.is_err());
    let mut silent = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let closed =
        tokio::time::timeout(Duration::from_secs(20), silent.read_to_end(&mut Vec::new())).await;
    assert!(closed.is_ok(), "the silent connection is still open");
    // New files are used without a restart; what cannot be used changes nothing.
    write(&tls.certificates, "nonsense");
    tokio::time::sleep(Duration::from_secs(6)).await;
    let answer = client(&authority, None, None).get(url("/healthz")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let replaced = Authority::new();
    let (certificate, key) = replaced.server();
    write(&tls.key, &key);
    write(&tls.certificates, &certificate);
    let mut renewed = false;
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let answer = client(&replaced, None, None).get(url("/healthz")).send().await;
        if answer.is_ok_and(|answer| answer.status() == StatusCode::OK) {
            renewed = true;
            break;
        }
    }
    assert!(renewed, "the new certificate is not used");
    assert!(client(&authority, None, None).get(url("/healthz")).send().await.is_err());
    drop(stop);
    task.await.unwrap();
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let tls = TlsConfig { client_authorities: None, ..files(folder.path()) };
    let mut config = config(&folder.path().join("data"));
    config.access.tls = Some(tls.clone());
    let refused = async |said: &str| {
        let error = Server::bind(&config).await.err().unwrap();
        assert!(matches!(error, StartError::Tls(_)), "{error}");
        assert!(error.to_string().contains(said), "{error}");
    };
    refused("could not read").await;
    let (certificate, key) = authority.server();
    write(&tls.certificates, &certificate);
    write(&tls.key, &key);
    fs::set_permissions(&tls.key, fs::Permissions::from_mode(0o640)).unwrap();
    refused("can be read by others").await;
    write(&tls.key, "no key");
    refused("holds no private key").await;
    write(&tls.key, &authority.server().1);
    refused("cannot be used").await;
}
