//! The daemon: wires the serial line to the socket.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use birthmark_daemon::varlink::{Peers, serve};
use birthmark_daemon::{Context, Idle};
use tokio::sync::watch;

use crate::fix::Demands;
use crate::port::{Hearers, Port, read_for_ever};
use crate::receiver::Receiver;
use crate::service::Gps;
use crate::settings::GpsSettings;
use crate::time_source::TimeSource;

/// The reading thread shows itself several times a second; after this long it hangs.
const LIFELESS: Duration = Duration::from_secs(10);

/// Runs the daemon until it is asked to stop, or nobody is connected any more where systemd would
/// start it again.
///
/// A receiver that was just opened knows nothing for a second or two. So the camera's daemon stays
/// connected, and a daemon that gives the machine its time stays whether or not anybody asks.
pub async fn run(settings: GpsSettings, mut context: Context) -> anyhow::Result<()> {
    let callers = if settings.callers.is_empty() {
        Peers::same_user()
    } else {
        Peers::users(&settings.callers)?
    };
    let socket = context
        .sockets
        .unix("varlink", &settings.socket, 0o666)
        .await?;
    let demands = Demands {
        satellites: settings.minimum_satellites,
        hdop: settings.maximum_hdop,
    };
    let idle = match settings.chrony_socket {
        Some(_) => Idle::never(),
        None => context.idle_after(Duration::from_secs(settings.idle_seconds)),
    };
    let time = settings.chrony_socket.map(TimeSource::new).transpose();
    let time = time.context("no datagram socket can be made for chrony")?;
    let (receiver, known) = watch::channel(Receiver::new(demands));
    let (beat, pulse) = watch::channel(Instant::now());
    let port = Port {
        path: settings.device,
        baud: settings.baud,
    };
    let hearers = Hearers {
        receiver,
        beat,
        time,
    };
    let shutdown = context.shutdown.clone();
    let thread = std::thread::Builder::new()
        .name("serial".to_owned())
        .spawn(move || read_for_ever(&port, hearers, &shutdown))
        .context("starting the serial line's thread")?;
    context.service.watch(move || {
        let lifeless = pulse.borrow().elapsed() > LIFELESS;
        async move {
            anyhow::ensure!(!lifeless, "the serial line's thread hangs");
            Ok(())
        }
    });
    context.ready();
    serve(
        socket,
        Gps::new(known),
        callers,
        idle,
        context.shutdown.clone(),
    )
    .await?;
    context.shutdown.request();
    tokio::task::spawn_blocking(move || thread.join())
        .await?
        .map_err(|_| anyhow::anyhow!("the serial line's thread died"))
}
