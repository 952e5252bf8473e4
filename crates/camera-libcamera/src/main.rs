//! The capture daemon of cameras: the same program as `birthmark-capture`, and libcamera.

use std::process::ExitCode;

use birthmark_capture::{CaptureSettings, run_with};
use birthmark_daemon::Context;

fn main() -> ExitCode {
    birthmark_daemon::main(
        "Takes photos, proves them, and gets the proofs to a validator",
        |settings: CaptureSettings, context: Context| run_with(settings, context, birthmark_camera_libcamera::open),
    )
}
