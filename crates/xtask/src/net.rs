//! `cargo xtask net`: a network of validators on this machine, loaded, disturbed, measured and
//! checked.
//!
//! The trial is a program of its own, `birthmark-trial`, which starts validators that are built
//! beside it. Its options are ours: `cargo xtask net --validators 4 --kill 1@10+20`.

use std::ffi::OsString;

use anyhow::Result;

use crate::house::{self, House};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Build optimised programs; figures of others mean nothing
    #[arg(long)]
    release: bool,
    /// What the trial itself is told; `cargo xtask net -- --help` lists it
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<OsString>,
}

pub(crate) fn run(house: &House, options: &Options) -> Result<()> {
    let mut build = house.cargo();
    build.args(["build", "--quiet", "--bins"]);
    match options.release {
        // The trial itself, and the program that it starts.
        true => build
            .args(["--release", "--package", "birthmark-trial"])
            .args(["--package", "birthmark-node"]),
        // As the tests build it: a part alone would be compiled with other features.
        false => build.arg("--workspace"),
    };
    house::run(&mut build)?;
    let folder = if options.release { "release" } else { "debug" };
    let program = house.target().join(folder).join("birthmark-trial");
    house::run(house.program(program).args(&options.rest))
}
