//! What `/etc/birthmark/signer.toml` may say. `signer.example.toml` is parsed by a test.

use std::path::PathBuf;

use birthmark_daemon::varlink::User;
use birthmark_daemon::{ConfigError, Settings};
use serde::{Deserialize, Serialize};

use crate::messages::KeyStoreKind;

/// The signer's configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SignerSettings {
    /// Where the interface is served when systemd passes no socket.
    pub socket: PathBuf,
    /// Who may have bundles signed and tokens issued: the capture daemon's user. Empty: the
    /// signer's own.
    pub callers: Vec<User>,
    /// Who may enrol, provision and reseal. Empty: the signer's own user.
    pub administrators: Vec<User>,
    /// Where the sealed secrets are kept.
    pub state_directory: PathBuf,
    /// A provisioning file to import at start, if it is there. It is destroyed afterwards.
    pub provisioning_file: Option<PathBuf>,
    /// Where the keys live.
    pub key_store: KeyStoreKind,
    /// How the TPM is used.
    pub tpm: TpmSettings,
    /// How many requests may wait.
    pub queue: usize,
    /// How long a request may take, in seconds.
    pub deadline_seconds: u64,
    /// Leave after this many quiet seconds, if systemd listens for us.
    pub idle_seconds: u64,
}

/// How the TPM is used.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TpmSettings {
    /// How it is reached: `device:/dev/tpmrm0`, or `swtpm:host=…,port=…` for an emulator.
    pub tcti: String,
    /// The persistent handle of the signing key. 0x8101xxxx belongs to endorsement keys.
    pub signing_key_handle: u32,
    /// The measurements (PCRs) that sealed secrets are bound to. Empty: the chip alone.
    pub sealed_to_pcrs: Vec<u8>,
}

impl Default for SignerSettings {
    fn default() -> Self {
        Self {
            socket: "/run/birthmark/signer".into(),
            callers: vec![User::Name("birthmark-capture".to_owned())],
            administrators: vec![User::Id(0)],
            state_directory: "/var/lib/birthmark-signer".into(),
            provisioning_file: None,
            key_store: KeyStoreKind::Tpm,
            tpm: TpmSettings::default(),
            queue: 64,
            deadline_seconds: 15,
            idle_seconds: 60,
        }
    }
}

impl Default for TpmSettings {
    fn default() -> Self {
        Self {
            tcti: "device:/dev/tpmrm0".to_owned(),
            signing_key_handle: 0x8102_0001,
            sealed_to_pcrs: Vec::new(),
        }
    }
}

impl Settings for SignerSettings {
    const DAEMON: &'static str = "birthmark-signer";

    fn check(&self) -> Result<(), ConfigError> {
        self.check_key_store()?;
        if !(1..=10_000).contains(&self.queue) {
            return Err(ConfigError::field("queue", "must be 1 to 10000 requests"));
        }
        if !(1..=600).contains(&self.deadline_seconds) {
            return Err(ConfigError::field(
                "deadline_seconds",
                "must be 1 to 600 seconds",
            ));
        }
        if self.tpm.sealed_to_pcrs.iter().any(|number| *number > 23) {
            return Err(ConfigError::field(
                "tpm.sealed_to_pcrs",
                "PCRs are numbered 0 to 23",
            ));
        }
        match self.tpm.signing_key_handle {
            0x8101_0000..=0x8101_ffff => Err(ConfigError::field(
                "tpm.signing_key_handle",
                "0x81010000 to 0x8101ffff belong to endorsement keys: use 0x81020001",
            )),
            0x8100_0000..=0x817f_ffff => Ok(()),
            _ => Err(ConfigError::field(
                "tpm.signing_key_handle",
                "not a persistent handle of the owner (0x81000000 to 0x817fffff)",
            )),
        }
    }
}

impl SignerSettings {
    fn check_key_store(&self) -> Result<(), ConfigError> {
        match self.key_store {
            #[cfg(feature = "tpm")]
            KeyStoreKind::Tpm => self
                .tpm
                .tcti
                .parse::<crate::tpm::Tcti>()
                .map(drop)
                .map_err(|reason| ConfigError::field("tpm.tcti", reason)),
            #[cfg(not(feature = "tpm"))]
            KeyStoreKind::Tpm => Err(ConfigError::field(
                "key_store",
                "this build has no TPM support",
            )),
            #[cfg(feature = "software-keys")]
            KeyStoreKind::Software => Ok(()),
            #[cfg(not(feature = "software-keys"))]
            KeyStoreKind::Software => Err(ConfigError::field(
                "key_store",
                "this build keeps keys in a TPM only; software keys exist in development builds (cargo feature software-keys)",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use birthmark_daemon::config;

    use super::*;

    const EXAMPLE: &str = include_str!("../signer.example.toml");

    fn parse(text: &str) -> Result<SignerSettings, ConfigError> {
        config::parse(text, "signer.toml".as_ref())
    }

    #[cfg(feature = "tpm")]
    #[test]
    fn the_example_says_the_defaults_and_names_every_setting() {
        let example = parse(EXAMPLE).unwrap();
        let defaults = SignerSettings::default();
        let text = |settings: &SignerSettings| format!("{settings:?}");
        let commented = EXAMPLE.replace("# provisioning_file", "provisioning_file");
        assert_eq!(text(&example), text(&defaults));
        assert!(parse(&commented).unwrap().provisioning_file.is_some());
    }

    #[cfg(feature = "tpm")]
    #[test]
    fn settings_that_cannot_work_are_refused_by_name() {
        let cases = [
            ("queue = 0", "queue"),
            ("deadline_seconds = 0", "deadline_seconds"),
            ("key_store = \"paper\"", "key_store"),
            ("[tpm]\ntcti = \"serial:/dev/ttyS0\"", "tpm.tcti"),
            ("[tpm]\nsigning_key_handle = 0x81010001", "endorsement keys"),
            ("[tpm]\nsigning_key_handle = 7", "tpm.signing_key_handle"),
            ("[tpm]\nsealed_to_pcrs = [24]", "tpm.sealed_to_pcrs"),
            ("colour = 1", "colour"),
        ];
        for (text, expected) in cases {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
