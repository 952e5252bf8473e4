//! `cargo xtask test`: everything, in one command, with one answer at the end.
//!
//! Each step passes, fails, or says in one line why it was skipped; a failed step does not keep the
//! others from running.

mod card;
mod foreign;
mod leftovers;
mod nix;
mod rust;
mod step;
mod structure;
mod systemd;
mod units;

use anyhow::{Result, bail};

use crate::house::{self, House};
use crate::vm::{self, VmOptions};
use crate::{fuzz, tools, wasm};

use self::step::{Outcome, Step, Tally};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only these steps
    #[arg(long, value_name = "STEP")]
    only: Vec<String>,
    /// All but these steps
    #[arg(long, value_name = "STEP")]
    skip: Vec<String>,
    /// Only say which steps there are
    #[arg(long)]
    list: bool,
    /// How long each fuzz target runs
    #[arg(long, value_name = "SECONDS", default_value_t = 3)]
    fuzz_seconds: u32,
}

/// Cheap ones first: a person waiting at the screen learns of a missing semicolon before the long
/// ones start. The machines come last: they install what the tests have built.
const STEPS: &[Step] = &[
    Step::new("format", rust::format),
    Step::new("structure", structure::structure),
    Step::new("scripts", scripts),
    Step::new("units", units::units),
    Step::new("nix-format", nix::format),
    Step::new("nix-dead-code", nix::dead_code),
    Step::new("nix-evaluation", nix::evaluation),
    Step::new("card", card::state_partition),
    Step::new("scenario-words", scenario_words),
    Step::new("machine-scripts", machine_scripts),
    Step::new("front", front),
    Step::new("release", release),
    Step::new("lints", rust::lints),
    Step::new("licences", rust::licences),
    Step::new("advisories", rust::advisories),
    Step::new("browser", browser),
    Step::new("npm", npm),
    Step::new("fuzz", fuzzing),
    Step::new("shipped-signer", rust::shipped_signer),
    Step::new("shipped-camera", rust::shipped_camera),
    Step::new("tests", rust::tests),
    Step::new("doc-tests", rust::doc_tests),
    Step::new("foreign", foreign::packages),
    Step::new("machines", machines),
];

impl Options {
    fn wants(&self, step: &Step) -> bool {
        let named = |names: &[String]| names.iter().any(|name| name == step.name);
        (self.only.is_empty() || named(&self.only)) && !named(&self.skip)
    }

    fn refuse_unknown_steps(&self) -> Result<()> {
        let known = |name: &&String| STEPS.iter().any(|step| step.name == **name);
        match self.only.iter().chain(&self.skip).find(|name| !known(name)) {
            Some(name) => bail!("there is no step `{name}`; see --list"),
            None => Ok(()),
        }
    }
}

/// Says whether nothing failed.
pub(crate) fn run(house: &House, options: &Options) -> Result<bool> {
    options.refuse_unknown_steps()?;
    if options.list {
        STEPS.iter().for_each(|step| house::say(step.name));
        return Ok(true);
    }
    let mark = leftovers::Mark::new();
    let mut tally = Tally::default();
    for step in STEPS.iter().filter(|step| options.wants(step)) {
        tally.add(step, step.run(house, &mark, options));
    }
    tally.add_leftovers(mark.end_leftovers());
    tally.conclude()
}

fn scripts(house: &House, _: &Options) -> Result<Outcome> {
    let Some(shellcheck) = tools::find("shellcheck") else {
        return Ok(Outcome::skipped("shellcheck is not installed"));
    };
    let entries = ["demo", "check", ".ci/run", "scripts/machine.sh"];
    let machines = [
        "images/card-enrol.sh",
        "images/card-setup.sh",
        "images/make-state-partition.sh",
        "images/tests/card-setup.sh",
        "images/tests/state-partition.sh",
        "images/tests/usb-gadget.sh",
        "images/usb-gadget.sh",
        "nix/look-at-units.sh",
        "nix/look-for-secrets.sh",
        "nix/tests/draw-keys.sh",
        "nix/tests/healthy.sh",
        "nix/tests/look-at-units.sh",
        "nixos-modules/healthy.sh",
        "nixos-modules/tell.sh",
        "systemd/draw-keys.sh",
    ];
    for (shell, scripts) in [("sh", &entries[..]), ("bash", &machines[..])] {
        let mut check = house.program(&shellcheck);
        house::run(
            check
                .args(["--shell", shell, "--external-sources"])
                .args(scripts),
        )?;
    }
    Ok(Outcome::passed())
}

fn browser(house: &House, _: &Options) -> Result<Outcome> {
    let toolchain = match wasm::Toolchain::find(house) {
        Ok(toolchain) => toolchain,
        Err(reason) => return Ok(Outcome::skipped(reason)),
    };
    let page = wasm::build(house, &toolchain)?;
    if let wasm::Compared::OtherCompiler = wasm::compare(house, &page, &toolchain)? {
        house::say("compiled, not compared: another compiler made what is checked in");
    }
    Ok(Outcome::passed())
}

/// The verifier as a package of npm, installed and used by a program of Node.
fn npm(house: &House, _: &Options) -> Result<Outcome> {
    let toolchain = match wasm::Toolchain::find(house) {
        Ok(toolchain) => toolchain,
        Err(reason) => return Ok(Outcome::skipped(reason)),
    };
    let (Some(node), Some(_)) = (tools::find("node"), tools::find("npm")) else {
        return Ok(Outcome::skipped("node or npm is not installed"));
    };
    wasm::build(house, &toolchain)?;
    let folder = wasm::package(house)?;
    let mut test = house.program(node);
    house::run(test.arg("scripts/tests/npm.mjs").arg(folder))?;
    Ok(Outcome::passed())
}

fn fuzzing(house: &House, options: &Options) -> Result<Outcome> {
    fuzz::run(house, &fuzz::Options::all_for(options.fuzz_seconds))?;
    Ok(Outcome::passed())
}

/// What machines run beside the daemons: keys that are drawn, the look after an upgrade, rules for
/// alarms, containers.
fn machine_scripts(house: &House, _: &Options) -> Result<Outcome> {
    let Some(python) = tools::find("python3") else {
        return Ok(Outcome::skipped("python3 is not installed"));
    };
    for (script, about) in [
        ("nix/tests/draw-keys.sh", "."),
        ("nix/tests/healthy.sh", "."),
        ("images/tests/card-setup.sh", "images/card-setup.sh"),
        ("images/tests/usb-gadget.sh", "images/usb-gadget.sh"),
    ] {
        house::run(house.program("bash").args([script, about]))?;
    }
    for script in [
        "nix/tests/monitoring.py",
        "scripts/tests/containers.py",
        "scripts/tests/promises.py",
    ] {
        house::run(house.program(&python).arg(script))?;
    }
    house::run(
        house
            .program(&python)
            .args(["fuzz/make_seeds.py", "--check"]),
    )?;
    Ok(Outcome::passed())
}

/// What a script says where it cannot run.
const CANNOT_RUN: i32 = 77;

/// A release laid out by this very program, and taken by those that strangers have.
fn release(house: &House, _: &Options) -> Result<Outcome> {
    let Some(python) = tools::find("python3") else {
        return Ok(Outcome::skipped("python3 is not installed"));
    };
    let mut test = house.program(&python);
    test.arg("scripts/tests/release.py")
        .arg(std::env::current_exe()?);
    match test.status()?.code() {
        Some(0) => Ok(Outcome::passed()),
        Some(CANNOT_RUN) => Ok(Outcome::skipped(
            "gpg, dpkg-deb or apt-get is not installed",
        )),
        _ => bail!("a release is not what it promises"),
    }
}

/// The limits of the NixOS module's nginx, with a real one.
fn front(house: &House, _: &Options) -> Result<Outcome> {
    let Some(python) = tools::find("python3") else {
        return Ok(Outcome::skipped("python3 is not installed"));
    };
    let mut test = house.program(&python);
    match test.arg("nix/tests/front.py").status()?.code() {
        Some(0) => Ok(Outcome::passed()),
        Some(CANNOT_RUN) => Ok(Outcome::skipped("nginx is not installed")),
        _ => bail!("the front does not hold its limits"),
    }
}

/// What the scenarios leave running in units of their own, with as few programs in reach as on
/// NixOS; and whether each of their subtests has a fault that it must notice, and
/// what their machines set is known.
fn scenario_words(house: &House, _: &Options) -> Result<Outcome> {
    let Some(python) = tools::find("python3") else {
        return Ok(Outcome::skipped("python3 is not installed"));
    };
    for script in ["unit_path", "faults", "machines"] {
        let script = format!("vm-tests/tests/{script}.py");
        house::run(house.program(&python).arg(script))?;
    }
    Ok(Outcome::passed())
}

/// One scenario in an emulated machine, from packages of what the tests have built.
fn machines(house: &House, _: &Options) -> Result<Outcome> {
    if let Some(reason) = vm::is_impossible() {
        return Ok(Outcome::skipped(reason));
    }
    // Containers may not let even root make one.
    if let Err(error) = vm::prepare() {
        house::say(&format!("{error:#}"));
        return Ok(Outcome::skipped(
            "the guests' base system cannot be made here, as said above",
        ));
    }
    vm::run(house, &VmOptions::short())?;
    Ok(Outcome::passed())
}
