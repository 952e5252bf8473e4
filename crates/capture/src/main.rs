//! The capture daemon.

use std::process::ExitCode;

fn main() -> ExitCode {
    birthmark_daemon::main(
        "Takes photos, proves them, and gets the proofs to a validator",
        birthmark_capture::run,
    )
}
