//! The house's own commands, the same on a laptop, in continuous integration and in the Nix shell:
//! `cargo xtask`.
//!
//! One module per command. A new command is a module with its options and one `run`, a variant
//! below, and a line in CONTRIBUTING.md.

mod abuse;
mod advisories;
mod bench;
mod circles;
mod debian;
mod dist;
mod doctor;
mod fuzz;
mod house;
mod measure;
mod net;
mod release;
mod source;
mod test;
mod tools;
mod vm;
mod wasm;

use std::process::ExitCode;

use clap::Parser;

use crate::house::House;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "The house's own commands")]
enum Command {
    /// Run every check and every test
    Test(test::Options),
    /// Run the benchmarks
    Bench(bench::Options),
    /// Attack a validator and its authority as strangers can
    Abuse(abuse::Options),
    /// Run a network of validators on this machine, disturb it and check it
    Net(net::Options),
    /// Take a dated extract of the list of known weaknesses from a clone of it
    Advisories(advisories::Options),
    /// Find files that import each other
    Circles,
    /// Count files, functions, tests, comments and fallbacks
    Measure(measure::Options),
    /// Feed the parsers of outside bytes with nonsense
    Fuzz(fuzz::Options),
    /// Build what runs in browsers
    Wasm(wasm::Options),
    /// Make Debian packages
    Dist(dist::DistOptions),
    /// Lay out and sign a release: an apt repository, images, digests
    Release(release::ReleaseOptions),
    /// Run scenarios against Debian machines under QEMU
    Vm(vm::VmOptions),
    /// Say what this machine has of what the commands need
    Doctor,
}

fn main() -> ExitCode {
    let command = Command::parse();
    match House::find().and_then(|house| run(&house, &command)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            house::say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(house: &House, command: &Command) -> anyhow::Result<bool> {
    match command {
        Command::Test(options) => return test::run(house, options),
        Command::Bench(options) => bench::run(house, options)?,
        Command::Abuse(options) => abuse::run(house, options)?,
        Command::Net(options) => net::run(house, options)?,
        Command::Advisories(options) => advisories::run(house, options)?,
        Command::Circles => circles::run(house)?,
        Command::Measure(options) => measure::run(house, options)?,
        Command::Fuzz(options) => fuzz::run(house, options)?,
        Command::Wasm(options) => wasm::run(house, options)?,
        Command::Dist(options) => dist::run(house, options)?,
        Command::Release(options) => release::run(house, options)?,
        Command::Vm(options) => vm::run(house, options)?,
        Command::Doctor => doctor::run(house)?,
    }
    Ok(true)
}
