//! Proof that the attestation key and the certified endorsement key live in one chip.

use std::rc::Rc;

use tss_esapi::handles::AuthHandle;
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::{Digest, EncryptedSecret, IdObject, Nonce};
use zeroize::Zeroizing;

use super::chip::{Chip, Loaded, Session};
use super::error::TpmError;

/// Opens a credential made for exactly this endorsement key and this attestation key.
pub(super) fn activate(
    chip: &Rc<Chip>,
    primary: &Loaded,
    attestation_key: &Loaded,
    endorsement_key: &Loaded,
    credential: &[u8],
    secret: &[u8],
) -> Result<Zeroizing<Vec<u8>>, TpmError> {
    let credential =
        IdObject::try_from(credential).map_err(|_| TpmError::Malformed("credential"))?;
    let secret = EncryptedSecret::try_from(secret)
        .map_err(|_| TpmError::Malformed("credential's encrypted secret"))?;
    let policy = endorsement_policy(chip, primary)?;
    let sessions = (Some(AuthSession::Password), Some(policy.auth()), None);
    let opened = chip.run("activate the credential", sessions, |context| {
        context.activate_credential(
            attestation_key.handle(),
            endorsement_key.handle(),
            credential,
            secret,
        )
    })?;
    Ok(Zeroizing::new(opened.value().to_vec()))
}

/// The profile's policy for endorsement keys: a caller that may use the endorsement hierarchy may
/// use its key.
fn endorsement_policy(chip: &Rc<Chip>, primary: &Loaded) -> Result<Session, TpmError> {
    let policy = Session::policy(chip, primary)?;
    let handle = policy.as_policy()?;
    chip.run(
        "satisfy the endorsement policy",
        (Some(AuthSession::Password), None, None),
        |context| {
            let (nonce, reference) = (Nonce::default(), Nonce::default());
            context.policy_secret(
                handle,
                AuthHandle::Endorsement,
                nonce,
                Digest::default(),
                reference,
                None,
            )
        },
    )?;
    Ok(policy)
}
