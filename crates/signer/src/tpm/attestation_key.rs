//! The attestation key: it signs only what the chip itself says, which is how the chip speaks about
//! the signing key.

use std::rc::Rc;

use super::chip::{Chip, Loaded, Session};
use super::error::TpmError;
use super::public::marshalled;
use super::template::{Purpose, ecc_template};
use crate::blob::Blob;

/// Makes an attestation key under the storage root. It is kept as a blob: needed once, at
/// provisioning.
///
/// It has no authorisation of its own: it says nothing about the camera's key unless that key,
/// which has one, takes part.
pub(super) fn create(
    chip: &Rc<Chip>,
    primary: &Loaded,
    session: &Session,
) -> Result<Blob, TpmError> {
    let template = ecc_template(Purpose::Attestation)
        .map_err(|source| TpmError::from_tss("describe the attestation key", source))?;
    let created = chip.run("create the attestation key", session.alone(), |context| {
        context.create(primary.handle(), template, None, None, None, None)
    })?;
    Ok(Blob {
        public: marshalled(&created.out_public)?,
        private: created.out_private.value().to_vec(),
        pcrs: Vec::new(),
    })
}
