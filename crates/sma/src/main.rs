//! The manufacturer authority's program.

use std::process::ExitCode;

fn main() -> ExitCode {
    birthmark_sma::command::program().run(birthmark_sma::run)
}
