//! A camera of which only the sensor and the sky are simulated: signer over an emulated TPM, GPS
//! over a serial line, capture.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use birthmark_testkit::tpm::Swtpm;
use serde_json::Value;

use crate::institutions::Institutions;
use crate::process::Daemon;
use crate::running::{birthmark, texts};
use crate::satellites::Satellites;

/// A camera, switched on.
pub struct Outfit {
    folder: PathBuf,
    _tpm: Swtpm,
    _satellites: Satellites,
    _daemons: Vec<Daemon>,
}

/// How a command ended, and what it printed.
pub struct Said {
    pub status: Option<i32>,
    pub text: String,
}

impl Said {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{}", self.text))
    }

    /// The text of a command that must have ended well.
    pub fn well(self) -> String {
        assert_eq!(self.status, Some(0), "{}", self.text);
        self.text
    }
}

impl Outfit {
    pub fn place(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub fn switch_on(folder: &Path, tpm: Swtpm, institutions: &Institutions) -> Self {
        let satellites = Satellites::above(&folder.join("serial0"));
        for (name, settings) in settings(folder, &tpm, institutions) {
            std::fs::write(folder.join(format!("{name}.toml")), settings).unwrap();
        }
        chip_auth(folder);
        let daemons = ["signer", "gps", "capture"].map(|name| Daemon::start(name, folder));
        Self {
            folder: folder.to_owned(),
            _tpm: tpm,
            _satellites: satellites,
            _daemons: daemons.into(),
        }
    }

    /// `birthmark` on this camera.
    pub fn birthmark(&self, arguments: &[&str]) -> Said {
        let output = self.command(arguments).output().unwrap();
        let (text, errors) = texts(&output);
        Said {
            status: output.status.code(),
            text: text + &errors,
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = birthmark(arguments, &self.folder);
        for name in ["signer", "gps", "capture"] {
            command
                .arg(format!("--{name}-socket"))
                .arg(self.folder.join(name));
        }
        command
    }
}

/// What the chip asks for before it signs.
pub fn chip_auth(folder: &Path) {
    let credentials = folder.join("signer-keys");
    std::fs::create_dir(&credentials).unwrap();
    std::fs::write(credentials.join("chip-auth"), [0x5a; 32]).unwrap();
    let mode = std::fs::Permissions::from_mode(0o400);
    std::fs::set_permissions(credentials.join("chip-auth"), mode).unwrap();
}

/// The signer's settings for this folder and chip.
pub fn signer_settings(folder: &Path, tpm: &Swtpm) -> String {
    format!(
        "socket = {:?}\nstate_directory = {:?}\ncallers = []\nadministrators = []\n[tpm]\ntcti = {:?}\n",
        folder.join("signer"),
        folder.join("signer-state"),
        tpm.tcti(),
    )
}

fn settings(
    folder: &Path,
    tpm: &Swtpm,
    institutions: &Institutions,
) -> [(&'static str, String); 3] {
    let path = |name: &str| folder.join(name);
    let signer = signer_settings(folder, tpm);
    let gps = format!(
        "socket = {:?}\ndevice = {:?}\ncallers = []\n",
        path("gps"),
        path("serial0"),
    );
    let capture = format!(
        "socket = {:?}\nphotos = {:?}\nstate = {:?}\nnode = {:?}\ngenesis = {:?}\nsigner = {:?}\ngps = {:?}\n\
         dng = true\nanchor_seconds = 1\nkeep_free_mib = 1\nlongest_pause_seconds = 1\n[source]\nkind = \"simulated\"\nsensor = 7\nwidth = 640\nheight = 480\n",
        path("capture"),
        path("photos"),
        path("capture-state"),
        institutions.validator,
        institutions.genesis(),
        path("signer"),
        path("gps"),
    );
    [("signer", signer), ("gps", gps), ("capture", capture)]
}
