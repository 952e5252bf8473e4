//! From the command line to a running daemon, and from its end to an exit status.
//!
//! Status 0: done, or stopped when asked. 1: failed. 2: wrong command line. 76: going on could
//! contradict what was signed, and nobody but a person may start it again. 78: the configuration or
//! a credential is unusable, and starting again will not help.

use std::io::Write;
use std::pin::Pin;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{ArgMatches, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::command::{self, Options, VERSION};
use crate::config::{ConfigError, Settings};
use crate::context::Context;
use crate::credentials::{CredentialError, Credentials};
use crate::logging;
use crate::message_id::{self, MessageId};
use crate::reasons::in_one_line;
use crate::service::Service;
use crate::shutdown::Shutdown;
use crate::varlink::PeerError;

/// `EX_CONFIG` of sysexits.h; the units name it in `RestartPreventExitStatus=`.
const EX_CONFIG: u8 = 78;
/// `EX_PROTOCOL` of sysexits.h; the units name it there too.
const EX_PROTOCOL: u8 = 76;

/// Why a daemon must not be started again by itself: going on could contradict what it signed.
#[derive(Debug, thiserror::Error)]
#[error("not to be started again by itself: {0}")]
pub struct StaysStopped(pub String);

type Outcome = Pin<Box<dyn Future<Output = anyhow::Result<()>>>>;

/// What a command of a daemon's own needs to run.
enum Action<S> {
    WithSettings(Box<dyn FnOnce(S, ArgMatches, Context) -> Outcome>),
    WithoutSettings(Box<dyn FnOnce(ArgMatches) -> Outcome>),
}

/// Runs a daemon: the whole `main` of one that has no commands of its own.
pub fn main<S, R, F>(about: &'static str, run: R) -> ExitCode
where
    S: Settings,
    R: FnOnce(S, Context) -> F,
    F: Future<Output = anyhow::Result<()>>,
{
    Program::new(about).run(run)
}

/// A daemon's program: the common command line, and the commands it adds.
pub struct Program<S> {
    about: &'static str,
    commands: Vec<(Command, Action<S>)>,
}

impl<S: Settings> Program<S> {
    /// A program with the common commands.
    pub fn new(about: &'static str) -> Self {
        Self {
            about,
            commands: Vec::new(),
        }
    }

    /// Adds a command that runs instead of the daemon, such as `birthmark-node fsck`.
    ///
    /// It gets the checked settings, what clap found, and a context without sockets, of which the
    /// service manager hears nothing.
    pub fn command<A, F>(mut self, command: Command, action: A) -> Self
    where
        A: FnOnce(S, ArgMatches, Context) -> F + 'static,
        F: Future<Output = anyhow::Result<()>> + 'static,
    {
        let action = Action::WithSettings(Box::new(|settings, matches, context| {
            Box::pin(action(settings, matches, context))
        }));
        self.commands.push((command, action));
        self
    }

    /// Adds a command that needs no settings, such as `birthmark-node keys`: it works before there
    /// is a configuration.
    pub fn command_without_settings<A, F>(mut self, command: Command, action: A) -> Self
    where
        A: FnOnce(ArgMatches) -> F + 'static,
        F: Future<Output = anyhow::Result<()>> + 'static,
    {
        let action = Action::WithoutSettings(Box::new(|matches| Box::pin(action(matches))));
        self.commands.push((command, action));
        self
    }

    /// Does what the command line asks for.
    pub fn run<R, F>(self, run: R) -> ExitCode
    where
        R: FnOnce(S, Context) -> F,
        F: Future<Output = anyhow::Result<()>>,
    {
        let command = self.whole_command();
        let matches = command.clone().get_matches();
        let options = match Options::read(&matches) {
            Ok(options) => options,
            Err(error) => error.exit(),
        };
        let outcome = match matches.subcommand() {
            None => daemon(&options, run),
            Some(("check-config", asked)) => check_config::<S>(&options, asked.get_flag("show")),
            Some(("completions", asked)) => completions(command, asked),
            Some(("man", _)) => manual(&command),
            Some((name, asked)) => self.own_command(&options, name, asked.clone()),
        };
        exit_code(outcome)
    }

    fn whole_command(&self) -> Command {
        let own = self.commands.iter().map(|(command, _)| command.clone());
        command::of::<S>(self.about).subcommands(own)
    }

    fn own_command(self, options: &Options, name: &str, asked: ArgMatches) -> anyhow::Result<()> {
        logging::install(S::DAEMON, options.levels());
        let action = self
            .commands
            .into_iter()
            .find(|(command, _)| command.get_name() == name);
        let (_, action) = action.context("no such command")?;
        let action = match action {
            Action::WithoutSettings(action) => return block_on(S::DAEMON, action(asked)),
            Action::WithSettings(action) => action,
        };
        let settings = options.source::<S>().load()?;
        let (context, _) = Context::embedded(Credentials::from_environment(), options.shutdown());
        let shutdown = context.shutdown.clone();
        block_on(S::DAEMON, async {
            let service = context.service.clone();
            tokio::spawn(obey_signals(signals()?, shutdown, service));
            action(settings, asked, context).await
        })
    }
}

fn daemon<S, R, F>(options: &Options, run: R) -> anyhow::Result<()>
where
    S: Settings,
    R: FnOnce(S, Context) -> F,
    F: Future<Output = anyhow::Result<()>>,
{
    logging::install(S::DAEMON, options.levels());
    log::info!(VERSION = VERSION; "{} {} starting", S::DAEMON, command::long_version());
    let context = Context::from_environment(options.shutdown());
    let (shutdown, service) = (context.shutdown.clone(), context.service.clone());
    let outcome = options.source::<S>().load().map_err(Into::into);
    let outcome = outcome.and_then(|settings| {
        block_on(S::DAEMON, async {
            tokio::spawn(obey_signals(signals()?, shutdown, service.clone()));
            run(settings, context).await
        })
    });
    service.stopping();
    if let Err(error) = &outcome {
        // `systemctl status` keeps showing this, also when the journal has moved on.
        service.status(&in_one_line(error.as_ref()));
    }
    outcome?;
    log::info!("{} stopped", S::DAEMON);
    Ok(())
}

fn block_on(name: &str, future: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name(name)
        .build()
        .context("cannot start the runtime")?;
    let outcome = runtime.block_on(future);
    // Work on blocking threads that nobody waits for must not keep the process.
    runtime.shutdown_background();
    outcome
}

fn signals() -> anyhow::Result<(Signal, Signal)> {
    let listen = |kind| signal(kind).context("cannot listen for signals");
    Ok((
        listen(SignalKind::terminate())?,
        listen(SignalKind::interrupt())?,
    ))
}

/// The first signal asks to stop; the second, or the end of the grace, ends the process where it
/// stands.
async fn obey_signals(
    (mut terminate, mut interrupt): (Signal, Signal),
    shutdown: Shutdown,
    service: Service,
) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    log::info!("stopping, at most for {:?}", shutdown.grace());
    service.stopping();
    shutdown.request();
    tokio::select! {
        _ = terminate.recv() => log::warn!("asked twice, stopping at once"),
        _ = interrupt.recv() => log::warn!("asked twice, stopping at once"),
        () = tokio::time::sleep(shutdown.grace()) => {
            log::error!("not stopped within {:?}, ending at once", shutdown.grace());
        }
    }
    // Everything durable is durable before it is reported, so there is nothing to save here.
    std::process::exit(1);
}

fn check_config<S: Settings>(options: &Options, show: bool) -> anyhow::Result<()> {
    let source = options.source::<S>();
    let settings: S = source.load()?;
    let text = match show {
        true => toml::to_string_pretty(&settings)?,
        // A build of a NixOS system checks where none of these files are.
        false => format!(
            "{}: good; the files it names were not looked at\n",
            source.path().display()
        ),
    };
    print(text.as_bytes())
}

fn completions(mut command: Command, asked: &ArgMatches) -> anyhow::Result<()> {
    let shell: Option<&clap_complete::Shell> = asked.get_one("shell");
    let name = command.get_name().to_owned();
    let mut text = Vec::new();
    clap_complete::generate(*shell.context("no shell")?, &mut command, name, &mut text);
    print(&text)
}

fn manual(command: &Command) -> anyhow::Result<()> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone())
        .section("8")
        .render(&mut page)?;
    print(&page)
}

fn print(text: &[u8]) -> anyhow::Result<()> {
    std::io::stdout()
        .write_all(text)
        .context("cannot write to standard output")
}

fn exit_code(outcome: anyhow::Result<()>) -> ExitCode {
    let Err(error) = outcome else {
        return ExitCode::SUCCESS;
    };
    report(&error);
    if error.chain().any(|cause| cause.is::<StaysStopped>()) {
        return ExitCode::from(EX_PROTOCOL);
    }
    match is_unusable(&error) {
        true => ExitCode::from(EX_CONFIG),
        false => ExitCode::FAILURE,
    }
}

/// Logs the error where a log is set up, and prints it where none is, as for `check-config`.
fn report(error: &anyhow::Error) {
    if log::max_level() == log::LevelFilter::Off {
        // Standard error may be closed; the exit status says it too.
        let _ = writeln!(std::io::stderr(), "error: {}", in_one_line(error.as_ref()));
        return;
    }
    log::error!(MESSAGE_ID = kind(error); "{}", in_one_line(error.as_ref()));
}

/// What the journal's catalog explains about an error that ends a daemon.
fn kind(error: &anyhow::Error) -> MessageId {
    if error.chain().any(|cause| cause.is::<CredentialError>()) {
        return message_id::UNUSABLE_CREDENTIAL;
    }
    match is_unusable(error) {
        true => message_id::UNUSABLE_SETTINGS,
        false => message_id::FAILED,
    }
}

fn is_unusable(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.is::<ConfigError>() || cause.is::<CredentialError>() || cause.is::<PeerError>()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_has_its_status() {
        let ended = |error: anyhow::Error| exit_code(Err(error.context("it ended")));
        let unusable = ConfigError::field("listen", "is no address");
        let stops = StaysStopped("two blocks of one height".into());
        for (code, status) in [
            (exit_code(Ok(())), 0),
            (ended(anyhow::anyhow!("the port is taken")), 1),
            (ended(stops.into()), EX_PROTOCOL),
            (ended(unusable.into()), EX_CONFIG),
        ] {
            // A status has no comparison of its own.
            assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::from(status)));
        }
    }
}
