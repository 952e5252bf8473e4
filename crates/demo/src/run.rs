//! The demonstration from its beginning to its end.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use birthmark_cli::demonstration::{Announced, Demonstration};
use birthmark_cli::terminal::Style;
use birthmark_daemon::Shutdown;
use birthmark_testkit::tpm::Swtpm;
use tokio::signal::unix::{SignalKind, signal};

use crate::authority::{Authority, keep_chip_makers};
use crate::camera::SimulatedCamera;
use crate::embedded::{Embedded, free_port};
use crate::folder::{Folder, Kept};
use crate::options::Options;
use crate::photo::Walk;
use crate::random::random;
use crate::reaper::Reaper;
use crate::report::{Reporter, Summary};
use crate::validator::Registry;

/// How long everything may take to stop.
const GRACE: Duration = Duration::from_secs(10);

/// Runs the demonstration. Exit status 0 only if every photo was verified.
pub(crate) async fn run(options: &Options) -> anyhow::Result<ExitCode> {
    silence_the_tpm_library();
    if options.verbose {
        birthmark_daemon::logging::install(
            "birthmark-demo",
            birthmark_daemon::logging::Levels::default(),
        );
    }
    let interrupted = interruption()?;
    let folder = Folder::prepare(options.dir.as_deref())?;
    let mut reaper = Reaper::start()?;
    for path in folder.temporary() {
        reaper.remove(path)?;
    }
    let shutdown = Shutdown::with_grace(GRACE);
    let mut stage = Stage {
        reaper,
        daemons: Vec::new(),
        camera: None,
        announced: None,
    };
    let outcome = tokio::select! {
        outcome = play(options, &folder, &shutdown, &mut stage) => outcome,
        signal = interrupted => Ok(ExitCode::from(128 + signal)),
    };
    let reaper = stage.clear(&shutdown).await;
    folder.leave();
    reaper.dismiss();
    outcome
}

/// The TPM library writes to standard error whatever it tries in vain, unless its environment told
/// it to be quiet when the program began. So the program begins once more, in the same process.
fn silence_the_tpm_library() {
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
        log::debug!("the TPM library is not silent: {error}");
    }
}

/// Everything that runs, so that it can be stopped from one place.
struct Stage {
    reaper: Reaper,
    daemons: Vec<Embedded>,
    camera: Option<SimulatedCamera>,
    announced: Option<Announced>,
}

impl Stage {
    async fn clear(mut self, shutdown: &Shutdown) -> Reaper {
        drop(self.announced.take());
        shutdown.request();
        for daemon in self.daemons.drain(..).rev() {
            daemon.stopped(GRACE).await;
        }
        // The emulated TPM goes last: the signer flushes its handles first.
        drop(self.camera.take());
        self.reaper
    }

    fn add(&mut self, daemon: anyhow::Result<Embedded>, name: &str) -> anyhow::Result<()> {
        let daemon = daemon.with_context(|| format!("{name} does not start"))?;
        self.daemons.push(daemon);
        Ok(())
    }
}

/// Waits for Ctrl-C, for SIGTERM, or for the window to be closed; which signal it was.
fn interruption() -> anyhow::Result<impl Future<Output = u8>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = hang_up.recv() => 1,
            _ = interrupt.recv() => 2,
            _ = terminate.recv() => 15,
        }
    })
}

async fn play(
    options: &Options,
    folder: &Folder,
    shutdown: &Shutdown,
    stage: &mut Stage,
) -> anyhow::Result<ExitCode> {
    let reporter = Reporter::new(options.json, Style::of_standard_output());
    let begin = Instant::now();
    let kept = folder.kept()?;
    let emulator = emulator(folder, kept.as_ref())?;
    if let Some(process) = emulator.as_ref().and_then(Swtpm::pid) {
        stage.reaper.end(process)?;
    }

    let authority = authority(options, folder, kept.as_ref(), emulator.as_ref(), &reporter).await?;
    stage.add(authority.start(shutdown).await, "the authority")?;
    reporter.step(
        "authority",
        &format!("{} vouches at {}", authority.name(), authority.address()),
    );

    let port = free_port(options.node_port).context("--node-port")?;
    let registry = Registry::new(folder, port, &authority, options.validators)?;
    for validator in registry.all() {
        stage.add(validator.start(shutdown).await, "the validator")?;
        reporter.step(
            "validator",
            &format!("{} registers at {}", validator.name(), validator.address()),
        );
    }
    let validator = &registry.first;

    let sensor = match &kept {
        Some(kept) => kept.sensor,
        // TOML, in which it is kept, has signed integers only.
        None => u64::from_be_bytes(random()?) >> 1,
    };
    let camera = SimulatedCamera::new(folder, sensor, emulator)?;
    stage.add(camera.start_signer(shutdown).await, "the signer")?;
    let key_store = match kept {
        Some(kept) => kept.key_store,
        None => provision(folder, &authority, &camera, sensor).await?,
    };
    reporter.step(
        "camera",
        &format!(
            "{} is provisioned; its key is in {key_store}",
            camera.serial()
        ),
    );
    stage.add(
        camera.start_capture(&registry, shutdown).await,
        "the camera",
    )?;
    reporter.ready(begin.elapsed());
    announce(&camera, &registry, stage)?;

    let camera = stage.camera.insert(camera);
    let spinner = reporter.spinner();
    let mut walks = Vec::new();
    for number in 1..=options.photos {
        let waiting = |what: String| spinner.set_message(what);
        let walk = Walk::of_one_photo(number, camera, &registry, waiting).await?;
        spinner.suspend(|| reporter.photo(&walk));
        walks.push(walk);
    }
    spinner.finish_and_clear();
    let last = walks.last().map(|walk| walk.path.clone());
    let addresses = (authority.address(), validator.address());
    let summary = Summary::new(&key_store, &addresses.0, &addresses.1, folder, walks);
    reporter.summary(&summary, options)?;
    if !(options.once || options.json) {
        let last = last.context("no photo was taken")?;
        reporter.invite(&addresses.1, &registry, folder, &last);
        std::future::pending::<()>().await;
    }
    Ok(ExitCode::from(u8::from(!summary.all_verified())))
}

/// The camera's chip: the one it had before, a new one, or none where no emulator is installed.
fn emulator(folder: &Folder, kept: Option<&Kept>) -> anyhow::Result<Option<Swtpm>> {
    let is_installed = Swtpm::is_installed();
    if let Some(kept) = kept {
        ensure!(
            is_installed || !kept.has_chip,
            "--dir: this camera's key is in an emulated TPM, and swtpm is not installed"
        );
    }
    if !kept.map_or(is_installed, |kept| kept.has_chip) {
        return Ok(None);
    }
    let place = folder.part("camera/tpm")?;
    let emulator = Swtpm::start_in(place).context("the TPM emulator does not start")?;
    Ok(Some(emulator))
}

/// The authority, founded now if the folder has none.
async fn authority(
    options: &Options,
    folder: &Folder,
    kept: Option<&Kept>,
    emulator: Option<&Swtpm>,
    reporter: &Reporter,
) -> anyhow::Result<Authority> {
    let wanted = match kept {
        Some(kept) => {
            ensure!(
                [0, kept.sma_port].contains(&options.sma_port),
                "--sma-port: the certificates in this folder name port {}",
                kept.sma_port
            );
            kept.sma_port
        }
        None => options.sma_port,
    };
    let port = free_port(wanted).context("--sma-port")?;
    let chip_makers = match emulator {
        Some(chip) => Some(keep_chip_makers(folder, &chip.endorsement_authorities()?)?),
        None => None,
    };
    let authority = Authority::new(folder, port, chip_makers)?;
    if kept.is_none() {
        let tables = u64::from(birthmark_protocol::numbers::TABLES);
        let progress = reporter.progress("key tables", tables);
        let founded = authority.found(folder, |done| progress.set_position(done));
        founded.await?;
        progress.finish_and_clear();
    }
    Ok(authority)
}

/// Provisions the camera, and notes that the folder is whole: where its key is, in words.
async fn provision(
    folder: &Folder,
    authority: &Authority,
    camera: &SimulatedCamera,
    sensor: u64,
) -> anyhow::Result<String> {
    let key_store = camera.provision(authority).await;
    let key_store = key_store.context("the camera cannot be provisioned")?;
    if folder.is_kept() {
        folder.keep(&Kept {
            sma_port: authority.port(),
            sensor,
            has_chip: camera.has_chip(),
            key_store: key_store.clone(),
        })?;
    }
    Ok(key_store)
}

/// Lets the `birthmark` command find this demonstration.
fn announce(
    camera: &SimulatedCamera,
    registry: &Registry,
    stage: &mut Stage,
) -> anyhow::Result<()> {
    let [capture, signer] = camera.sockets();
    let announced = Demonstration {
        validator: registry.first.address(),
        genesis: std::path::absolute(&registry.genesis)?,
        capture: capture.clone(),
        signer: signer.clone(),
    }
    .announce()?;
    if let Some(announced) = &announced {
        stage.reaper.remove(announced.path())?;
    }
    stage.announced = announced;
    Ok(())
}
