//! Accepting connections, and stopping without losing anything.

mod patience;
mod shares;

use crate::{
    access::{certificate, peer::Peer},
    app::{App, StartError},
    chores,
    http::wrap::wrap,
    program,
    settings::Config,
    table,
    tls::Tls,
};
use axum::{Router, extract::Request};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use patience::Patient;
use shares::Shares;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tower::ServiceExt as _;

/// Bytes of a request's head at most, and of an answer's parts that wait together.
const MAX_HEAD: usize = 64 << 10;

/// Bytes of an answer that the system takes before the peer has read them; it doubles
/// what it is told.
const SEND_BUFFER: u32 = 256 << 10;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// A server that is bound to its address and has its logs open.
#[derive(Debug)]
pub struct Server {
    app: Arc<App>,
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    operator_token: Option<String>,
}

impl Server {
    /// Opens the logs and binds the address.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn bind(config: &Config) -> Result<Self, StartError> {
        let access = &config.access;
        if access.tls.is_none() && !access.plain_http && !config.listen.ip().is_loopback() {
            return Err(StartError::PlainHttp(config.listen));
        }
        let tls = match &access.tls {
            Some(files) => Some(Arc::new(Tls::open(files)?)),
            None => None,
        };
        let listener = listen(config.listen).map_err(|e| StartError::Listen(config.listen, e))?;
        // Beside the logs: a large program takes a while.
        let binary = tokio::task::spawn_blocking(program::digest);
        let app = Arc::new(App::open(config)?);
        let operator_token = app.begin(config, binary.await.unwrap_or_default()).await?;
        Ok(Self { app, listener, tls, operator_token })
    }

    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }

    /// The operator's token, if this start issued one that is in no file.
    #[must_use]
    pub fn operator_token(&self) -> Option<&str> {
        self.operator_token.as_deref()
    }

    /// What its requests share.
    #[must_use]
    pub fn app(&self) -> Arc<App> {
        Arc::clone(&self.app)
    }

    /// Serves until `stop` resolves, lets running requests finish, commits what was
    /// accepted and closes the logs.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let limits = self.app.limits;
        let shares = Shares::new(limits.connections, limits.connections_per_address);
        let (stopping, stopped) = watch::channel(false);
        let router = wrap(Arc::clone(&self.app), table::build(&self.app));
        let chores = tokio::spawn({
            let (app, tls) = (Arc::clone(&self.app), self.tls.clone());
            async move {
                let write_down = |hourly| app.write_down(hourly, false);
                let (desk, life, scrub) = (&app.desk, &app.life, &app.scrub);
                chores::run(&app.metrics, desk, life, scrub, write_down, tls).await;
            }
        });
        let mut connections = JoinSet::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = &mut stop => break,
            };
            let (stream, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors or a connection reset before it was accepted.
                    tracing::warn!(%error, "could not accept a connection");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                }
            };
            let Some(place) = shares.take(address.ip(), self.app.is_proxy(address.ip())) else {
                tracing::debug!(peer = %address, "no place for another connection from there");
                continue;
            };
            // Small answers must not wait for the peer's delayed acknowledgement.
            drop(stream.set_nodelay(true));
            let connection = Connection {
                router: router.clone(),
                idle: limits.idle,
                stopped: stopped.clone(),
                peer: Peer { address, certificate: None },
            };
            let tls = self.tls.clone();
            connections.spawn(async move {
                tokio::select! {
                    () = connection.serve(stream, tls) => {}
                    () = place.lost.notified() => {
                        tracing::debug!(peer = %address, "a connection gave way to a newcomer");
                    }
                }
            });
            while connections.try_join_next().is_some() {}
        }
        drop(self.listener);
        stopping.send_replace(true);
        self.app.stopping.send_replace(true);
        let drained = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(limits.shutdown, drained).await.is_err() {
            tracing::warn!("some requests did not finish in time and were cut off");
            connections.abort_all();
        }
        chores.abort();
        self.app.write_down(true, true).await;
        let app = Arc::clone(&self.app);
        // Closing waits for the sequencers; a panic there has ended the process.
        drop(tokio::task::spawn_blocking(move || app.close()).await);
    }
}

/// Listens. What is accepted inherits the bound on what the system buffers of answers:
/// whoever opens connections and never reads makes us copy so much for each.
fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// One connection.
struct Connection {
    router: Router,
    idle: Duration,
    stopped: watch::Receiver<bool>,
    peer: Peer,
}

impl Connection {
    async fn serve(mut self, stream: TcpStream, tls: Option<Arc<Tls>>) {
        let Some(tls) = tls else { return self.http(stream).await };
        // A handshake that does not end is a slow client like any other.
        let handshake = tls.acceptor().accept(stream);
        match tokio::time::timeout(self.idle, handshake).await {
            Ok(Ok(stream)) => {
                let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
                self.peer.certificate =
                    chain.first().and_then(|own| certificate::principal(own)).map(Arc::new);
                self.http(stream).await;
            }
            Ok(Err(error)) => tracing::debug!(%error, peer = %self.peer.address, "no TLS"),
            Err(_) => tracing::debug!(peer = %self.peer.address, "TLS took too long"),
        }
    }

    async fn http<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(mut self, stream: S) {
        let peer = self.peer;
        let service =
            self.router.map_request(move |mut request: Request<hyper::body::Incoming>| {
                request.extensions_mut().insert(peer.clone());
                request.map(axum::body::Body::new)
            });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.idle)
            .max_buf_size(MAX_HEAD)
            .serve_connection(
                TokioIo::new(Patient::new(stream, self.idle)),
                TowerToHyperService::new(service),
            );
        let mut connection = std::pin::pin!(connection);
        // Errors here are the peer's: it went away or did not speak HTTP.
        let stop = async { drop(self.stopped.wait_for(|stopped| *stopped).await) };
        tokio::select! {
            result = connection.as_mut() => drop(result),
            () = stop => {
                connection.as_mut().graceful_shutdown();
                drop(connection.await);
            }
        }
    }
}
