//! `birthmark-gps`: tells the camera where it is.

use std::process::ExitCode;

fn main() -> ExitCode {
    birthmark_daemon::main(
        "Reads a GPS receiver and tells the camera where it is",
        birthmark_gps::run,
    )
}
