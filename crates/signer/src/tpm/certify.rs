//! The chip's own statement that a signing key lives in it.

use std::rc::Rc;

use tss_esapi::handles::KeyHandle;
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::{Data, SignatureScheme};
use tss_esapi::traits::Marshall;

use super::chip::{Chip, Loaded, Session};
use super::error::TpmError;
use super::sign;

/// What the attestation key says about a signing key: the bytes it signed (TPMS_ATTEST) and its
/// signature (DER).
pub(super) fn certify(
    chip: &Rc<Chip>,
    session: &Session,
    key: KeyHandle,
    attestation_key: &Loaded,
    nonce: &[u8; 32],
) -> Result<(Vec<u8>, Vec<u8>), TpmError> {
    let wrap = |source| TpmError::from_tss("certify the signing key", source);
    let nonce = Data::try_from(nonce.as_slice()).map_err(wrap)?;
    let sessions = (Some(session.auth()), Some(AuthSession::Password), None);
    let (statement, signature) = chip.run("certify the signing key", sessions, |context| {
        context.certify(
            key.into(),
            attestation_key.handle(),
            nonce,
            SignatureScheme::Null,
        )
    })?;
    let signature = sign::from_tpm(&signature)?;
    Ok((statement.marshall().map_err(wrap)?, signature.to_der()))
}
