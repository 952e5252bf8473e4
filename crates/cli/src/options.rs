//! What the command line of `birthmark` looks like.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Prove where a photo comes from, and check such proofs.
#[derive(Parser, Debug)]
#[command(name = "birthmark", version, max_term_width = 110)]
pub struct Options {
    /// Where the camera's daemons listen.
    #[command(flatten)]
    pub sockets: crate::camera::Sockets,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Everything `birthmark` can do.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run an authority, a validator and a simulated camera on this machine, and follow photos from shutter to verified
    #[cfg(feature = "demo")]
    Demo(DemoOptions),
    /// The camera's own commands
    #[command(flatten)]
    Camera(crate::camera::CameraCommand),
    /// Check photos, or digests, against a validator
    Verify(VerifyOptions),
    /// Register a picture that was made from a registered one
    Edit(crate::edit::EditOptions),
    /// Certify editing software
    #[command(subcommand)]
    SoftwareAuthority(crate::edit::software::SoftwareAuthorityCommand),
    /// Work with receipts
    #[command(subcommand)]
    Receipt(ReceiptCommand),
    /// Print the digests of files, without asking anybody
    Digest(DigestOptions),
    /// Turn the prototype's .env, docker-compose.yml or device_config.json into settings of the daemons here
    OldSettings(crate::old_settings::OldSettingsOptions),
    /// Print a shell completion script
    #[command(hide = true)]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    #[command(hide = true)]
    Man,
}

/// `birthmark demo`
#[cfg(feature = "demo")]
#[derive(Args, Debug, Clone)]
pub struct DemoOptions {
    /// How many photos to take
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub photos: u32,
    /// End after the photos, with exit status 0 only if all were verified
    #[arg(long)]
    pub once: bool,
    /// Print one JSON document instead of text (implies --once)
    #[arg(long)]
    pub json: bool,
    /// Keep everything in this folder; otherwise a temporary one is used and removed
    #[arg(long, value_name = "FOLDER")]
    pub dir: Option<PathBuf>,
    /// Port of the authority; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub sma_port: u16,
    /// Port of the validator; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub node_port: u16,
    /// Show what the daemons log, on standard error
    #[arg(long, short)]
    pub verbose: bool,
}

/// `birthmark verify`
#[derive(Args, Debug, Clone)]
pub struct VerifyOptions {
    /// JPEG, PNG or DNG files, or digests of 64 hexadecimal characters
    #[arg(required = true, value_name = "FILE|DIGEST")]
    pub subjects: Vec<String>,
    /// The validator to ask
    #[arg(
        long,
        value_name = "URL",
        env = "BIRTHMARK_NODE",
        default_value = "http://127.0.0.1:8545"
    )]
    pub node: String,
    /// Print one JSON document instead of text
    #[arg(long)]
    pub json: bool,
}

/// `birthmark digest`
#[derive(Args, Debug, Clone)]
pub struct DigestOptions {
    /// JPEG, PNG or DNG files
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Print one JSON document instead of text
    #[arg(long)]
    pub json: bool,
}

/// `birthmark receipt …`
#[derive(Subcommand, Debug)]
pub enum ReceiptCommand {
    /// Check a receipt without a network and say what it proves
    Show(ReceiptShowOptions),
}

/// `birthmark receipt show`
#[derive(Args, Debug, Clone)]
pub struct ReceiptShowOptions {
    /// The receipt, as stored beside the photo
    pub receipt: PathBuf,
    /// The genesis file of the chain the receipt must belong to
    #[arg(long, value_name = "FILE")]
    pub genesis: PathBuf,
    /// The photo the receipt is said to be about
    #[arg(long, value_name = "FILE")]
    pub photo: Option<PathBuf>,
    /// Print one JSON document instead of text
    #[arg(long)]
    pub json: bool,
}
