//! Accepting connections, and stopping without losing anything.

use crate::{
    app::{App, Config, StartError},
    routes,
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{net::SocketAddr, sync::Arc};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    task::JoinSet,
};

/// A server that is bound to its address and has its logs open.
#[derive(Debug)]
pub struct Server {
    app: Arc<App>,
    listener: TcpListener,
}

impl Server {
    /// Opens the logs and binds the address.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn bind(config: &Config) -> Result<Self, StartError> {
        if !config.listen.ip().is_loopback() {
            return Err(StartError::NotLoopback(config.listen));
        }
        let listener = TcpListener::bind(config.listen)
            .await
            .map_err(|e| StartError::Listen(config.listen, e))?;
        let app = Arc::new(App::open(config)?);
        Ok(Self { app, listener })
    }

    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
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
        let permits = Arc::new(Semaphore::new(limits.connections));
        let (stopping, stopped) = watch::channel(false);
        let router = routes::router(Arc::clone(&self.app));
        let mut connections = JoinSet::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            let permit = tokio::select! {
                permit = Arc::clone(&permits).acquire_owned() => permit.ok(),
                () = &mut stop => break,
            };
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = &mut stop => break,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of descriptors or a connection reset before it was accepted.
                    tracing::warn!(%error, "could not accept a connection");
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                    continue;
                }
            };
            // Small answers must not wait for the peer's delayed acknowledgement.
            drop(stream.set_nodelay(true));
            let service = TowerToHyperService::new(router.clone());
            let mut stopped = stopped.clone();
            connections.spawn(async move {
                let _permit = permit;
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(limits.idle)
                    .max_buf_size(1 << 20)
                    .serve_connection(TokioIo::new(stream), service);
                let mut connection = std::pin::pin!(connection);
                // Errors here are the peer's: it went away or did not speak HTTP.
                let stop = async { drop(stopped.wait_for(|stopped| *stopped).await) };
                tokio::select! {
                    result = connection.as_mut() => drop(result),
                    () = stop => {
                        connection.as_mut().graceful_shutdown();
                        drop(connection.await);
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
        let app = Arc::clone(&self.app);
        // Closing waits for the sequencers; a panic there has ended the process.
        drop(tokio::task::spawn_blocking(move || app.close()).await);
    }
}
