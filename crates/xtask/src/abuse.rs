//! `cargo xtask abuse`: what strangers can do to a validator and its authority, at length.
//!
//! The attacks are a test of the node, `tests/story/abuse.rs`; the test command runs them for a
//! second each.

use anyhow::Result;

use crate::house::{self, House};

const TEST: &str = "binary(story) & package(birthmark-node) & test(/abuse::/)";

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only attacks with these words in their names
    name: Option<String>,
    /// How long each attack lasts
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Build as for the tests instead of optimised: no time is held against the programs then
    #[arg(long)]
    debug: bool,
}

pub(crate) fn run(house: &House, options: &Options) -> Result<()> {
    let mut test = house.cargo();
    // Everything is built, as the authority is a program of another crate.
    test.args(["nextest", "run", "--workspace", "--no-capture"]);
    test.args(["-E", TEST]);
    if !options.debug {
        test.args(["--cargo-profile", "release"]);
    }
    test.env("BIRTHMARK_ABUSE_SECONDS", options.seconds.to_string());
    if let Some(name) = &options.name {
        test.env("BIRTHMARK_ABUSE_NAME", name);
    }
    if options.debug {
        test.env("BIRTHMARK_ABUSE_PATIENT", "1");
    }
    house::run(&mut test)
}
