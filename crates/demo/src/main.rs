//! `birthmark-demo`: an authority, one validator or several, a signer and a simulated camera in one
//! process, over real sockets, HTTP and database files; photos from shutter to verified.
//!
//! Nothing here is a stand-in: the daemons are the ones that ship, started with free ports and
//! folders of their own. Only the sensor is simulated, and the TPM is an emulator where one is
//! installed.
#![allow(clippy::print_stdout, reason = "printing is what this program is for")]

mod authority;
mod camera;
mod embedded;
mod folder;
mod options;
mod photo;
mod random;
mod reaper;
mod report;
mod run;
mod validator;

use std::process::ExitCode;

use birthmark_cli::pipe;
use clap::Parser as _;

use crate::options::Options;

fn main() -> ExitCode {
    let options = Options::parse();
    pipe::quietly(|| answer(&options))
}

#[tokio::main]
async fn answer(options: &Options) -> ExitCode {
    match run::run(options).await {
        Ok(status) => status,
        Err(error) => {
            let reasons = birthmark_daemon::reasons::in_one_line(error.as_ref());
            eprintln!("birthmark-demo: {reasons}");
            ExitCode::from(2)
        }
    }
}
