//! What each kind of hostile connection does. All are bounded in count, time and bytes,
//! and all go from 127.0.0.2 and its neighbours to this machine alone.

use std::{
    io::{self, Write as _},
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::{Instant, sleep, sleep_until, timeout_at},
};

/// Most bytes that one connection sends without reading, and that one head has.
const FILL: usize = 1 << 20;
/// Zeros in one zip bomb.
const BOMB: usize = 256 << 20;
/// Pause between two requests of one hostile connection.
const PACE: Duration = Duration::from_secs(1);
/// Addresses that the hostile connections come from: 127.0.0.2 to 127.0.0.20.
const SOURCES: usize = 19;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    NeverReading,
    Dribbling,
    HugeHeads,
    Methods,
    LogNames,
    Bombs,
    Tails,
}

impl Kind {
    pub(super) const ALL: [Self; 7] = [
        Self::NeverReading,
        Self::Dribbling,
        Self::HugeHeads,
        Self::Methods,
        Self::LogNames,
        Self::Bombs,
        Self::Tails,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::NeverReading => "never reading",
            Self::Dribbling => "dribbling bodies",
            Self::HugeHeads => "huge heads",
            Self::Methods => "made-up methods",
            Self::LogNames => "made-up log names",
            Self::Bombs => "zip bombs",
            Self::Tails => "idle tails",
        }
    }
}

/// What the hostile connections know of the server.
pub(super) struct Target {
    pub(super) address: SocketAddr,
    /// A token that may append and read.
    pub(super) token: String,
    /// Log that bodies go to.
    pub(super) log: &'static str,
    /// Log of large events that tails follow.
    pub(super) large: &'static str,
    bomb: Vec<u8>,
}

impl Target {
    pub(super) fn new(
        address: SocketAddr,
        token: &str,
        log: &'static str,
        large: &'static str,
    ) -> io::Result<Self> {
        let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        let zeros = vec![0; 1 << 20];
        for _ in 0..BOMB / zeros.len() {
            bomb.write_all(&zeros)?;
        }
        Ok(Self { address, token: token.to_owned(), log, large, bomb: bomb.finish()? })
    }

    fn append(&self, more: &str) -> String {
        format!(
            "POST /v1/logs/{}/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/x-ndjson\r\n{more}\r\n",
            self.log, self.token
        )
    }
}

/// How one kind's connections fared.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Fared {
    /// Connections that the server took, those opened anew after a loss among them.
    pub(super) opened: usize,
    /// Connections that were open at the end.
    pub(super) held: usize,
    /// Attempts to connect that failed.
    pub(super) refused: usize,
}

/// Keeps `count` connections of one kind busy until then. Whoever is cut off comes
/// back a second later.
pub(super) async fn attack(target: Arc<Target>, kind: Kind, count: usize, until: Instant) -> Fared {
    let each: Vec<_> = (0..count)
        .map(|number| tokio::spawn(persist(Arc::clone(&target), kind, number, until)))
        .collect();
    let mut fared = Fared::default();
    for one in each {
        let one = one.await.unwrap_or_default();
        fared.opened += one.opened;
        fared.held += one.held;
        fared.refused += one.refused;
    }
    fared
}

async fn persist(target: Arc<Target>, kind: Kind, number: usize, until: Instant) -> Fared {
    let mut fared = Fared::default();
    // Spread over half a second, so that the listener's queue is not what is measured.
    sleep(Duration::from_micros((number as u64).wrapping_mul(250) % 500_000)).await;
    while Instant::now() < until {
        match timeout_at(until, connect(target.address, number)).await {
            Ok(Ok(stream)) => {
                fared.opened += 1;
                // Only the end of the time leaves a connection open.
                if timeout_at(until, harass(&target, kind, number, stream)).await.is_err() {
                    fared.held += 1;
                }
            }
            Ok(Err(_)) | Err(_) => fared.refused += 1,
        }
        sleep_until(until.min(Instant::now() + PACE)).await;
    }
    fared
}

async fn connect(address: SocketAddr, number: usize) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    // What the server sends must stay with the server.
    socket.set_recv_buffer_size(4096)?;
    let source = Ipv4Addr::new(127, 0, 0, u8::try_from(2 + number % SOURCES).unwrap_or(2));
    socket.bind(SocketAddr::from((source, 0)))?;
    socket.connect(address).await
}

/// Ends when the server closed the connection.
async fn harass(target: &Target, kind: Kind, number: usize, mut stream: TcpStream) {
    let ended = match kind {
        Kind::NeverReading => never_reading(&mut stream).await,
        Kind::Dribbling => dribble(target, &mut stream).await,
        Kind::HugeHeads => huge_head(&mut stream).await,
        Kind::Methods => methods(number, &mut stream).await,
        Kind::LogNames => log_names(number, &mut stream).await,
        Kind::Bombs => bombs(target, &mut stream).await,
        Kind::Tails => tail(target, &mut stream).await,
    };
    // How it was cut off is the server's choice.
    drop(ended);
}

async fn never_reading(stream: &mut TcpStream) -> io::Result<()> {
    let many = "GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100);
    for _ in 0..FILL / many.len() {
        stream.write_all(many.as_bytes()).await?;
    }
    silent(stream).await
}

/// Holds the connection without reading: the server's end of it is found by writing.
async fn silent(stream: &TcpStream) -> io::Result<()> {
    loop {
        sleep(PACE).await;
        if let Some(error) = stream.take_error()? {
            return Err(error);
        }
        // An empty line before a request is allowed, so it harms nothing.
        if let Err(error) = stream.try_write(b"\r\n")
            && error.kind() != io::ErrorKind::WouldBlock
        {
            return Err(error);
        }
    }
}

async fn dribble(target: &Target, stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(target.append("Content-Length: 100000\r\n").as_bytes()).await?;
    loop {
        stream.write_all(b"{").await?;
        let mut answer = [0; 512];
        match tokio::time::timeout(PACE, stream.read(&mut answer)).await {
            Ok(Ok(0)) => return Ok(()),
            Ok(Err(error)) => return Err(error),
            Ok(Ok(_)) | Err(_) => {}
        }
    }
}

async fn huge_head(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n").await?;
    let line = format!("X-Padding: {}\r\n", "x".repeat(1000));
    for _ in 0..FILL / line.len() {
        stream.write_all(line.as_bytes()).await?;
    }
    read_to_end(stream).await
}

async fn read_to_end(stream: &mut TcpStream) -> io::Result<()> {
    let mut answer = [0; 4096];
    while stream.read(&mut answer).await? > 0 {}
    Ok(())
}

async fn methods(number: usize, stream: &mut TcpStream) -> io::Result<()> {
    for turn in 0.. {
        let method = format!("BREW{number}X{turn}X{}", "A".repeat(400));
        let request = format!("{method} /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
        ask(stream, request.as_bytes()).await?;
    }
    Ok(())
}

async fn log_names(number: usize, stream: &mut TcpStream) -> io::Result<()> {
    for turn in 0.. {
        let name = format!("made-up-{number}-{turn}");
        let request = format!("GET /v1/logs/{name}/events HTTP/1.1\r\nHost: x\r\n\r\n");
        ask(stream, request.as_bytes()).await?;
    }
    Ok(())
}

async fn bombs(target: &Target, stream: &mut TcpStream) -> io::Result<()> {
    let head = format!("Content-Encoding: gzip\r\nContent-Length: {}\r\n", target.bomb.len());
    let head = target.append(&head);
    loop {
        stream.write_all(head.as_bytes()).await?;
        ask(stream, &target.bomb).await?;
    }
}

/// One request, and what comes back within a second.
async fn ask(stream: &mut TcpStream, request: &[u8]) -> io::Result<()> {
    stream.write_all(request).await?;
    let next = Instant::now() + PACE;
    let mut answer = [0; 4096];
    while let Ok(read) = timeout_at(next, stream.read(&mut answer)).await {
        if read? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

async fn tail(target: &Target, stream: &mut TcpStream) -> io::Result<()> {
    let request = format!(
        "GET /v1/logs/{}/tail?after=0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n",
        target.large, target.token
    );
    stream.write_all(request.as_bytes()).await?;
    silent(stream).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// Every kind reaches a listener, never from the address of the honest, and whoever
    /// is not cut off counts as held.
    #[test]
    fn each_kind_comes_from_another_address() -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (mut listeners, mut attacks) = (Vec::new(), Vec::new());
        for kind in Kind::ALL {
            let listener = TcpListener::bind(("127.0.0.1", 0))?;
            let target = Arc::new(Target {
                address: listener.local_addr()?,
                token: "secret".to_owned(),
                log: "prod",
                large: "large",
                bomb: vec![0; 1000],
            });
            let until = Instant::now() + Duration::from_secs(3);
            attacks.push(runtime.spawn(attack(target, kind, 2, until)));
            listeners.push(listener);
        }
        for (attack, listener) in attacks.into_iter().zip(listeners) {
            let fared = runtime.block_on(attack)?;
            assert_eq!((fared.opened, fared.held, fared.refused), (2, 2, 0));
            for _ in 0..2 {
                assert_ne!(listener.accept()?.1.ip(), Ipv4Addr::LOCALHOST);
            }
        }
        Ok(())
    }
}
