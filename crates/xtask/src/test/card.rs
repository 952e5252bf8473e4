//! The first boots of a camera's card, on a loop device: for root, on a kernel that has them.

use anyhow::{Result, bail};

use super::Options;
use super::step::Outcome;
use crate::house::House;
use crate::tools;

/// What the script says where it cannot run.
const CANNOT_RUN: i32 = 77;

pub(super) fn state_partition(house: &House, _: &Options) -> Result<Outcome> {
    if tools::find("sfdisk").is_none() {
        return Ok(Outcome::skipped("sfdisk is not installed"));
    }
    let mut test = house.program("bash");
    test.args([
        "images/tests/state-partition.sh",
        "images/make-state-partition.sh",
    ]);
    match test.status()?.code() {
        Some(0) => Ok(Outcome::passed()),
        Some(CANNOT_RUN) => Ok(Outcome::skipped("only root has loop devices")),
        _ => bail!("the state partition is not made as it should be"),
    }
}
