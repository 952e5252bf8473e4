//! `cargo xtask bench`: the benchmarks of all crates, optimised.

use anyhow::Result;

use crate::house::{self, House};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only the benchmark of this name
    name: Option<String>,
    /// What the benchmarks themselves are told
    #[arg(last = true)]
    rest: Vec<String>,
}

pub(crate) fn run(house: &House, options: &Options) -> Result<()> {
    let mut bench = house.cargo();
    bench.args(["bench", "--workspace"]);
    match &options.name {
        Some(name) => bench.args(["--bench", name]),
        None => bench.arg("--benches"),
    };
    house::run(bench.arg("--").args(&options.rest))
}
