//! A whole daemon: what the crate's tests drive, and what a new daemon may start from.

mod clock;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use birthmark_daemon::{Context, Program, varlink};

use crate::clock::{ClockCalls, ClockSettings};

fn main() -> ExitCode {
    Program::new("Tells the time to those who may ask")
        .command(
            clap::Command::new("now").about("Ask the running clock for the time"),
            now,
        )
        .command_without_settings(
            clap::Command::new("zones").about("List the time zones the clock knows"),
            |_| async { writeln!(std::io::stdout(), "UTC").context("cannot print") },
        )
        .run(clock::run)
}

async fn now(settings: ClockSettings, _: clap::ArgMatches, _: Context) -> anyhow::Result<()> {
    let deadline = Duration::from_secs(10);
    let servers = varlink::Peers::same_user().or(varlink::Peers::ids([0]));
    let mut clock = varlink::connect(&settings.socket, &servers, deadline).await?;
    let time = varlink::within(deadline, clock.now()).await?;
    let time = time.map_err(|refusal| anyhow::anyhow!("the clock says {refusal:?}"))?;
    writeln!(std::io::stdout(), "{}", time.unix_seconds).context("cannot print")
}
