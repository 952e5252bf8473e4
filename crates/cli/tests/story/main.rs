//! The `birthmark` command as people run it: the real binary, real daemons, real files.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod checking;
mod editing;
mod enrolment;
mod institutions;
mod mirroring;
mod once;
mod outfit;
mod pipes;
mod process;
mod report;
mod running;
mod satellites;
mod statuses;
mod whole_camera;
