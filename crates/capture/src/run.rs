//! The daemon: everything put together, until asked to stop.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::Context as _;
use birthmark_client::{Options, Url};
use birthmark_daemon::varlink::{self, Peers, User};
use birthmark_daemon::{ConfigError, Context, Elsewhere, Idle, Shutdown};
use birthmark_protocol::Digest;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::face::lamp::Lamp;
use crate::face::page::Page;
use crate::face::panel;
use crate::face::service::Capture;
use crate::files::darkroom::Darkroom;
use crate::keep::album::Album;
use crate::keep::queue::Queue;
use crate::place::{Locator, Nowhere, RemoteLocator};
use crate::send::anchor::Anchor;
use crate::send::one_time::Supplier;
use crate::send::registry::Registry;
use crate::send::signer::{RemoteSigner, Signer};
use crate::send::submit::{Line, Nodes, Submitter};
use crate::settings::CaptureSettings;
use crate::shutter::camera::Camera;
use crate::shutter::opener::{OpenLibcamera, no_libcamera, opener};
use crate::shutter::studio::{Studio, StudioError};

/// Permission bits of the socket: its group may give commands, if the configuration lists its
/// members.
const SOCKET_MODE: u32 = 0o660;

/// Runs the daemon until it is asked to stop.
pub async fn run(settings: CaptureSettings, context: Context) -> anyhow::Result<()> {
    run_with(settings, context, no_libcamera).await
}

/// The same for a program that was built with libcamera.
pub async fn run_with(
    settings: CaptureSettings,
    mut context: Context,
    libcamera: OpenLibcamera,
) -> anyhow::Result<()> {
    let capture = assemble(&settings, libcamera).await?;
    let listener = context
        .sockets
        .unix("varlink", &settings.socket, SOCKET_MODE)
        .await?;
    start_panel(&settings, &capture)?;
    if let Some(gps) = remote_locator(&settings)? {
        let shutdown = context.shutdown.clone();
        tokio::spawn(async move { gps.stay_connected(&shutdown).await });
    }
    context.ready();
    // Afterwards: what the check has to say stays in the status.
    let checked = capture.clone();
    context.service.watch(move || self_check(checked.clone()));
    let shutdown = context.shutdown.clone();
    start_supply(&settings, Arc::clone(&capture.out_of_keys), &shutdown)?;
    let (submitter, stop) = (Arc::clone(&capture.submitter), shutdown.clone());
    let submitting = tokio::spawn(async move { submitter.run(stop).await });
    let (followed, stop) = (capture.clone(), shutdown.clone());
    let following = tokio::spawn(async move { followed.follow_registry(stop).await });
    let (watched, stop) = (capture.clone(), shutdown.clone());
    let watching = tokio::spawn(async move { watched.follow_certificate(stop).await });
    let page = show_page(&settings, &capture, shutdown.clone());
    let callers = peers(&settings.callers)?;
    // Proofs are sent whether or not anybody calls: this daemon is never idle.
    varlink::serve(listener, capture, callers, Idle::never(), shutdown).await?;
    page.await
        .context("the worker that shows the photos has died")?;
    watching
        .await
        .context("the worker that watches the certificate has died")?;
    following
        .await
        .context("the worker that asks for new blocks has died")?;
    submitting.await.context("the submission worker has died")
}

/// Keeps the page of photos new, if there is to be one.
fn show_page(settings: &CaptureSettings, capture: &Capture, shutdown: Shutdown) -> JoinHandle<()> {
    let page = settings.page.then(|| {
        let queue = Arc::clone(&capture.studio.queue);
        Page::new(capture.studio.album.clone(), queue)
    });
    tokio::spawn(async move {
        if let Some(page) = page {
            page.follow(shutdown).await;
        }
    })
}

/// Opens the queue, the album and the camera, and finishes what a crash interrupted.
pub async fn assemble(
    settings: &CaptureSettings,
    libcamera: OpenLibcamera,
) -> anyhow::Result<Capture> {
    let (photos, state) = (settings.photos.clone(), settings.state.clone());
    let open = move || open_storage(&photos, &state);
    let (album, queue) = tokio::task::spawn_blocking(open)
        .await
        .context("opening the queue was interrupted")??;
    let queue = Arc::new(queue);
    let signer = RemoteSigner::new(settings.signer.clone(), peers(&settings.signer_users)?);
    let when_out = settings.one_time.as_ref().map(|one_time| one_time.when_out);
    let signer = signer.with_one_time_keys(when_out);
    let out_of_keys = signer.out_of_keys();
    let signer: Arc<dyn Signer> = Arc::new(signer);
    let addresses = settings.node.addresses();
    let nodes = Arc::new(Nodes::new(addresses, &line(settings)?)?);
    let registry = Arc::new(open_registry(settings)?);
    let anchor = Arc::new(Anchor::open(&settings.state, settings.anchor_every()));
    let longest = Duration::from_secs(settings.longest_pause_seconds.into());
    let submitter = Submitter::new(
        Arc::clone(&queue),
        album.clone(),
        signer,
        Arc::clone(&nodes),
        Arc::clone(&registry),
        longest,
    )
    .with_delay(longest_delay(settings));
    let camera = Camera::start(opener(settings.source()?.clone(), libcamera))
        .context("the camera's thread cannot be started")?;
    let studio = Studio {
        one_time: settings.one_time.is_some(),
        pixels: settings.source()?.pixels(),
        software: software(settings)?,
        camera,
        darkroom: Darkroom {
            quality: settings.jpeg_quality,
            zone: settings.zone()?,
            dng: settings.dng,
        },
        album,
        queue,
        locator: locator(settings)?,
        place: settings.place,
        anchor,
        registry,
        keep_free_mib: settings.keep_free_mib,
        remove_registered: settings.remove_registered,
        removed: AtomicU64::new(0),
        taken: AtomicU64::new(0),
        seats: Studio::seats(),
    };
    Ok(Capture {
        studio: Arc::new(studio),
        submitter: Arc::new(submitter),
        nodes,
        certificate: Arc::default(),
        lamp: Lamp::default(),
        node: addresses.join(", "),
        full_queue: settings.full_queue,
        bench: Arc::default(),
        out_of_keys,
    })
}

fn open_storage(photos: &Path, state: &Path) -> anyhow::Result<(Album, Queue)> {
    let album = Album::open(photos)
        .with_context(|| format!("photos cannot be kept in {}", photos.display()))?;
    let queue = Queue::open(state)?;
    let (moved, removed) = album
        .recover(|id| queue.knows(id))
        .context("interrupted photos cannot be recovered")?;
    if moved + removed > 0 {
        log::warn!(
            "the last run was interrupted: {moved} files of proven photos put in place, {removed} others removed"
        );
    }
    log::info!(WAITING = queue.counts().waiting; "{} proofs are waiting, {} were refused", queue.counts().waiting, queue.counts().refused);
    Ok((album, queue))
}

/// The digest of the system image. A file that was named and cannot be read is a wrong setting: a
/// photo must not quietly say less about its camera than it was meant to.
fn software(settings: &CaptureSettings) -> Result<Option<Digest>, ConfigError> {
    let Some(path) = &settings.software else {
        return Ok(None);
    };
    let unusable =
        |reason: String| ConfigError::field("software", format!("{}: {reason}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| unusable(error.to_string()))?;
    let digest = text.trim().parse::<Digest>();
    digest
        .map(Some)
        .map_err(|error| unusable(error.to_string()))
}

/// A configured genesis that cannot be used is a wrong setting: starting again does not help.
fn open_registry(settings: &CaptureSettings) -> anyhow::Result<Registry> {
    let opened = Registry::open(settings.genesis.as_deref(), &settings.state);
    match (opened, &settings.genesis) {
        (Err(problem), Some(_)) => Err(ConfigError::field("genesis", problem.to_string()).into()),
        (opened, _) => Ok(opened?),
    }
}

/// By default this daemon's own user, and root, which can do everything anyway.
fn peers(users: &[User]) -> anyhow::Result<Peers> {
    match users.is_empty() {
        true => Ok(Peers::same_user().or(Peers::ids([0]))),
        false => Ok(Peers::users(users)?),
    }
}

fn locator(settings: &CaptureSettings) -> anyhow::Result<Arc<dyn Locator>> {
    Ok(match remote_locator(settings)? {
        Some(gps) => Arc::new(gps),
        None => Arc::new(Nowhere),
    })
}

fn remote_locator(settings: &CaptureSettings) -> anyhow::Result<Option<RemoteLocator>> {
    let Some(path) = &settings.gps else {
        return Ok(None);
    };
    let servers = peers(&settings.gps_users)?;
    Ok(Some(RemoteLocator::new(path.clone(), servers)))
}

/// How validators are reached: whoever uses one-time keys is not to be known by the line either.
fn line(settings: &CaptureSettings) -> Result<Line, ConfigError> {
    let one_time = settings.one_time.as_ref();
    let socks = one_time.and_then(|one_time| one_time.socks.as_deref());
    let socks = socks.map(Url::parse).transpose();
    Ok(Line {
        certificate_authority: settings.node_authority.clone(),
        socks: socks.map_err(|error| ConfigError::field("one_time.socks", error.to_string()))?,
        apart: one_time.is_some(),
    })
}

/// Only photos under one-time keys are held back.
fn longest_delay(settings: &CaptureSettings) -> Duration {
    let minutes = settings
        .one_time
        .as_ref()
        .map_or(0, |one_time| one_time.delay_minutes);
    Duration::from_secs(u64::from(minutes) * 60)
}

/// Keeps one-time keys in stock, if they are used.
fn start_supply(
    settings: &CaptureSettings,
    out_of_keys: Arc<Notify>,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    let Some(one_time) = &settings.one_time else {
        return Ok(());
    };
    let signer = RemoteSigner::new(settings.signer.clone(), peers(&settings.signer_users)?);
    let options = Options {
        // A batch of a thousand is computed for some seconds.
        timeout: Duration::from_secs(60),
        largest_answer: 2 << 20,
        ..line(settings)?.options()
    };
    let nodes = settings.node.addresses();
    let supplier = Supplier::new(Arc::new(signer), one_time.clone(), nodes, &options)?;
    let (supplier, stop) = (supplier.called_by(out_of_keys), shutdown.clone());
    tokio::spawn(async move { supplier.run(stop).await });
    Ok(())
}

fn start_panel(settings: &CaptureSettings, capture: &Capture) -> anyhow::Result<()> {
    let Some(panel) = &settings.panel else {
        return Ok(());
    };
    let (button, light) = panel::open(panel).context("the panel cannot be used")?;
    let (runtime, pressed) = (tokio::runtime::Handle::current(), capture.clone());
    let shoot = move || {
        let capture = pressed.clone();
        runtime.spawn(async move { capture.take().await.map(|_| ()) });
    };
    panel::watch_button(button, shoot).context("the button's thread cannot be started")?;
    if let Some(light) = light {
        tokio::spawn(panel::drive_light(light, capture.lamp.clone()));
    }
    Ok(())
}

/// The daemon is well if it could keep a photo. Room is made by a person; meanwhile waiting proofs
/// are sent and photos can be fetched, which a restart would only interrupt.
async fn self_check(capture: Capture) -> anyhow::Result<()> {
    match tokio::task::spawn_blocking(move || capture.studio.has_room()).await? {
        Err(full @ StudioError::DiskFull { .. }) => Err(Elsewhere::new(full).into()),
        other => Ok(other?),
    }
}
