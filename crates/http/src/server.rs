//! Accepts connections and serves a router on each, within limits, until told to stop.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::ServiceExt;

use crate::peer::Peer;
use crate::tls::ReloadingAcceptor;

/// How long accepting pauses after the system refused a connection, for example for lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What one client, and all of them together, may take.
#[derive(Debug, Clone, Copy)]
pub struct ServerLimits {
    /// Connections at once. The next one waits in the kernel's queue.
    pub connections: usize,
    /// Time for the request line and headers, and for a TLS handshake.
    pub header_timeout: Duration,
    /// Requests at once on one HTTP/2 connection.
    pub streams: u32,
    /// How long open connections may finish after the order to stop.
    pub grace: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections: 4096,
            header_timeout: Duration::from_secs(10),
            streams: 100,
            grace: Duration::from_secs(10),
        }
    }
}

/// Where connections come from.
#[derive(Debug)]
pub enum Listener {
    /// The network, in the clear: this machine only, or behind a proxy.
    Tcp(TcpListener),
    /// The network, encrypted.
    Tls(TcpListener, Arc<ReloadingAcceptor>),
    /// Processes on this machine.
    Unix(UnixListener),
}

/// Serves `router` until `stop` completes, then lets open requests finish within the grace time.
pub async fn serve(
    listener: Listener,
    router: Router,
    limits: ServerLimits,
    stop: impl Future<Output = ()>,
) {
    let mut stop = std::pin::pin!(stop);
    let server = Server::new(router, limits);
    let places = Arc::new(Semaphore::new(limits.connections));
    loop {
        let accepted = tokio::select! {
            accepted = next(&listener, &places) => accepted,
            () = &mut stop => break,
        };
        match accepted {
            Ok((connection, permit)) => server.start(connection, &listener, permit),
            Err(error) => {
                log::warn!("a connection could not be accepted: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(limits.grace, server.graceful.shutdown())
        .await
        .is_err()
    {
        log::warn!("closing connections that did not finish in time");
    }
}

enum Connection {
    Tcp(tokio::net::TcpStream),
    Unix(tokio::net::UnixStream),
}

async fn next(
    listener: &Listener,
    places: &Arc<Semaphore>,
) -> io::Result<(Connection, OwnedSemaphorePermit)> {
    let permit = Arc::clone(places)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let connection = match listener {
        Listener::Tcp(listener) | Listener::Tls(listener, _) => {
            Connection::Tcp(listener.accept().await?.0)
        }
        Listener::Unix(listener) => Connection::Unix(listener.accept().await?.0),
    };
    Ok((connection, permit))
}

struct Server {
    router: Router,
    graceful: GracefulShutdown,
    builder: Arc<Builder<TokioExecutor>>,
    header_timeout: Duration,
}

impl Server {
    fn new(router: Router, limits: ServerLimits) -> Self {
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .max_buf_size(64 * 1024);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.streams)
            .max_header_list_size(32 * 1024)
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(20));
        let graceful = GracefulShutdown::new();
        Self {
            router,
            graceful,
            builder: Arc::new(builder),
            header_timeout: limits.header_timeout,
        }
    }

    fn start(&self, connection: Connection, listener: &Listener, permit: OwnedSemaphorePermit) {
        let (router, builder, watcher) = (
            self.router.clone(),
            Arc::clone(&self.builder),
            self.graceful.watcher(),
        );
        let acceptor = match listener {
            Listener::Tls(_, acceptor) => Some(Arc::clone(acceptor)),
            Listener::Tcp(_) | Listener::Unix(_) => None,
        };
        let handshake = self.header_timeout;
        tokio::spawn(async move {
            let served = async {
                match (connection, acceptor) {
                    (Connection::Unix(stream), _) => {
                        let uid = stream.peer_cred()?.uid();
                        converse(stream, Peer::Unix { uid }, router, &builder, watcher).await;
                    }
                    (Connection::Tcp(stream), None) => {
                        let peer = prepare(&stream)?;
                        converse(stream, peer, router, &builder, watcher).await;
                    }
                    (Connection::Tcp(stream), Some(acceptor)) => {
                        let peer = prepare(&stream)?;
                        let stream =
                            tokio::time::timeout(handshake, acceptor.accept(stream)).await??;
                        converse(stream, peer, router, &builder, watcher).await;
                    }
                }
                io::Result::Ok(())
            };
            if let Err(error) = served.await {
                log::debug!("a connection ended before its first request: {error}");
            }
            drop(permit);
        });
    }
}

fn prepare(stream: &tokio::net::TcpStream) -> io::Result<Peer> {
    stream.set_nodelay(true)?;
    Ok(Peer::Tcp {
        remote: stream.peer_addr()?,
        local: stream.local_addr()?,
    })
}

async fn converse<S>(
    stream: S,
    peer: Peer,
    router: Router,
    builder: &Builder<TokioExecutor>,
    watcher: Watcher,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        let router = router.clone();
        async move {
            Ok::<_, Infallible>(
                router
                    .oneshot(request.map(Body::new))
                    .await
                    .unwrap_or_else(|never| match never {}),
            )
        }
    });
    let connection = builder
        .serve_connection(TokioIo::new(stream), service)
        .into_owned();
    if let Err(error) = watcher.watch(connection).await {
        log::debug!("a connection ended: {error}");
    }
}
