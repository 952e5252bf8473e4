//! One signature.

use std::rc::Rc;

use birthmark_protocol::{Digest as BundleDigest, PublicKey, Signature};
use tss_esapi::constants::tss::{TPM2_RH_NULL, TPM2_ST_HASHCHECK};
use tss_esapi::handles::KeyHandle;
use tss_esapi::structures::{Digest, HashcheckTicket, Signature as TpmSignature, SignatureScheme};
use tss_esapi::tss2_esys::TPMT_TK_HASHCHECK;

use super::chip::{Chip, Session};
use super::error::TpmError;

/// Signs a digest that this process computed itself, and verifies the answer: a chip with a flipped
/// bit, or somebody on its bus, must not produce a photo that nobody can verify later.
pub(super) fn sign(
    chip: &Rc<Chip>,
    session: &Session,
    key: KeyHandle,
    public_key: &PublicKey,
    digest: &BundleDigest,
) -> Result<Signature, TpmError> {
    let wrap = |source| TpmError::from_tss("sign", source);
    let ticket = no_ticket().map_err(wrap)?;
    let input = Digest::try_from(digest.as_bytes().as_slice()).map_err(wrap)?;
    let signature = chip.run("sign", session.alone(), |context| {
        context.sign(key, input, SignatureScheme::Null, ticket)
    })?;
    let signature = from_tpm(&signature)?;
    public_key
        .verify_digest(digest, &signature)
        .map_err(|_| TpmError::WrongSignature)?;
    Ok(signature)
}

/// The signature in its one canonical form: half of what a TPM returns has the larger of the two
/// possible `s`.
pub(super) fn from_tpm(signature: &TpmSignature) -> Result<Signature, TpmError> {
    let TpmSignature::EcDsa(pair) = signature else {
        return Err(TpmError::WrongSignature);
    };
    let (r, s) = (pair.signature_r().value(), pair.signature_s().value());
    let signature = Signature::from_scalars(r, s).map_err(|_| TpmError::WrongSignature)?;
    Ok(signature.normalized())
}

/// An unrestricted key signs digests computed outside the chip, which is what an empty ticket says.
fn no_ticket() -> tss_esapi::Result<HashcheckTicket> {
    HashcheckTicket::try_from(TPMT_TK_HASHCHECK {
        tag: TPM2_ST_HASHCHECK,
        hierarchy: TPM2_RH_NULL,
        digest: Default::default(),
    })
}
