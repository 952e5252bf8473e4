//! What runs on the machine when a package is installed, upgraded, removed and purged.

use super::package::Package;

const POST_INSTALL: &str = include_str!("postinst.sh");
const BEFORE_REMOVAL: &str = include_str!("prerm.sh");
const AFTER_REMOVAL: &str = include_str!("postrm.sh");
const COMMON_POST_INSTALL: &str = include_str!("postinst-common.sh");
/// As on NixOS, where a unit does it.
const DRAW_KEY: &str = include_str!("../../../../systemd/draw-keys.sh");

/// The maintainer scripts of a package, by name.
pub(super) fn of(package: &Package) -> Vec<(&'static str, String)> {
    if package.name == "birthmark-common" {
        return vec![("postinst", COMMON_POST_INSTALL.to_owned())];
    }
    if package.daemons.is_empty() {
        return Vec::new();
    }
    [
        ("postinst", POST_INSTALL),
        ("prerm", BEFORE_REMOVAL),
        ("postrm", AFTER_REMOVAL),
    ]
    .map(|(name, script)| (name, fill(script, package)))
    .into()
}

fn fill(script: &str, package: &Package) -> String {
    let daemons = |keep: fn(&super::package::Daemon) -> bool| {
        let names = package
            .daemons
            .iter()
            .filter(|daemon| keep(daemon))
            .map(|daemon| daemon.name);
        names.collect::<Vec<_>>().join(" ")
    };
    script
        .replace("@PACKAGE@", package.name)
        .replace("@INSTANCES@", &instances(package))
        .replace("@UNITS@", &package.units().collect::<Vec<_>>().join(" "))
        .replace(
            "@ON_DEMAND@",
            &daemons(|daemon| !daemon.always && daemon.works_unconfigured),
        )
        .replace(
            "@CONFIGURED@",
            &daemons(|daemon| daemon.always || !daemon.works_unconfigured),
        )
        .replace("@STATE@", &package.state.join(" "))
        .replace("@DRAWN@", &package.drawn.join(" "))
        .replace("@DRAW_KEY@", DRAW_KEY)
}

/// Patterns for the running instances of template units, in quotes: the shell must not look for
/// files of that name.
fn instances(package: &Package) -> String {
    let templates = package
        .files
        .iter()
        .filter_map(|(file, _)| file.strip_suffix("@.service"));
    let patterns = templates.map(|name| format!("'{name}@*.service'"));
    patterns.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dist::ALL;

    #[test]
    fn several_nodes_on_one_machine_are_stopped_and_restarted_too() {
        let validator = ALL
            .iter()
            .find(|package| package.name == "birthmark-validator");
        for (name, script) in of(validator.unwrap()) {
            let named = script.contains("'birthmark-node@*.service'");
            assert_eq!(named, name != "postrm", "{name}");
        }
    }

    #[test]
    fn no_placeholder_is_left_and_every_unit_is_stopped_on_removal() {
        for package in ALL {
            for (name, script) in of(package) {
                let placeholder = script
                    .split('@')
                    .nth(1)
                    .filter(|word| word.chars().all(|c| c.is_ascii_uppercase() || c == '_'));
                assert_eq!(placeholder, None, "{} {name}", package.name);
                assert!(
                    script.starts_with("#!/bin/sh\nset -e\n"),
                    "{} {name}",
                    package.name
                );
            }
            let removal = of(package).into_iter().find(|(name, _)| *name == "prerm");
            for unit in package.units() {
                assert!(
                    removal
                        .as_ref()
                        .is_some_and(|(_, script)| script.contains(&unit)),
                    "{unit}"
                );
            }
        }
    }

    #[test]
    fn photos_outlive_a_purge() {
        assert!(
            ALL.iter()
                .all(|package| !package.state.contains(&"birthmark-capture"))
        );
    }

    #[test]
    fn what_nobody_has_to_think_of_is_drawn_and_what_was_drawn_is_kept() {
        let script = |package: &str, wanted: &str| {
            let package = ALL.iter().find(|one| one.name == package).unwrap();
            let scripts = of(package);
            let (_, text) = scripts.iter().find(|(name, _)| *name == wanted).unwrap();
            text.clone()
        };
        let drawn = "for key in birthmark-node.lookup-key; do";
        assert!(script("birthmark-validator", "postinst").contains(drawn));
        assert!(
            script("birthmark-authority", "postinst").contains("birthmark-sma.authority-vault")
        );
        // Without its key a backup is worth nothing: purging ends the database, not the key.
        assert!(!script("birthmark-validator", "postrm").contains("credstore"));
    }
}
