//! The storage root: the key everything else in the chip hangs from, made again from the owner's seed at each start.

use std::rc::Rc;

use tss_esapi::attributes::ObjectAttributesBuilder;
use tss_esapi::interface_types::algorithm::{HashingAlgorithm, PublicAlgorithm};
use tss_esapi::interface_types::ecc::EccCurve;
use tss_esapi::interface_types::resource_handles::Hierarchy;
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::{
    EccPoint, Public, PublicBuilder, PublicEccParametersBuilder, SymmetricDefinitionObject,
};

use super::chip::{Chip, Loaded};
use super::error::TpmError;

/// Derives the storage root. The same chip gives the same key each time until it is cleared, so nothing of it is
/// stored. The empty password of this one command is the owner hierarchy's public default, not a secret.
pub(super) fn create(chip: &Rc<Chip>) -> Result<(Loaded, Public), TpmError> {
    let template =
        template().map_err(|source| TpmError::from_tss("describe the storage root", source))?;
    let created = chip.run(
        "create the storage root",
        (Some(AuthSession::Password), None, None),
        |context| context.create_primary(Hierarchy::Owner, template, None, None, None, None),
    )?;
    Ok((Loaded::new(chip, created.key_handle), created.out_public))
}

fn template() -> tss_esapi::Result<Public> {
    let attributes = ObjectAttributesBuilder::new()
        .with_fixed_tpm(true)
        .with_fixed_parent(true)
        .with_sensitive_data_origin(true)
        .with_user_with_auth(true)
        .with_no_da(true)
        .with_decrypt(true)
        .with_restricted(true)
        .build()?;
    let parameters = PublicEccParametersBuilder::new_restricted_decryption_key(
        SymmetricDefinitionObject::AES_128_CFB,
        EccCurve::NistP256,
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
