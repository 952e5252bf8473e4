//! The form of the source tree: no files that import each other, and one style of modules.

use anyhow::{Result, bail};

use super::Options;
use super::step::Outcome;
use crate::circles;
use crate::house::{self, House};

pub(super) fn structure(house: &House, _: &Options) -> Result<Outcome> {
    let circles = circles::run(house);
    // A module `foo` with children is `foo.rs` beside the folder `foo`.
    let other_style = house.tracked("*/mod.rs");
    for file in &other_style {
        house::say(&format!(
            "{}: the module's own name belongs on its file",
            file.display()
        ));
    }
    circles?;
    if !other_style.is_empty() {
        bail!("{} modules are called mod.rs", other_style.len());
    }
    Ok(Outcome::passed())
}
