//! What capture says over Varlink. The service and its clients share these types.

use serde::{Deserialize, Serialize};
use zlink::introspect::Type;

/// A photo that was taken: its files are durable, and so is what its proof is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct Photo {
    /// The name of its proof in the queue.
    pub id: String,
    /// Where the picture is.
    pub path: String,
    /// Digest of the sensor's bytes, 64 hexadecimal characters.
    pub raw: String,
    /// Digest of the JPEG.
    pub file: String,
    /// Digest of the JPEG without what services strip.
    pub image_data: String,
    /// Digest of the DNG, if there is one.
    pub dng_file: Option<String>,
    /// When it was taken, in Unix seconds.
    pub timestamp: i64,
    /// What the clock was worth: `synchronised`, `free`, `satellites` or `unset`.
    pub clock: String,
    /// The root over what may be disclosed, the place among it, if there is anything.
    pub disclosure_root: Option<String>,
    /// The height of the block it names; absent if this camera has checked none yet.
    pub anchor: Option<i64>,
    /// Milliseconds from the shutter until all of it was durable. The signer is not waited for.
    pub milliseconds: i64,
    /// What took how long.
    pub timeline: Vec<TimelineStep>,
}

/// One piece of work on a photo.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct TimelineStep {
    /// What was done.
    pub name: String,
    /// Microseconds after the shutter.
    pub start_us: i64,
    /// How many microseconds it took.
    pub duration_us: i64,
}

/// How the camera is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct Status {
    /// Where frames come from; absent if the camera is not there.
    pub source: Option<String>,
    /// What is wrong with the camera, if anything.
    pub camera_problem: Option<String>,
    /// Photos taken since the daemon began.
    pub photos: i64,
    /// Proofs on their way.
    pub waiting: i64,
    /// Proofs the node will not take, kept with the reason.
    pub refused: i64,
    /// Receipts stored since the daemon began.
    pub stored: i64,
    /// Whether more proofs wait than is normal.
    pub queue_full: bool,
    /// When a receipt was last stored, in Unix seconds.
    pub last_stored: Option<i64>,
    /// Why proofs are waiting, if there is a reason besides time.
    pub trouble: Option<String>,
    /// Why photos wait for their signature, if one could not be made.
    pub unsigned: Option<String>,
    /// How many milliseconds the last signature took, with its token.
    pub signing_ms: Option<i64>,
    /// The node proofs go to.
    pub node: String,
    /// The registry receipts must come from; absent until the first receipt if the configuration
    /// names none.
    pub registry: Option<Registry>,
    /// The last second of the camera's certificate, Unix time, as the signer last said.
    pub certificate_until: Option<i64>,
    /// Whether it ends within 60 days, or has ended: then it should have been renewed by now.
    pub certificate_ends_soon: bool,
    /// The block that photos name; absent if this camera has checked none.
    pub anchor: Option<Anchor>,
    /// Why there is no newer one, if the last attempt to get one failed.
    pub anchor_trouble: Option<String>,
    /// Photos with receipts that went to make room, since the daemon began.
    pub removed: i64,
    /// Mebibytes free for photos.
    pub free_mib: i64,
    /// Whether too little is free to take a photo.
    pub disk_full: bool,
    /// What the clock is worth: `synchronised`, `free` or `unset`.
    pub clock: String,
    /// What happens to the place of photos: `ignored`, `committed` or `in-picture`.
    pub place: String,
}

/// The registry whose receipts the camera believes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct Registry {
    /// What it calls itself.
    pub name: String,
    /// The hash of its genesis, 64 hexadecimal characters.
    pub genesis_hash: String,
    /// Whether the configuration says so; otherwise the node did, at the first receipt.
    pub configured: bool,
}

/// The newest block that the camera has checked. A photo that names it is younger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct Anchor {
    /// Its height.
    pub height: i64,
    /// When it was proposed, in Unix seconds.
    pub block_time: i64,
    /// When the camera checked it, in Unix seconds.
    pub checked_at: i64,
}

/// One proof in the queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct QueueItem {
    /// Its name.
    pub id: String,
    /// The photo, relative to the folder of photos.
    pub photo: String,
    /// `unsigned`, `signed`, `submitted`, `refused` or `damaged`.
    pub stage: String,
    /// The node's number for it, if it was submitted.
    pub receipt_id: Option<String>,
    /// Why it was refused, what is damaged, or why it is still waiting.
    pub reason: Option<String>,
}

/// A part of the queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct QueuePage {
    /// Oldest first.
    pub items: Vec<QueueItem>,
    /// Where the next part begins; absent at the end.
    pub next: Option<String>,
}

/// How many proofs are tried again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct Retried {
    /// The number.
    pub count: i64,
}

/// How far a calibration is, or what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct Calibration {
    /// What is being done.
    pub step: String,
    /// Frames done in this step.
    pub done: i64,
    /// Frames this step takes.
    pub total: i64,
    /// At the end: what was measured.
    pub result: Option<CalibrationResult>,
}

/// What a calibration measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct CalibrationResult {
    /// The map's file.
    pub map: String,
    /// The quality report, a PNG.
    pub plot: String,
    /// SHA-256 of the map's file: the camera's NUC hash.
    pub nuc_hash: String,
    /// Deviation of the pixels' sensitivities, in parts per thousand.
    pub gain_deviation_permille: f64,
    /// Deviation of the dark levels, in counts.
    pub dark_deviation: f64,
    /// How much of the measured gain is the sensor and not noise, 0 to 1.
    pub gain_repeatability: f64,
    /// How much of the measured dark level is the sensor and not noise, 0 to 1.
    pub dark_repeatability: f64,
    /// Pixels that say nothing.
    pub defective: i64,
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, zlink::ReplyError, zlink::introspect::ReplyError)]
#[zlink(interface = "org.birthmark.Capture")]
pub enum CaptureRefusal {
    /// The camera does not deliver.
    Camera {
        /// A sentence for people.
        reason: String,
    },
    /// The camera is being calibrated: nothing else can be done with it meanwhile.
    Busy {
        /// A sentence for people.
        reason: String,
    },
    /// Too little space is left: no photo was taken.
    DiskFull {
        /// A sentence for people.
        reason: String,
    },
    /// The photo could not be developed or stored: it counts as not taken.
    Failed {
        /// A sentence for people.
        reason: String,
    },
    /// A parameter is wrong.
    BadInput {
        /// Which.
        field: String,
        /// A sentence for people.
        reason: String,
    },
    /// There is no such proof.
    Unknown {
        /// A sentence for people.
        reason: String,
    },
    /// The calibration cannot be done or gave nothing usable.
    Calibration {
        /// A sentence for people.
        reason: String,
    },
}

impl std::fmt::Display for CaptureRefusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::BadInput { field, reason } => write!(f, "{field}: {reason}"),
            Self::Camera { reason }
            | Self::Busy { reason }
            | Self::DiskFull { reason }
            | Self::Failed { reason }
            | Self::Unknown { reason }
            | Self::Calibration { reason } => f.write_str(reason),
        }
    }
}

impl std::error::Error for CaptureRefusal {}
