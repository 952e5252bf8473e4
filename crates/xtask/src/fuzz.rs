//! `cargo xtask fuzz`: libFuzzer on every parser of outside bytes.
//!
//! The targets are the binaries of `fuzz/`, a workspace of its own. They are built here with the
//! compiler flags the engine needs, without `cargo-fuzz` and a nightly compiler: coverage is all we
//! take of what that adds. What was found to be interesting stays in `fuzz/corpus`, what fails in
//! `fuzz/artifacts`; inputs in `fuzz/seeds` are the beginning.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;

use crate::house::{self, House};

/// Coverage of every edge, told to the engine in place.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Cdebug-assertions -Coverflow-checks";

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only this target
    target: Option<String>,
    /// How long each target runs
    #[arg(long, default_value_t = 300)]
    seconds: u32,
}

impl Options {
    /// Every target, for so many seconds.
    pub(crate) fn all_for(seconds: u32) -> Self {
        Self {
            target: None,
            seconds,
        }
    }
}

pub(crate) fn run(house: &House, options: &Options) -> Result<()> {
    let targets = targets(house)?;
    if let Some(name) = &options.target
        && !targets.contains(name)
    {
        bail!("no such target; there are {}", targets.join(", "));
    }
    let chosen = targets
        .into_iter()
        .filter(|target| options.target.as_ref().is_none_or(|name| name == target));
    let programs = build(house)?;
    let at_once = std::thread::available_parallelism().map_or(1, usize::from);
    let chosen: Vec<String> = chosen.collect();
    for side_by_side in chosen.chunks(at_once) {
        feed_all(house, &programs, side_by_side, options.seconds)?;
    }
    Ok(())
}

/// Runs several targets side by side: each of them uses one processor.
fn feed_all(house: &House, programs: &Path, targets: &[String], seconds: u32) -> Result<()> {
    std::thread::scope(|scope| {
        let mut running = Vec::new();
        for target in targets {
            let engine = move || feed(house, &programs.join(target), target, seconds);
            running.push((target, scope.spawn(engine)));
        }
        for (target, running) in running {
            let speed = running.join().map_err(|_| anyhow!("{target} died"))??;
            house::say(&format!("{target}: {speed} inputs per second, none failed"));
        }
        Ok(())
    })
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// The names of all targets.
fn targets(house: &House) -> Result<Vec<String>> {
    let mut ask = house.cargo();
    ask.args([
        "metadata",
        "--format-version=1",
        "--no-deps",
        "--manifest-path",
    ]);
    let answer = house::output(ask.arg(house.path("fuzz/Cargo.toml")))?;
    let metadata: Metadata = serde_json::from_str(&answer).context("cargo metadata")?;
    let targets = metadata
        .packages
        .into_iter()
        .flat_map(|package| package.targets);
    let programs = targets.filter(|target| target.kind.iter().any(|kind| kind == "bin"));
    Ok(programs.map(|target| target.name).collect())
}

/// Builds all targets, and says where they are.
fn build(house: &House) -> Result<PathBuf> {
    // Naming the machine's own target keeps the flags away from build scripts and procedural
    // macros.
    let machine = machine(house)?;
    let folder = house.target().join("fuzz");
    let mut build = house.cargo();
    build
        .args(["build", "--release", "--bins", "--target", &machine])
        .arg("--manifest-path")
        .arg(house.path("fuzz/Cargo.toml"))
        .arg("--target-dir")
        .arg(&folder)
        .env("RUSTFLAGS", FLAGS)
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    house::run(&mut build)?;
    Ok(folder.join(machine).join("release"))
}

fn machine(house: &House) -> Result<String> {
    let version = house::output(house.program("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not name its host")?.to_owned())
}

/// Runs one target, and says how many inputs it took per second.
fn feed(house: &House, program: &Path, target: &str, seconds: u32) -> Result<u64> {
    let corpus = house.path("fuzz/corpus").join(target);
    let artifacts = house.path("fuzz/artifacts").join(target);
    for folder in [&corpus, &artifacts] {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let mut engine = house.program(program);
    engine
        .arg(corpus)
        .args(
            [house.path("fuzz/seeds").join(target)]
                .iter()
                .filter(|seeds| seeds.exists()),
        )
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg(format!("-max_total_time={seconds}"))
        .args([
            "-print_final_stats=1",
            "-timeout=10",
            "-rss_limit_mb=2048",
            "-verbosity=0",
        ]);
    let ended = engine.stdin(Stdio::null()).output();
    let ended = ended.with_context(|| format!("cannot start {target}"))?;
    let said = String::from_utf8_lossy(&ended.stderr);
    if !ended.status.success() {
        house::say(&said);
        bail!("{target} failed: the input is in {}", artifacts.display());
    }
    let speed = said
        .lines()
        .find_map(|line| line.strip_prefix("stat::average_exec_per_sec:"));
    let speed = speed.context("the engine did not say how fast it was")?;
    speed
        .trim()
        .parse()
        .context("the engine's speed is no number")
}
