//! The client against servers that are none: what they send is bounded, and what is for
//! one server is not for another.
#![expect(clippy::unwrap_used, reason = "tests state their expectations by failing")]

use indelible_api::{ReadConsistency, RecordName};
use indelible_client::{Client, ClientError, Credentials, LogClient};
use indelible_tlog::VerifyingKey;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

/// A server that begins each answer with `head` and then sends without end.
struct Endless {
    url: String,
    /// Bytes that it got rid of.
    sent: Arc<AtomicU64>,
}

impl Endless {
    async fn answering(head: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let sent = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&sent);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let sent = Arc::clone(&counted);
                tokio::spawn(async move {
                    let mut request = [0; 4096];
                    drop(stream.read(&mut request).await);
                    drop(stream.write_all(head.as_bytes()).await);
                    let part = vec![b' '; 64 << 10];
                    while stream.write_all(&part).await.is_ok() {
                        sent.fetch_add(part.len() as u64, Ordering::Relaxed);
                    }
                });
            }
        });
        Self { url, sent }
    }

    async fn log(&self) -> LogClient {
        let client = Client::new(&self.url, &Credentials::default()).unwrap();
        let key: VerifyingKey = KEY.parse().unwrap();
        client.log("prod", Some(key)).await.unwrap()
    }
}

const KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const GOES_ON: &str = "HTTP/1.1 200 OK\r\n\r\n";
const MIB: u64 = 1 << 20;
/// What a connection holds on its way, besides what was read.
const ON_THE_WAY: u64 = 32 * MIB;

#[tokio::test]
async fn no_more_is_read_of_an_answer_than_such_an_answer_has() {
    for (what, most) in [("checkpoint", MIB), ("record", 65_535), ("receipt", MIB + (16 << 10))] {
        let server = Endless::answering(GOES_ON).await;
        let log = server.log().await;
        let error = match what {
            "checkpoint" => log.advance(None).await.map(drop).unwrap_err(),
            "record" => log.record(&RecordName::Index(0)).await.map(drop).unwrap_err(),
            _ => log.prove(&RecordName::Index(0), None).await.map(drop).unwrap_err(),
        };
        assert!(
            matches!(error, ClientError::TooLong { most: told } if told as u64 == most),
            "{what}: {error}"
        );
        assert!(!error.is_evidence(), "that somebody sends too much says nothing of the log");
        let sent = server.sent.load(Ordering::Relaxed);
        assert!(sent < most + ON_THE_WAY, "{what}: {sent} bytes were taken");
    }
}

#[tokio::test]
async fn a_page_of_json_is_bounded() {
    let server = Endless::answering(GOES_ON).await;
    let error =
        server.log().await.search("", false, 10, None, ReadConsistency::Head).await.unwrap_err();
    assert!(matches!(error, ClientError::TooLong { .. }), "{error}");
    let sent = server.sent.load(Ordering::Relaxed);
    assert!(sent < 144 * MIB + ON_THE_WAY, "{sent} bytes were taken");
}

#[tokio::test]
async fn a_length_that_is_told_is_believed_before_anything_is_read() {
    let told = "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n";
    let error = Endless::answering(told).await.log().await.advance(None).await.unwrap_err();
    assert!(matches!(error, ClientError::TooLong { .. }), "{error}");
}

#[tokio::test]
async fn a_refusal_without_end_is_refused() {
    let refused = "HTTP/1.1 500 No\r\n\r\n";
    let server = Endless::answering(refused).await;
    let error = server.log().await.advance(None).await.unwrap_err();
    assert!(error.to_string().contains("status 500 without an error body"), "{error}");
    assert!(server.sent.load(Ordering::Relaxed) < MIB + ON_THE_WAY);
}

#[tokio::test]
async fn a_stream_of_events_without_an_event_ends() {
    let server = Endless::answering(GOES_ON).await;
    let error = server.log().await.follow("", None, |_| {}).await.unwrap_err();
    assert!(matches!(error, ClientError::TooLong { .. }), "{error}");
}

#[test]
fn one_server_is_told_from_another() {
    let same = [
        ("https://log.example.com", "https://LOG.example.com:443/"),
        ("http://127.0.0.1:7070", "http://127.0.0.1:7070/"),
        ("https://example.com/logs", "https://example.com/logs/"),
    ];
    let others = [
        ("https://log.example.com", "http://log.example.com"),
        ("https://log.example.com", "https://log.example.com.evil.example"),
        ("https://log.example.com", "https://log.example.com:8443"),
        ("https://log.example.com", "https://log.example.com@evil.example"),
        ("https://example.com/a", "https://example.com/b"),
        ("no url", "no url"),
    ];
    assert!(same.iter().all(|(one, other)| Client::is_same_server(one, other)));
    for (one, other) in others {
        assert!(!Client::is_same_server(one, other), "{one} {other}");
    }
}
