//! Other spellings of every path: nothing is served, decided or recorded by how a path
//! is written.

use crate::{TestServer, event};
use indelible_server::ROUTES;
use reqwest::{Method, StatusCode};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// The status of a request whose path is sent exactly as it is.
async fn status(server: &TestServer, method: &str, path: &str, token: Option<&str>) -> u16 {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let credential =
        token.map_or_else(String::new, |token| format!("Authorization: Bearer {token}\r\n"));
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{credential}Connection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let text = String::from_utf8_lossy(&answer);
    text.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("no status line")
}

/// A public log with a record, and every route's path with real names in it.
async fn paths(server: &TestServer) -> Vec<(&'static str, String)> {
    server.append("", event("a")).await;
    let publish = server.request(Method::PATCH, "/v1/logs/prod").body(r#"{"public":true}"#);
    assert_eq!(server.call(publish).await.0, StatusCode::OK);
    let fill = |path: &str| {
        path.replace("{log}", "prod")
            .replace("entries/{*path}", "entries/000.p/1")
            .replace("{*path}", "0/000.p/1")
            .replace("{record}", "0")
            .replace("{sha256}", &"0".repeat(64))
            .replace("{export}", "exp-none")
            .replace("{view}", "v")
            .replace("{id}", "none")
    };
    ROUTES.iter().map(|route| (route.rule.method, fill(route.rule.path))).collect()
}

#[tokio::test]
async fn a_path_is_served_in_one_spelling_only() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::with_log(folder.path()).await;
    let mut tried = 0;
    for (method, path) in paths(&server).await {
        for (at, letter) in path.char_indices().skip(1) {
            let (before, after) = (&path[..at], &path[at + 1..]);
            let encoded = format!("{before}%{:02X}{after}", u32::from(letter));
            let lower = format!("{before}%{:02x}{after}", u32::from(letter));
            let twice = format!("{before}%25{:02X}{after}", u32::from(letter));
            for (spelled, token) in
                [(&encoded, None), (&encoded, Some(server.token.as_str())), (&lower, None)]
            {
                let found = status(&server, method, spelled, token).await;
                assert_eq!(found, 400, "{method} {spelled}");
            }
            // Encoded twice it is another name, and there is nothing of that name.
            let found = status(&server, method, &twice, None).await;
            assert!((400..500).contains(&found), "{method} {twice}: {found}");
            tried += 1;
        }
        for spelled in [
            format!("{path}/"),
            format!("/{path}"),
            format!("/.{path}"),
            format!("/x/..{path}"),
            format!("/%2E%2E{path}"),
            format!("{path}%FF"),
            format!("{path}%00"),
            format!("{path}%"),
        ] {
            assert_eq!(status(&server, method, &spelled, None).await, 400, "{method} {spelled}");
        }
    }
    assert!(tried > 500, "{tried}");
    server.stop().await;
}

/// Records are records whatever stands before them.
#[tokio::test]
async fn entry_bundles_take_the_leave_to_read() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::with_log(folder.path()).await;
    paths(&server).await;
    let verifier = server.issue(&["verifier:*"]).await;
    for path in [
        "/tlog/prod/tile/%65ntries/000.p/1",
        "/tlog/prod/tile/entries%2F000.p/1",
        "/tlog/prod/tile/entries/000.p/1",
        "/tlog/prod/tile/0/../entries/000.p/1",
        "/tlog/_control/tile/%65ntries/000.p/1",
    ] {
        for token in [None, Some(verifier.as_str())] {
            let found = status(&server, "GET", path, token).await;
            assert!((400..=403).contains(&found), "{path}: {found}");
        }
    }
    assert_eq!(status(&server, "GET", "/tlog/prod/tile/0/000.p/1", None).await, 200);
    server.stop().await;
}
