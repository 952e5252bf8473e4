//! `cargo xtask doctor`: what this machine has of what the commands need.

use anyhow::{Result, bail};

use crate::house::{self, House};
use crate::{tools, wasm};

/// A program, what it is for, and the Debian package it comes in.
struct Need {
    program: &'static str,
    purpose: &'static str,
    package: &'static str,
}

const fn need(program: &'static str, purpose: &'static str, package: &'static str) -> Need {
    Need {
        program,
        purpose,
        package,
    }
}

/// Without these, `cargo xtask test` fails.
const REQUIRED: [Need; 10] = [
    need("cc", "C parts of dependencies", "gcc"),
    need("c++", "the fuzzing engine", "g++"),
    need("pkg-config", "finding the TPM libraries", "pkg-config"),
    need("swtpm", "TPM emulator", "swtpm"),
    need(
        "swtpm_setup",
        "endorsement certificates of emulated TPMs",
        "swtpm-tools",
    ),
    need("tpm2_createek", "what others see of the TPM", "tpm2-tools"),
    need("openssl", "certificates not made by us", "openssl"),
    need(
        "python3",
        "checking a photo without our programs",
        "python3",
    ),
    need("faketime", "years that pass in a test", "faketime"),
    need("initdb", "PostgreSQL", "postgresql"),
];

/// Without these, some checks are skipped, which the test command says.
const USEFUL: [Need; 10] = [
    need(
        "cargo-nextest",
        "test runner; installed when missing",
        "rust",
    ),
    need("cargo-deny", "licences and advisories", "rust"),
    need("chromium", "the pages in a real browser", "chromium"),
    need(
        "exiftool",
        "photos as others read them",
        "libimage-exiftool-perl",
    ),
    need(
        "qemu-system-x86_64",
        "machines to install into",
        "qemu-system-x86",
    ),
    need("mmdebstrap", "the system they start from", "mmdebstrap"),
    need("nix", "evaluating the modules and images", "nix-bin"),
    need("nixfmt", "the form of Nix files", "nixfmt"),
    need("deadnix", "unused Nix definitions", "deadnix"),
    need("shellcheck", "mistakes in shell scripts", "shellcheck"),
];

pub(crate) fn run(house: &House) -> Result<()> {
    let lacking = REQUIRED
        .iter()
        .filter(|need| !tell(need, "MISSING"))
        .count();
    for need in &USEFUL {
        tell(need, "absent");
    }
    let (mark, package) = ("libtss2-dev", "libtss2-dev");
    let mut probe = house.program("pkg-config");
    let libraries = probe.args(["--exists", "tss2-esys", "tss2-mu", "tss2-tctildr"]);
    let has_libraries = libraries.status().is_ok_and(|status| status.success());
    line(mark, has_libraries, "MISSING", "TPM libraries", package);
    line(
        "wasm32",
        wasm::Toolchain::is_at_hand(house),
        "absent",
        "the verifier in the browser; unpacked when missing",
        "libstd-rust-dev-wasm32",
    );
    if lacking > 0 || !has_libraries {
        bail!("something required is missing; ./check installs it on Debian");
    }
    Ok(())
}

fn tell(need: &Need, otherwise: &str) -> bool {
    let found = tools::find(need.program).is_some();
    line(need.program, found, otherwise, need.purpose, need.package);
    found
}

fn line(name: &str, found: bool, otherwise: &str, purpose: &str, package: &str) {
    let state = if found { "found" } else { otherwise };
    house::say(&format!("{name:<14} {state:<8} {purpose} ({package})"));
}
