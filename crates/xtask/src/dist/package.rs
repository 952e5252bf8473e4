//! Which packages there are, and what is in each.

/// One Debian package.
#[derive(Debug)]
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: &'static str,
    /// One line about it.
    pub(crate) about: &'static str,
    /// What it needs beside the C library and `birthmark-common`.
    pub(crate) depends: &'static [&'static str],
    /// Programs from the workspace.
    pub(crate) programs: &'static [&'static str],
    /// Files from `systemd/`, and where they go.
    pub(crate) files: &'static [(&'static str, &'static str)],
    /// Daemons: the name of each unit and settings file.
    pub(crate) daemons: &'static [Daemon],
    /// Folders that purging removes.
    pub(crate) state: &'static [&'static str],
    /// Credentials that are any 32 bytes: drawn at the installation, unless they are there.
    pub(crate) drawn: &'static [&'static str],
}

/// How a daemon is started.
#[derive(Debug)]
pub(crate) struct Daemon {
    /// Its short name: `birthmark-NAME.service`, `/etc/birthmark/NAME.toml`.
    pub(crate) name: &'static str,
    /// Whether it runs all the time; otherwise its socket starts it.
    pub(crate) always: bool,
    /// Whether it has good settings without a file.
    pub(crate) works_unconfigured: bool,
}

const UNITS: &str = "usr/lib/systemd/system";

/// Every package.
pub(crate) const ALL: &[Package] = &[
    Package {
        name: "birthmark",
        about: "verify photos and receipts, run a demonstration",
        // The demonstration has a camera with an optional TPM in it.
        depends: TPM,
        programs: &["birthmark"],
        files: &[],
        daemons: &[],
        state: &[],
        drawn: &[],
    },
    Package {
        name: "birthmark-common",
        about: "sandbox and message catalog of the daemons",
        depends: &["systemd (>= 257)"],
        programs: &[],
        files: &[
            (
                "birthmark-.service.d/50-sandbox.conf",
                "usr/lib/systemd/system/birthmark-.service.d/50-sandbox.conf",
            ),
            (
                "birthmark.catalog",
                "usr/lib/systemd/catalog/birthmark.catalog",
            ),
            ("birthmark.tmpfiles", "usr/lib/tmpfiles.d/birthmark.conf"),
        ],
        daemons: &[],
        state: &[],
        drawn: &[],
    },
    Package {
        name: "birthmark-camera",
        about: "camera: signer, GPS reader and capture daemon",
        depends: TPM,
        programs: &["birthmark-signer", "birthmark-gps", "birthmark-capture"],
        files: &[
            ("birthmark-signer.service", UNITS),
            ("birthmark-signer.socket", UNITS),
            ("birthmark-signer-credential.service", UNITS),
            ("birthmark-renew.service", UNITS),
            ("birthmark-renew.timer", UNITS),
            ("birthmark-gps.service", UNITS),
            ("birthmark-gps.socket", UNITS),
            ("birthmark-capture.service", UNITS),
            ("birthmark-capture.socket", UNITS),
            (
                "dev-tpmrm0.device.d/50-birthmark.conf",
                "usr/lib/systemd/system/dev-tpmrm0.device.d/50-birthmark.conf",
            ),
            (
                "birthmark-camera.sysusers",
                "usr/lib/sysusers.d/birthmark-camera.conf",
            ),
            (
                "60-birthmark-camera.rules",
                "usr/lib/udev/rules.d/60-birthmark-camera.rules",
            ),
        ],
        daemons: &[
            Daemon {
                name: "signer",
                always: false,
                works_unconfigured: true,
            },
            Daemon {
                name: "gps",
                always: false,
                works_unconfigured: true,
            },
            Daemon {
                name: "capture",
                always: true,
                works_unconfigured: false,
            },
        ],
        // Photos are in birthmark-capture: they are their owner's, not the package's.
        state: &["birthmark-signer"],
        drawn: &[],
    },
    Package {
        name: "birthmark-authority",
        about: "manufacturer authority: certificates, tokens, revocation",
        depends: &[],
        programs: &["birthmark-sma"],
        files: &[
            ("birthmark-sma.service", UNITS),
            ("birthmark-sma.socket", UNITS),
            (
                "birthmark-authority.sysusers",
                "usr/lib/sysusers.d/birthmark-authority.conf",
            ),
        ],
        daemons: &[Daemon {
            name: "sma",
            always: true,
            works_unconfigured: false,
        }],
        state: &["birthmark-sma"],
        drawn: &["birthmark-sma.authority-vault"],
    },
    Package {
        name: "birthmark-validator",
        about: "validator node: admission, blocks, receipts",
        depends: &[],
        programs: &["birthmark-node"],
        files: &[
            ("birthmark-node.service", UNITS),
            ("birthmark-node.socket", UNITS),
            ("birthmark-node@.service", UNITS),
            (
                "birthmark-validator.sysusers",
                "usr/lib/sysusers.d/birthmark-validator.conf",
            ),
        ],
        daemons: &[Daemon {
            name: "node",
            always: true,
            works_unconfigured: false,
        }],
        state: &["birthmark-node", "birthmark-guard"],
        drawn: &["birthmark-node.lookup-key"],
    },
];

/// The TPM software stack; the second name is that of Debian 12 and Ubuntu. Transports are opened
/// at run time.
const TPM: &[&str] = &[
    "libtss2-esys-3.0.2-0t64 | libtss2-esys-3.0.2-0",
    "libtss2-mu-4.0.1-0t64 | libtss2-mu0",
    "libtss2-rc0t64 | libtss2-rc0",
    "libtss2-tctildr0t64 | libtss2-tctildr0",
    "libtss2-tcti-device0t64 | libtss2-tcti-device0",
    "tpm-udev",
];

impl Package {
    /// The units that exist for its daemons, sockets first.
    pub(crate) fn units(&self) -> impl Iterator<Item = String> {
        let sockets = self
            .daemons
            .iter()
            .map(|daemon| format!("birthmark-{}.socket", daemon.name));
        let services = self
            .daemons
            .iter()
            .map(|daemon| format!("birthmark-{}.service", daemon.name));
        sockets.chain(services)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(name: &str) -> String {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../systemd");
        std::fs::read_to_string(format!("{folder}/{name}")).unwrap()
    }

    /// `systemctl start` of a daemon is enough, also right after the installation.
    #[test]
    fn whoever_starts_a_daemon_gets_its_socket() {
        for daemon in ALL.iter().flat_map(|package| package.daemons) {
            let service = unit(&format!("birthmark-{}.service", daemon.name));
            let socket = format!("birthmark-{}.socket", daemon.name);
            for line in ["Requires=", "After="] {
                let named = |text: &str| text.starts_with(line) && text.contains(&socket);
                assert!(service.lines().any(named), "{socket} {line}");
            }
        }
    }

    /// A file that is named on the command line must exist; nobody has to write one for a daemon
    /// that needs none.
    #[test]
    fn daemons_without_a_settings_file_either_work_or_are_not_started() {
        for daemon in ALL.iter().flat_map(|package| package.daemons) {
            let name = daemon.name;
            let service = unit(&format!("birthmark-{name}.service"));
            let named = service.contains(&format!("--config /etc/birthmark/{name}.toml\n"));
            assert_eq!(named, !daemon.works_unconfigured, "{name}");
            for unit in [service, unit(&format!("birthmark-{name}.socket"))] {
                let condition = format!("\nConditionPathExists=/etc/birthmark/{name}.toml\n");
                assert_eq!(unit.contains(&condition), named, "{name}");
            }
        }
    }
}
