//! The attestation key: it signs only what the chip itself says, which is how the chip speaks about the signing key.

use std::rc::Rc;

use tss_esapi::attributes::ObjectAttributesBuilder;
use tss_esapi::interface_types::algorithm::{HashingAlgorithm, PublicAlgorithm};
use tss_esapi::interface_types::ecc::EccCurve;
use tss_esapi::structures::{
    EccPoint, EccScheme, HashScheme, Public, PublicBuilder, PublicEccParametersBuilder,
    SymmetricDefinitionObject,
};

use super::chip::{Chip, Loaded, Session};
use super::error::TpmError;
use super::public::marshalled;
use crate::key_store::Blob;

/// Makes an attestation key under the storage root. It is kept as a blob: needed once, at provisioning.
pub(super) fn create(
    chip: &Rc<Chip>,
    primary: &Loaded,
    session: &Session,
) -> Result<Blob, TpmError> {
    let template =
        template().map_err(|source| TpmError::from_tss("describe the attestation key", source))?;
    let created = chip.run("create the attestation key", session.alone(), |context| {
        context.create(primary.handle(), template, None, None, None, None)
    })?;
    Ok(Blob {
        public: marshalled(&created.out_public)?,
        private: created.out_private.value().to_vec(),
        pcrs: Vec::new(),
    })
}

fn template() -> tss_esapi::Result<Public> {
    let attributes = ObjectAttributesBuilder::new()
        .with_fixed_tpm(true)
        .with_fixed_parent(true)
        .with_sensitive_data_origin(true)
        .with_user_with_auth(true)
        .with_no_da(true)
        .with_sign_encrypt(true)
        .with_restricted(true)
        .build()?;
    let parameters = PublicEccParametersBuilder::new()
        .with_ecc_scheme(EccScheme::EcDsa(HashScheme::new(HashingAlgorithm::Sha256)))
        .with_curve(EccCurve::NistP256)
        .with_is_signing_key(true)
        .with_is_decryption_key(false)
        .with_restricted(true)
        .with_symmetric(SymmetricDefinitionObject::Null)
        .with_key_derivation_function_scheme(
            tss_esapi::structures::KeyDerivationFunctionScheme::Null,
        )
        .build()?;
    PublicBuilder::new()
        .with_public_algorithm(PublicAlgorithm::Ecc)
        .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
        .with_object_attributes(attributes)
        .with_ecc_parameters(parameters)
        .with_ecc_unique_identifier(EccPoint::default())
        .build()
}
