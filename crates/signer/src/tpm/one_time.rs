//! Keys for one photo each: made in the chip, kept as blobs that only this chip loads, forgotten
//! after one signature.
//!
//! The chip does not count signatures: that a key signs once is kept by whoever holds the blobs.

use std::rc::Rc;

use birthmark_protocol::PublicKey;
use birthmark_protocol::attestation::PublicArea;

use super::auth::ChipAuth;
use super::chip::{Chip, Loaded, Session};
use super::error::TpmError;
use super::public::marshalled;
use super::seal;
use super::template::{Purpose, ecc_template};
use crate::blob::Blob;

/// Makes one under the storage root, with the authorisation of the camera's own key.
pub(super) fn create(
    chip: &Rc<Chip>,
    primary: &Loaded,
    session: &Session,
    auth: &ChipAuth,
) -> Result<Blob, TpmError> {
    let value = auth.value()?;
    let template = ecc_template(Purpose::Signing)
        .map_err(|source| TpmError::from_tss("describe a one-time key", source))?;
    let created = chip.run("create a one-time key", session.alone(), |context| {
        context.create(primary.handle(), template, Some(value), None, None, None)
    })?;
    Ok(Blob {
        public: marshalled(&created.out_public)?,
        private: created.out_private.value().to_vec(),
        pcrs: Vec::new(),
    })
}

/// Loads one; it leaves the chip when the value is dropped.
pub(super) fn load(
    chip: &Rc<Chip>,
    primary: &Loaded,
    session: &Session,
    auth: &ChipAuth,
    blob: &Blob,
) -> Result<Loaded, TpmError> {
    let loaded = seal::load(chip, primary, session, blob, "one-time key")?;
    let value = auth.value()?;
    chip.ask("authorise a one-time key", |context| {
        context.tr_set_auth(loaded.handle().into(), value)
    })?;
    Ok(loaded)
}

/// The public half.
pub(super) fn public_key(blob: &Blob) -> Result<PublicKey, TpmError> {
    let area = PublicArea::parse("one-time key", &blob.public);
    let key = area.and_then(|area| area.p256());
    key.map_err(|_| TpmError::WrongSignature)
}
