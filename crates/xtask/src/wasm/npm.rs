//! `cargo xtask wasm --npm FOLDER`: the verifier as a package that `npm install FOLDER` and
//! `npm publish` take, with types. Nothing is fetched from a registry of packages, and nothing is
//! published.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use anyhow::Result;
use serde_json::json;

use super::{PACKAGE, bindgen, module};
use crate::house::{self, House};

/// What the package is called.
const NAME: &str = "birthmark-verify";
/// The files beside the manifest, by what `wasm-bindgen` calls them.
const FILES: [&str; 3] = [
    "birthmark_verify_wasm.js",
    "birthmark_verify_wasm.d.ts",
    "birthmark_verify_wasm_bg.wasm",
];

/// Writes the package of the module that was built before.
pub(super) fn write(house: &House, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let mut bind = house.program(bindgen(house)?);
    bind.args(["--target", "web"]);
    bind.args(["--remove-name-section", "--remove-producers-section"]);
    bind.arg("--out-dir").arg(folder);
    house::run(bind.arg(module(house)).stdin(Stdio::null()))?;
    // The types of the module's insides are of no use to anybody.
    fs::remove_file(folder.join("birthmark_verify_wasm_bg.wasm.d.ts"))?;
    let manifest = serde_json::to_string_pretty(&manifest(env!("CARGO_PKG_VERSION")))?;
    fs::write(folder.join("package.json"), manifest + "\n")?;
    fs::copy(
        house.path("crates/verify-wasm/README.md"),
        folder.join("README.md"),
    )?;
    fs::copy(house.path("LICENSE"), folder.join("LICENSE"))?;
    house::say(&format!("{PACKAGE} as {NAME}: {}", folder.display()));
    Ok(())
}

fn manifest(version: &str) -> serde_json::Value {
    let [script, types, _] = FILES;
    json!({
        "name": NAME,
        "version": version,
        "description": "Checks what a Birthmark registry proves about a photo, without naming the photo",
        "license": "Apache-2.0",
        "repository": "https://github.com/Birthmark-Standard/Birthmark",
        "type": "module",
        "main": script,
        "types": types,
        "exports": { ".": { "types": format!("./{types}"), "default": format!("./{script}") }, "./module.wasm": format!("./{}", FILES[2]) },
        "files": FILES,
        "sideEffects": false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_names_every_file_and_its_types() {
        let manifest = manifest("0.1.0");
        assert_eq!(manifest["files"].as_array().unwrap().len(), FILES.len());
        assert_eq!(manifest["types"], FILES[1]);
        assert_eq!(
            manifest["exports"]["."]["default"],
            format!("./{}", FILES[0])
        );
    }
}
