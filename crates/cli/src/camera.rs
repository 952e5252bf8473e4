//! The camera in the photographer's hand: everything here talks to the camera's daemons over
//! Varlink.

mod calibrate;
mod check;
mod gps;
pub mod provision;
mod queue;
mod rehearsal;
mod renew;
mod shutter;
mod state;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use birthmark_daemon::varlink::{Bounded, Peers, connect};
use birthmark_gps::client::GpsClient;
use birthmark_signer::SignerClient;
use clap::{Args, Subcommand};
use zlink::Connection;

pub use calibrate::CalibrateOptions;
pub use check::CheckOptions;
pub use provision::ProvisionOptions;
pub use queue::QueueCommand;
pub use renew::RenewOptions;
pub use shutter::{CaptureOptions, TimelapseOptions};

use crate::demonstration;

/// How long the camera may take to answer anything.
const DEADLINE: Duration = Duration::from_secs(60);

/// What the help of every camera command ends with; other commands need no daemons.
const SOCKETS: &str = "\
Where the camera's daemons listen (or those of a running demonstration):
  --capture-socket PATH  [/run/birthmark/capture, or $BIRTHMARK_CAPTURE_SOCKET]
  --signer-socket PATH   [/run/birthmark/signer, or $BIRTHMARK_SIGNER_SOCKET]
  --gps-socket PATH      [/run/birthmark/gps, or $BIRTHMARK_GPS_SOCKET]

Exit status: 0 it is well, 1 something needs attention, 2 it could not be done.";

/// Where the camera's daemons listen.
#[derive(Args, Debug, Clone)]
pub struct Sockets {
    /// Socket of the capture daemon
    #[arg(
        long,
        global = true,
        hide = true,
        value_name = "PATH",
        env = "BIRTHMARK_CAPTURE_SOCKET",
        default_value_os_t = demonstration::capture_socket()
    )]
    pub capture_socket: PathBuf,
    /// Socket of the signer
    #[arg(
        long,
        global = true,
        hide = true,
        value_name = "PATH",
        env = "BIRTHMARK_SIGNER_SOCKET",
        default_value_os_t = demonstration::signer_socket()
    )]
    pub signer_socket: PathBuf,
    /// Socket of the GPS daemon
    #[arg(
        long,
        global = true,
        hide = true,
        value_name = "PATH",
        env = "BIRTHMARK_GPS_SOCKET",
        default_value = "/run/birthmark/gps"
    )]
    pub gps_socket: PathBuf,
}

/// What a photographer does with a camera.
#[derive(Subcommand, Debug)]
pub enum CameraCommand {
    /// Take one photo
    #[command(after_help = SOCKETS)]
    Capture(CaptureOptions),
    /// Take photos at an interval
    #[command(after_help = SOCKETS)]
    Timelapse(TimelapseOptions),
    /// Say how the camera is
    #[command(after_help = SOCKETS)]
    Status {
        /// Print one JSON document instead of text
        #[arg(long)]
        json: bool,
    },
    /// Say which camera this is: serial number, tables, certificate, chip
    #[command(after_help = SOCKETS)]
    Info {
        /// Print one JSON document instead of text
        #[arg(long)]
        json: bool,
    },
    /// Look at the proofs that are on their way
    #[command(subcommand, after_help = SOCKETS)]
    Queue(QueueCommand),
    /// Say where the camera is, or why that is not known
    #[command(after_help = SOCKETS)]
    Gps {
        /// Keep printing whenever it changes
        #[arg(long)]
        follow: bool,
        /// Print one JSON document a line instead of text
        #[arg(long)]
        json: bool,
    },
    /// Try every part of the camera and say what to do about each failure
    #[command(after_help = SOCKETS)]
    Test,
    /// Take one photo and follow it until it stands in the registry
    #[command(after_help = SOCKETS)]
    Check(CheckOptions),
    /// Measure the sensor's own pattern, step by step
    #[command(after_help = SOCKETS)]
    Calibrate(CalibrateOptions),
    /// Introduce a new camera to its authority
    #[command(after_help = SOCKETS)]
    Provision(ProvisionOptions),
    /// Have the camera's certificate renewed: its chip proves itself again, nobody else is needed
    #[command(after_help = SOCKETS)]
    Renew(RenewOptions),
}

/// Runs a command.
pub async fn run(command: CameraCommand, sockets: &Sockets) -> anyhow::Result<ExitCode> {
    match command {
        CameraCommand::Capture(options) => shutter::capture(&options, sockets).await,
        CameraCommand::Timelapse(options) => shutter::timelapse(&options, sockets).await,
        CameraCommand::Status { json } => state::status(json, sockets).await,
        CameraCommand::Info { json } => state::info(json, sockets).await,
        CameraCommand::Queue(command) => queue::run(&command, sockets).await,
        CameraCommand::Gps { follow, json } => gps::run(follow, json, sockets).await,
        CameraCommand::Test => rehearsal::run(sockets).await,
        CameraCommand::Check(options) => check::run(&options, sockets).await,
        CameraCommand::Calibrate(options) => calibrate::run(&options, sockets).await,
        CameraCommand::Provision(options) => provision::run(&options, sockets).await,
        CameraCommand::Renew(options) => renew::run(&options, sockets).await,
    }
}

impl Sockets {
    async fn capture(&self) -> anyhow::Result<Connection<Bounded>> {
        connect(&self.capture_socket, &Peers::anyone(), DEADLINE)
            .await
            .context("the camera does not answer: is birthmark-capture running, and may you use its socket?")
    }

    async fn signer(&self) -> anyhow::Result<SignerClient> {
        SignerClient::connect(&self.signer_socket).await.context(
            "the signer does not answer: is birthmark-signer.socket active, and may you use it?",
        )
    }

    async fn gps(&self) -> anyhow::Result<GpsClient> {
        GpsClient::connect(&self.gps_socket)
            .await
            .context("the GPS daemon does not answer: is birthmark-gps.socket active?")
    }
}

/// Prints a value for programs.
fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}
