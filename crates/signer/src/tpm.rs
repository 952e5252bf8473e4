//! The TPM as a key store. One thread owns it; see the `keeper` module.

mod activate;
mod attestation_key;
mod auth;
mod certify;
mod chip;
mod endorsement;
mod error;
mod health;
mod one_time;
mod primary;
mod public;
mod seal;
mod sign;
mod signing_key;
mod store;
mod template;

use std::rc::Rc;

use birthmark_protocol::attestation::{Credential, Evidence};
use birthmark_protocol::{Digest, PublicKey, Signature};
use zeroize::Zeroizing;

pub use auth::{ChipAuth, TooShort};
pub use chip::Tcti;
pub use error::TpmError;
pub use store::TpmStore;

use crate::blob::Blob;
use crate::messages::{Chip as ChipDescription, Lockout};
use chip::{Chip, Loaded, Session};
use signing_key::SigningKey;

/// A TPM, connected when it is first needed and again when the connection is lost.
pub struct Tpm {
    tcti: Tcti,
    handle: u32,
    auth: Rc<ChipAuth>,
    storage_root: Option<Vec<u8>>,
    connection: Option<Connection>,
}

/// What stays in the chip while this process lives: the storage root and one session salted with
/// it. Fields are dropped in this order: a session must go before the connection it was made on.
struct Connection {
    signing_key: Option<SigningKey>,
    session: Session,
    primary: Loaded,
    storage_root: Vec<u8>,
    auth: Rc<ChipAuth>,
    chip: Rc<Chip>,
}

impl Connection {
    /// Connects. With a pinned storage root nothing is said to a chip that cannot show it: somebody
    /// between us and the chip could otherwise offer a root of their own and read along.
    fn open(tcti: &Tcti, auth: &Rc<ChipAuth>, pinned: Option<&[u8]>) -> Result<Self, TpmError> {
        let chip = Chip::open(tcti)?;
        let (primary, public) = primary::create(&chip)?;
        let storage_root = public::marshalled(&public)?;
        if pinned.is_some_and(|pinned| pinned != storage_root) {
            return Err(TpmError::OtherChip);
        }
        let session = Session::hmac(&chip, &primary)?;
        Ok(Self {
            signing_key: None,
            session,
            primary,
            storage_root,
            auth: Rc::clone(auth),
            chip,
        })
    }

    fn signing_key(&mut self, handle: u32) -> Result<&SigningKey, TpmError> {
        let found = match self.signing_key.take() {
            Some(key) => key,
            None => signing_key::find(&self.chip, handle, &self.auth)?,
        };
        Ok(self.signing_key.insert(found))
    }
}

impl Tpm {
    /// A TPM reached by `tcti` whose signing key lives at the persistent `handle`. Key and secrets
    /// are made with `auth`, and open to nobody without it. With `storage_root`, as
    /// [`Tpm::storage_root`] returned it when the camera was enrolled, no other chip is accepted.
    pub fn new(tcti: Tcti, handle: u32, auth: ChipAuth, storage_root: Option<Vec<u8>>) -> Self {
        Self {
            tcti,
            handle,
            auth: Rc::new(auth),
            storage_root,
            connection: None,
        }
    }

    /// The public area of the storage root: which chip this is, until it is cleared.
    pub fn storage_root(&mut self) -> Result<Vec<u8>, TpmError> {
        self.with(|connection, _| Ok(connection.storage_root.clone()))
    }

    /// From now on accepts only the chip with this storage root, or any.
    pub fn pin(&mut self, storage_root: Option<Vec<u8>>) {
        self.connection = None;
        self.storage_root = storage_root;
    }

    /// Runs `work` on a connection. A chip that was reset, or a line that broke, has lost our
    /// session; then the same work is done once more on a new connection.
    fn with<T>(
        &mut self,
        work: impl Fn(&mut Connection, u32) -> Result<T, TpmError>,
    ) -> Result<T, TpmError> {
        let was_connected = self.connection.is_some();
        let first = self.attempt(&work);
        match first {
            Err(error) if was_connected && error.may_pass_on_a_new_connection() => {
                log::debug!("connecting to the TPM again: {error}");
                self.connection = None;
                self.attempt(&work)
            }
            other => other,
        }
    }

    fn attempt<T>(
        &mut self,
        work: impl Fn(&mut Connection, u32) -> Result<T, TpmError>,
    ) -> Result<T, TpmError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(&self.tcti, &self.auth, self.storage_root.as_deref())?,
        };
        let outcome = work(&mut connection, self.handle);
        self.connection = Some(connection);
        outcome
    }

    /// The public half of the signing key.
    pub fn public_key(&mut self) -> Result<PublicKey, TpmError> {
        self.with(|connection, handle| Ok(connection.signing_key(handle)?.public_key.clone()))
    }

    /// Makes the signing key unless there is one; an existing one is kept and returned.
    pub fn enrol(&mut self) -> Result<PublicKey, TpmError> {
        match self.public_key() {
            Err(TpmError::NoSigningKey { .. }) => {}
            other => return other,
        }
        self.with(|connection, handle| {
            let key = signing_key::create(
                &connection.chip,
                &connection.primary,
                &connection.session,
                handle,
                &connection.auth,
            )?;
            Ok(connection.signing_key.insert(key).public_key.clone())
        })
    }

    /// Destroys the signing key for ever.
    pub fn forget(&mut self) -> Result<(), TpmError> {
        self.with(|connection, handle| {
            connection.signing_key = None;
            signing_key::remove(&connection.chip, &connection.session, handle)
        })
    }

    /// Signs a digest; the signature was verified and has the low `s`.
    pub fn sign(&mut self, digest: &Digest) -> Result<Signature, TpmError> {
        self.with(|connection, handle| {
            connection.signing_key(handle)?;
            let Connection {
                chip,
                session,
                signing_key: Some(key),
                ..
            } = connection
            else {
                return Err(TpmError::NoSigningKey { handle });
            };
            sign::sign(chip, session, key.handle(), &key.public_key, digest)
        })
    }

    /// Seals a secret to this chip, and to the present values of `pcrs`.
    pub fn seal(&mut self, secret: &[u8], pcrs: &[u8]) -> Result<Blob, TpmError> {
        self.with(
            |Connection {
                 chip,
                 primary,
                 session,
                 auth,
                 ..
             },
             _| seal::seal(chip, primary, session, auth, secret, pcrs),
        )
    }

    /// Opens what [`Tpm::seal`] made.
    pub fn unseal(&mut self, blob: &Blob) -> Result<Zeroizing<Vec<u8>>, TpmError> {
        self.with(
            |Connection {
                 chip,
                 primary,
                 session,
                 auth,
                 ..
             },
             _| seal::unseal(chip, primary, session, auth, blob),
        )
    }

    /// Makes an attestation key; only its blob is kept.
    pub fn create_attestation_key(&mut self) -> Result<Blob, TpmError> {
        self.with(
            |Connection {
                 chip,
                 primary,
                 session,
                 ..
             },
             _| attestation_key::create(chip, primary, session),
        )
    }

    /// Collects what the chip can say about its signing key, as an answer to `nonce`.
    pub fn attest(
        &mut self,
        attestation_key: &Blob,
        nonce: &[u8; 32],
    ) -> Result<Evidence, TpmError> {
        self.with(|connection, handle| {
            let signing_key = connection.signing_key(handle)?.public_bytes()?;
            let Connection {
                chip,
                session,
                primary,
                signing_key: Some(key),
                ..
            } = connection
            else {
                return Err(TpmError::NoSigningKey { handle });
            };
            let endorsement = endorsement::find(chip, session)?;
            let endorsement_key = {
                let (_loaded, public) = endorsement.key(chip)?;
                public::marshalled(&public)?
            };
            let loaded = seal::load(chip, primary, session, attestation_key, "attestation key")?;
            let (statement, signature) =
                certify::certify(chip, session, key.handle(), &loaded, nonce)?;
            Ok(Evidence {
                endorsement_certificate: endorsement.certificate,
                endorsement_key,
                attestation_key: attestation_key.public.clone(),
                signing_key,
                statement,
                signature,
            })
        })
    }

    /// Opens a credential, which proves that attestation key and endorsement key share this chip.
    pub fn activate(
        &mut self,
        attestation_key: &Blob,
        credential: &Credential,
    ) -> Result<Zeroizing<Vec<u8>>, TpmError> {
        self.with(
            |Connection {
                 chip,
                 session,
                 primary,
                 ..
             },
             _| {
                let endorsement = endorsement::find(chip, session)?;
                let loaded =
                    seal::load(chip, primary, session, attestation_key, "attestation key")?;
                let (endorsement_key, _) = endorsement.key(chip)?;
                let (blob, seed) = (&credential.blob, &credential.encrypted_seed);
                activate::activate(chip, primary, &loaded, &endorsement_key, blob, seed)
            },
        )
    }

    /// Makes a key for one photo. Nothing of it stays in the chip; its blob opens in this chip
    /// alone.
    pub fn create_one_time_key(&mut self) -> Result<Blob, TpmError> {
        self.with(
            |Connection {
                 chip,
                 primary,
                 session,
                 auth,
                 ..
             },
             _| one_time::create(chip, primary, session, auth),
        )
    }

    /// What the chip says about a one-time key, as an answer to `nonce`: the bytes it signed
    /// (TPMS_ATTEST) and the attestation key's signature (DER).
    pub fn certify_one_time_key(
        &mut self,
        attestation_key: &Blob,
        one_time_key: &Blob,
        nonce: &[u8; 32],
    ) -> Result<(Vec<u8>, Vec<u8>), TpmError> {
        self.with(
            |Connection {
                 chip,
                 primary,
                 session,
                 auth,
                 ..
             },
             _| {
                let key = one_time::load(chip, primary, session, auth, one_time_key)?;
                let vouching =
                    seal::load(chip, primary, session, attestation_key, "attestation key")?;
                certify::certify(chip, session, key.handle(), &vouching, nonce)
            },
        )
    }

    /// Whether the chip loads this one-time key; an error if the chip itself does not answer.
    pub fn knows_one_time_key(&mut self, one_time_key: &Blob) -> Result<bool, TpmError> {
        if one_time::public_key(one_time_key).is_err() {
            return Ok(false);
        }
        let loaded = self.with(
            |Connection {
                 chip,
                 primary,
                 session,
                 auth,
                 ..
             },
             _| one_time::load(chip, primary, session, auth, one_time_key).map(drop),
        );
        match loaded {
            Ok(()) => Ok(true),
            Err(TpmError::ForeignBlob { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Signs a digest with a one-time key; the signature was verified and has the low `s`. Whoever
    /// calls this has noted before, durably, that the key is used.
    pub fn sign_once(
        &mut self,
        one_time_key: &Blob,
        digest: &Digest,
    ) -> Result<Signature, TpmError> {
        self.with(
            |Connection {
                 chip,
                 primary,
                 session,
                 auth,
                 ..
             },
             _| {
                let public_key = one_time::public_key(one_time_key)?;
                let key = one_time::load(chip, primary, session, auth, one_time_key)?;
                sign::sign(chip, session, key.handle(), &public_key, digest)
            },
        )
    }

    /// Lets the chip test everything it has.
    pub fn self_test(&mut self) -> Result<(), TpmError> {
        self.with(|connection, _| health::self_test(&connection.chip))
    }

    /// What the chip's latest test of itself found.
    pub fn test_result(&mut self) -> Result<(), TpmError> {
        self.with(|connection, _| health::test_result(&connection.chip))
    }

    /// Whether the chip is locked after failed authorisations.
    pub fn lockout(&mut self) -> Result<Lockout, TpmError> {
        self.with(|connection, _| health::lockout(&connection.chip))
    }

    /// The chip's manufacturer and firmware.
    pub fn describe(&mut self) -> Result<ChipDescription, TpmError> {
        self.with(|connection, _| health::describe(&connection.chip))
    }

    /// How many keys and sessions the chip holds now, ours included: what a leak would make grow.
    pub fn volatile_handles(&mut self) -> Result<usize, TpmError> {
        self.with(|connection, _| Ok(connection.chip.volatile_handles()?.len()))
    }
}

#[cfg(test)]
mod tests;
