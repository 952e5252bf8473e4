//! `birthmark demo`: an authority, a validator, a signer and a simulated camera in one process, over real sockets, HTTP and
//! database files; photos from shutter to verified.
//!
//! Nothing here is a stand-in: the daemons are the ones that ship, started with free ports and folders of their own.
//! Only the sensor is simulated, and the TPM is an emulator where one is installed.

mod authority;
mod camera;
mod embedded;
mod folder;
mod photo;
mod report;
mod validator;

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use birthmark_daemon::Shutdown;
use birthmark_testkit::tpm::Swtpm;

use crate::options::DemoOptions;
use crate::terminal::Style;
use authority::Authority;
use camera::SimulatedCamera;
use embedded::Embedded;
use folder::Folder;
use photo::Walk;
use report::{Reporter, Summary};
use validator::Validator;

/// How long everything may take to stop.
const GRACE: Duration = Duration::from_secs(10);

/// Runs the demonstration. Exit status 0 only if every photo was verified.
pub async fn run(options: &DemoOptions) -> anyhow::Result<ExitCode> {
    hush_the_tpm_library();
    if options.verbose {
        birthmark_daemon::logging::install(
            "birthmark-demo",
            birthmark_daemon::logging::Levels::default(),
        );
    }
    let interrupted = interruption()?;
    let folder = Folder::prepare(options.dir.as_deref())?;
    let shutdown = Shutdown::with_grace(GRACE);
    let mut stage = Stage::default();
    let outcome = tokio::select! {
        outcome = play(options, &folder, &shutdown, &mut stage) => outcome,
        () = interrupted => Ok(ExitCode::from(130)),
    };
    stage.clear(&shutdown).await;
    folder.leave();
    outcome
}

/// The TPM library writes to standard error whatever it tries in vain, unless its environment told it to be quiet when the
/// program began. So the program begins once more, in the same process.
fn hush_the_tpm_library() {
    const VARIABLE: &str = "TSS2_LOG";
    let mut words = std::env::args_os();
    let (Some(name), Ok(program)) = (words.next(), std::env::current_exe()) else {
        return;
    };
    if std::env::var_os(VARIABLE).is_none() {
        let mut again = Command::new(program);
        let error = again
            .arg0(name)
            .args(words)
            .env(VARIABLE, "all+NONE")
            .exec();
        // Only a failure comes back; it costs a few lines nobody needs.
        log::debug!("the TPM library is not hushed: {error}");
    }
}

/// Everything that runs, so that it can be stopped from one place.
#[derive(Default)]
struct Stage {
    daemons: Vec<Embedded>,
    camera: Option<SimulatedCamera>,
}

impl Stage {
    async fn clear(mut self, shutdown: &Shutdown) {
        shutdown.request();
        for daemon in self.daemons.drain(..).rev() {
            daemon.stopped(GRACE).await;
        }
        // The emulated TPM goes last: the signer flushes its handles first.
        drop(self.camera.take());
    }
}

/// Waits for Ctrl-C or SIGTERM.
fn interruption() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
    })
}

async fn play(
    options: &DemoOptions,
    folder: &Folder,
    shutdown: &Shutdown,
    stage: &mut Stage,
) -> anyhow::Result<ExitCode> {
    let reporter = Reporter::new(options.json, Style::of_standard_output());
    let begin = Instant::now();

    let emulator = Swtpm::is_installed().then(Swtpm::start).transpose();
    let emulator = emulator.context("the TPM emulator does not start")?;
    let chip_makers = emulator
        .as_ref()
        .map(Swtpm::endorsement_authorities)
        .transpose()?;
    let camera = stage.camera.insert(SimulatedCamera::new(folder, emulator)?);

    let chip_makers = chip_makers.unwrap_or_default();
    let authority = Authority::found(folder, options.sma_port, &chip_makers, &reporter).await?;
    let started = authority.start(shutdown).await;
    stage
        .daemons
        .push(started.context("the authority does not start")?);
    reporter.step(
        "authority",
        &format!("{} vouches at {}", authority.name(), authority.address()),
    );

    let validator = Validator::found(folder, options.node_port, &authority)?;
    let started = validator.start(shutdown).await;
    stage
        .daemons
        .push(started.context("the validator does not start")?);
    reporter.step(
        "validator",
        &format!("{} registers at {}", validator.name(), validator.address()),
    );

    let started = camera.start_signer(shutdown).await;
    stage
        .daemons
        .push(started.context("the signer does not start")?);
    let key_store = camera
        .provision(&authority)
        .await
        .context("the camera cannot be provisioned")?;
    reporter.step(
        "camera",
        &format!(
            "{} is provisioned; its key is in {key_store}",
            camera.serial()
        ),
    );
    let started = camera.start_capture(&validator, shutdown).await;
    stage
        .daemons
        .push(started.context("the camera does not start")?);
    reporter.ready(begin.elapsed());

    let mut walks = Vec::new();
    for number in 1..=options.photos {
        let walk = Walk::of_one_photo(number, camera, &validator, &reporter).await?;
        reporter.photo(&walk);
        walks.push(walk);
    }
    let summary = Summary::new(
        &key_store,
        &authority.address(),
        &validator.address(),
        folder,
        walks,
    );
    reporter.summary(&summary, options)?;
    if !(options.once || options.json) {
        reporter.invite(&validator.address(), folder);
        std::future::pending::<()>().await;
    }
    Ok(ExitCode::from(u8::from(!summary.all_verified())))
}
