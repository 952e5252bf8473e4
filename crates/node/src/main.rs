//! `birthmark-node`: the validator.

use std::process::ExitCode;

fn main() -> ExitCode {
    birthmark_node::program().run(birthmark_node::run)
}
