//! What this camera is: everything an import left behind, in one file, so that an import either
//! happened or did not.

use std::path::{Path, PathBuf};

use birthmark_protocol::numbers::TABLES_PER_CAMERA;
use birthmark_protocol::{CameraCertificate, TableId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::blob::Blob;
use crate::provisioning;
use crate::state::{self, StateError};

/// The version of the files below.
const FORMAT: u32 = 1;

/// A provisioned camera.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Camera {
    format: u32,
    /// The serial number, if the authority gave one.
    pub device_serial: String,
    /// The model.
    pub device_family: String,
    /// The certificate that goes with every signature, DER.
    #[serde(with = "crate::text::hex_bytes")]
    pub certificate: Vec<u8>,
    /// The issuer's certificates, PEM.
    pub certificate_chain: Vec<String>,
    /// The tables, in the order of the sealed master keys.
    pub tables: [TableId; TABLES_PER_CAMERA],
    /// The master keys and the NUC hash, sealed.
    pub secrets: Blob,
    /// The secret behind the GPS salts, sealed.
    pub gps_secret: Blob,
}

/// Which chip this camera was enrolled with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    format: u32,
    /// What identifies the key store.
    #[serde(with = "crate::text::hex_bytes")]
    pub identity: Vec<u8>,
    /// The key that speaks for the chip while the camera is being provisioned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attestation_key: Option<Blob>,
}

impl Camera {
    /// Puts together what an import leaves behind.
    pub fn new(
        provisioning: &crate::provisioning::Provisioning,
        secrets: Blob,
        gps_secret: Blob,
    ) -> Self {
        Self {
            format: FORMAT,
            device_serial: provisioning.device_serial.clone(),
            device_family: provisioning.device_family.clone(),
            certificate: provisioning.certificate.der().to_vec(),
            certificate_chain: provisioning.chain.clone(),
            tables: provisioning.tables,
            secrets,
            gps_secret,
        }
    }

    /// When the first of its certificates ends, its own or one it was issued under; `None` if one
    /// cannot be read.
    pub fn last_moment(&self) -> Option<Timestamp> {
        let certificate = CameraCertificate::from_der(&self.certificate).ok()?;
        let issuers = provisioning::issuers(&self.certificate_chain).ok()?;
        let ends = issuers.iter().map(|issuer| issuer.validity.1);
        ends.chain([certificate.validity().1]).min()
    }

    /// The stored camera, if there is one.
    pub fn load(folder: &Path) -> Result<Option<Self>, StateError> {
        let path = file(folder);
        let Some(camera) = state::read::<Self>(&path)? else {
            return Ok(None);
        };
        let damaged = |reason: String| StateError::Damaged {
            path: path.clone(),
            reason,
        };
        if camera.format != FORMAT {
            return Err(damaged(format!("format {} is not known", camera.format)));
        }
        CameraCertificate::from_der(&camera.certificate)
            .map_err(|error| damaged(error.to_string()))?;
        Ok(Some(camera))
    }

    /// Makes this the camera.
    pub fn store(&self, folder: &Path) -> Result<(), StateError> {
        state::write(&file(folder), self)
    }

    /// Forgets the stored camera.
    pub fn forget(folder: &Path) -> Result<(), StateError> {
        forget(&file(folder))
    }
}

impl Enrolment {
    /// Notes which key store this camera belongs to.
    pub fn new(identity: Vec<u8>) -> Self {
        Self {
            format: FORMAT,
            identity,
            attestation_key: None,
        }
    }

    /// The noted key store, if there is one.
    pub fn load(folder: &Path) -> Result<Option<Self>, StateError> {
        state::read(&enrolment_file(folder))
    }

    /// Notes it.
    pub fn store(&self, folder: &Path) -> Result<(), StateError> {
        state::write(&enrolment_file(folder), self)
    }

    /// Forgets it.
    pub fn forget(folder: &Path) -> Result<(), StateError> {
        forget(&enrolment_file(folder))
    }
}

fn forget(path: &Path) -> Result<(), StateError> {
    if path.exists() {
        state::destroy(path)
    } else {
        Ok(())
    }
}

fn file(folder: &Path) -> PathBuf {
    folder.join("camera.json")
}

fn enrolment_file(folder: &Path) -> PathBuf {
    folder.join("enrolment.json")
}
