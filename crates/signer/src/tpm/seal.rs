//! Secrets on the disk that only this chip can open, and, if so configured, only under the same
//! measured system.

use std::rc::Rc;

use tss_esapi::attributes::ObjectAttributesBuilder;
use tss_esapi::interface_types::algorithm::{HashingAlgorithm, PublicAlgorithm};
use tss_esapi::structures::{
    Digest, KeyedHashScheme, PcrSelectionList, PcrSelectionListBuilder, PcrSlot, Private, Public,
    PublicBuilder, PublicKeyedHashParameters, SensitiveData,
};
use zeroize::Zeroizing;

use super::auth::ChipAuth;
use super::chip::{Chip, Loaded, Session};
use super::error::TpmError;
use super::public::{marshalled, unmarshalled};
use crate::blob::Blob;

/// What one sealed object holds.
pub(super) const MAX_SEALED: usize = 128;
/// How many measurement registers a chip has.
const PCRS: u8 = 24;

/// Seals `secret` to this chip, to the signer's credential, and to the present values of `pcrs`.
pub(super) fn seal(
    chip: &Rc<Chip>,
    primary: &Loaded,
    session: &Session,
    auth: &ChipAuth,
    secret: &[u8],
    pcrs: &[u8],
) -> Result<Blob, TpmError> {
    if secret.len() > MAX_SEALED {
        return Err(TpmError::TooLong {
            length: secret.len(),
            max: MAX_SEALED,
        });
    }
    let policy = if pcrs.is_empty() {
        None
    } else {
        Some(policy_digest(chip, pcrs)?)
    };
    let template = template(policy)
        .map_err(|source| TpmError::from_tss("describe a sealed object", source))?;
    let data =
        SensitiveData::try_from(secret).map_err(|source| TpmError::from_tss("seal", source))?;
    let value = auth.value()?;
    let created = chip.run("seal", session.alone(), |context| {
        context.create(
            primary.handle(),
            template,
            Some(value),
            Some(data),
            None,
            None,
        )
    })?;
    Ok(Blob {
        public: marshalled(&created.out_public)?,
        private: created.out_private.value().to_vec(),
        pcrs: pcrs.to_vec(),
    })
}

/// Opens what [`seal`] made.
pub(super) fn unseal(
    chip: &Rc<Chip>,
    primary: &Loaded,
    session: &Session,
    auth: &ChipAuth,
    blob: &Blob,
) -> Result<Zeroizing<Vec<u8>>, TpmError> {
    let object = load(chip, primary, session, blob, "sealed secret")?;
    let item = object.handle().into();
    let value = auth.value()?;
    chip.ask("authorise a sealed secret", |context| {
        context.tr_set_auth(item, value)
    })?;
    let secret = if blob.pcrs.is_empty() {
        chip.run("unseal", session.alone(), |context| context.unseal(item))?
    } else {
        let policy = Session::policy(chip, primary)?;
        apply(chip, &policy, &blob.pcrs)?;
        chip.run("unseal", policy.alone(), |context| context.unseal(item))?
    };
    Ok(Zeroizing::new(secret.value().to_vec()))
}

/// Loads a stored object; what another chip made is recognised as such.
pub(super) fn load(
    chip: &Rc<Chip>,
    primary: &Loaded,
    session: &Session,
    blob: &Blob,
    what: &'static str,
) -> Result<Loaded, TpmError> {
    let public = unmarshalled(&blob.public)?;
    let private =
        Private::try_from(blob.private.as_slice()).map_err(|_| TpmError::Malformed(what))?;
    let handle = chip
        .run("load a stored object", session.alone(), |context| {
            context.load(primary.handle(), private, public)
        })
        .map_err(|error| {
            if error.is_foreign_object() {
                TpmError::ForeignBlob { what }
            } else {
                error
            }
        })?;
    Ok(Loaded::new(chip, handle))
}

fn policy_digest(chip: &Rc<Chip>, pcrs: &[u8]) -> Result<Digest, TpmError> {
    let trial = Session::trial(chip)?;
    apply(chip, &trial, pcrs)?;
    let policy = trial.as_policy()?;
    chip.ask("compute a policy", |context| {
        context.policy_get_digest(policy)
    })
}

fn apply(chip: &Rc<Chip>, session: &Session, pcrs: &[u8]) -> Result<(), TpmError> {
    let policy = session.as_policy()?;
    let selection = selection(pcrs)?;
    chip.ask("bind to measurements", |context| {
        context.policy_pcr(policy, Digest::default(), selection)
    })?;
    // The right system is not enough: everything on it could ask.
    chip.ask("bind to the signer's credential", |context| {
        context.policy_auth_value(policy)
    })
}

fn selection(pcrs: &[u8]) -> Result<PcrSelectionList, TpmError> {
    let slots = pcrs
        .iter()
        .map(|&number| (number < PCRS).then(|| PcrSlot::try_from(1_u32 << number).ok())?)
        .collect::<Option<Vec<_>>>()
        .ok_or(TpmError::Malformed("list of measurements (PCRs 0 to 23)"))?;
    PcrSelectionListBuilder::new()
        .with_selection(HashingAlgorithm::Sha256, &slots)
        .build()
        .map_err(|source| TpmError::from_tss("select measurements", source))
}

fn template(policy: Option<Digest>) -> tss_esapi::Result<Public> {
    let attributes = ObjectAttributesBuilder::new()
        .with_fixed_tpm(true)
        .with_fixed_parent(true)
        .with_no_da(true)
        .with_user_with_auth(policy.is_none())
        .with_admin_with_policy(policy.is_some())
        .build()?;
    PublicBuilder::new()
        .with_public_algorithm(PublicAlgorithm::KeyedHash)
        .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
        .with_object_attributes(attributes)
        .with_auth_policy(policy.unwrap_or_default())
        .with_keyed_hash_parameters(PublicKeyedHashParameters::new(KeyedHashScheme::Null))
        .with_keyed_hash_unique_identifier(Digest::default())
        .build()
}
