//! `birthmark-trial`: see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    birthmark_trial::main()
}
