//! Serving an interface on a listening socket.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use zlink::service::Service;
use zlink::{ReadyListener, Server};

use super::bounded::Bounded;
use super::guard::Guarded;
use super::peers::Peers;
use crate::idle::Idle;
use crate::seats::{Seat, Seats};
use crate::shutdown::Shutdown;

/// How many callers may be connected at once; more wait in the socket's queue.
const CALLERS: usize = 64;
/// How many of them one user of this machine may be; one more is closed at once. Root is counted
/// like everybody: a tool that hangs as root must not keep a person from the camera's switch.
const CALLERS_OF_ONE: usize = 32;

/// Serves `service` to `callers` until shutdown is requested or `idle` expires, then lets running
/// calls finish.
///
/// Every connection has its own clone of the service and its own task; an open connection keeps the
/// daemon from being idle. All of them run on one thread of their own, because the server of
/// `zlink` cannot move between threads: calls may block there without harm to the rest of the
/// daemon, only to other callers.
pub async fn serve<S>(
    listener: UnixListener,
    service: S,
    callers: Peers,
    idle: Idle,
    shutdown: Shutdown,
) -> io::Result<()>
where
    S: Service<Bounded> + Clone + Send + 'static,
{
    let abandoned = CancellationToken::new();
    // If the caller drops this future, the thread ends too.
    let _abandon = abandoned.clone().drop_guard();
    let (done, finished) = oneshot::channel();
    let runtime = Handle::current();
    std::thread::Builder::new()
        .name("varlink".to_owned())
        .spawn(move || {
            let guarded = Guarded {
                service,
                peers: Arc::new(callers),
                calls: TaskTracker::new(),
            };
            runtime.block_on(LocalSet::new().run_until(async {
                tokio::select! {
                    () = accept(listener, guarded, idle, shutdown) => {}
                    () = abandoned.cancelled() => {}
                }
            }));
            let _ = done.send(());
        })?;
    finished
        .await
        .map_err(|_| io::Error::other("the thread that serves Varlink calls has died"))
}

async fn accept<S>(listener: UnixListener, guarded: Guarded<S>, idle: Idle, shutdown: Shutdown)
where
    S: Service<Bounded> + Clone + 'static,
{
    let seats = Seats::new(CALLERS, CALLERS_OF_ONE);
    loop {
        let stream = tokio::select! {
            biased;
            () = shutdown.requested() => break,
            // A caller who is already there comes before the wish to leave.
            stream = next(&listener, &seats) => stream,
            () = idle.expired() => {
                log::info!("idle, leaving until the next call");
                break;
            }
        };
        let Some((stream, seat)) = stream else {
            continue;
        };
        let (guarded, busy) = (guarded.clone(), idle.busy());
        tokio::task::spawn_local(async move {
            converse(stream, guarded).await;
            drop((busy, seat));
        });
    }
    drop(listener);
    guarded.calls.close();
    if tokio::time::timeout(shutdown.grace(), guarded.calls.wait())
        .await
        .is_err()
    {
        log::warn!("gave up waiting for calls that are still running");
    }
}

/// The next caller, once there is a seat.
async fn next(listener: &UnixListener, seats: &Seats<u32>) -> Option<(UnixStream, Seat<u32>)> {
    let permit = seats.wait().await?;
    match listener.accept().await {
        Ok((stream, _)) => {
            // One who is gone already has no seat to take.
            let user = stream.peer_cred().ok()?.uid();
            let seat = seats.take(permit, user);
            if seat.is_none() {
                log::debug!("a caller was sent away: user {user} holds its share of connections");
            }
            Some((stream, seat?))
        }
        Err(error) => {
            // Out of file descriptors, mostly: without a pause this would spin.
            log::error!("cannot accept a caller: {error}");
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

async fn converse<S>(stream: UnixStream, guarded: Guarded<S>)
where
    S: Service<Bounded>,
{
    let ended = match Bounded::try_from(stream) {
        Ok(socket) => Server::new(ReadyListener::new(socket), guarded).run().await,
        Err(error) => Err(error),
    };
    if let Err(error) = ended {
        log::debug!("a caller's connection ended: {error}");
    }
}
