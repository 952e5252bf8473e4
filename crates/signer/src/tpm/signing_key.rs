//! The camera's key: made in the chip, kept in the chip, unable to leave it.

use std::rc::Rc;

use birthmark_protocol::PublicKey;
use tss_esapi::handles::{KeyHandle, PersistentTpmHandle, TpmHandle};
use tss_esapi::interface_types::dynamic_handles::Persistent;
use tss_esapi::interface_types::ecc::EccCurve;
use tss_esapi::interface_types::resource_handles::Provision;
use tss_esapi::structures::Public;

use super::auth::ChipAuth;
use super::chip::{Chip, Loaded, Resident, Session};
use super::error::TpmError;
use super::public::{marshalled, public_key};
use super::template::{Purpose, ecc_template};

/// The signing key, found at its handle and checked to be one.
pub(super) struct SigningKey {
    resident: Resident,
    /// Its public area, as the chip returns it.
    pub public: Public,
    /// What signatures are verified with.
    pub public_key: PublicKey,
}

impl SigningKey {
    /// The key's handle, for commands.
    pub fn handle(&self) -> KeyHandle {
        self.resident.handle().into()
    }

    /// The public area's bytes (TPMT_PUBLIC).
    pub fn public_bytes(&self) -> Result<Vec<u8>, TpmError> {
        marshalled(&self.public)
    }
}

/// Finds the key at `handle` and refuses anything that could be used outside this chip.
pub(super) fn find(chip: &Rc<Chip>, handle: u32, auth: &ChipAuth) -> Result<SigningKey, TpmError> {
    let resident = look_up(chip, handle)?;
    let key = KeyHandle::from(resident.handle());
    let (public, _, _) = chip.ask("read the signing key", |context| context.read_public(key))?;
    check(&public).map_err(|reason| TpmError::ForeignKey { handle, reason })?;
    let public_key = public_key(&public)?;
    // Nothing is said to the chip here: whether the value is right shows at the first signature.
    let value = auth.value()?;
    chip.ask("authorise the signing key", |context| {
        context.tr_set_auth(key.into(), value)
    })?;
    Ok(SigningKey {
        resident,
        public,
        public_key,
    })
}

/// Makes a key under the storage root and gives it its permanent place.
pub(super) fn create(
    chip: &Rc<Chip>,
    primary: &Loaded,
    session: &Session,
    handle: u32,
    auth: &ChipAuth,
) -> Result<SigningKey, TpmError> {
    let value = auth.value()?;
    let template = ecc_template(Purpose::Signing)
        .map_err(|source| TpmError::from_tss("describe the signing key", source))?;
    let created = chip.run("create the signing key", session.alone(), |context| {
        context.create(primary.handle(), template, Some(value), None, None, None)
    })?;
    let loaded = chip.run("load the signing key", session.alone(), |context| {
        context.load(primary.handle(), created.out_private, created.out_public)
    })?;
    let loaded = Loaded::new(chip, loaded);
    // If we stop here, the new key is lost with the chip's volatile memory and nothing refers to
    // it.
    let place = Persistent::Persistent(persistent(handle)?);
    let resident = chip.run(
        "make the signing key permanent",
        session.alone(),
        |context| context.evict_control(Provision::Owner, loaded.handle().into(), place),
    )?;
    drop(Resident::new(chip, resident));
    find(chip, handle, auth)
}

/// Destroys the key at `handle` for ever.
pub(super) fn remove(chip: &Rc<Chip>, session: &Session, handle: u32) -> Result<(), TpmError> {
    let place = persistent(handle)?;
    let resident = look_up(chip, handle)?;
    let object = resident.into_handle();
    chip.run("remove the signing key", session.alone(), |context| {
        context.evict_control(Provision::Owner, object, Persistent::Persistent(place))
    })?;
    Ok(())
}

/// Finds the object at `handle`. The chip is asked for its list first: looking up an empty handle
/// would be logged as an error by the software stack, and a camera that was never enrolled has
/// none.
fn look_up(chip: &Rc<Chip>, handle: u32) -> Result<Resident, TpmError> {
    let place = TpmHandle::Persistent(persistent(handle)?);
    if chip.handles(handle)?.first() != Some(&place) {
        return Err(TpmError::NoSigningKey { handle });
    }
    Resident::find(chip, place)
}

fn persistent(handle: u32) -> Result<PersistentTpmHandle, TpmError> {
    PersistentTpmHandle::new(handle)
        .map_err(|source| TpmError::from_tss("use a persistent handle", source))
}

fn check(public: &Public) -> Result<(), &'static str> {
    let Public::Ecc {
        parameters,
        object_attributes: attributes,
        ..
    } = public
    else {
        return Err("it is no elliptic-curve key");
    };
    if parameters.ecc_curve() != EccCurve::NistP256 {
        return Err("it is on another curve than P-256");
    }
    if !(attributes.fixed_tpm() && attributes.fixed_parent() && attributes.sensitive_data_origin())
    {
        return Err("it could exist outside of this TPM");
    }
    if !attributes.sign_encrypt() || attributes.restricted() || attributes.decrypt() {
        return Err("it is made for another purpose");
    }
    Ok(())
}
