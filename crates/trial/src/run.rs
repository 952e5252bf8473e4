//! One trial, from its first key to the last block that is compared.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, bail};
use birthmark_daemon::{random, reasons};
use clap::Parser as _;
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

use crate::camera::Camera;
use crate::changes::Changes;
use crate::check;
use crate::figures;
use crate::network::Network;
use crate::options::{Options, Role};
use crate::trial::Trial;
use crate::view::View;
use crate::watch::Watch;

/// How many cameras take the photos.
const CAMERAS: usize = 20;

/// The whole program.
pub fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = tokio::runtime::Runtime::new();
    let ended = runtime
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(run(&options)));
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let reasons = reasons::in_one_line(error.as_ref());
            eprintln!("birthmark-trial: {reasons}");
            ExitCode::from(2)
        }
    }
}

async fn run(options: &Options) -> anyhow::Result<bool> {
    if let Some(Role::Authority { folder }) = &options.role {
        crate::authority::serve(folder).await?;
        return Ok(true);
    }
    let place = Place::new(options.dir.clone())?;
    let ended = try_out(options, &place).await;
    place.leave(matches!(ended, Ok(true)));
    ended
}

/// Where databases and journals are.
struct Place {
    path: PathBuf,
    temporary: Option<TempDir>,
}

impl Place {
    fn new(wanted: Option<PathBuf>) -> anyhow::Result<Self> {
        if let Some(path) = wanted {
            let made = std::fs::create_dir(&path);
            made.with_context(|| format!("--dir: cannot make {}", path.display()))?;
            let path = path.canonicalize()?;
            return Ok(Self {
                path,
                temporary: None,
            });
        }
        let temporary = TempDir::with_prefix("birthmark-trial-")?;
        let path = temporary.path().to_owned();
        Ok(Self {
            path,
            temporary: Some(temporary),
        })
    }

    /// What somebody has to look at stays.
    fn leave(self, is_well: bool) {
        let Some(temporary) = self.temporary else {
            return;
        };
        let is_empty = std::fs::read_dir(&self.path).is_ok_and(|mut files| files.next().is_none());
        if !is_well && !is_empty {
            let path = temporary.keep();
            eprintln!("Databases and journals are kept in {}", path.display());
        }
    }
}

async fn try_out(options: &Options, place: &Place) -> anyhow::Result<bool> {
    let seed = match options.seed {
        Some(seed) => seed,
        None => u64::from(u32::from_be_bytes(random::bytes()?)),
    };
    let troubles = options.troubles(seed)?;
    let length = options.length(&troubles)?;
    let weather = options.weather()?;
    let (size, began) = (options.validators, Instant::now());
    let mut view = View::new(began);
    view.print(&format!("{size} validators, seed {seed}"));
    let machines = options.machines();
    let mut network = Network::found(&place.path, size, machines, seed).await?;
    network.set_weather(weather);
    let kinds: Vec<_> = troubles.iter().map(|trouble| trouble.kind).collect();
    network.prepare(&kinds)?;
    network.start().await?;
    let addresses: Vec<_> = network
        .members
        .iter()
        .map(|member| member.address())
        .collect();
    let mut cameras = Vec::new();
    for number in 0..CAMERAS {
        cameras.push(Camera::provisioned(network.authority, number).await?);
    }
    let mut trial = Trial::new(network, Watch::start(&addresses), cameras, view);
    trial.view.say("all of them answer");
    let interrupted = interruption()?;
    let measured = match options.measure {
        Some(count) => tokio::select! {
            measured = figures::measure(&mut trial, count) => Some(measured?),
            () = interrupted => bail!("interrupted"),
        },
        None => {
            tokio::select! {
                ended = trial.disturb(troubles, Changes::new(options.changes()), length, options.rate) => ended?,
                () = interrupted => trial.view.say("ended by hand"),
            }
            None
        }
    };
    let interrupted = interruption()?;
    let mut faults = tokio::select! {
        settled = trial.settle() => settled?,
        () = interrupted => bail!("interrupted before everybody had everything"),
    };
    faults.extend(trial.misjudged());
    let histories = trial.histories().await?;
    faults.extend(check::faults(&histories, &trial.book.open()));
    if let (Some(measured), Some(history)) = (&measured, histories.first()) {
        for line in measured.lines(history, &trial.watch.seen()) {
            trial.view.print(&line);
        }
    }
    trial.conclude(&faults, &histories, seed);
    Ok(faults.is_empty())
}

/// The first Ctrl-C or order to stop ends the load; the check follows.
fn interruption() -> anyhow::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
