//! `birthmark-signer`: the only process of a camera that opens its TPM.

use std::process::ExitCode;

fn main() -> ExitCode {
    birthmark_daemon::main(
        "Keeps the camera's keys: signs bundles and issues tokens",
        birthmark_signer::run,
    )
}
