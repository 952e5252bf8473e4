//! What is claimed beside the digests and the time: how the picture came about.

use serde::{Deserialize, Serialize};

use crate::bytes::{DecodeError, Reader, put_optional32};
use crate::digest::Digest;

/// Where a camera's program took the pixels from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum PixelSource {
    /// An image sensor.
    Sensor = 1,
    /// Files: a rehearsal.
    File = 2,
    /// A simulation: a rehearsal.
    Simulated = 3,
}

/// What cameras of ours claim beside the digests.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Capture {
    /// Where the pixels came from.
    pub source: PixelSource,
    /// Digest of the system image that ran, where the system measures it.
    pub software: Option<Digest>,
    /// Height of the newest block the camera had checked.
    pub anchor: Option<u64>,
    /// Root over what the photographer may disclose later, see [`crate::disclosure`].
    pub disclosure: Option<Digest>,
}

/// What is claimed beside digests and time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) enum Circumstances {
    /// As the documents have it: at most a commitment to the place.
    Unstated { gps: Option<Digest> },
    /// As cameras of ours have it.
    Stated(Capture),
}

impl PixelSource {
    /// The source behind a stored byte.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Sensor),
            2 => Some(Self::File),
            3 => Some(Self::Simulated),
            _ => None,
        }
    }

    /// The byte that is signed and stored.
    pub const fn to_byte(self) -> u8 {
        self as u8
    }

    /// The word used in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sensor => "sensor",
            Self::File => "file",
            Self::Simulated => "simulated",
        }
    }

    /// Whether only a rehearsal registry may hold photos from it.
    pub const fn is_rehearsal(self) -> bool {
        !matches!(self, Self::Sensor)
    }
}

impl Circumstances {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Unstated { gps } => {
                out.push(0);
                put_optional32(out, gps.as_ref().map(Digest::as_bytes));
            }
            Self::Stated(capture) => {
                out.push(capture.source.to_byte());
                put_optional32(out, capture.software.as_ref().map(Digest::as_bytes));
                out.push(u8::from(capture.anchor.is_some()));
                out.extend(
                    capture
                        .anchor
                        .iter()
                        .flat_map(|height| height.to_be_bytes()),
                );
                put_optional32(out, capture.disclosure.as_ref().map(Digest::as_bytes));
            }
        }
    }

    pub(super) fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let source = reader.byte("source")?;
        if source == 0 {
            let gps = reader.optional32("GPS commitment")?.map(Digest::from_bytes);
            return Ok(Self::Unstated { gps });
        }
        let source = PixelSource::from_byte(source).ok_or(DecodeError::Value("source"))?;
        let software = reader.optional32("software")?.map(Digest::from_bytes);
        let anchor = if reader.flag("anchor")? {
            Some(u64::from_be_bytes(reader.array("anchor")?))
        } else {
            None
        };
        let disclosure = reader
            .optional32("disclosure root")?
            .map(Digest::from_bytes);
        Ok(Self::Stated(Capture {
            source,
            software,
            anchor,
            disclosure,
        }))
    }
}
