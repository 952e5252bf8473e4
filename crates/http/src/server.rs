//! Accepts connections and serves a router on each, or what stands in front of one, within limits,
//! until told to stop.

use std::convert::Infallible;
use std::future::{Ready, poll_fn, ready};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::response::Response;
use hyper::body::{Body as _, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::OwnedSemaphorePermit;
use tower::ServiceExt;

use crate::answering::{self, OpenAnswers};
use crate::byte_budget::ByteBudget;
use crate::client::TrustedProxies;
use crate::connection_limit::{ConnectionLimit, Place};
use crate::head_clock::{HeadClock, HeadTimer};
use crate::idle_timeout::IdleTimeout;
use crate::peer::Peer;
use crate::tls::ReloadingAcceptor;

/// How long accepting pauses after the system refused a connection, for example for lack of file
/// descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The largest body of an ordinary request arrives without waiting for leave to send more.
const STREAM_WINDOW: u32 = 64 * 1024;

/// What one client, and all of them together, may take.
#[derive(Debug, Clone)]
pub struct ServerLimits {
    /// Connections at once. The next one waits in the kernel's queue.
    pub connections: usize,
    /// Connections at once from one client address; one more is closed at once. 0 is unlimited.
    pub connections_per_client: usize,
    /// Proxies, which hold connections for many clients and are not limited as one.
    pub trusted_proxies: TrustedProxies,
    /// Time for the request line and headers, and for a TLS handshake.
    pub header_timeout: Duration,
    /// How long nothing may move on a connection, in either direction, after its first byte.
    pub silence: Duration,
    /// Requests at once on one HTTP/2 connection.
    pub streams: u32,
    /// How long open connections may finish after the order to stop.
    pub grace: Duration,
    /// Bytes of bodies and answers in memory at once.
    pub budget: ByteBudget,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections: 4096,
            connections_per_client: 1024,
            trusted_proxies: TrustedProxies::default(),
            header_timeout: Duration::from_secs(10),
            silence: Duration::from_secs(60),
            streams: 100,
            grace: Duration::from_secs(10),
            budget: ByteBudget::default(),
        }
    }
}

/// Where connections come from.
#[derive(Debug)]
pub enum Listener {
    /// The network, in the clear: this machine only, or behind a proxy.
    Tcp(Vec<TcpListener>),
    /// The network, encrypted.
    Tls(Vec<TcpListener>, Arc<ReloadingAcceptor>),
    /// Processes on this machine.
    Unix(UnixListener),
}

/// What answers requests: a router, or something in front of one.
pub trait Answer: Clone + Send + Sync + 'static {
    /// Answers one request of whoever is at the other end.
    fn answer(&self, peer: Peer, request: Request<Incoming>) -> Answered;
}

/// An answer that is there, or one that takes a while.
pub enum Answered {
    /// Costs nothing more.
    Now(Ready<Response>),
    /// Somebody works on it.
    Later(Pin<Box<dyn Future<Output = Response> + Send>>),
}

impl Answered {
    /// The answer is there.
    pub fn now(response: Response) -> Self {
        Self::Now(ready(response))
    }

    /// The answer comes from this.
    pub fn later(work: impl Future<Output = Response> + Send + 'static) -> Self {
        Self::Later(Box::pin(work))
    }
}

impl Future for Answered {
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Now(ready) => Pin::new(ready).poll(context),
            Self::Later(work) => work.as_mut().poll(context),
        }
        .map(Ok)
    }
}

/// Handlers find the other end in the request's extensions.
impl Answer for Router {
    fn answer(&self, peer: Peer, mut request: Request<Incoming>) -> Answered {
        request.extensions_mut().insert(peer);
        let answered = self.clone().oneshot(request.map(Body::new));
        Answered::later(async { answered.await.unwrap_or_else(|never| match never {}) })
    }
}

/// Serves until `stop` completes, then lets open requests finish within the grace time.
pub async fn serve(
    listener: Listener,
    service: impl Answer,
    limits: ServerLimits,
    stop: impl Future<Output = ()>,
) {
    let mut stop = std::pin::pin!(stop);
    let server = Server::new(service, &limits);
    let room = ConnectionLimit::new(
        limits.connections,
        limits.connections_per_client,
        limits.trusted_proxies,
        limits.budget,
    );
    loop {
        let accepted = tokio::select! {
            accepted = next(&listener, &room) => accepted,
            () = &mut stop => break,
        };
        match accepted {
            Ok((connection, permit)) => server.start(connection, &listener, &room, permit),
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
    Tcp(TcpStream),
    Unix(tokio::net::UnixStream),
}

impl Connection {
    fn peer(&self) -> io::Result<Peer> {
        Ok(match self {
            Self::Tcp(stream) => Peer::Tcp {
                remote: stream.peer_addr()?,
                local: stream.local_addr()?,
            },
            Self::Unix(stream) => Peer::Unix {
                uid: stream.peer_cred()?.uid(),
            },
        })
    }
}

async fn next(
    listener: &Listener,
    room: &ConnectionLimit,
) -> io::Result<(Connection, OwnedSemaphorePermit)> {
    let permit = room
        .wait()
        .await
        .ok_or_else(|| io::Error::other("the server is closed"))?;
    let connection = match listener {
        Listener::Tcp(listeners) | Listener::Tls(listeners, _) => {
            Connection::Tcp(accept(listeners).await?)
        }
        Listener::Unix(listener) => Connection::Unix(listener.accept().await?.0),
    };
    Ok((connection, permit))
}

/// Whoever comes first, at any of the addresses.
async fn accept(listeners: &[TcpListener]) -> io::Result<TcpStream> {
    poll_fn(|context| {
        let accepted = listeners
            .iter()
            .map(|listener| listener.poll_accept(context))
            .find(Poll::is_ready);
        accepted
            .unwrap_or(Poll::Pending)
            .map_ok(|(stream, _)| stream)
    })
    .await
}

struct Server<A> {
    service: A,
    graceful: GracefulShutdown,
    builder: Builder<TokioExecutor>,
    header_timeout: Duration,
    silence: Duration,
}

impl<A: Answer> Server<A> {
    fn new(service: A, limits: &ServerLimits) -> Self {
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .header_read_timeout(limits.header_timeout)
            .max_buf_size(64 * 1024);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.streams)
            // What a client may send before anybody reads it, and what is taken from an answer
            // before its reader does.
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(4 * STREAM_WINDOW)
            .max_send_buf_size(64 * 1024)
            .max_header_list_size(32 * 1024)
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(20));
        Self {
            service,
            graceful: GracefulShutdown::new(),
            builder,
            header_timeout: limits.header_timeout,
            silence: limits.silence,
        }
    }

    fn start(
        &self,
        connection: Connection,
        listener: &Listener,
        room: &ConnectionLimit,
        permit: OwnedSemaphorePermit,
    ) {
        let Ok(peer) = connection.peer() else {
            return;
        };
        let Some(place) = room.take(permit, &peer) else {
            log::debug!("a connection was closed: its client holds too many");
            return;
        };
        let acceptor = match listener {
            Listener::Tls(_, acceptor) => Some(Arc::clone(acceptor)),
            Listener::Tcp(_) | Listener::Unix(_) => None,
        };
        let visit = Visit {
            peer,
            service: self.service.clone(),
            builder: self.builder.clone(),
            watcher: self.graceful.watcher(),
            header_timeout: self.header_timeout,
            silence: self.silence,
            place,
        };
        tokio::spawn(async move {
            if let Err(error) = visit.serve(connection, acceptor).await {
                log::debug!("a connection ended before its first request: {error}");
            }
        });
    }
}

/// One connection, from its acceptance to its end.
struct Visit<A> {
    peer: Peer,
    service: A,
    builder: Builder<TokioExecutor>,
    watcher: Watcher,
    header_timeout: Duration,
    silence: Duration,
    place: Place,
}

impl<A: Answer> Visit<A> {
    async fn serve(
        self,
        connection: Connection,
        acceptor: Option<Arc<ReloadingAcceptor>>,
    ) -> io::Result<()> {
        match (connection, acceptor) {
            (Connection::Unix(stream), _) => self.converse(stream).await,
            (Connection::Tcp(stream), None) => {
                stream.set_nodelay(true)?;
                self.converse(stream).await;
            }
            (Connection::Tcp(stream), Some(acceptor)) => {
                stream.set_nodelay(true)?;
                let handshake = acceptor.accept(stream);
                let stream = tokio::time::timeout(self.header_timeout, handshake).await??;
                self.converse(stream).await;
            }
        }
        Ok(())
    }

    async fn converse<S>(self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self {
            peer,
            service,
            mut builder,
            watcher,
            header_timeout,
            silence,
            place,
        } = self;
        let (account, open) = (Arc::clone(place.account()), OpenAnswers::new(silence));
        let answers = Arc::clone(&open);
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            if !request.body().is_end_stream() {
                request.extensions_mut().insert(Arc::clone(&account));
            }
            let answered = service.answer(peer, request);
            let (account, open) = (Arc::clone(&account), Arc::clone(&answers));
            async move {
                let response = answered.await?;
                Ok::<_, Infallible>(answering::count(response, &account, &open))
            }
        });
        let head = HeadClock::start();
        builder.http1().timer(HeadTimer(Arc::clone(&head)));
        let stream = IdleTimeout::new(stream, header_timeout, silence, head, open);
        let connection = builder
            .serve_connection(TokioIo::new(stream), service)
            .into_owned();
        if let Err(error) = watcher.watch(connection).await {
            log::debug!("a connection ended: {error}");
        }
        drop(place);
    }
}

#[cfg(test)]
mod tests;
