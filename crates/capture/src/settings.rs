//! What `/etc/birthmark/capture.toml` may say.

use std::path::PathBuf;
use std::time::Duration;

use birthmark_daemon::varlink::User;
use birthmark_daemon::{ConfigError, Settings};
use birthmark_protocol::PixelSource;
use serde::{Deserialize, Serialize};
use time::UtcOffset;

use crate::send::signer::WhenOut;

/// Why a program that ships refuses the sources of a rehearsal.
pub(crate) const NO_REHEARSAL: &str = "this program takes photos from a sensor only: `simulated` and `dng` \
    exist in builds for rehearsal (cargo feature rehearsal), which are in no package and no image";

/// The settings of the capture daemon.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CaptureSettings {
    /// Where commands are taken by Varlink, unless systemd passes the socket `varlink`.
    pub socket: PathBuf,
    /// Who may give commands; by default this daemon's own user and root.
    pub callers: Vec<User>,
    /// Where photos go.
    pub photos: PathBuf,
    /// Where the queue of proofs lives. Whoever can change it can at most lose or delay proofs, not
    /// make one.
    pub state: PathBuf,
    /// The validators proofs are sent to, the first one first; see [`Nodes`].
    pub node: Nodes,
    /// A certificate authority to trust for the node, besides those of the system: a PEM file.
    pub node_authority: Option<PathBuf>,
    /// The genesis of the registry receipts must come from: a TOML or JSON file. Without it the
    /// first one the node shows is kept.
    pub genesis: Option<PathBuf>,
    /// How often the newest block is asked for, in seconds; photos name it. 0: photos name no
    /// block.
    pub anchor_seconds: u32,
    /// The longest pause between two attempts to reach the node, in seconds.
    pub longest_pause_seconds: u32,
    /// The signer's socket.
    pub signer: PathBuf,
    /// Who may serve it; by default this daemon's own user and root.
    pub signer_users: Vec<User>,
    /// The socket of the GPS daemon, if there is one.
    pub gps: Option<PathBuf>,
    /// Who may serve it; by default this daemon's own user and root.
    pub gps_users: Vec<User>,
    /// What happens to the place of a photo.
    pub place: Place,
    /// Where frames come from. There is no default: a camera that was not told photographs nothing.
    pub source: Option<Source>,
    /// A file with the SHA-256 of the system image that runs, in hexadecimal, where the system
    /// knows it. It is signed with every photo, so that an answer can name the release.
    pub software: Option<PathBuf>,
    /// Whether the raw frame is kept as a DNG beside the JPEG.
    pub dng: bool,
    /// Quality of the JPEG, 1 to 100.
    pub jpeg_quality: u8,
    /// How many minutes local time is ahead of UTC, for the dates in the pictures.
    pub zone_minutes: i16,
    /// No photo is taken when fewer mebibytes than this are free: it could not be kept.
    pub keep_free_mib: u64,
    /// Whether the folder of photos has a page (`index.html`) with the state of each proof, for a
    /// web server on the cable.
    pub page: bool,
    /// Whether pictures and raw frames that have a receipt, the oldest first, may go when room is
    /// short. What lies beside them stays: sidecar, receipt and leaves.
    pub remove_registered: bool,
    /// More proofs than this waiting is reported as a full queue; photos are still taken.
    pub full_queue: u64,
    /// One-time keys; without them photos are signed under the camera's certificate.
    pub one_time: Option<OneTimeSettings>,
    /// Shutter button and light.
    pub panel: Option<Panel>,
}

/// One-time keys: photos that nobody can tie to each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OneTimeSettings {
    /// The address of the camera's authority, where keys are signed.
    pub authority: String,
    /// What happens to a photo when none is left. There is no default: it is the photographer's
    /// choice.
    pub when_out: WhenOut,
    /// How many keys are fetched for an epoch at once, 1 to 1000.
    #[serde(default = "hundred")]
    pub keys_per_epoch: u32,
    /// For how many epochs, the present one among them.
    #[serde(default = "three")]
    pub ahead: u32,
    /// For at most so many minutes a photo is held back before it is sent, each for a time of its
    /// own.
    #[serde(default = "hour")]
    pub delay_minutes: u32,
    /// A SOCKS proxy, such as Tor's, through which validators and the authority are reached:
    /// `socks5h://host:port`. Without it they see the address from which this camera asks.
    #[serde(default)]
    pub socks: Option<String>,
}

const fn hundred() -> u32 {
    100
}

const fn three() -> u32 {
    3
}

const fn hour() -> u32 {
    60
}

fn is_socks(address: &str) -> bool {
    birthmark_client::Url::parse(address)
        .is_ok_and(|url| url.scheme() == "socks5h" && url.host().is_some() && url.port().is_some())
}

impl OneTimeSettings {
    fn check(&self) -> Result<(), ConfigError> {
        let wrong = |field: &str, reason: &str| {
            Err(ConfigError::field(format!("one_time.{field}"), reason))
        };
        match () {
            () if !(1..=1000).contains(&self.keys_per_epoch) => {
                wrong("keys_per_epoch", "must be 1 to 1000")
            }
            () if !(1..=12).contains(&self.ahead) => wrong("ahead", "must be 1 to 12"),
            () if self.delay_minutes > 7 * 24 * 60 => {
                wrong("delay_minutes", "must be within a week")
            }
            () if birthmark_client::Url::parse(&self.authority).is_err() => {
                wrong("authority", "is no address")
            }
            () if !self.socks.as_deref().is_none_or(is_socks) => wrong(
                "socks",
                "must be socks5h://host:port: names are looked up by the proxy, or others see which",
            ),
            () => Ok(()),
        }
    }
}

/// One validator's address, or several of one registry.
///
/// The next one is asked when one is silent, and when one refuses a proof: a single validator that
/// errs, or means harm, must not be able to keep a photo out of the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Nodes {
    /// One.
    One(String),
    /// Several, in the order in which they are asked.
    Several(Vec<String>),
}

impl Nodes {
    /// The addresses in their order.
    pub fn addresses(&self) -> &[String] {
        match self {
            Self::One(address) => std::slice::from_ref(address),
            Self::Several(addresses) => addresses,
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        let refused = |address: &str, reason: &str| {
            Err(ConfigError::field("node", format!("`{address}` {reason}")))
        };
        for (index, address) in self.addresses().iter().enumerate() {
            let url = birthmark_client::Url::parse(address);
            let url = match url {
                Ok(url) => url,
                Err(error) => return refused(address, &format!("is no address: {error}")),
            };
            let earlier = self.addresses().iter().take(index);
            match url.scheme() {
                _ if url.host().is_none() => return refused(address, "names no host"),
                _ if earlier.into_iter().any(|other| other == address) => {
                    return refused(address, "stands there twice");
                }
                "http" | "https" => {}
                _ => return refused(address, "must begin with http:// or https://"),
            }
        }
        match self.addresses().is_empty() {
            true => Err(ConfigError::field("node", "names no validator")),
            false => Ok(()),
        }
    }
}

impl From<String> for Nodes {
    fn from(address: String) -> Self {
        Self::One(address)
    }
}

/// What happens to the place of a photo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// It is not asked for.
    Ignored,
    /// A commitment is signed and published; only the photographer can open it.
    Committed,
    /// The same, and the place stands in the picture for everybody who gets the file.
    InPicture,
}

/// Where frames come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Source {
    /// A painted landscape, in builds for rehearsal only; equal numbers are the same sensor.
    Simulated {
        /// Which sensor.
        sensor: u64,
        /// Samples in a row, if not those of the IMX477.
        #[serde(default)]
        width: Option<u32>,
        /// Rows, if not those of the IMX477.
        #[serde(default)]
        height: Option<u32>,
    },
    /// The DNG files of a folder, one after another and again from the first, in builds for
    /// rehearsal only.
    Dng {
        /// The folder.
        folder: PathBuf,
    },
    /// A video device that delivers 12-bit Bayer samples.
    V4l2 {
        /// The device.
        device: PathBuf,
    },
    /// A camera of libcamera.
    Libcamera {
        /// Its id; the first one if absent.
        #[serde(default)]
        camera: Option<String>,
    },
}

/// Shutter button and light on the pins of a GPIO chip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Panel {
    /// The chip's device.
    pub chip: PathBuf,
    /// The line of the button, which pulls it to ground.
    pub button: u32,
    /// The line of the light.
    pub light: Option<u32>,
}

impl Default for CaptureSettings {
    fn default() -> Self {
        Self {
            socket: "/run/birthmark/capture".into(),
            callers: Vec::new(),
            photos: "/var/lib/birthmark-photos".into(),
            state: "/var/lib/birthmark-capture".into(),
            node: "http://127.0.0.1:8545".to_owned().into(),
            node_authority: None,
            genesis: None,
            anchor_seconds: 600,
            longest_pause_seconds: 3_600,
            signer: "/run/birthmark/signer".into(),
            signer_users: Vec::new(),
            gps: None,
            gps_users: Vec::new(),
            place: Place::Committed,
            source: None,
            software: None,
            dng: false,
            jpeg_quality: 95,
            zone_minutes: 0,
            keep_free_mib: 256,
            page: false,
            remove_registered: false,
            full_queue: 100_000,
            one_time: None,
            panel: None,
        }
    }
}

impl Source {
    /// What is said of its pixels, under the camera's signature.
    pub const fn pixels(&self) -> PixelSource {
        match self {
            Self::Simulated { .. } => PixelSource::Simulated,
            Self::Dng { .. } => PixelSource::File,
            Self::V4l2 { .. } | Self::Libcamera { .. } => PixelSource::Sensor,
        }
    }

    /// What keeps this program from using the source, if anything does.
    ///
    /// A signature says that a sensor delivered the frame. Files and paintings would make it a lie,
    /// so the programs that ship cannot read them at all, whatever their settings say.
    fn refusal(&self) -> Option<&'static str> {
        match self {
            Self::Simulated { .. } | Self::Dng { .. } if !cfg!(feature = "rehearsal") => {
                Some(NO_REHEARSAL)
            }
            _ => None,
        }
    }
}

impl CaptureSettings {
    /// Where frames come from, or which field is missing.
    pub fn source(&self) -> Result<&Source, ConfigError> {
        self.source.as_ref().ok_or_else(|| {
            ConfigError::field(
                "source",
                "is missing, and has no default: `[source]` with `kind = \"libcamera\"`, or with \
                 `kind = \"v4l2\"` and `device`, says which camera takes the photos",
            )
        })
    }

    /// How often the newest block is asked for, if photos are to name one.
    pub fn anchor_every(&self) -> Option<Duration> {
        let seconds = u64::from(self.anchor_seconds);
        (seconds > 0).then(|| Duration::from_secs(seconds))
    }

    /// The zone of local dates.
    pub fn zone(&self) -> Result<UtcOffset, ConfigError> {
        UtcOffset::from_whole_seconds(i32::from(self.zone_minutes) * 60)
            .map_err(|error| ConfigError::field("zone_minutes", error.to_string()))
    }
}

impl Settings for CaptureSettings {
    const DAEMON: &'static str = "birthmark-capture";

    fn check(&self) -> Result<(), ConfigError> {
        if let Some(reason) = self.source()?.refusal() {
            return Err(ConfigError::field("source", reason));
        }
        self.node.check()?;
        self.one_time
            .as_ref()
            .map_or(Ok(()), OneTimeSettings::check)?;
        let rules = [
            (
                "jpeg_quality",
                (1..=100).contains(&self.jpeg_quality),
                "must be between 1 and 100",
            ),
            (
                "zone_minutes",
                self.zone_minutes.unsigned_abs() <= 14 * 60,
                "must be within 14 hours",
            ),
            (
                "longest_pause_seconds",
                self.longest_pause_seconds >= 1,
                "must be at least 1",
            ),
            (
                "photos",
                self.photos.is_absolute(),
                "must be an absolute path",
            ),
            (
                "state",
                self.state.is_absolute(),
                "must be an absolute path",
            ),
        ];
        match rules.into_iter().find(|(_, holds, _)| !holds) {
            Some((field, _, reason)) => Err(ConfigError::field(field, reason)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_source(source: Source) -> CaptureSettings {
        CaptureSettings {
            source: Some(source),
            ..CaptureSettings::default()
        }
    }

    fn good() -> CaptureSettings {
        with_source(Source::Libcamera { camera: None })
    }

    #[test]
    fn a_camera_that_was_not_told_its_source_is_refused() {
        let refused = CaptureSettings::default().check().unwrap_err().to_string();
        assert!(refused.starts_with("`source`: is missing"), "{refused}");
    }

    #[test]
    fn paintings_and_files_are_a_source_in_builds_for_rehearsal_only() {
        let painted = Source::Simulated {
            sensor: 1,
            width: None,
            height: None,
        };
        let files = Source::Dng {
            folder: "/frames".into(),
        };
        for source in [painted, files] {
            let checked = with_source(source).check();
            assert_eq!(checked.is_ok(), cfg!(feature = "rehearsal"), "{checked:?}");
        }
    }

    #[test]
    fn the_defaults_are_allowed_and_each_rule_names_its_field() {
        assert!(good().check().is_ok());
        let broken = |change: fn(&mut CaptureSettings)| {
            let mut settings = good();
            change(&mut settings);
            settings.check().unwrap_err().to_string()
        };
        assert!(broken(|s| s.node = Nodes::One("localhost".to_owned())).contains("node"));
        assert!(broken(|s| s.node = Nodes::One("ftp://node".to_owned())).contains("http://"));
        assert!(broken(|s| s.jpeg_quality = 0).contains("jpeg_quality"));
        assert!(broken(|s| s.zone_minutes = 10_000).contains("zone_minutes"));
        assert!(broken(|s| s.photos = "photos".into()).contains("photos"));
    }

    #[test]
    fn one_validator_or_several_are_read_and_none_or_the_same_twice_are_refused() {
        let read = |node: &str| -> Result<Nodes, String> {
            let text = format!("node = {node}\n[source]\nkind = \"libcamera\"\n");
            let settings: CaptureSettings =
                toml::from_str(&text).map_err(|error| error.to_string())?;
            let checked = settings.check().map_err(|error| error.to_string());
            checked.map(|()| settings.node)
        };
        let (one, other) = ("https://one.example", "https://other.example/registry");
        assert_eq!(read(&format!("{one:?}")).unwrap().addresses(), [one]);
        let both = read(&format!("[{one:?}, {other:?}]")).unwrap();
        assert_eq!(both.addresses(), [one, other]);
        assert!(read("[]").unwrap_err().contains("names no validator"));
        let twice = read(&format!("[{one:?}, {one:?}]")).unwrap_err();
        assert!(twice.contains("stands there twice"), "{twice}");
    }

    #[test]
    fn who_uses_one_time_keys_says_what_happens_when_none_is_left() {
        let read = |choice: &str| -> Result<OneTimeSettings, String> {
            let text = format!(
                "[source]\nkind = \"libcamera\"\n[one_time]\nauthority = \"https://maker.example\"\n{choice}"
            );
            let settings: CaptureSettings =
                toml::from_str(&text).map_err(|error| error.to_string())?;
            settings.check().map_err(|error| error.to_string())?;
            Ok(settings.one_time.unwrap())
        };
        assert!(read("").unwrap_err().contains("when_out"));
        let waiting = read("when_out = \"wait\"").unwrap();
        assert_eq!(waiting.when_out, WhenOut::Wait);
        assert_eq!((waiting.keys_per_epoch, waiting.ahead), (100, 3));
        let greedy = read("when_out = \"certificate\"\nkeys_per_epoch = 1001").unwrap_err();
        assert!(greedy.contains("one_time.keys_per_epoch"), "{greedy}");
        let tor = read("when_out = \"wait\"\nsocks = \"socks5h://127.0.0.1:9050\"").unwrap();
        assert!(tor.socks.is_some());
        let leaks = read("when_out = \"wait\"\nsocks = \"socks5://127.0.0.1:9050\"").unwrap_err();
        assert!(leaks.contains("one_time.socks"), "{leaks}");
    }

    #[test]
    fn settings_survive_being_written_and_read() {
        let text = toml::to_string(&good()).unwrap();
        let again: CaptureSettings = toml::from_str(&text).unwrap();
        assert_eq!(again.source, good().source);
        assert!(toml::from_str::<CaptureSettings>("shutter = 1").is_err());
        let source = "[source]\nkind = \"v4l2\"\ndevice = \"/dev/video0\"\n";
        let settings: CaptureSettings = toml::from_str(source).unwrap();
        assert_eq!(
            settings.source,
            Some(Source::V4l2 {
                device: "/dev/video0".into()
            })
        );
    }
}
