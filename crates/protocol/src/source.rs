//! Who brought a photo to a registry.

use serde::{Deserialize, Serialize};

use crate::verdict::Assurance;

/// What kind of device brought the digests, and how strongly it was vouched for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A camera whose authority knows its token; its signature could not be checked.
    CameraToken,
    /// A camera whose signature was checked under its authority's chain.
    CameraCertificate,
    /// A camera whose key a TPM attested to its authority.
    CameraAttested,
    /// A camera that proved itself by a one-time key, which its authority signed without seeing it:
    /// as strong as an attested certificate, and no photo of it is tied to another.
    CameraOneTime,
    /// Editing software with a certificate of a software authority.
    Software,
    /// A registered submission server, on its own word.
    Server,
}

impl Source {
    /// A camera, as strongly vouched for as `assurance` says.
    pub const fn camera(assurance: Assurance) -> Self {
        match assurance {
            Assurance::Token => Self::CameraToken,
            Assurance::Certificate => Self::CameraCertificate,
            Assurance::Attested => Self::CameraAttested,
        }
    }

    /// How strongly the device was vouched for; a submission server vouches for no device.
    pub const fn assurance(self) -> Option<Assurance> {
        match self {
            Self::CameraToken => Some(Assurance::Token),
            Self::CameraCertificate | Self::Software => Some(Assurance::Certificate),
            Self::CameraAttested | Self::CameraOneTime => Some(Assurance::Attested),
            Self::Server => None,
        }
    }

    /// Whether a camera took the photo.
    pub const fn is_camera(self) -> bool {
        matches!(
            self,
            Self::CameraToken
                | Self::CameraCertificate
                | Self::CameraAttested
                | Self::CameraOneTime
        )
    }

    /// The byte that is hashed and stored.
    pub const fn to_byte(self) -> u8 {
        match self {
            Self::CameraToken => 0,
            Self::CameraCertificate => 1,
            Self::CameraAttested => 2,
            Self::Software => 3,
            Self::Server => 4,
            Self::CameraOneTime => 5,
        }
    }

    /// The source behind a stored byte.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::CameraToken),
            1 => Some(Self::CameraCertificate),
            2 => Some(Self::CameraAttested),
            3 => Some(Self::Software),
            4 => Some(Self::Server),
            5 => Some(Self::CameraOneTime),
            _ => None,
        }
    }
}
