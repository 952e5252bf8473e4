//! The three keys this daemon has the chip make. All are on P-256, made in the chip, and unable to
//! leave it.

use tss_esapi::attributes::ObjectAttributesBuilder;
use tss_esapi::interface_types::algorithm::{HashingAlgorithm, PublicAlgorithm};
use tss_esapi::interface_types::ecc::EccCurve;
use tss_esapi::structures::{
    EccPoint, EccScheme, HashScheme, KeyDerivationFunctionScheme, Public, PublicBuilder,
    PublicEccParametersBuilder, SymmetricDefinitionObject,
};

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Signs digests that were computed outside of the chip: the camera's key.
    Signing,
    /// Signs only what the chip itself says.
    Attestation,
    /// Protects other keys.
    Storage,
}

/// Describes a key to the chip.
///
/// A storage root is derived from this description: a change here is another chip to every camera
/// that was enrolled before.
pub(super) fn ecc_template(purpose: Purpose) -> tss_esapi::Result<Public> {
    let protects_keys = purpose == Purpose::Storage;
    let restricted = purpose != Purpose::Signing;
    let attributes = ObjectAttributesBuilder::new()
        .with_fixed_tpm(true)
        .with_fixed_parent(true)
        .with_sensitive_data_origin(true)
        .with_user_with_auth(true)
        .with_no_da(true)
        .with_sign_encrypt(!protects_keys)
        .with_decrypt(protects_keys)
        .with_restricted(restricted)
        .build()?;
    let (scheme, symmetric) = match protects_keys {
        true => (EccScheme::Null, SymmetricDefinitionObject::AES_128_CFB),
        false => (
            EccScheme::EcDsa(HashScheme::new(HashingAlgorithm::Sha256)),
            SymmetricDefinitionObject::Null,
        ),
    };
    let parameters = PublicEccParametersBuilder::new()
        .with_ecc_scheme(scheme)
        .with_curve(EccCurve::NistP256)
        .with_is_signing_key(!protects_keys)
        .with_is_decryption_key(protects_keys)
        .with_restricted(restricted)
        .with_symmetric(symmetric)
        .with_key_derivation_function_scheme(KeyDerivationFunctionScheme::Null)
        .build()?;
    PublicBuilder::new()
        .with_public_algorithm(PublicAlgorithm::Ecc)
        .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
        .with_object_attributes(attributes)
        .with_ecc_parameters(parameters)
        .with_ecc_unique_identifier(EccPoint::default())
        .build()
}

#[cfg(test)]
mod tests {
    use tss_esapi::traits::Marshall as _;

    use super::*;

    /// The bytes (TPMT_PUBLIC) that the chip derives the storage root from, and what its keys
    /// promise.
    #[test]
    fn the_templates_are_pinned_byte_for_byte() {
        let bytes = |purpose| hex::encode(ecc_template(purpose).unwrap().marshall().unwrap());
        // ECC, SHA-256; attributes; no policy; symmetric, scheme, P-256, no KDF; an empty point.
        assert_eq!(
            bytes(Purpose::Storage),
            "0023000b0003047200000006008000430010000300100000 0000".replace(' ', "")
        );
        assert_eq!(
            bytes(Purpose::Signing),
            "0023000b00040472000000100018000b000300100000 0000".replace(' ', "")
        );
        assert_eq!(
            bytes(Purpose::Attestation),
            "0023000b00050472000000100018000b000300100000 0000".replace(' ', "")
        );
    }
}
