//! The command line every daemon has.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Command, FromArgMatches};
use clap_complete::Shell;
use log::LevelFilter;

use crate::config::{Settings, Source};
use crate::logging::Levels;
use crate::shutdown::Shutdown;

/// The version of the house's programs.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The heading under which a command's help lists them, so that its own options stand together.
const EVERYWHERE: &str = "Options of every command";

/// The options every daemon has.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Configuration file [default: the one in /etc/birthmark]
    #[arg(long, short, value_name = "FILE", global = true, help_heading = EVERYWHERE)]
    config: Option<PathBuf>,
    /// Log lines of our own from this level on
    #[arg(
        long,
        value_name = "LEVEL",
        env = "BIRTHMARK_LOG",
        default_value = "info",
        global = true,
        help_heading = EVERYWHERE
    )]
    #[arg(value_parser = level_parser())]
    log: LevelFilter,
    /// Log lines of dependencies from this level on
    #[arg(
        long,
        value_name = "LEVEL",
        env = "BIRTHMARK_LOG_DEPENDENCIES",
        default_value = "warn",
        global = true,
        help_heading = EVERYWHERE
    )]
    #[arg(value_parser = level_parser())]
    log_dependencies: LevelFilter,
    /// Seconds between being asked to stop and being stopped
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = Shutdown::GRACE.as_secs(),
        global = true,
        help_heading = EVERYWHERE
    )]
    grace: u64,
}

impl Options {
    pub(crate) fn read(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
        Self::from_arg_matches(matches)
    }

    pub(crate) fn source<S: Settings>(&self) -> Source {
        match &self.config {
            Some(file) => Source::Named(file.clone()),
            None => Source::usual::<S>(),
        }
    }

    pub(crate) fn levels(&self) -> Levels {
        Levels {
            own: self.log,
            dependencies: self.log_dependencies,
        }
    }

    pub(crate) fn shutdown(&self) -> Shutdown {
        Shutdown::with_grace(Duration::from_secs(self.grace))
    }
}

fn level_parser() -> impl TypedValueParser<Value = LevelFilter> {
    PossibleValuesParser::new(["off", "error", "warn", "info", "debug", "trace"])
        .try_map(|name| name.parse::<LevelFilter>())
}

/// The whole command line of a daemon, without the commands of its own.
pub(crate) fn of<S: Settings>(about: &'static str) -> Command {
    let command = Command::new(S::DAEMON)
        .version(VERSION)
        .long_version(long_version())
        .after_help("Without a command, the daemon runs in the foreground.");
    // The options bring a description of themselves along; the daemon's own is said instead.
    Options::augment_args(command)
        .about(about)
        .long_about(None)
        .subcommand(check_config())
        .subcommand(completions())
        .subcommand(Command::new("man").about("Print the manual page"))
}

/// The version with the commit it was built from, where the build knows it (`BIRTHMARK_COMMIT`).
pub(crate) fn long_version() -> String {
    match option_env!("BIRTHMARK_COMMIT") {
        Some(commit) => format!("{VERSION} ({commit})"),
        None => VERSION.to_owned(),
    }
}

fn check_config() -> Command {
    let show = clap::Arg::new("show")
        .long("show")
        .action(clap::ArgAction::SetTrue)
        .help("Print all settings as they apply");
    Command::new("check-config")
        .about(
            "Check the configuration itself, without starting and without the files it names; \
             status 78 if it is refused",
        )
        .arg(show)
}

fn completions() -> Command {
    let shell = clap::Arg::new("shell")
        .value_name("SHELL")
        .required(true)
        .value_parser(clap::value_parser!(Shell));
    Command::new("completions")
        .about("Print the completions of a shell")
        .arg(shell)
}
