//! From settings to a serving authority, and back to nothing.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use birthmark_daemon::{ConfigError, Context, Shutdown};
use birthmark_http::{Listener, ServerLimits, serve};
use tokio::net::TcpListener;

use crate::authority::Authority;
use crate::clock;
use crate::keep::audit;
use crate::settings::Settings;
use crate::tell::api::{Api, router};

/// How often the audit log is written.
const WRITE_EVERY: Duration = Duration::from_millis(500);

/// How often everything else is looked after.
const HOUSEKEEPING: Duration = Duration::from_secs(60);

/// Serves until asked to stop. The public socket is called `http`, the administrator's `control`.
pub async fn run(settings: Settings, mut context: Context) -> anyhow::Result<()> {
    let opening = Authority::open(settings.clone(), &context.credentials);
    let opened = context.service.patiently("Opening the database", opening);
    let authority = Arc::new(opened.await?);
    for doubt in settings.trusted_proxies.doubts() {
        log::warn!("`trusted_proxies`: {doubt}");
    }
    let listeners = context.sockets.tcp("http", settings.listen).await?;
    let open = settings.rehearsal;
    if open {
        // A socket from systemd may lie elsewhere than the settings say.
        if !all_local(&listeners)? {
            let reason = "the socket `http` is not on a loopback address";
            return Err(ConfigError::field("rehearsal", reason).into());
        }
        log::warn!("this is a rehearsal: whoever is on this machine may do everything");
    }
    if let Some(folder) = settings.control.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("{}", folder.display()))?;
    }
    let control = context
        .sockets
        .unix("control", &settings.control, 0o600)
        .await?;
    let listener = match settings.tls.clone() {
        Some(files) => Listener::Tls(listeners, files.open().context("TLS")?),
        None => Listener::Tcp(listeners),
    };
    let api = Api {
        authority: Arc::clone(&authority),
        open,
    };
    let limits = ServerLimits {
        connections: settings.limits.connections,
        ..ServerLimits::default()
    };
    let stop = || {
        let shutdown = context.shutdown.clone();
        async move { shutdown.requested().await }
    };
    let public = tokio::spawn(serve(listener, router(api.clone()), limits, stop()));
    let local = tokio::spawn(serve(
        Listener::Unix(control),
        router(api),
        ServerLimits::default(),
        stop(),
    ));
    let keeper = tokio::spawn(keep_house(Arc::clone(&authority), context.shutdown.clone()));
    let writer = tokio::spawn(keep_writing(
        Arc::clone(&authority),
        context.shutdown.clone(),
    ));
    let watched = Arc::clone(&authority);
    context.service.watch(move || {
        let authority = Arc::clone(&watched);
        async move {
            // Not the database: while it is away we validate from memory, and a restart would lose
            // that.
            authority.with_cameras(|cameras| cameras.len());
            Ok(())
        }
    });
    context.ready();
    log::info!(
        "{} cameras are registered",
        authority.with_cameras(|cameras| cameras.len())
    );
    public.await.context("the public server")?;
    local.await.context("the control server")?;
    writer.await.context("the audit writer")?;
    keeper.await.context("the housekeeper")?;
    authority.note_activity(clock::now());
    authority
        .write_audit()
        .await
        .context("writing the last audit rows")?;
    authority.store.close().await;
    Ok(())
}

/// Whether nobody but this machine reaches any of them.
fn all_local(listeners: &[TcpListener]) -> anyhow::Result<bool> {
    for listener in listeners {
        let address = listener.local_addr();
        let address = address.context("the public socket has no address")?;
        if !address.ip().is_loopback() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Writes the audit log in batches and looks at the disk. While the database is away, rows wait.
async fn keep_writing(authority: Arc<Authority>, shutdown: Shutdown) {
    let mut failing = false;
    while !shutdown.is_requested() {
        tokio::select! {
            () = tokio::time::sleep(WRITE_EVERY) => {}
            () = shutdown.requested() => {}
        }
        authority.look_at_disk();
        let written = authority.write_audit().await;
        match &written {
            Err(error) if !failing => {
                log::error!("the audit log cannot be written, its rows wait: {error}")
            }
            Ok(()) if failing => log::info!("the audit log is written again"),
            _ => {}
        }
        failing = written.is_err();
    }
}

/// Once a minute: busy cameras are noted and flagged, old audit rows go, and the lease is looked
/// at.
async fn keep_house(authority: Arc<Authority>, shutdown: Shutdown) {
    loop {
        match authority.rotate_epochs(clock::now()).await {
            Ok(0) => {}
            Ok(made) => log::info!("{made} epochs of one-time keys were made"),
            Err(error) => log::error!("epochs of one-time keys cannot be looked after: {error:#}"),
        }
        tokio::select! {
            () = tokio::time::sleep(HOUSEKEEPING) => {}
            () = shutdown.requested() => return,
        }
        if let Err(error) = housekeeping(&authority).await {
            log::warn!("housekeeping waits for the database: {error}");
        }
    }
}

async fn housekeeping(authority: &Authority) -> Result<(), sqlx::Error> {
    let now = clock::now();
    if let Err(error) = authority.renew_responders(now) {
        log::error!("the keys that answer about certificates cannot be renewed: {error:#}");
    }
    authority.note_activity(now);
    authority.write_audit().await?;
    let flagged = authority.flag_unusual(now).await?;
    if flagged > 0 {
        log::warn!("{flagged} cameras are unusually busy today: see the admin page");
    }
    let keep = i64::from(authority.settings.audit.keep_days) * 86400;
    let pruned = audit::prune(&authority.store, &authority.vault, now.plus(-keep)).await?;
    if pruned > 0 {
        log::info!(
            "{pruned} audit rows were older than {} days",
            authority.settings.audit.keep_days
        );
    }
    authority.keep_lease().await
}
