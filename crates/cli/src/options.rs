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
    /// The camera's own commands
    #[command(flatten)]
    Camera(crate::camera::CameraCommand),
    /// Say whether photos are registered, and check the receipts that prove it
    #[command(
        after_help = "Exit status: 0 all are registered and nothing about them was withdrawn, 1 at least one is not, 2 wrong usage, 3 it could not be found out or was not proven."
    )]
    Verify(crate::verify::VerifyOptions),
    /// Copy the whole registry into a folder that any web server can serve
    #[command(after_help = "Exit status: 0 all of it was copied, 2 it could not be copied.")]
    Mirror(crate::mirror::MirrorOptions),
    /// Check all of a registry that was copied: every certificate, record, signature and index
    #[command(
        after_help = "Exit status: 0 all of it holds, 1 something does not, 2 wrong usage, 3 it could not be read."
    )]
    Audit(crate::mirror::AuditOptions),
    /// Watch that a validator never contradicts what it said before
    #[command(
        after_help = "Exit status: 1 two blocks were decided that cannot both be true, 2 wrong usage; with --once also 0 nothing contradicts, 3 it could not be found out."
    )]
    Follow(crate::mirror::FollowOptions),
    /// Write a page about photos that a court or a newsroom can keep: pictures, proofs, limits, and
    /// how to check them again
    #[command(
        after_help = "Exit status: as of `birthmark verify`; the page is written in any case but 2."
    )]
    Report(crate::report::ReportOptions),
    /// Register a picture that was made from a registered one
    #[command(
        after_help = "Exit status: 0 it is registered, 1 the validator refused it, 2 it could not be done."
    )]
    Edit(EditOptions),
    /// Certify editing software
    #[command(subcommand)]
    SoftwareAuthority(crate::edit::software::SoftwareAuthorityCommand),
    /// Work with receipts
    #[command(subcommand)]
    Receipt(ReceiptCommand),
    /// Show some of what a camera committed to about a photo, or check what somebody shows
    #[command(subcommand)]
    Disclose(crate::disclose::DiscloseCommand),
    /// Print the digests of files, without asking anybody
    #[command(
        after_help = "Exit status: 0 all were read, 2 wrong usage, or one could not be read."
    )]
    Digest(DigestOptions),
    /// Turn the prototype's .env, docker-compose.yml or device_config.json into settings of the
    /// daemons here
    OldSettings(crate::old_settings::OldSettingsOptions),
    /// Print a shell completion script
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
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
    #[command(
        after_help = "Exit status: 0 it holds (and is about the photo, if one is given), 1 it does not, 2 wrong usage."
    )]
    Show(crate::receipt::ReceiptShowOptions),
    /// Fetch a photo's receipt from a validator, check it and keep it
    #[command(
        after_help = "Exit status: 0 it was checked and kept, 1 there is none or it does not hold, 2 wrong usage, 3 it could not be found out."
    )]
    Fetch(crate::receipt::ReceiptFetchOptions),
    /// Write down the validators that decide now, as a set to be trusted in place of the genesis
    #[command(
        after_help = "Exit status: 0 it was written, 2 wrong usage, 3 it could not be found out."
    )]
    Trust(crate::receipt::ReceiptTrustOptions),
}

/// `birthmark edit`
#[derive(Args, Debug, Clone)]
pub struct EditOptions {
    /// The edited picture
    #[arg(value_name = "FILE")]
    pub edited: PathBuf,
    /// What it was made from: a file, or a digest of 64 hexadecimal characters; it must be
    /// registered
    #[arg(long, value_name = "FILE|DIGEST")]
    pub parent: String,
    /// 1: lightly edited (crop, exposure, colour); 2: content changed. Never lower than the
    /// parent's
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=2))]
    pub level: u8,
    /// The software's certificate (PEM or DER), from an authority the validator pins
    #[arg(long, value_name = "FILE")]
    pub certificate: PathBuf,
    /// The key of the certificate (PKCS#8 PEM)
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// The validator to submit to
    #[arg(
        long,
        value_name = "URL",
        env = "BIRTHMARK_NODE",
        default_value_t = crate::demonstration::validator()
    )]
    pub node: String,
    /// The registry's genesis file: the receipt is checked against it before it is stored
    #[arg(long, value_name = "FILE")]
    pub genesis: Option<PathBuf>,
    /// Where the receipt goes [default: beside the picture, its name and .birthmark]
    #[arg(long, value_name = "FILE")]
    pub receipt: Option<PathBuf>,
    /// How many seconds to wait for the receipt
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub wait: u64,
    /// Print one JSON document instead of text
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_help_of_what_answers_names_its_exit_statuses() {
        let command = Options::command();
        let help = |path: &[&str]| {
            let mut at = &command;
            for name in path {
                at = at.find_subcommand(name).expect("a command of that name");
            }
            at.get_after_help().map(ToString::to_string)
        };
        let answering: [&[&str]; 9] = [
            &["verify"],
            &["edit"],
            &["digest"],
            &["receipt", "show"],
            &["receipt", "fetch"],
            &["capture"],
            &["status"],
            &["test"],
            &["queue"],
        ];
        for path in answering {
            let help = help(path).expect("it is there");
            assert!(help.contains("Exit status: 0 "), "{path:?}: {help}");
        }
        for open in ["completions", "man"] {
            let found = command.find_subcommand(open).expect("it is there");
            assert!(!found.is_hide_set(), "{open}");
        }
    }
}
